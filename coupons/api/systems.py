"""Coupons for shops, tills and the brand's other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, MomentParameter, TextField, WholeField, YesNoField, read_body
from accounts.rest.views import BrandAPIView
from common import clock
from coupons import services
from coupons.api.own import TAKING, coupon_page
from coupons.api.shapes import (
    CART_EXAMPLE,
    CHECKED_EXAMPLE,
    COUPON_EXAMPLE,
    MOST_LINES,
    MOVE_EXAMPLE,
    CartBody,
    CartLineBody,
    CheckedList,
    CouponPage,
    KeyBody,
    MoveShape,
    cart_of,
    checked_body,
    chosen_of,
    coupon_or_404,
    member_or_404,
    move_body,
    operation,
    store_id_of,
    template_or_422,
)
from coupons.reasons import REASONS
from coupons.rules import MOST_FEN
from coupons.selectors import coupons as selectors
from coupons.services.life import HOLD_MINUTES, LONGEST_HOLD
from members.opened import answers

if TYPE_CHECKING:
    from rest_framework.request import Request

_READ: Final = "coupons.read"
_WRITE: Final = "coupons.write"
_REDEEM: Final = "coupons.redeem"
_RUNNING: Final = {"operation_running": "The same key is under way; ask again in a second."}
_UNUSABLE: Final = {f"coupon_{code}": str(code).replace("_", " ") for code in REASONS}
_BAD: Final = {"invalid": "Some values cannot be used.", "key_reused": "The key was used with another body."}


class IssueBody(KeyBody):
    """Which coupon, and why."""

    template = CodeField(max_length=36, help_text="What it is given from.")
    reason = TextField(max_length=100, required=False, default="", help_text="Why, for the coupon's history.")


class OrderBody(KeyBody):
    """For which order."""

    order = CodeField(max_length=64, help_text="Your order number.")


class HoldBody(OrderBody):
    """For which order, of what, and for how long."""

    lines = serializers.ListField(child=CartLineBody(), max_length=MOST_LINES, help_text="What is bought.")
    store = CodeField(max_length=20, required=False, help_text="Store code; left out online.")
    minutes = WholeField(
        min_value=1, max_value=LONGEST_HOLD, required=False, default=HOLD_MINUTES, help_text="How long to wait for pay."
    )


class RedeemBody(OrderBody):
    """For which order; what is bought where it was not set aside before."""

    lines = serializers.ListField(
        child=CartLineBody(), max_length=MOST_LINES, required=False, help_text="What is bought; not after a hold."
    )
    store = CodeField(max_length=20, required=False, help_text="Store code; left out online.")


class ReturnBody(OrderBody):
    """A refund."""

    whole = YesNoField(required=False, default=True, help_text="Whether nothing of the order is left.")
    reason = TextField(max_length=100, required=False, default="", help_text="Why, for the coupon's history.")


class CounterBody(KeyBody):
    """A code that was scanned in a store."""

    code = TextField(max_length=64, help_text="What was scanned or typed.")
    store = CodeField(max_length=20, help_text="Store code.")
    lines = serializers.ListField(
        child=CartLineBody(), max_length=MOST_LINES, required=False, help_text="What is bought; or the amount alone."
    )
    amount = WholeField(
        min_value=0, max_value=MOST_FEN, required=False, help_text="Of the goods the coupon is for, in fen."
    )
    cashier = TextField(max_length=40, required=False, default="", help_text="Who scanned, by your staff number.")
    number = CodeField(max_length=64, required=False, default="", help_text="Your bill's number.")
    scanned_at = MomentParameter(required=False, help_text="When, where the till was offline: within 24 hours.")


class MemberCoupons(BrandAPIView):
    """`/api/v1/members/{member_no}/coupons/`: what a member has."""

    permission_classes = (needs_scope(_READ),)
    keyset = Keyset("coupons of a member")

    @endpoint(
        "list_member_coupons",
        "List a member's coupons",
        tag="coupons",
        auth=SYSTEM,
        parameters=PAGE_PARAMETERS,
        answer=CouponPage,
        example={"results": [COUPON_EXAMPLE], "next": None},
        errors=problems(404, 422),
        description="Needs the scope `coupons.read`. Newest first.",
    )
    def get(self, request: Request, member_no: str) -> Response:
        """Show a page."""
        return coupon_page(self.keyset, member_or_404(member_no).pk, request)


class MemberCheck(BrandAPIView):
    """`/api/v1/members/{member_no}/coupons/check/`: what each coupon takes off a cart."""

    permission_classes = (needs_scope(_READ),)

    @endpoint(
        "check_member_coupons",
        "Hold a member's coupons against a cart",
        tag="coupons",
        auth=SYSTEM,
        body=CartBody,
        body_example=CART_EXAMPLE,
        answer=CheckedList,
        example={"results": [CHECKED_EXAMPLE]},
        errors=problems(404),
        description="Needs the scope `coupons.read`. What saves most comes first; the others say why not.",
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Show savings and reasons."""
        member, at = member_or_404(member_no), clock.now()
        given = read_body(CartBody, request.data)
        found = selectors.check_cart(member.pk, cart_of(given), at=at, chosen=chosen_of(given))
        return Response({"results": [checked_body(each, at=at) for each in found]})


