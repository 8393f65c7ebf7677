"""One segment: how old its people are, and who they are."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import StrictSerializer, read_query
from accounts.rest.views import BrandAPIView, known_text
from common import clock
from members import selectors
from members.api.people import note_people
from members.api.shapes import PERSON_EXAMPLE, Person, ProfileQuery, persons
from members.errors import SegmentNotFound
from members.freshness import age_of, limit_of
from members.models import Freshness

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request

    from members.models import Segment

LONGEST_ID: Final = 19
RULE_EXAMPLE: Final = {
    "all": [
        {"condition": "subscribed", "params": {"value": "yes"}},
        {"condition": "last_interaction", "params": {"how": "within", "days": 30}},
    ],
}
RULE_HELP: Final = (
    "A tree of groups `all`, `any`, `none` with conditions as leaves, at most 5 deep and 50 conditions; "
    "`GET /segments/conditions/` lists the conditions."
)
SEGMENT_EXAMPLE: Final = {
    "id": 12,
    "name": "近 30 天活跃",
    "rule": RULE_EXAMPLE,
    "counted": 1280,
    "counted_at": "2026-11-21T05:00:00Z",
    "updated_at": "2026-11-20T05:00:00Z",
    "freshness": "MINUTES",
    "as_of": "2026-11-21T05:00:00Z",
    "age_seconds": 95,
    "limit_seconds": 1800,
    "is_late": False,
    "problem": "",
}


class SegmentLine(serializers.Serializer[Any]):
    """A saved segment, and how old its people are."""

    id = serializers.IntegerField(help_text="Number of the segment.")
    name = serializers.CharField(help_text="Name.")
    rule = serializers.DictField(help_text=RULE_HELP)
    counted = serializers.IntegerField(allow_null=True, help_text="How many people at the last count.")
    counted_at = serializers.DateTimeField(allow_null=True, help_text="When that was.")
    updated_at = serializers.DateTimeField(help_text="Last change.")
    freshness = serializers.ChoiceField(
        choices=Freshness.choices, help_text="How its people are found: at every use, or kept and brought up to date."
    )
    as_of = serializers.DateTimeField(
        allow_null=True, help_text="As of when its people are; now for `LIVE`, null while none are kept yet."
    )
    age_seconds = serializers.IntegerField(allow_null=True, help_text="How old that is.")
    limit_seconds = serializers.IntegerField(
        allow_null=True, help_text="How old they may be for sending; null for `LIVE`."
    )
    is_late = serializers.BooleanField(help_text="Whether they are older than that: then nothing is sent to them.")
    problem = serializers.CharField(allow_blank=True, help_text="Why the last refresh failed; empty when it did not.")


def segment_line(segment: Segment, *, at: datetime) -> dict[str, Any]:
    """Give a segment as plain values."""
    age, limit = age_of(segment, at=at), limit_of(segment)
    return {
        "id": segment.pk,
        "name": segment.name,
        "rule": segment.rule,
        "counted": segment.counted,
        "counted_at": segment.counted_at,
        "updated_at": segment.updated_at,
        "freshness": segment.freshness,
        "as_of": age.as_of,
        "age_seconds": None if age.as_of is None else max(int((at - age.as_of).total_seconds()), 0),
        "limit_seconds": None if limit is None else int(limit.total_seconds()),
        "is_late": age.is_late,
        "problem": age.problem,
    }


def segment_or_404(text: str) -> Segment:
    """Give a segment of the brand by what stands in the address."""
    known = known_text(text)
    number = int(known) if known.isascii() and known.isdigit() and len(known) < LONGEST_ID else None
    segment = selectors.segments().filter(pk=number).first() if number is not None else None
    if segment is None:
        raise Http404
    return segment


class NoQuery(StrictSerializer):
    """No parameters."""


class SegmentDetail(BrandAPIView):
    """`/api/v1/segments/{segment_id}/`: one segment."""

    permission_classes = (needs_scope("segments.read"),)

    @endpoint(
        "get_segment",
        "Get a segment",
        tag="segments",
        auth=SYSTEM,
        answer=SegmentLine,
        example=SEGMENT_EXAMPLE,
        errors=problems(404, 422),
        description="Needs the scope `segments.read`.",
    )
    def get(self, request: Request, segment_id: str) -> Response:
        """Show one segment."""
        read_query(NoQuery, request.query_params)
        return Response(segment_line(segment_or_404(segment_id), at=clock.now()))


class SegmentPeoplePage(serializers.Serializer[Any]):
    """A page of the people of a segment."""

    results = Person(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")
    as_of = serializers.DateTimeField(help_text="As of when these are its people.")
    is_late = serializers.BooleanField(help_text="Whether that is older than the segment's limit for sending.")


class SegmentPeople(BrandAPIView):
    """`/api/v1/segments/{segment_id}/people/`: the people of a segment."""

    permission_classes = (needs_scope("segments.read"), needs_scope("members.read"))
    keyset = Keyset("segment_people")

    @endpoint(
        "list_segment_people",
        "List the people of a segment",
        tag="segments",
        auth=SYSTEM,
        parameters=[ProfileQuery, *PAGE_PARAMETERS],
        answer=SegmentPeoplePage,
        example={"results": [PERSON_EXAMPLE], "next": None, "as_of": "2026-11-21T05:00:00Z", "is_late": False},
        errors=problems(
            404,
            409,
            422,
            s409={"segment_not_found_yet": "Its people are kept and have not been found since the rule was saved."},
        ),
        description=(
            "Needs the scopes `segments.read` and `members.read`. Newest contact first; phones are masked. Kept people "
            "are given with their age, others are found anew for each page."
        ),
    )
    def get(self, request: Request, segment_id: str) -> Response:
        """Show a page."""
        fields = read_query(ProfileQuery, request.query_params, paging=True).get("profile", [])
        segment, at = segment_or_404(segment_id), clock.now()
        age = age_of(segment, at=at)
        if age.as_of is None:
            raise SegmentNotFound
        size, before = self.keyset.wanted(request.query_params)
        found = selectors.people_in(segment, at=at, before=None if before is None else int(before), limit=size + 1)
        page, cursor = self.keyset.cut(found, size, attrgetter("id"))
        note_people(page, fields, "/segments/…/people/")
        body = page_body(persons(page, fields, at=at), cursor)
        return Response({**body, "as_of": age.as_of, "is_late": age.is_late})
