"""Points: what somebody has, and every act on it, each with a key that makes it happen once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.callers import MemberPrincipal
from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import MembersOnly, needs_scope
from accounts.rest.schema import MEMBER, SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, WholeNumberParameter, read_body, read_query
from accounts.rest.views import BrandAPIView, known_text
from common import clock
from loyalty import services
from loyalty.api.shapes import (
    BALANCE_EXAMPLE,
    ENTRY_EXAMPLE,
    BalanceShape,
    EntryShape,
    HoldShape,
    LedgerPage,
    OperationBody,
    PartBody,
    PointsBody,
    PointsField,
    balance,
    entry,
    hold_body,
    member_or_404,
    public_id,
)
from loyalty.errors import GiftRefused
from loyalty.models import BenefitKind, Hold, Journal
from loyalty.selectors import points as selectors
from loyalty.selectors import tiers as tier_selectors
from loyalty.services import Operation
from loyalty.services.facts import ORDER
from members.models import Member
from members.opened import answers
from members.selectors import member_by_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request

_READ: Final = "points.read"
_WRITE: Final = "points.write"
_REFUSALS: Final = problems(
    404,
    409,
    422,
    s409={
        "operation_running": "The same key is under way; ask again in a second.",
        "hold_ended": "The freeze was captured or released before.",
        "nothing_to_reverse": "Nothing (or less than asked) is left to be reversed.",
        "refund_blocked": "The points to be taken back were spent, and the brand refuses that.",
    },
    s422={
        "invalid": "Some values cannot be used.",
        "points_short": "More points than can be spent.",
        "key_reused": "The key was used with another body.",
        "member_gone": "The person's data was deleted.",
        "cannot_reverse": "Only earned and spent points can be reversed.",
        "gift_refused": "Points do not go to oneself, and not in a ring.",
    },
)
_EARN_REFUSALS: Final = problems(
    404,
    409,
    422,
    s409={
        "member_left_out": "The person is left out of rewards.",
        "operation_running": "The same key is under way; ask again in a second.",
        "hold_ended": "The freeze was captured or released before.",
        "nothing_to_reverse": "Nothing (or less than asked) is left to be reversed.",
        "refund_blocked": "The points to be taken back were spent, and the brand refuses that.",
    },
    s422={
        "invalid": "Some values cannot be used.",
        "points_short": "More points than can be spent.",
        "key_reused": "The key was used with another body.",
        "member_gone": "The person's data was deleted.",
        "cannot_reverse": "Only earned and spent points can be reversed.",
        "gift_refused": "Points do not go to oneself, and not in a ring.",
    },
)


class NoQuery(StrictSerializer):
    """No parameters."""


def _operation(request: Request, key: str) -> Operation:
    """Keys are the caller's own: two callers may use the same."""
    user: Any = request.user
    actor = f"member:{user.member_id}" if isinstance(user, MemberPrincipal) else f"key:{user.key_id}"
    return Operation(actor, key)


