"""What is sent and answered about coupons, and how rows become it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounts.rest.callers import MemberPrincipal
from accounts.rest.serializers import CodeField, StrictSerializer, TextField, WholeField
from accounts.rest.views import known_text
from coupons import reasons
from coupons.models import Coupon, MoveKind, State, Template, Way
from coupons.rules import MOST_FEN, Cart, Kind, Line, read
from coupons.words import rule_sentence
from loyalty.services import Operation
from members.models import Member
from stores.models import Store

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request

    from coupons.models import Move, TemplateVersion
    from coupons.selectors.coupons import Checked, Offer

MOST_LINES: Final = 200
MOST_CHOSEN: Final = 20


class KeyBody(StrictSerializer):
    """What every act on coupons needs."""

    key = CodeField(
        max_length=100, help_text="Your key for this act: sent again with the same body, it gives the first answer."
    )


class CartLineBody(StrictSerializer):
    """A line of a cart."""

    sku = TextField(max_length=64, help_text="Product code.")
    category = TextField(max_length=64, required=False, default="", help_text="Category code.")
    amount = WholeField(min_value=0, max_value=MOST_FEN, help_text="To be paid for all of it, in fen.")
    quantity = WholeField(min_value=1, max_value=9999, required=False, default=1, help_text="Pieces.")


class CartBody(StrictSerializer):
    """What is about to be bought, and where."""

    lines = serializers.ListField(child=CartLineBody(), max_length=MOST_LINES, help_text="What is bought.")
    store = CodeField(max_length=20, required=False, help_text="Store code; left out online.")
    chosen = serializers.ListField(
        child=CodeField(max_length=36),
        max_length=MOST_CHOSEN,
        required=False,
        default=list,
        help_text="Coupons chosen for this cart already, in order: the others are judged beside them.",
    )


class ReasonShape(serializers.Serializer[Any]):
    """Why a coupon cannot be used."""

    code = serializers.CharField(help_text="Stable code to decide by, such as `below_threshold`.")
    message = serializers.CharField(help_text="Why, in the caller's language.")
    fix = serializers.CharField(help_text="What would change it, in the caller's language.")


class CouponShape(serializers.Serializer[Any]):
    """A coupon as it stands."""

    id = serializers.UUIDField(help_text="Coupon.")
    template = serializers.UUIDField(help_text="What it was given from.")
    name = serializers.CharField(help_text="Name.")
    kind = serializers.ChoiceField(choices=Kind.choices, help_text="What it gives.")
    text = serializers.CharField(help_text="Its rule as a sentence, made from the rule itself.")
    way = serializers.ChoiceField(choices=Way.choices, help_text="How it came.")
    state = serializers.ChoiceField(choices=State.choices, help_text="How it stands.")
    valid_from = serializers.DateTimeField(help_text="From when it can be used.")
    valid_until = serializers.DateTimeField(help_text="From when on it cannot be used any more.")
    order = serializers.CharField(allow_blank=True, help_text="The order it is set aside for or was used by.")
    held_until = serializers.DateTimeField(allow_null=True, help_text="Until when it is set aside; null: it is not.")
    used_at = serializers.DateTimeField(allow_null=True, help_text="When it was used; null: it was not.")
    saved = serializers.IntegerField(help_text="What was taken off, in fen.")
    store = serializers.CharField(allow_null=True, help_text="Where it was used; null online.")


class CouponPage(serializers.Serializer[Any]):
    """A page of coupons, newest first."""

    results = CouponShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class CheckedShape(CouponShape):
    """A coupon held against a cart."""

    usable = serializers.BooleanField(help_text="Whether it can be used for this cart now.")
    saving = serializers.IntegerField(help_text="What it takes off, in fen.")
    reason = ReasonShape(allow_null=True, help_text="Why not; null when it can.")


class CheckedList(serializers.Serializer[Any]):
    """A member's coupons: those that save most first."""

    results = CheckedShape(many=True)


