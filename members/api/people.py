"""People, for the brand's other systems."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, StrictSerializer, TextField, read_body, read_query
from accounts.rest.views import BrandAPIView, known_text, person_reads
from common import clock
from members import selectors, services
from members.api.shapes import PERSON_EXAMPLE, People, Person, ProfileQuery, person, persons
from members.opened import API, OWN
from members.services.identity import normalised_phone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.request import Request

    from members.models import ProfileField
    from members.selectors import PersonRow

MOST_TAGS = 50
person_reads.register("members.access_log", services.note_read)


class PeopleQuery(ProfileQuery):
    """By what people can be picked; all given conditions must hold."""

    member_no = CodeField(required=False, max_length=20, help_text="Member number.")
    phone = serializers.CharField(
        required=False, max_length=30, help_text="Whole phone number, mainland or `+86…`; never a part of one."
    )
    tag = TextField(required=False, max_length=30, help_text="Name of a tag.")
    joined_since = MomentParameter(required=False, help_text="Became a member at or after this moment.")
    interacted_since = MomentParameter(required=False, help_text="Did something themselves at or after this moment.")


class PeopleList(BrandAPIView):
    """`/api/v1/members/`: people, newest contact first."""

    permission_classes = (needs_scope("members.read"),)
    keyset = Keyset("members")

    @endpoint(
        "list_members",
        "List members",
        tag="members",
        auth=SYSTEM,
        parameters=[PeopleQuery, *PAGE_PARAMETERS],
        answer=People,
        example={"results": [PERSON_EXAMPLE], "next": None},
        errors=problems(422),
        description=(
            "Needs the scope `members.read`. Phones are masked, and so are profile fields that not everybody may see; "
            "merged records are left out."
        ),
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        wanted = read_query(PeopleQuery, request.query_params, paging=True)
        fields = wanted.pop("profile", [])
        if "phone" in wanted:
            wanted["phone"] = normalised_phone(wanted["phone"])
        size, before = self.keyset.wanted(request.query_params)
        found = selectors.people(
            selectors.Wanted(**wanted, before=None if before is None else int(before)), limit=size + 1
        )
        page, cursor = self.keyset.cut(found, size, attrgetter("id"))
        if "phone" in wanted or "member_no" in wanted:  # whoever asks for one person by what they know of them
            for row in page:
                services.note_opened(member_id=row.id, page=API, at=clock.now())
        note_people(page, fields, "/members/")
        return Response(page_body(persons(page, fields, at=clock.now()), cursor))


class PersonDetail(BrandAPIView):
    """`/api/v1/members/{member_no}/`: one person."""

    permission_classes = (needs_scope("members.read"),)

    @endpoint(
        "get_member",
        "Get a member",
        tag="members",
        auth=SYSTEM,
        answer=Person,
        example=PERSON_EXAMPLE,
        errors=problems(404),
        description="Needs the scope `members.read`.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show one person."""
        return Response(person(person_or_404(member_no)))


class TagChange(StrictSerializer):
    """Which tags to put on and take off."""

    add = serializers.ListField(
        child=TextField(max_length=30),
        max_length=MOST_TAGS,
        required=False,
        default=list,
        help_text="Names of tags to put on.",
    )
    remove = serializers.ListField(
        child=TextField(max_length=30),
        max_length=MOST_TAGS,
        required=False,
        default=list,
        help_text="Names of tags to take off.",
    )


class TagOnPersonLine(serializers.Serializer[Any]):
    """A tag somebody carries."""

    name = serializers.CharField(help_text="Name.")
    group = serializers.CharField(allow_blank=True, help_text="Tag group; may be empty.")
    meaning = serializers.CharField(allow_blank=True, help_text="What it says of the person; may be empty.")
    source = serializers.CharField(  # type: ignore[assignment] # a field called so
        allow_blank=True, help_text="Who or what gave it; empty when only automatic tags hold it."
    )
    rules = serializers.ListField(child=serializers.CharField(), help_text="Automatic tags that hold it.")
    since = serializers.DateTimeField(help_text="Since when.")
    until = serializers.DateTimeField(allow_null=True, help_text="When it ends; null for good.")
    stale = serializers.ChoiceField(
        choices=["over", "aged", "unruled"],
        allow_blank=True,
        help_text=(
            "Why it may no longer be true: `over` its time is up, `aged` older than such a tag lasts, `unruled` no "
            "automatic tag that holds it is looked at any more; empty while nothing speaks against it."
        ),
    )


