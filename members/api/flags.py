"""Who is left out of rewards, marketing and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import MomentParameter, StrictSerializer, TextField, YesNoField, read_body
from accounts.rest.views import BrandAPIView
from common import clock
from members import selectors, services
from members.api.people import person_or_404
from members.models import FlagKind

if TYPE_CHECKING:
    from rest_framework.request import Request

BY = "API"


class FlagLine(serializers.Serializer[Any]):
    """One flag."""

    flag = serializers.ChoiceField(choices=FlagKind.choices, help_text="Why the person is left out.")
    since = serializers.DateTimeField(allow_null=True, help_text="From when on; null: from the start.")
    until = serializers.DateTimeField(allow_null=True, help_text="Until when it held; null: it holds.")
    reason = serializers.CharField(help_text="Why it was set.")
    set_at = serializers.DateTimeField(help_text="When it was set.")


class FlagLines(serializers.Serializer[Any]):
    """Every flag of a person."""

    results = FlagLine(many=True)


class FlagBody(StrictSerializer):
    """Set a flag, or clear it."""

    flag = serializers.ChoiceField(choices=FlagKind.choices, help_text="Which one.")
    on = YesNoField(help_text="true leaves the person out, false lets them in again.")
    since = MomentParameter(required=False, help_text="With `on` true: from when on; left out: from the start.")
    until = MomentParameter(
        required=False,
        help_text="With `on` false: from when on they count again; left out: as if the flag had never been.",
    )
    reason = TextField(max_length=120, help_text="Why.")


EXAMPLE = {
    "results": [
        {"flag": "STAFF", "since": None, "until": None, "reason": "门店店员", "set_at": "2026-11-21T05:45:00Z"}
    ],
}


class PersonFlags(BrandAPIView):
    """`/api/v1/members/{member_no}/flags/`: leave somebody out, or let them in again."""

    def get_permissions(self) -> list[Any]:
        """Reading and writing have scopes of their own."""
        scope = "members.read" if self.request.method in {"GET", "HEAD"} else "members.write"
        return [needs_scope(scope)()]

    @endpoint(
        "list_member_flags",
        "List a member's flags",
        tag="members",
        auth=SYSTEM,
        answer=FlagLines,
        example=EXAMPLE,
        errors=problems(404),
        description="Needs the scope `members.read`.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show the flags."""
        return Response(self._body(person_or_404(member_no).id))

    @endpoint(
        "flag_member",
        "Leave a member out of rewards, marketing and reports, or let them in",
        tag="members",
        auth=SYSTEM,
        body=FlagBody,
        body_example={"flag": "STAFF", "on": True, "reason": "门店店员"},
        answer=FlagLines,
        example=EXAMPLE,
        errors=problems(
            404, 422, s422={"invalid": "Some values cannot be used.", "flag_invalid": "As the field says."}
        ),
        description=(
            "Needs the scope `members.write`. Reports are restated at once; setting it again moves the moment. Letting "
            "somebody in again from a moment on keeps what was left out until then."
        ),
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Set or clear."""
        member, given, at = person_or_404(member_no), read_body(FlagBody, request.data), clock.now()
        facts = {"member_id": member.id, "kind": given["flag"], "reason": given["reason"], "by": BY, "at": at}
        if given["on"]:
            services.set_flag(since=given.get("since"), **facts)
        else:
            services.clear_flag(until=given.get("until"), **facts)
        return Response(self._body(member.id))

    def _body(self, member_id: int) -> dict[str, Any]:
        return {
            "results": [
                {"flag": row.kind, "since": row.since, "until": row.until, "reason": row.reason, "set_at": row.at}
                for row in selectors.flags_of(member_id)
            ]
        }
