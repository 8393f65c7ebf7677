"""Segments and tags, for the brand's other systems."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, StrictSerializer, read_body, read_query
from accounts.rest.views import BrandAPIView
from common import clock
from members import selectors, services
from members.api.segment_people import (
    RULE_EXAMPLE,
    RULE_HELP,
    SEGMENT_EXAMPLE,
    NoQuery,
    SegmentLine,
    segment_line,
    segment_or_404,
)
from members.opened import API
from members.segments import describe, sentence
from members.why import explain

if TYPE_CHECKING:
    from rest_framework.request import Request

    from members.models import Tag
    from members.sampling import Figure
    from members.why import Part

EARLIEST = datetime(2011, 1, 1, tzinfo=UTC)  # before WeChat


@extend_schema_field(OpenApiTypes.OBJECT)
class RuleField(serializers.Field[Any, Any, Any, Any]):
    """A rule, checked where it is compiled: faults carry their path."""

    def to_internal_value(self, data: Any) -> Any:
        """Take any JSON; the compiler judges it."""
        return data


class SegmentPage(serializers.Serializer[Any]):
    """A page of segments, newest first."""

    results = SegmentLine(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class SegmentList(BrandAPIView):
    """`/api/v1/segments/`: saved segments."""

    permission_classes = (needs_scope("segments.read"),)
    keyset = Keyset("segments")

    @endpoint(
        "list_segments",
        "List segments",
        tag="segments",
        auth=SYSTEM,
        parameters=PAGE_PARAMETERS,
        answer=SegmentPage,
        example={
            "results": [SEGMENT_EXAMPLE],
            "next": None,
        },
        errors=problems(422),
        description="Needs the scope `segments.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        read_query(NoQuery, request.query_params, paging=True)
        segments, cursor = self.keyset.page(selectors.segments(), request.query_params)
        at = clock.now()
        return Response(page_body([segment_line(segment, at=at) for segment in segments], cursor))


class ParameterShape(serializers.Serializer[Any]):
    """One parameter of a condition."""

    name = serializers.CharField(help_text="Key in `params`.")
    label = serializers.CharField(help_text="The parameter in words.")  # type: ignore[assignment] # a field called so
    kind = serializers.CharField(help_text="`choice`, `number`, `tags` (ids), `stores` (ids) or another list of ids.")
    choices = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()), help_text="Pairs of value and label."
    )
    default = serializers.JSONField(allow_null=True, help_text="Used when the parameter is left out.")
    minimum = serializers.IntegerField(allow_null=True, help_text="Smallest number.")
    maximum = serializers.IntegerField(allow_null=True, help_text="Largest number.")


class ConditionShape(serializers.Serializer[Any]):
    """One condition."""

    key = serializers.CharField(help_text="Key of the condition; a promise, never reused.")
    label = serializers.CharField(help_text="The condition in words.")  # type: ignore[assignment] # a field called so
    fields_ = ParameterShape(many=True)

    def get_fields(self) -> dict[str, Any]:
        """Name the last field `fields`, which a serializer class cannot declare."""
        declared = super().get_fields()
        declared["fields"] = declared.pop("fields_")
        return declared


class Conditions(serializers.Serializer[Any]):
    """Everything a rule can ask."""

    results = ConditionShape(many=True)


class ConditionList(BrandAPIView):
    """`/api/v1/segments/conditions/`: what a rule can ask."""

    permission_classes = (needs_scope("segments.read"),)

    @endpoint(
        "list_conditions",
        "List what a segment can ask",
        tag="segments",
        auth=SYSTEM,
        answer=Conditions,
        description="Needs the scope `segments.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show every condition."""
        return Response({"results": describe()})


class Rule(StrictSerializer):
    """A rule."""

    rule = RuleField(allow_null=True, help_text=RULE_HELP)


class PreviewLine(serializers.Serializer[Any]):
    """A person of the sample."""

    member_no = serializers.CharField(help_text="Member number.")
    name = serializers.CharField(allow_blank=True, help_text="Name; may be empty.")
    phone = serializers.CharField(allow_null=True, help_text="Phone, masked.")
    following = serializers.BooleanField(help_text="Whether they follow.")


class ReachLine(serializers.Serializer[Any]):
    """How many one way of sending reaches."""

    key = serializers.CharField(help_text="Key of the carrier.")
    label = serializers.CharField(help_text="The carrier in words.")  # type: ignore[assignment] # a field called so
    count = serializers.IntegerField(help_text="People it reaches.")
    low = serializers.IntegerField(help_text="At least so many, by 95 %; equal to `count` unless `estimated`.")
    high = serializers.IntegerField(help_text="At most so many, by 95 %; equal to `count` unless `estimated`.")


