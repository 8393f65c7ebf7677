"""The counter: a code the member shows, one redemption by the store that scans it, and its undoing by a manager."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from accounts.sealing import blind_index
from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from coupons import codes
from coupons.errors import CodeInvalid, CodeOver, CodeUnknown, ReasonNeeded, ScanTime, UndoTooLate, unusable
from coupons.models import CounterCode, Coupon, Move, MoveKind, State
from coupons.rules import Cart, Line, Verdict, day_end, read
from coupons.selectors.coupons import beside_of, holder, last_move, refusal_of_state, verdict
from coupons.services.issue import SHORTEST_REASON
from coupons.services.life import free_when_over, use
from coupons.services.moves import done_before, lock_order, locked, write
from loyalty.selectors.points import zone
from loyalty.services.ledger import fingerprint

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from loyalty.services import Operation

CODE_MINUTES: Final = 10
UNDO_MINUTES: Final = 30
LATE_HOURS: Final = 24
_AHEAD: Final = timedelta(minutes=5)
_PURPOSE: Final = "coupons.counter"


def show_code(*, coupon_id: int, at: datetime) -> tuple[str, datetime]:
    """Give the code to show at the counter and until when: the same one while half of its time is left.

    Raises Unusable.
    """
    coupon = Coupon.objects.get(pk=coupon_id)
    refusal = refusal_of_state(coupon, at=at)
    if refusal is not None:
        raise unusable(refusal)
    row = (
        CounterCode.objects.filter(coupon=coupon, until__gt=at + timedelta(minutes=CODE_MINUTES) / 2)
        .order_by("-until")
        .first()
    )
    if row is None:
        code = _code(coupon, at)
        row, _new = CounterCode.objects.get_or_create(
            fingerprint=_index(code),
            defaults={"coupon": coupon, "since": at, "until": at + timedelta(minutes=CODE_MINUTES)},
        )
    return _code(coupon, row.since), row.until


def _code(coupon: Coupon, since: datetime) -> str:
    secret = blind_index(current_brand_id(), f"{_PURPOSE}.secret", f"{coupon.public_id}:{since.isoformat()}").bytes
    return codes.derive(secret, 0)


def _index(code: str) -> UUID:
    return blind_index(current_brand_id(), _PURPOSE, code)


def coupon_of_code(text: str, *, at: datetime) -> Coupon:
    """Give the coupon a counter code stands for at a moment. Raises CodeInvalid, CodeUnknown, CodeOver."""
    code = codes.folded(text)
    if code is None:
        raise CodeInvalid
    row = (
        CounterCode.objects.select_related("coupon__version", "coupon__member", "coupon__template")
        .filter(fingerprint=_index(code))
        .first()
    )
    if row is None:
        raise CodeUnknown
    if not row.since <= at < row.until:
        raise CodeOver(used=False)
    found: Coupon = row.coupon
    return found


def bill(amount: int, *, store_id: int) -> Cart:
    """Give the cart of a bill of which only the amount of the goods that count is known."""
    return Cart((Line("", "", amount),), store_id)


def at_counter(coupon: Coupon, cart: Cart, *, vouched: bool, at: datetime, number: str = "") -> Verdict:
    """Say what a coupon takes off at a counter. `vouched`: the staff says that the amount is of goods that count."""
    rule = read(coupon.version.rule)
    if vouched and (rule.products or rule.categories):
        sku, category = (rule.products or ("",))[0], (rule.categories or ("",))[0]
        lines = tuple(Line(sku, category, line.amount, line.quantity) for line in cart.lines)
        cart = Cart(lines, cart.store_id)
    beside = beside_of(coupon, number, at=at)
    return verdict(coupon, cart, person=holder(coupon.member_id, at=at), at=at, beside=beside)


@transaction.atomic
def redeem_at_counter(
    *,
    operation: Operation,
    code: str,
    cart: Cart,
    at: datetime,
    scanned_at: datetime | None = None,
    vouched: bool = False,
    number: str = "",
    cashier: str = "",
    staff_id: int | None = None,
) -> Move:
    """Redeem what a code stands for, once, in the cart's store; a till that was offline says when it scanned.

    Raises CodeInvalid, CodeUnknown, CodeOver, ScanTime, Unusable, KeyReused, OperationRunning.
    """
    when = scanned_at or at
    asked = fingerprint(
        act="counter", code=codes.folded(code), store=cart.store_id, lines=[vars(line) for line in cart.lines]
    )
    known = done_before(operation, asked)
    if known is not None:
        return known
    if not at - timedelta(hours=LATE_HOURS) <= when <= at + _AHEAD:
        raise ScanTime(LATE_HOURS)
    lock_order(number)
    coupon = locked(coupon_of_code(code, at=when).pk)
    free_when_over(coupon, when)
    found = at_counter(coupon, cart, vouched=vouched, at=when, number=number)
    if found.refusal is not None:
        raise unusable(found.refusal)
    coupon.order, coupon.store_id = number, cart.store_id
    detail: dict[str, object] = {"eligible": found.eligible, "vouched": vouched, "scanned": when.isoformat()}
    if cashier:
        detail["cashier"] = cashier
    return use(
        coupon, operation, asked, at, saved=found.saving, used_at=min(when, at), staff_id=staff_id, detail=detail
    )


@transaction.atomic
def undo_redemption(
    *, operation: Operation, coupon_id: int, reason: str, at: datetime, staff_id: int | None = None
) -> Move:
    """Take a redemption in a store back, within some minutes. Raises ReasonNeeded, UndoTooLate.

    Points that were spent for the coupon stay spent: the coupon is there again.
    """
    if len(reason.strip()) < SHORTEST_REASON:
        raise ReasonNeeded
    asked = fingerprint(act="undo", coupon=coupon_id)
    known = done_before(operation, asked)
    if known is not None:
        return known
    coupon = locked(coupon_id)
    redeemed = last_move(coupon_id, MoveKind.REDEEM)
    if coupon.state != State.USED or redeemed is None or redeemed.store_id is None:
        raise UndoTooLate(UNDO_MINUTES, None)
    if redeemed.at <= at - timedelta(minutes=UNDO_MINUTES):
        raise UndoTooLate(UNDO_MINUTES, redeemed.at)
    coupon.state = State.UNUSED
    if coupon.valid_until <= at:
        coupon.valid_until = day_end(at, 0, zone())  # nobody loses a coupon by a slip at the till
    move = write(
        coupon,
        MoveKind.UNDO,
        operation,
        asked,
        at,
        reason=reason.strip(),
        staff_id=staff_id,
        detail={"undoes": redeemed.pk},
    )
    coupon.order, coupon.store_id = "", None
    coupon.save(update_fields=["order", "store"])
    record_audit(action="undo redemption", obj=coupon, changes={"state": [State.USED, State.UNUSED]}, reason=reason)
    return move


def forget_codes(*, at: datetime) -> int:
    """Delete counter codes that no offline till can report any more."""
    gone, _kinds = CounterCode.objects.filter(until__lt=at - timedelta(hours=LATE_HOURS + 1)).delete()
    return gone
