"""By what a member is known: the brand's other systems link cards, WeCom contacts and phones, and end what they set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
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
from members.api.people import NoQuery, person_or_404
from members.errors import PhoneInvalid
from members.models import IdentityKind
from members.services.identity import Known, normalised_phone
from members.services.links import EndOutcome, LinkOutcome, source_of

if TYPE_CHECKING:
    from rest_framework.request import Request

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
# What other systems know better than WeChat does.
KINDS: Final = [(each.value, each.label) for each in (IdentityKind.CARD, IdentityKind.EXTERNAL, IdentityKind.PHONE)]


class IdentityLine(serializers.Serializer[Any]):
    """Something a member is known by."""

    kind = serializers.ChoiceField(choices=IdentityKind.choices, help_text="What it is.")
    issuer = serializers.CharField(
        allow_blank=True, help_text="Who issued it: AppID, WeCom corp, till system; empty for the brand itself."
    )
    masked = serializers.CharField(help_text="Its end; never the whole.")
    source = serializers.CharField(  # type: ignore[assignment] # a field called so
        help_text="Where it came from; `API: ` and the name of the key that linked it."
    )
    since = serializers.DateTimeField(help_text="Since when.")
    until = serializers.DateTimeField(allow_null=True, help_text="When it ends by itself; null for good.")
    own = serializers.BooleanField(help_text="Whether this system linked it, and may end it.")


class IdentityPage(serializers.Serializer[Any]):
    """A page of what a member is known by, newest first."""

    results = IdentityLine(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class EndBody(StrictSerializer):
    """Which identity: what kind, who issued it, and what it is."""

    kind = serializers.ChoiceField(choices=KINDS, help_text="What it is.")
    issuer = CodeField(
        max_length=64,
        required=False,
        default="",
        help_text="Of a WeCom contact the corp id (needed); of a card the till system, left out for the brand's own "
        "cards; of a phone nothing.",
    )
    value = CodeField(max_length=64, help_text="Card number, external_userid, or phone (mainland or `+86…`).")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Hold issuer and value against the kind."""
        if attrs["kind"] == IdentityKind.EXTERNAL and not attrs["issuer"]:
            raise ValidationError({"issuer": [_("Give the corp id of the WeCom the contact belongs to.")]})
        if attrs["kind"] == IdentityKind.PHONE:
            if attrs["issuer"]:
                raise ValidationError({"issuer": [_("Nobody issues phones; leave this out.")]})
            try:
                attrs["value"] = normalised_phone(attrs["value"])
            except PhoneInvalid as error:
                raise ValidationError({"value": [error.message]}) from None
        return attrs


class IdentityBody(EndBody):
    """What a member is known by, and since when the system knows it."""

    since = MomentParameter(required=False, help_text="Since when, from 2000 on and not later than now; left out: now.")


class LinkAnswer(serializers.Serializer[Any]):
    """What came of it. Nothing is said of another record."""

    outcome = serializers.ChoiceField(choices=LinkOutcome.choices, help_text="Decide by this.")
    member_no = serializers.CharField(help_text="The member's number from now on; the one asked with leads to it.")


class EndAnswer(serializers.Serializer[Any]):
    """What came of it."""

    outcome = serializers.ChoiceField(choices=EndOutcome.choices, help_text="Decide by this.")


_BODY_EXAMPLE: Final = {"kind": "CARD", "value": "88000001"}


def _known(given: dict[str, Any]) -> Known:
    return Known(given["kind"], given["value"], given["issuer"])


class PersonIdentities(BrandAPIView):
    """`/api/v1/members/{member_no}/identities/`: list what a member is known by, and link more."""

    keyset = Keyset("identities of a member")

    def get_permissions(self) -> list[Any]:
        """Reading and writing have scopes of their own."""
        scope = "members.read" if self.request.method in {"GET", "HEAD"} else "members.write"
        return [needs_scope(scope)()]

    @endpoint(
        "list_member_identities",
        "List what a member is known by",
        tag="members",
        auth=SYSTEM,
        parameters=PAGE_PARAMETERS,
        answer=IdentityPage,
        example={
            "results": [
                {
                    "kind": "CARD",
                    "issuer": "",
                    "masked": "****01",
                    "source": "API: POS",
                    "since": "2026-11-21T05:45:00Z",
                    "until": None,
                    "own": True,
                },
            ],
            "next": None,
        },
        errors=problems(404, 422),
        description="Needs the scope `members.read`. What has ended is left out; values are masked, phones always.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show a page."""
        read_query(NoQuery, request.query_params, paging=True)
        user: Any = request.user
        member = selectors.member_by_id(person_or_404(member_no).id)
        rows, cursor = self.keyset.page(selectors.edges_today(member.pk, at=clock.now()), request.query_params)
        mine = source_of(user.label)
        lines = [
            {
                "kind": edge.kind,
                "issuer": edge.issuer,
                "masked": edge.masked,
                "source": edge.source,
                "since": edge.since,
                "until": edge.until,
                "own": edge.source == mine,
            }
            for edge in selectors.shown_edges(member, rows)
        ]
        return Response(page_body(lines, cursor))

    @endpoint(
        "link_identity",
        "Link a card, a WeCom contact or a phone to a member",
        tag="members",
        auth=SYSTEM,
        body=IdentityBody,
        body_example={**_BODY_EXAMPLE, "since": "2026-11-21T13:45:00+08:00"},
        answer=LinkAnswer,
        example={"outcome": "LINKED", "member_no": "4820175936"},
        errors=problems(
            404,
            409,
            s409={
                "other_phone": "The member has another phone; it is never replaced from here.",
                "member_gone": "The person's data was deleted.",
            },
        ),
        description=(
            "Needs the scope `members.write`. Safe to repeat: again it is `ALREADY_LINKED`. If another record has it, "
            "both become one person when nothing speaks against that (`MERGED`; it can be undone in the console); else "
            "nothing is linked and the two wait for somebody's decision (`IN_REVIEW`), or were kept apart by one "
            "(`KEPT_APART`). A phone makes the person a member."
        ),
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Link."""
        person, given, at = person_or_404(member_no), read_body(IdentityBody, request.data), clock.now()
        user: Any = request.user
        since = given.get("since")
        if since is not None and not EARLIEST <= since <= at:
            raise ValidationError({"since": [_("Give a moment from the year 2000 on that is not in the future.")]})
        reported = services.report_identity(
            member_id=person.id, known=_known(given), system=user.label, at=at, since=since
        )
        return Response({"outcome": reported.outcome.value, "member_no": reported.member.member_no})


class IdentityEnd(BrandAPIView):
    """`/api/v1/members/{member_no}/identities/end/`: end a link of the system's own."""

    permission_classes = (needs_scope("members.write"),)

    @endpoint(
        "end_identity",
        "End a link that this system has set",
        tag="members",
        auth=SYSTEM,
        body=EndBody,
        body_example=_BODY_EXAMPLE,
        answer=EndAnswer,
        example={"outcome": "ENDED"},
        errors=problems(404, 409, s409={"not_yours": "Another system, or the person, has linked it."}),
        description=(
            "Needs the scope `members.write`. Safe to repeat: again it is `NOT_LINKED`. Only what a key of the same "
            "name has linked; what was merged because of it stays merged."
        ),
    )
    def post(self, request: Request, member_no: str) -> Response:
        """End it."""
        person, given = person_or_404(member_no), read_body(EndBody, request.data)
        user: Any = request.user
        outcome = services.end_identity(member_id=person.id, known=_known(given), system=user.label, at=clock.now())
        return Response({"outcome": outcome.value})