class PreviewShape(serializers.Serializer[Any]):
    """Whom a rule selects now."""

    sentence = serializers.CharField(help_text="The rule in words.")
    estimated = serializers.BooleanField(
        help_text="Whether the figures are estimated from one person in 64, as in brands of more than 1,500,000 people."
    )
    count = serializers.IntegerField(help_text="How many people.")
    low = serializers.IntegerField(help_text="At least so many, by 95 %; equal to `count` unless `estimated`.")
    high = serializers.IntegerField(help_text="At most so many, by 95 %; equal to `count` unless `estimated`.")
    reachable = serializers.IntegerField(help_text="How many of them any carrier reaches.")
    reachable_low = serializers.IntegerField(help_text="At least so many, by 95 %, as `low`.")
    reachable_high = serializers.IntegerField(help_text="At most so many, by 95 %, as `high`.")
    sample = PreviewLine(
        many=True, help_text="Up to 20 people, latest interaction first; empty for a key without `members.read`."
    )
    reach = ReachLine(many=True, help_text="Per carrier.")


class SegmentPreview(BrandAPIView):
    """`/api/v1/segments/preview/`: count and sample a rule before anything is saved."""

    permission_classes = (needs_scope("segments.read"),)

    @endpoint(
        "preview_segment",
        "Count and sample a rule",
        tag="segments",
        auth=SYSTEM,
        body=Rule,
        body_example={"rule": RULE_EXAMPLE},
        answer=PreviewShape,
        example={
            "sentence": "已关注 且 最近 30 天有互动",
            "estimated": False,
            "count": 1280,
            "low": 1280,
            "high": 1280,
            "reachable": 1263,
            "reachable_low": 1263,
            "reachable_high": 1263,
            "sample": [{"member_no": "4820175936", "name": "陈悦", "phone": "138****6721", "following": True}],
            "reach": [{"key": "template", "label": "模板消息", "count": 1263, "low": 1263, "high": 1263}],
        },
        errors=problems(422, s422={"rule_invalid": "The rule cannot be used; `fields` has the path of the fault."}),
        description="Needs the scope `segments.read`; people are named to keys that have `members.read` as well. "
        "Nothing is saved. In a brand of more than 1,500,000 people the figures may be `estimated`: each truth lies "
        "between `low` and `high` in 95 of 100 cases, and of a `count` below 6,400 only `high` says something; where "
        "`count` is above 1,280,000, so of the ways and of `reachable` below 25,600. Rules that find few people are "
        "counted one by one where a second is enough. The people of `sample` are always real "
        "ones. Decide nothing by an estimate: a saved segment has the exact figure.",
    )
    def post(self, request: Request) -> Response:
        """Show whom the rule selects."""
        caller: Any = request.user
        rule = read_body(Rule, request.data)["rule"]
        preview = selectors.preview(rule, at=clock.now())
        sample = preview.sample if "members.read" in caller.scopes else ()
        services.note_listed(people=[line.id for line in sample], page=f"{API}/segments/preview/", at=clock.now())
        return Response(
            {
                "sentence": sentence(rule),
                "estimated": preview.is_estimated,
                **_range(preview.people),
                "reachable": preview.reached.count,
                "reachable_low": preview.reached.low,
                "reachable_high": preview.reached.high,
                "sample": [
                    {
                        "member_no": line.member_no,
                        "name": line.name,
                        "phone": line.phone_masked or None,
                        "following": line.subscribed,
                    }
                    for line in sample
                ],
                "reach": [{"key": way.key, "label": way.label, **_range(way.people)} for way in preview.reach],
            },
        )


def _range(figure: Figure) -> dict[str, int]:
    return {"count": figure.count, "low": figure.low, "high": figure.high}


class WhyQuery(StrictSerializer):
    """About whom, and at which time."""

    member_no = CodeField(max_length=20, help_text="Member number.")
    at = MomentParameter(required=False, help_text="A past moment; without it the answer is about now.")


@extend_schema_field(OpenApiTypes.OBJECT)
class PartField(serializers.Field[Any, Any, Any, Any]):
    """A part of the tree; parts nest."""


class WhyShape(serializers.Serializer[Any]):
    """Why somebody is in a segment or not."""

    holds = serializers.BooleanField(allow_null=True, help_text="Whether they are in it; null where it is not known.")
    at = serializers.DateTimeField(help_text="The moment the answer is about.")
    known_since = serializers.DateTimeField(help_text="When the brand first met them; before it they are in nothing.")
    tree = PartField(
        help_text="`holds`, then `kind` (all, any, none) with `parts`, or `sentence` with the `fact` that was used."
    )


