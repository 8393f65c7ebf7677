"""People, for the brand's other systems."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, StrictSerializer, TextField, read_body, read_query
from accounts.rest.views import BrandAPIView, known_text
from common import clock
from members import selectors, services
from members.api.shapes import PERSON_EXAMPLE, People, Person, person
from members.services.identity import normalised_phone

if TYPE_CHECKING:
    from rest_framework.request import Request

    from members.selectors import PersonRow

MOST_TAGS = 50


class PeopleQuery(StrictSerializer):
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
        description="Needs the scope `members.read`. Phones are masked; merged records are left out.",
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        wanted = read_query(PeopleQuery, request.query_params, paging=True)
        if "phone" in wanted:
            wanted["phone"] = normalised_phone(wanted["phone"])
        size, before = self.keyset.wanted(request.query_params)
        found = selectors.people(
            selectors.Wanted(**wanted, before=None if before is None else int(before)), limit=size + 1
        )
        page, cursor = self.keyset.cut(found, size, attrgetter("id"))
        return Response(page_body([person(row) for row in page], cursor))


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
        return Response(person(_person_or_404(member_no)))


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


class PersonTags(BrandAPIView):
    """`/api/v1/members/{member_no}/tags/`: put tags on and take them off."""

    permission_classes = (needs_scope("members.write"),)

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
        member = _person_or_404(member_no)
        given = read_body(TagChange, request.data)
        add, remove = _tag_ids("add", given["add"]), _tag_ids("remove", given["remove"])
        if set(add) & set(remove):
            raise ValidationError({"remove": [_("A tag cannot be put on and taken off at once.")]})
        if add:
            services.tag_members(member_ids=[member.id], tag_ids=add, source="API", at=clock.now())
        if remove:
            services.untag_members(member_ids=[member.id], tag_ids=remove)
        return Response(person(_person_or_404(member_no)))


def _person_or_404(member_no: str) -> PersonRow:
    found = selectors.people(selectors.Wanted(member_no=known_text(member_no)), limit=1)
    if not found:
        raise Http404
    return found[0]


def _tag_ids(field: str, names: list[str]) -> list[int]:
    known = selectors.tags_by_name(names)
    unknown = [index for index, name in enumerate(names) if name not in known]
    if unknown:
        raise ValidationError({f"{field}[{index}]": [_("This tag does not exist.")] for index in unknown})
    return [known[name] for name in names]