class MoveShape(serializers.Serializer[Any]):
    """What happened to a coupon; it never changes."""

    id = serializers.UUIDField(help_text="Move.")
    coupon = serializers.UUIDField(help_text="Coupon.")
    name = serializers.CharField(help_text="Name of the coupon.")
    text = serializers.CharField(help_text="Its rule as a sentence.")
    kind = serializers.ChoiceField(choices=MoveKind.choices, help_text="What happened.")
    state = serializers.ChoiceField(choices=State.choices, help_text="How the coupon stood right afterwards.")
    saved = serializers.IntegerField(help_text="What is taken off, in fen.")
    order = serializers.CharField(allow_blank=True, help_text="The caller's number.")
    store = serializers.CharField(allow_null=True, help_text="Store code; null online.")
    valid_until = serializers.DateTimeField(help_text="Until when the coupon could be used then.")
    at = serializers.DateTimeField(help_text="When.")


class OfferShape(serializers.Serializer[Any]):
    """A coupon that can be had."""

    template = serializers.UUIDField(help_text="What to name when taking it.")
    name = serializers.CharField(help_text="Name.")
    kind = serializers.ChoiceField(choices=Kind.choices, help_text="What it gives.")
    text = serializers.CharField(help_text="Its rule as a sentence.")
    points = serializers.IntegerField(allow_null=True, help_text="What it costs in points; null: nothing.")
    left = serializers.IntegerField(allow_null=True, help_text="How many are left; null: no limit.")


class OfferList(serializers.Serializer[Any]):
    """Coupons that can be had."""

    results = OfferShape(many=True)


COUPON_EXAMPLE: Final = {
    "id": "3d0b1a5e-6c1f-4f0a-9d43-2f7d7e6c9b10",
    "template": "f6d7a1be-0f6a-4f4c-8a67-53b9ec0d2a77",
    "name": "满 200 减 30",
    "kind": "AMOUNT",
    "text": "满 ¥200.00，减 ¥30.00；领取后 30 天内有效（含当天）；整单退款后退回，已过期的可再用 7 天",
    "way": "CLAIM",
    "state": "UNUSED",
    "valid_from": "2026-11-21T05:45:00Z",
    "valid_until": "2026-12-20T16:00:00Z",
    "order": "",
    "held_until": None,
    "used_at": None,
    "saved": 0,
    "store": None,
}
CHECKED_EXAMPLE: Final = {
    **COUPON_EXAMPLE,
    "usable": False,
    "saving": 0,
    "reason": {
        "code": "below_threshold",
        "message": "适用商品须满 ¥200.00，还差 ¥21.00。",
        "fix": "再买 ¥21.00 的适用商品即可使用。",
    },
}
MOVE_EXAMPLE: Final = {
    "id": "9b1f0c34-7a35-4b9f-8e0a-1f2b7d7c1d55",
    "coupon": COUPON_EXAMPLE["id"],
    "name": COUPON_EXAMPLE["name"],
    "text": COUPON_EXAMPLE["text"],
    "kind": "HOLD",
    "state": "HELD",
    "saved": 3000,
    "order": "SO20261121-0042",
    "store": None,
    "valid_until": "2026-12-20T16:00:00Z",
    "at": "2026-11-21T05:45:00Z",
}
CART_EXAMPLE: Final = {
    "lines": [{"sku": "LY-1024", "category": "shirts", "amount": 89900, "quantity": 1}],
    "store": "SH004",
}
OFFER_EXAMPLE: Final = {
    "template": COUPON_EXAMPLE["template"],
    "name": COUPON_EXAMPLE["name"],
    "kind": "AMOUNT",
    "text": COUPON_EXAMPLE["text"],
    "points": None,
    "left": 1200,
}


def operation(request: Request, key: str) -> Operation:
    """Keys are the caller's own: two callers may use the same."""
    user: Any = request.user
    actor = f"member:{user.member_id}" if isinstance(user, MemberPrincipal) else f"key:{user.key_id}"
    return Operation(actor, key)