class OwnPoints(BrandAPIView):
    """`/api/v1/me/points/`: what the caller has."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "get_own_points", "Get own points and tier", tag="me", auth=MEMBER, answer=BalanceShape, example=BALANCE_EXAMPLE
    )
    def get(self, request: Request) -> Response:
        """Show points and tier."""
        user: Any = request.user
        return Response(balance(member_by_id(user.member_id), at=clock.now()))


class OwnLedger(BrandAPIView):
    """`/api/v1/me/points/ledger/`: what happened to the caller's points."""

    permission_classes = (MembersOnly,)
    keyset = Keyset("own points")

    @endpoint(
        "list_own_points",
        "List own ledger",
        tag="me",
        auth=MEMBER,
        parameters=PAGE_PARAMETERS,
        answer=LedgerPage,
        example={"results": [ENTRY_EXAMPLE], "next": None},
        errors=problems(422),
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        user: Any = request.user
        return _ledger_page(self.keyset, user.member_id, request)


class GiftBody(OperationBody):
    """Points for somebody else."""

    to = CodeField(max_length=20, help_text="Member number of who gets them.")
    points = PointsField(help_text="How many.")


class OwnGifts(BrandAPIView):
    """`/api/v1/me/points/gifts/`: give own points away."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "give_points",
        "Give points to another member",
        tag="me",
        auth=MEMBER,
        body=GiftBody,
        body_example={"key": "gift-7", "to": "4820175936", "points": 50},
        answer=EntryShape,
        example=ENTRY_EXAMPLE | {"kind": "GIFT", "points": 50},
        status=201,
        errors=_REFUSALS,
        description="They keep the day on which they end. An unknown member number is answered like oneself (422).",
    )
    def post(self, request: Request) -> Response:
        """Give."""
        given, user = read_body(GiftBody, request.data), _member(request)
        receiver = Member.objects.filter(member_no=known_text(given["to"])).first()
        if receiver is None:
            raise GiftRefused(ring=False)
        journal = services.gift_points(
            operation=_operation(request, given["key"]),
            giver_id=user.member_id,
            receiver_id=receiver.pk,
            points=given["points"],
            at=clock.now(),
        )
        return Response(entry(journal), status=201)


def _member(request: Request) -> MemberPrincipal:
    user: Any = request.user
    known: MemberPrincipal = user
    return known


def _ledger_page(keyset: Keyset, member_id: int, request: Request) -> Response:
    read_query(NoQuery, request.query_params, paging=True)
    rows, cursor = keyset.page(selectors.ledger_of(member_id), request.query_params)
    return Response(page_body([entry(row) for row in rows], cursor))


class MemberPoints(BrandAPIView):
    """`/api/v1/members/{member_no}/points/`: what a member has."""

    permission_classes = (needs_scope(_READ),)

    @endpoint(
        "get_member_points",
        "Get a member's points and tier",
        tag="points",
        auth=SYSTEM,
        answer=BalanceShape,
        example=BALANCE_EXAMPLE,
        errors=problems(404),
        description="Needs the scope `points.read`.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show points and tier."""
        return Response(balance(member_or_404(member_no), at=clock.now()))


class MemberLedger(BrandAPIView):
    """`/api/v1/members/{member_no}/points/ledger/`: what happened to a member's points."""

    permission_classes = (needs_scope(_READ),)
    keyset = Keyset("points of a member")

    @endpoint(
        "list_member_points",
        "List a member's ledger",
        tag="points",
        auth=SYSTEM,
        parameters=PAGE_PARAMETERS,
        answer=LedgerPage,
        example={"results": [ENTRY_EXAMPLE], "next": None},
        errors=problems(404, 422),
        description="Needs the scope `points.read`. Newest first.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show a page."""
        return _ledger_page(self.keyset, member_or_404(member_no).pk, request)


class _Act(BrandAPIView):
    """Earn, spend or freeze for a member."""

    permission_classes = (needs_scope(_WRITE),)
    act: Callable[..., Any]

    def _do(self, request: Request, member_no: str) -> Any:
        member, given = member_or_404(member_no), read_body(PointsBody, request.data)
        return type(self).act(
            operation=_operation(request, given["key"]),
            member_id=member.pk,
            points=given["points"],
            number=given["number"],
            source=ORDER if given["number"] else "api",
            reason=given["reason"],
            at=clock.now(),
        )


_BODY_EXAMPLE: Final = {"key": "order-42-points", "points": 300, "number": "SO20261121-0042", "reason": "积分抵现"}


class Earn(_Act):
    """`/api/v1/members/{member_no}/points/earn/`."""

    act = staticmethod(services.earn_unless_left_out)

    @endpoint(
        "earn_points",
        "Give points",
        tag="points",
        auth=SYSTEM,
        body=PointsBody,
        body_example=_BODY_EXAMPLE,
        answer=EntryShape,
        example=ENTRY_EXAMPLE | {"kind": "EARN"},
        status=201,
        errors=_EARN_REFUSALS,
        description=(
            "Needs the scope `points.write`. For purchases report facts instead: rules then say how many. Whoever is "
            "flagged as staff, test person or blocked gets none (409, `member_left_out`)."
        ),
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Give points."""
        return Response(entry(self._do(request, member_no)), status=201)


class Burn(_Act):
    """`/api/v1/members/{member_no}/points/burn/`."""

    act = staticmethod(services.burn_points)

    @endpoint(
        "burn_points",
        "Spend points",
        tag="points",
        auth=SYSTEM,
        body=PointsBody,
        body_example=_BODY_EXAMPLE,
        answer=EntryShape,
        example=ENTRY_EXAMPLE,
        status=201,
        errors=_REFUSALS,
        description="Needs the scope `points.write`. What ends soonest goes first.",
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Spend points."""
        return Response(entry(self._do(request, member_no)), status=201)


class Freeze(_Act):
    """`/api/v1/members/{member_no}/points/freeze/`."""

    act = staticmethod(services.freeze_points)

    @endpoint(
        "freeze_points",
        "Freeze points",
        tag="points",
        auth=SYSTEM,
        body=PointsBody,
        body_example=_BODY_EXAMPLE,
        answer=HoldShape,
        example={
            "hold": "6d0f3c0e-8f0a-4a56-9d6e-0e1f5a4f2c22",
            "until": "2026-11-21T06:45:00Z",
            "entry": ENTRY_EXAMPLE | {"kind": "FREEZE", "held": 300},
        },
        status=201,
        errors=_REFUSALS,
        description="Needs the scope `points.write`. Capture them when the order is paid, release them when it is not.",
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Freeze points."""
        return Response(hold_body(self._do(request, member_no)), status=201)


def _hold_or_404(hold_id: str) -> Hold:
    hold = Hold.objects.select_related("journal").filter(public_id=public_id(hold_id)).first()
    if hold is None:
        raise Http404
    return hold


class Capture(BrandAPIView):
    """`/api/v1/points/holds/{hold_id}/capture/`."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "capture_points",
        "Spend frozen points",
        tag="points",
        auth=SYSTEM,
        body=PartBody,
        body_example={"key": "order-42-paid"},
        answer=EntryShape,
        example=ENTRY_EXAMPLE | {"kind": "CAPTURE"},
        status=201,
        errors=_REFUSALS,
        description="Needs the scope `points.write`. With `points` only some are spent; the rest is released.",
    )
    def post(self, request: Request, hold_id: str) -> Response:
        """Spend frozen points."""
        given, hold = read_body(PartBody, request.data), _hold_or_404(hold_id)
        journal = services.capture(
            operation=_operation(request, given["key"]),
            hold=hold,
            points=given.get("points"),
            reason=given["reason"],
            at=clock.now(),
        )
        return Response(entry(journal), status=201)


class ReleaseBody(OperationBody):
    """Nothing but the key."""


class Release(BrandAPIView):
    """`/api/v1/points/holds/{hold_id}/release/`."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "release_points",
        "Release frozen points",
        tag="points",
        auth=SYSTEM,
        body=ReleaseBody,
        body_example={"key": "order-42-cancelled"},
        answer=EntryShape,
        example=ENTRY_EXAMPLE | {"kind": "RELEASE"},
        status=201,
        errors=_REFUSALS,
        description="Needs the scope `points.write`. They go back to the lots they came from.",
    )
    def post(self, request: Request, hold_id: str) -> Response:
        """Release frozen points."""
        given, hold = read_body(ReleaseBody, request.data), _hold_or_404(hold_id)
        journal = services.release(operation=_operation(request, given["key"]), hold=hold, at=clock.now())
        return Response(entry(journal), status=201)


class Reverse(BrandAPIView):
    """`/api/v1/points/entries/{entry_id}/reverse/`."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "reverse_points",
        "Reverse an entry",
        tag="points",
        auth=SYSTEM,
        body=PartBody,
        body_example={"key": "refund-7", "points": 100},
        answer=EntryShape,
        example=ENTRY_EXAMPLE | {"kind": "RETURN", "points": 100},
        status=201,
        errors=_REFUSALS,
        description=(
            "Needs the scope `points.write`. Spent points return to the lots they came from, earned ones are taken "
            "back; what is missing then is treated as the brand has chosen."
        ),
    )
    def post(self, request: Request, entry_id: str) -> Response:
        """Reverse."""
        given = read_body(PartBody, request.data)
        journal = Journal.objects.filter(public_id=public_id(entry_id)).first()
        if journal is None:
            raise Http404
        made = services.reverse(
            operation=_operation(request, given["key"]),
            journal=journal,
            points=given.get("points"),
            reason=given["reason"],
            at=clock.now(),
        )
        return Response(entry(made), status=201)


class TierBenefitShape(serializers.Serializer[Any]):
    """What a tier does to a cart, and the rule that gives it."""

    kind = serializers.ChoiceField(choices=BenefitKind.choices, help_text="What it is.")
    value = serializers.IntegerField(help_text="Percent, fen or hours, by its kind.")
    saved = serializers.IntegerField(help_text="Fen less for this cart.")
    tier = serializers.CharField(help_text="The tier that gives it.")
    threshold = serializers.IntegerField(help_text="The qualifying value that tier begins at.")


class TierBenefits(serializers.Serializer[Any]):
    """What a cart costs a member, and why."""

    amount = serializers.IntegerField(help_text="The cart in fen.")
    total = serializers.IntegerField(help_text="What is left to pay, in fen.")
    benefits = TierBenefitShape(many=True)


class CartQuery(StrictSerializer):
    """The cart."""

    amount = WholeNumberParameter(min_value=0, max_value=100_000_000_00, help_text="The cart in fen.")


class UseBody(OperationBody):
    """An order to which the benefits of a tier were applied."""

    number = CodeField(max_length=64, help_text="Your order number; each counts once.")
    amount = serializers.IntegerField(
        min_value=0, max_value=100_000_000_00, help_text="The cart in fen, before the benefits."
    )


_BENEFITS_EXAMPLE: Final = {
    "amount": 100000,
    "total": 90000,
    "benefits": [{"kind": "PRICE", "value": 10, "saved": 10000, "tier": "知音", "threshold": 8000}],
}


class MemberBenefits(BrandAPIView):
    """`/api/v1/members/{member_no}/benefits/`: what a tier does to a cart, and that it was done."""

    def get_permissions(self) -> list[Any]:
        """Reading and writing have scopes of their own."""
        return [needs_scope(_READ if self.request.method in {"GET", "HEAD"} else _WRITE)()]

    @endpoint(
        "get_benefits",
        "Get what a member's tier does to a cart",
        tag="points",
        auth=SYSTEM,
        parameters=[CartQuery],
        answer=TierBenefits,
        example=_BENEFITS_EXAMPLE,
        errors=problems(404, 422),
        description="Needs the scope `points.read`. Looking counts nothing; report the order with POST.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show the benefits."""
        member, amount = member_or_404(member_no), read_query(CartQuery, request.query_params)["amount"]
        found = tier_selectors.applied(member.pk, amount=amount, at=clock.now())
        return Response(
            {
                "amount": amount,
                "total": amount - sum(each.saved for each in found),
                "benefits": [
                    {
                        "kind": each.kind,
                        "value": each.value,
                        "saved": each.saved,
                        "tier": each.tier,
                        "threshold": each.threshold,
                    }
                    for each in found
                ],
            },
        )

    @endpoint(
        "use_benefits",
        "Count that a member's tier benefits were used",
        tag="points",
        auth=SYSTEM,
        body=UseBody,
        body_example={"key": "order-42-benefits", "number": "SO20261121-0042", "amount": 100000},
        answer=TierBenefits,
        example=_BENEFITS_EXAMPLE,
        status=201,
        errors=problems(
            404,
            409,
            422,
            s409={"operation_running": "The same order is under way; ask again in a second."},
            s422={
                "invalid": "Some values cannot be used.",
                "key_reused": "The key or the order was used with another body.",
            },
        ),
        description=(
            "Needs the scope `points.write`. Answers what the tier gives for the order at this moment and counts each "
            "benefit once. The same key, or the same order, again answers the same and counts nothing."
        ),
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Count them."""
        member, given = member_or_404(member_no), read_body(UseBody, request.data)
        use = services.use_benefits(
            operation=_operation(request, given["key"]),
            member_id=member.pk,
            number=given["number"],
            amount=given["amount"],
            at=clock.now(),
        )
        total = use.amount - sum(each["saved"] for each in use.applied)
        return Response({"amount": use.amount, "total": total, "benefits": use.applied}, status=201)


answers("points/", "number", "points")
answers("points/ledger/", "points")
answers("benefits/", "points")
