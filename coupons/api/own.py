"""What a member sees of their coupons and does with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import MembersOnly
from accounts.rest.schema import MEMBER, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, TextField, read_body, read_query
from accounts.rest.throttling import PerCaller
from accounts.rest.views import BrandAPIView
from common import clock
from coupons import codes, services
from coupons.api.shapes import (
    CART_EXAMPLE,
    CHECKED_EXAMPLE,
    COUPON_EXAMPLE,
    MOVE_EXAMPLE,
    OFFER_EXAMPLE,
    CartBody,
    CheckedList,
    CouponPage,
    KeyBody,
    MoveShape,
    OfferList,
    cart_of,
    checked_body,
    chosen_of,
    coupon_body,
    coupon_or_404,
    move_body,
    offer_body,
    operation,
    template_or_422,
)
from coupons.selectors import coupons as selectors

if TYPE_CHECKING:
    from rest_framework.request import Request

TAKING: Final = problems(
    409,
    422,
    s409={
        "operation_running": "The same key is under way; ask again in a second.",
        "template_closed": "The coupon is not on offer, or not this way.",
        "budget_gone": "All of them were given.",
        "member_limit": "The member has as many as one may have.",
        "left_out": "The person works for the brand, is a test or is blocked: no rewards.",
    },
    s422={
        "invalid": "Some values cannot be used.",
        "key_reused": "The key was used with another body.",
        "member_gone": "The person's data was deleted.",
        "points_short": "More points than can be spent.",
    },
)
_ISSUED: Final = MOVE_EXAMPLE | {"kind": "ISSUE", "state": "UNUSED", "saved": 0, "order": ""}


class NoQuery(StrictSerializer):
    """No parameters."""


class NothingBody(StrictSerializer):
    """An empty body."""


class TakeBody(KeyBody):
    """Which coupon is wanted."""

    template = CodeField(max_length=36, help_text="What is on offer, by its `template`.")


class EnteredBody(KeyBody):
    """A printed code as somebody typed it."""

    code = TextField(
        max_length=64, help_text="The code; case, width, spaces and dashes make no difference.", trim_whitespace=True
    )


class ShownCode(serializers.Serializer[Any]):
    """A code to show at the counter."""

    code = serializers.CharField(help_text="What the store scans or types.")
    until = serializers.DateTimeField(help_text="Until when it works; ask again for a new one.")


class CodePerMember(PerCaller):
    """Whoever guesses codes is slowed down."""

    rate = "code"

    def key(self, request: Request) -> str | None:
        """Count apart from other calls."""
        known = super().key(request)
        return f"{known}:code" if known else None


def _member_id(request: Request) -> int:
    user: Any = request.user
    member_id: int = user.member_id
    return member_id


class OwnCoupons(BrandAPIView):
    """`/api/v1/me/coupons/`: what the caller has."""

    permission_classes = (MembersOnly,)
    keyset = Keyset("own coupons")

    @endpoint(
        "list_own_coupons",
        "List own coupons",
        tag="me",
        auth=MEMBER,
        parameters=PAGE_PARAMETERS,
        answer=CouponPage,
        example={"results": [COUPON_EXAMPLE], "next": None},
        errors=problems(422),
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        return coupon_page(self.keyset, _member_id(request), request)


def coupon_page(keyset: Keyset, member_id: int, request: Request) -> Response:
    """Give a page of a member's coupons."""
    read_query(NoQuery, request.query_params, paging=True)
    at = clock.now()
    rows, cursor = keyset.page(selectors.coupons_of(member_id).select_related("template"), request.query_params)
    return Response(page_body([coupon_body(row, at=at) for row in rows], cursor))