def named(text: str) -> uuid.UUID:
    """Read an id; what is none is looked up like one that does not exist."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)


def member_or_404(member_no: str) -> Member:
    """Give a member by number; merged records lead to the one that stayed."""
    member = Member.objects.select_related("merged_into").filter(member_no=known_text(member_no)).first()
    while member is not None and member.merged_into is not None:
        member = member.merged_into
    if member is None:
        raise Http404
    return member


def coupon_or_404(coupon_id: str, *, member_id: int | None = None) -> Coupon:
    """Give a coupon; with a member only one of theirs."""
    rows = Coupon.objects.filter(public_id=named(coupon_id))
    found = (rows if member_id is None else rows.filter(member_id=member_id)).first()
    if found is None:
        raise Http404
    return found


def template_or_422(template_id: str) -> Template:
    """Give the template a body names; one that is not there is the same as one of somebody else."""
    found = Template.objects.filter(public_id=named(template_id)).first()
    if found is None:
        raise ValidationError({"template": [_("This coupon is unknown.")]})
    return found


def store_id_of(code: str | None) -> int | None:
    """Give the store a body names."""
    if code is None:
        return None
    found = Store.objects.filter(code=code).values_list("pk", flat=True).first()
    if found is None:
        raise ValidationError({"store": [_("This store is unknown.")]})
    return found


def cart_of(given: dict[str, Any]) -> Cart:
    """Read a cart."""
    lines = tuple(Line(each["sku"], each["category"], each["amount"], each["quantity"]) for each in given["lines"])
    return Cart(lines, store_id_of(given.get("store")))


def chosen_of(given: dict[str, Any]) -> list[uuid.UUID]:
    """Read which coupons are chosen already."""
    return [named(each) for each in given["chosen"]]


def coupon_body(row: Coupon, *, at: datetime) -> dict[str, Any]:
    """Give a coupon; one whose time is over is expired, swept or not."""
    state = row.state
    if state == State.HELD and row.held_until is not None and row.held_until <= at:
        state = State.UNUSED
    if state == State.UNUSED and row.valid_until <= at:
        state = State.EXPIRED
    held = state == State.HELD
    return {
        "id": row.public_id,
        "template": row.template.public_id,
        **_words(row.version),
        "kind": row.version.rule["kind"],
        "way": row.way,
        "state": state,
        "valid_from": row.valid_from,
        "valid_until": row.valid_until,
        "order": row.order if held or state == State.USED else "",
        "held_until": row.held_until if held else None,
        "used_at": row.used_at,
        "saved": row.saved,
        "store": row.store.code if row.store is not None and state == State.USED else None,
    }


def _words(version: TemplateVersion) -> dict[str, str]:
    return {"name": version.name, "text": rule_sentence(read(version.rule))}


def checked_body(found: Checked, *, at: datetime) -> dict[str, Any]:
    """Give a coupon held against a cart."""
    refusal = found.verdict.refusal
    why = None
    if refusal is not None:
        why = {"code": refusal.code, "message": reasons.sentence(refusal), "fix": reasons.fix(refusal)}
    return {
        **coupon_body(found.coupon, at=at),
        "usable": refusal is None,
        "saving": found.verdict.saving,
        "reason": why,
    }


def move_body(row: Move) -> dict[str, Any]:
    """Give a move: nothing but what never changes, so that a repeated call gets the same bytes."""
    return {
        "id": row.public_id,
        "coupon": row.coupon.public_id,
        **_words(row.coupon.version),
        "kind": row.kind,
        "state": row.after,
        "saved": row.saved,
        "order": row.order,
        "store": row.store.code if row.store is not None else None,
        "valid_until": row.valid_until,
        "at": row.at,
    }


def offer_body(found: Offer) -> dict[str, Any]:
    """Give what can be had."""
    template = found.template
    return {
        "template": template.public_id,
        **_words(found.version),
        "kind": found.rule.kind,
        "points": template.points_price,
        "left": None if template.total is None else max(0, template.total - template.taken),
    }