class MemberIssue(BrandAPIView):
    """`/api/v1/members/{member_no}/coupons/issue/`: give a member a coupon."""

    permission_classes = (needs_scope(_WRITE),)

    @endpoint(
        "issue_coupon",
        "Give a member a coupon",
        tag="coupons",
        auth=SYSTEM,
        body=IssueBody,
        body_example={"key": "birthday-4820175936-2026", "template": COUPON_EXAMPLE["template"], "reason": "补偿"},
        answer=MoveShape,
        example=MOVE_EXAMPLE | {"kind": "ISSUE", "state": "UNUSED", "saved": 0, "order": ""},
        status=201,
        errors=TAKING | problems(404),
        description="Needs the scope `coupons.write`.",
    )
    def post(self, request: Request, member_no: str) -> Response:
        """Give."""
        member, given = member_or_404(member_no), read_body(IssueBody, request.data)
        move = services.issue_coupon(
            operation=operation(request, given["key"]),
            template=template_or_422(given["template"]),
            member_id=member.pk,
            reason=given["reason"],
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


class CouponHold(BrandAPIView):
    """`/api/v1/coupons/{coupon_id}/hold/`: set a coupon aside at checkout."""

    permission_classes = (needs_scope(_REDEEM),)

    @endpoint(
        "hold_coupon",
        "Set a coupon aside for an order",
        tag="coupons",
        auth=SYSTEM,
        body=HoldBody,
        body_example={"key": "order-42-coupon", "order": "SO20261121-0042", **CART_EXAMPLE, "minutes": 30},
        answer=MoveShape,
        example=MOVE_EXAMPLE,
        status=201,
        errors=problems(404, 409, 422, s409=_RUNNING | _UNUSABLE, s422=_BAD),
        description=(
            "Needs the scope `coupons.redeem`. Of two orders exactly one gets it. `saved` is what the order takes off; "
            "redeem it when the order is paid, release it when it is not."
        ),
    )
    def post(self, request: Request, coupon_id: str) -> Response:
        """Set it aside."""
        given, coupon = read_body(HoldBody, request.data), coupon_or_404(coupon_id)
        move = services.hold_coupon(
            operation=operation(request, given["key"]),
            coupon_id=coupon.pk,
            order=given["order"],
            cart=cart_of(given),
            minutes=given["minutes"],
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


class CouponRedeem(BrandAPIView):
    """`/api/v1/coupons/{coupon_id}/redeem/`: use a coupon for an order that is paid."""

    permission_classes = (needs_scope(_REDEEM),)

    @endpoint(
        "redeem_coupon",
        "Use a coupon for a paid order",
        tag="coupons",
        auth=SYSTEM,
        body=RedeemBody,
        body_example={"key": "order-42-paid", "order": "SO20261121-0042"},
        answer=MoveShape,
        example=MOVE_EXAMPLE | {"kind": "REDEEM", "state": "USED"},
        status=201,
        errors=problems(
            404,
            409,
            422,
            s409=_RUNNING | _UNUSABLE,
            s422=_BAD | {"cart_needed": "It was not set aside for this order: say what is bought."},
        ),
        description=(
            "Needs the scope `coupons.redeem`. A payment after the time it was set aside for still counts while no "
            "other order has the coupon."
        ),
    )
    def post(self, request: Request, coupon_id: str) -> Response:
        """Use it."""
        given, coupon = read_body(RedeemBody, request.data), coupon_or_404(coupon_id)
        move = services.redeem_coupon(
            operation=operation(request, given["key"]),
            coupon_id=coupon.pk,
            order=given["order"],
            cart=cart_of(given) if "lines" in given else None,
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


class CouponRelease(BrandAPIView):
    """`/api/v1/coupons/{coupon_id}/release/`: the order was cancelled."""

    permission_classes = (needs_scope(_REDEEM),)

    @endpoint(
        "release_coupon",
        "Set a coupon free again",
        tag="coupons",
        auth=SYSTEM,
        body=OrderBody,
        body_example={"key": "order-42-cancelled", "order": "SO20261121-0042"},
        answer=MoveShape,
        example=MOVE_EXAMPLE | {"kind": "RELEASE", "state": "UNUSED", "saved": 0},
        status=201,
        errors=problems(
            404, 409, 422, s409=_RUNNING | {"coupon_not_held": "It is not set aside for this order."}, s422=_BAD
        ),
        description="Needs the scope `coupons.redeem`.",
    )
    def post(self, request: Request, coupon_id: str) -> Response:
        """Set it free."""
        given, coupon = read_body(OrderBody, request.data), coupon_or_404(coupon_id)
        move = services.release_coupon(
            operation=operation(request, given["key"]), coupon_id=coupon.pk, order=given["order"], at=clock.now()
        )
        return Response(move_body(move), status=201)


class CouponReturn(BrandAPIView):
    """`/api/v1/coupons/{coupon_id}/return/`: the order was refunded."""

    permission_classes = (needs_scope(_REDEEM),)

    @endpoint(
        "return_coupon",
        "Return a coupon after a refund",
        tag="coupons",
        auth=SYSTEM,
        body=ReturnBody,
        body_example={"key": "refund-42", "order": "SO20261121-0042", "whole": True},
        answer=MoveShape,
        example=MOVE_EXAMPLE | {"kind": "RETURN", "state": "UNUSED", "saved": 0},
        status=201,
        errors=problems(
            404,
            409,
            422,
            s409=_RUNNING
            | {
                "coupon_not_used": "It is not used by this order.",
                "refund_partial": "Only a part was refunded: the coupon stays used.",
            },
            s422=_BAD,
        ),
        description=(
            "Needs the scope `coupons.redeem`. The coupon's rule decides: it comes back, comes back longer, or does "
            "not (`state` VOID). One that expired meanwhile can be used for the days of grace its `text` names."
        ),
    )
    def post(self, request: Request, coupon_id: str) -> Response:
        """Return it."""
        given, coupon = read_body(ReturnBody, request.data), coupon_or_404(coupon_id)
        move = services.return_coupon(
            operation=operation(request, given["key"]),
            coupon_id=coupon.pk,
            order=given["order"],
            whole=given["whole"],
            reason=given["reason"],
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


class CounterRedeem(BrandAPIView):
    """`/api/v1/coupons/counter/`: redeem a scanned code, once, also from a till that was offline."""

    permission_classes = (needs_scope(_REDEEM),)

    @endpoint(
        "redeem_at_counter",
        "Redeem a scanned code in a store",
        tag="coupons",
        auth=SYSTEM,
        body=CounterBody,
        body_example={
            "key": "till-3-20261121-17",
            "code": "F4KA-79TN-XWPM",
            "store": "SH004",
            "amount": 28900,
            "cashier": "LY0007",
            "scanned_at": "2026-11-21T13:45:00+08:00",
        },
        answer=MoveShape,
        example=MOVE_EXAMPLE | {"kind": "REDEEM", "state": "USED", "store": "SH004", "order": ""},
        status=201,
        errors=problems(
            404,
            409,
            422,
            s404={"code_unknown": "There is no such code."},
            s409=_RUNNING
            | {"code_over": "The code had ended when it was scanned.", "budget_gone": "All of them were given."}
            | _UNUSABLE,
            s422=_BAD
            | {
                "code_invalid": "Not what a code looks like.",
                "scan_time": "Scanned in the future, or more than 24 hours ago.",
                "points_short": "The freeze has ended and the points were spent.",
            },
        ),
        description=(
            "Needs the scope `coupons.redeem`. Keep what was scanned while the network is away, and send it with the "
            "same key until you are answered: it counts once, as of `scanned_at`."
        ),
    )
    def post(self, request: Request) -> Response:
        """Redeem."""
        given = read_body(CounterBody, request.data)
        store_id = store_id_of(given["store"])
        if "lines" in given:
            cart, vouched = cart_of(given), False
        else:
            cart, vouched = services.bill(given.get("amount", 0), store_id=store_id or 0), True
        move = services.redeem_at_counter(
            operation=operation(request, given["key"]),
            code=given["code"],
            cart=cart,
            vouched=vouched,
            number=given["number"],
            cashier=given["cashier"],
            scanned_at=given.get("scanned_at"),
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


answers("coupons/", "coupons")