class OwnOffers(BrandAPIView):
    """`/api/v1/me/coupons/offers/`: what can be claimed or had for points."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "list_coupon_offers",
        "List coupons that can be claimed or had for points",
        tag="me",
        auth=MEMBER,
        answer=OfferList,
        example={"results": [OFFER_EXAMPLE]},
    )
    def get(self, request: Request) -> Response:
        """Show what is on offer."""
        found = {each.template.pk: each for each in [*selectors.offers(), *selectors.offers(for_points=True)]}
        return Response({"results": [offer_body(found[pk]) for pk in sorted(found)]})


class OwnClaims(BrandAPIView):
    """`/api/v1/me/coupons/claim/`: take a coupon that is on offer."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "claim_coupon",
        "Claim a coupon",
        tag="me",
        auth=MEMBER,
        body=TakeBody,
        body_example={"key": "tap-1", "template": OFFER_EXAMPLE["template"]},
        answer=MoveShape,
        example=_ISSUED,
        status=201,
        errors=TAKING,
    )
    def post(self, request: Request) -> Response:
        """Claim."""
        given = read_body(TakeBody, request.data)
        move = services.claim_coupon(
            operation=operation(request, given["key"]),
            template=template_or_422(given["template"]),
            member_id=_member_id(request),
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


class OwnExchanges(BrandAPIView):
    """`/api/v1/me/coupons/exchange/`: have a coupon for points."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "exchange_points",
        "Exchange points for a coupon",
        tag="me",
        auth=MEMBER,
        body=TakeBody,
        body_example={"key": "tap-2", "template": OFFER_EXAMPLE["template"]},
        answer=MoveShape,
        example=_ISSUED,
        status=201,
        errors=TAKING,
        description=(
            "Goods freeze the points until a store hands them over; they come back when the coupon ends unused or is "
            "called off. Money off spends them at once."
        ),
    )
    def post(self, request: Request) -> Response:
        """Exchange."""
        given = read_body(TakeBody, request.data)
        move = services.exchange_points(
            operation=operation(request, given["key"]),
            template=template_or_422(given["template"]),
            member_id=_member_id(request),
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


class OwnCodes(BrandAPIView):
    """`/api/v1/me/coupons/codes/`: enter a printed code."""

    permission_classes = (MembersOnly,)
    throttle_classes = (PerCaller, CodePerMember)

    @endpoint(
        "enter_coupon_code",
        "Enter a coupon code",
        tag="me",
        auth=MEMBER,
        body=EnteredBody,
        body_example={"key": "tap-3", "code": "F4KA-79TN-XWPM"},
        answer=MoveShape,
        example=_ISSUED,
        status=201,
        errors=TAKING
        | problems(
            404,
            409,
            422,
            s404={"code_unknown": "There is no such code."},
            s409={
                "operation_running": "The same key is under way; ask again in a second.",
                "code_over": "The code was used before, or its time is over.",
                "member_limit": "The member has as many as one may have.",
            },
            s422={
                "invalid": "Some values cannot be used.",
                "code_invalid": "Not what a code looks like.",
                "key_reused": "The key was used with another body.",
                "member_gone": "The person's data was deleted.",
            },
        ),
        description="A member may try ten codes at once, then one every twenty seconds.",
    )
    def post(self, request: Request) -> Response:
        """Redeem the code for its coupon."""
        given = read_body(EnteredBody, request.data)
        move = services.redeem_code(
            operation=operation(request, given["key"]),
            code=given["code"],
            member_id=_member_id(request),
            at=clock.now(),
        )
        return Response(move_body(move), status=201)


class OwnCheck(BrandAPIView):
    """`/api/v1/me/coupons/check/`: what each coupon takes off a cart."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "check_own_coupons",
        "Hold own coupons against a cart",
        tag="me",
        auth=MEMBER,
        body=CartBody,
        body_example=CART_EXAMPLE,
        answer=CheckedList,
        example={"results": [CHECKED_EXAMPLE]},
        description="Every unused coupon with what it saves, or why it cannot be used and what would change that.",
    )
    def post(self, request: Request) -> Response:
        """Show savings and reasons."""
        given, at = read_body(CartBody, request.data), clock.now()
        found = selectors.check_cart(_member_id(request), cart_of(given), at=at, chosen=chosen_of(given))
        return Response({"results": [checked_body(each, at=at) for each in found]})


class OwnCounterCode(BrandAPIView):
    """`/api/v1/me/coupons/{coupon_id}/counter-code/`: the code to show at the counter."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "show_counter_code",
        "Get the code to show at the counter",
        tag="me",
        auth=MEMBER,
        body=NothingBody,
        body_example={},
        answer=ShownCode,
        example={"code": "F4KA-79TN-XWPM", "until": "2026-11-21T05:55:00Z"},
        errors=problems(
            404,
            409,
            s409={f"coupon_{code}": why for code, why in (("used", "It was used."), ("expired", "It is over."))},
        ),
        description="Works for ten minutes. Asked again within the first five it is the same code, then a new one.",
    )
    def post(self, request: Request, coupon_id: str) -> Response:
        """Show a code."""
        read_body(NothingBody, request.data)
        coupon = coupon_or_404(coupon_id, member_id=_member_id(request))
        code, until = services.show_code(coupon_id=coupon.pk, at=clock.now())
        return Response({"code": codes.shown(code), "until": until})


class OwnCancel(BrandAPIView):
    """`/api/v1/me/coupons/{coupon_id}/cancel/`: call an exchange off."""

    permission_classes = (MembersOnly,)

    @endpoint(
        "cancel_exchange",
        "Call an exchange of points off",
        tag="me",
        auth=MEMBER,
        body=KeyBody,
        body_example={"key": "tap-4"},
        answer=MoveShape,
        example=MOVE_EXAMPLE | {"kind": "VOID", "state": "VOID", "saved": 0, "order": ""},
        status=201,
        errors=problems(
            404,
            409,
            422,
            s409={
                "operation_running": "The same key is under way; ask again in a second.",
                "cannot_cancel": "The points were spent or came back before.",
            },
            s422={"invalid": "Some values cannot be used.", "key_reused": "The key was used with another body."},
        ),
        description="While the points are frozen. They come back at once.",
    )
    def post(self, request: Request, coupon_id: str) -> Response:
        """Call it off."""
        given, member_id = read_body(KeyBody, request.data), _member_id(request)
        coupon = coupon_or_404(coupon_id, member_id=member_id)
        if coupon.points_hold_id is None:
            raise Http404
        move = services.cancel_exchange(
            operation=operation(request, given["key"]), coupon_id=coupon.pk, member_id=member_id, at=clock.now()
        )
        return Response(move_body(move), status=201)