class TagsOnPerson(serializers.Serializer[Any]):
    """Every tag of a person, newest first."""

    results = TagOnPersonLine(many=True)


class NoQuery(StrictSerializer):
    """No parameters."""


class PersonTags(BrandAPIView):
    """`/api/v1/members/{member_no}/tags/`: read tags, put them on and take them off."""

    def get_permissions(self) -> list[Any]:
        """Reading and writing have scopes of their own."""
        scope = "members.read" if self.request.method in {"GET", "HEAD"} else "members.write"
        return [needs_scope(scope)()]

    @endpoint(
        "list_member_tags",
        "List a member's tags",
        tag="members",
        auth=SYSTEM,
        answer=TagsOnPerson,
        example={
            "results": [
                {
                    "name": "高消费",
                    "group": "消费能力",
                    "meaning": "近 12 个月实付 5,000 元以上",
                    "source": "",
                    "rules": ["年消费分档"],
                    "since": "2026-11-20T02:00:00Z",
                    "until": None,
                    "stale": "",
                },
            ],
        },
        errors=problems(404, 422),
        description="Needs the scope `members.read`. Says of each tag what it means, who set it and when it ends.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show the tags."""
        read_query(NoQuery, request.query_params)
        member = person_or_404(member_no)
        return Response(
            {
                "results": [
                    {
                        "name": row.name,
                        "group": row.group,
                        "meaning": row.meaning,
                        "source": row.source,
                        "rules": list(row.rules),
                        "since": row.at,
                        "until": row.expires_at,
                        "stale": row.stale,
                    }
                    for row in selectors.tags_of(member.id, at=clock.now())
                ],
            }
        )

    @endpoint(
        "tag_member",
        "Put tags on a member, take tags off",
        tag="members",
        auth=SYSTEM,
        body=TagChange,
        body_example={"add": ["会员"], "remove": ["待激活"]},
        answer=Person,
        example=PERSON_EXAMPLE,
        errors=problems(404),
        description=(
            "Needs the scope `members.write`. All or nothing: an unknown tag is refused (422) and nothing changes. "
            "Doing it twice is the same as once."
        ),
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Change the tags."""
        member = person_or_404(member_no)
        given = read_body(TagChange, request.data)
        add, remove = _tag_ids("add", given["add"]), _tag_ids("remove", given["remove"])
        if set(add) & set(remove):
            raise ValidationError({"remove": [_("A tag cannot be put on and taken off at once.")]})
        if add:
            services.tag_members(member_ids=[member.id], tag_ids=add, source="API", at=clock.now())
        if remove:
            services.untag_members(member_ids=[member.id], tag_ids=remove, source="API", at=clock.now())
        services.note_opened(member_id=member.id, page=API, at=clock.now())
        return Response(person(person_or_404(member_no)))


def note_people(rows: Sequence[PersonRow], fields: Sequence[ProfileField], path: str) -> None:
    """Write down that a page of people was answered, with the brand's own fields that were asked for."""
    services.note_listed(
        people=[row.id for row in rows],
        page=f"{API}{path}",
        fields=[f"{OWN}{field.key}" for field in fields],
        at=clock.now(),
    )


def person_or_404(member_no: str) -> PersonRow:
    """Give somebody by number, also by one that a merge has closed."""
    number = known_text(member_no)
    found = selectors.people(selectors.Wanted(member_no=number), limit=1)
    if not found and (stays := selectors.number_today(number)) is not None:  # merged: the number leads on
        found = selectors.people(selectors.Wanted(member_no=stays), limit=1)
    if not found:
        raise Http404
    return found[0]


def _tag_ids(field: str, names: list[str]) -> list[int]:
    known = selectors.tags_by_name(names)
    unknown = [index for index, name in enumerate(names) if name not in known]
    if unknown:
        raise ValidationError({f"{field}[{index}]": [_("This tag does not exist.")] for index in unknown})
    return [known[name] for name in names]
