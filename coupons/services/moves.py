"""The one way to change a coupon: an operation that happens once, on a locked row, written down as a move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id
from coupons.errors import CouponUnknown
from coupons.models import Coupon, Move, State
from coupons.selectors.scans import KIND
from loyalty.errors import KeyReused, OperationRunning
from loyalty.services.ledger import SYSTEM, Operation, claimed, lock_accounts
from touchpoints.models import Touchpoint
from touchpoints.services import replies_changed

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

_WITH: Final = ("coupon__version", "store")


def done_before(operation: Operation, asked: uuid.UUID) -> Move | None:
    """Give the move of an operation that was done before, None when it is still to be done.

    Raises OperationRunning while somebody else is at it, KeyReused when the key stands for something else.
    """
    if not claimed(f"coupons\x1f{current_brand_id()}\x1f{operation.actor}\x1f{operation.key}"):
        raise OperationRunning
    known = Move.objects.select_related(*_WITH).filter(actor=operation.actor, key=operation.key).first()
    if known is not None and known.fingerprint != asked:
        raise KeyReused
    return known


def lock_order(order: str) -> None:
    """Let one coupon of an order come to it after the other, so that each sees those before it. Locked first of all."""
    if not order:
        return
    name = f"coupons\x1f{current_brand_id()}\x1forder\x1f{order}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def locked(coupon_id: int) -> Coupon:
    """Lock a coupon. Where points hang on it their account comes first: merges lock in that order, too."""
    hint = Coupon.objects.filter(pk=coupon_id).values_list("member_id", "points_hold_id").first()
    if hint is None:
        raise CouponUnknown
    member_id, hold_id = hint
    if hold_id is not None:
        lock_accounts([member_id])
    rows = Coupon.objects.select_for_update(of=("self",)).select_related("version", "template", "points_hold")
    return rows.get(pk=coupon_id)


def by_system(name: str, coupon: Coupon, at: datetime) -> Operation:
    """Name an act that time or another act brings about: once for a coupon as it stands."""
    return Operation(SYSTEM, f"{name}:{coupon.pk}:{at.isoformat()}")


def write(
    coupon: Coupon,
    kind: str,
    operation: Operation,
    asked: uuid.UUID,
    at: datetime,
    *,
    saved: int = 0,
    staff_id: int | None = None,
    reason: str = "",
    other_id: int | None = None,
    detail: dict[str, Any] | None = None,
) -> Move:
    """Write down what was just set on a locked coupon, and keep both."""
    if coupon.state != State.HELD:
        coupon.held_until = None
    if coupon.state != State.USED:
        coupon.used_at, coupon.saved = None, 0
    coupon.save(
        update_fields=[
            "member",
            "nth",
            "state",
            "valid_until",
            "order",
            "held_until",
            "used_at",
            "store",
            "saved",
        ]
    )
    return Move.objects.create(
        coupon=coupon,
        kind=kind,
        after=coupon.state,
        actor=operation.actor,
        key=operation.key,
        fingerprint=asked,
        member_id=coupon.member_id,
        other_id=other_id,
        order=coupon.order,
        store_id=coupon.store_id,
        staff_id=staff_id,
        saved=saved,
        reason=reason[:200],
        detail=detail or {},
        valid_until=coupon.valid_until,
        at=at,
    )


# --- budgets ---------------------------------------------------------------------------------------------------------

_TAKE: Final = """
UPDATE coupons_template SET taken = taken + %s
WHERE brand_id = %s AND id = %s AND (total IS NULL OR taken + %s <= total)
RETURNING total = taken
"""


def take(template_id: int, count: int = 1) -> bool:
    """Take coupons out of a template's budget: check and change in one statement. Says whether they were there."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [count, current_brand_id(), template_id, count])
        rows = cursor.fetchall()
    if rows and rows[0][0]:
        codes_say_anew(template_id)  # the last one is gone: nobody is promised another
    return bool(rows)


_GIVE_BACK: Final = """
UPDATE coupons_template SET taken = taken - %s WHERE brand_id = %s AND id = %s AND taken >= %s
RETURNING total = taken + %s
"""


def give_back(template_id: int, count: int = 1) -> None:
    """Give coupons back that were never had."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [count, current_brand_id(), template_id, count, count])
        rows = cursor.fetchall()
    if rows and rows[0][0]:
        codes_say_anew(template_id)  # there was none left, and now there is


def codes_say_anew(template_id: int) -> None:
    """Let gateways compile the welcomes anew that name this coupon: it has another name now, or is given no more."""
    codes = Touchpoint.objects.filter(benefit_kind=KIND, benefit_id=template_id, account_id__isnull=False)
    for account_id in codes.order_by("account_id").values_list("account_id", flat=True).distinct():
        replies_changed(account_id=account_id)


def numbers_of(member_id: int, template_id: int) -> set[int]:
    """Give the numbers that a member's coupons of a template have."""
    rows = Coupon.objects.filter(template_id=template_id, member_id=member_id, nth__isnull=False).order_by()
    return {nth for nth in rows.values_list("nth", flat=True) if nth is not None}


def first_free(used: set[int]) -> int:
    """Give the smallest number that no coupon has."""
    nth = 1
    while nth in used:
        nth += 1
    return nth