class SegmentWhy(BrandAPIView):
    """`/api/v1/segments/{segment_id}/why/`: why one person is in a segment or not."""

    permission_classes = (needs_scope("segments.read"), needs_scope("members.read"))

    @endpoint(
        "explain_segment",
        "Explain why a member is in a segment",
        tag="segments",
        auth=SYSTEM,
        parameters=[WhyQuery],
        answer=WhyShape,
        example={
            "holds": False,
            "at": "2026-11-21T05:00:00Z",
            "known_since": "2026-03-01T02:00:00Z",
            "tree": {
                "holds": False,
                "kind": "all",
                "parts": [
                    {"holds": True, "sentence": "已关注", "fact": "已关注"},
                    {"holds": False, "sentence": "最近 30 天有互动", "fact": "最近互动 10-02 12:30"},
                ],
            },
        },
        errors=problems(404, 422),
        description=(
            "Needs the scopes `segments.read` and `members.read`. For a past moment, what was not kept (city, store, "
            "birthday) is unknown, and `holds` is null where the answer hangs on it."
        ),
    )
    def get(self, request: Request, segment_id: str) -> Response:
        """Explain."""
        wanted = read_query(WhyQuery, request.query_params)
        segment = segment_or_404(segment_id)
        found = selectors.people(selectors.Wanted(member_no=wanted["member_no"]), limit=1)
        if not found:
            raise Http404
        at, then = clock.now(), wanted.get("at")
        if then is not None and not EARLIEST <= then <= at:
            raise ValidationError({"at": [_("Choose a time in the past; before it the rule cannot be asked.")]})
        member = selectors.member_by_id(found[0].id)
        services.note_opened(member_id=member.pk, page=f"{API}/segments/…/why/", at=at)
        why = explain(segment.rule, member=member, at=at, then=then)
        return Response(
            {"holds": why.tree.holds, "at": why.at, "known_since": member.created_at, "tree": _part(why.tree)}
        )


def _part(part: Part) -> dict[str, Any]:
    if part.kind:
        return {"holds": part.holds, "kind": part.kind, "parts": [_part(each) for each in part.parts]}
    return {"holds": part.holds, "sentence": part.sentence, "fact": part.fact}


class TagLine(serializers.Serializer[Any]):
    """A tag."""

    id = serializers.IntegerField(help_text="Number of the tag, as rules name it.")
    name = serializers.CharField(help_text="Name.")
    group = serializers.CharField(allow_blank=True, help_text="Tag group; may be empty.")
    meaning = serializers.CharField(allow_blank=True, help_text="What it says of a person; may be empty.")
    owner = serializers.CharField(allow_blank=True, help_text="Who looks after it; may be empty.")
    lasts_days = serializers.IntegerField(
        allow_null=True, help_text="Days it stays on whom it is given to; null for good."
    )
    synonyms = serializers.ListField(child=serializers.CharField(), help_text="Other words that find it.")


class TagPage(serializers.Serializer[Any]):
    """A page of tags, newest first."""

    results = TagLine(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class TagList(BrandAPIView):
    """`/api/v1/tags/`: the dictionary of tags."""

    permission_classes = (needs_scope("segments.read"),)
    keyset = Keyset("tags")

    @endpoint(
        "list_tags",
        "List tags",
        tag="segments",
        auth=SYSTEM,
        parameters=PAGE_PARAMETERS,
        answer=TagPage,
        example={
            "results": [
                {
                    "id": 3,
                    "name": "高消费",
                    "group": "消费能力",
                    "meaning": "近 12 个月实付 5,000 元以上",
                    "owner": "会员运营",
                    "lasts_days": 365,
                    "synonyms": ["大客"],
                },
            ],
            "next": None,
        },
        errors=problems(422),
        description="Needs the scope `segments.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        read_query(NoQuery, request.query_params, paging=True)
        tags, cursor = self.keyset.page(selectors.tags(), request.query_params)
        return Response(page_body([_tag_line(tag) for tag in tags], cursor))


def _tag_line(tag: Tag) -> dict[str, Any]:
    return {
        "id": tag.pk,
        "name": tag.name,
        "group": tag.group,
        "meaning": tag.meaning,
        "owner": tag.owner,
        "lasts_days": tag.lasts_days,
        "synonyms": tag.synonyms,
    }
