"""A coupon's life: set aside for an order, redeemed, free again, returned, expired, taken back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Sum

from accounts.services import record_audit
from accounts.viewer import current_viewer
from coupons.errors import (
    BudgetGone,
    CannotCancel,
    CartNeeded,
    CouponUnknown,
    NotHeld,
    NotUsed,
    ReasonNeeded,
    RefundPartial,
    unusable,
)
from coupons.models import Coupon, Move, MoveKind, State, Way
from coupons.rules import OnRefund, Refusal, day_end, read
from coupons.selectors.coupons import beside_of, holder, last_move, refusal_of_state, verdict
from coupons.services.issue import SHORTEST_REASON, SOURCE
from coupons.services.moves import (
    by_system,
    done_before,
    first_free,
    give_back,
    lock_order,
    locked,
    numbers_of,
    take,
    write,
)
from loyalty.errors import HoldEnded
from loyalty.models import Fact, FactKind, HoldState, Journal, JournalKind
from loyalty.selectors.points import reversed_points, zone
from loyalty.services import Operation, burn_points, capture, release
from loyalty.services.ledger import SYSTEM, alone, fingerprint

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from coupons.rules import Cart, Verdict
    from loyalty.models import Hold

HOLD_MINUTES: Final = 30
LONGEST_HOLD: Final = 1440
TIMEOUT: Final = "timeout"
_AT_ONCE: Final = 200


def _asked_cart(cart: Cart | None) -> object:
    return asdict(cart) if cart is not None else None


@transaction.atomic
def hold_coupon(
    *, operation: Operation, coupon_id: int, order: str, cart: Cart, at: datetime, minutes: int = HOLD_MINUTES
) -> Move:
    """Set a coupon aside for one order, at today's saving. Raises Unusable, KeyReused, OperationRunning."""
    asked = fingerprint(act="hold", coupon=coupon_id, order=order, cart=_asked_cart(cart), minutes=minutes)
    known = done_before(operation, asked)
    if known is not None:
        return known
    lock_order(order)
    coupon = locked(coupon_id)
    free_when_over(coupon, at)
    found = _against(coupon, cart, at, order)
    if found.refusal is not None:
        raise unusable(found.refusal)
    coupon.state, coupon.order, coupon.store_id = State.HELD, order, cart.store_id
    coupon.held_until = at + timedelta(minutes=minutes)
    detail = {"eligible": found.eligible, "until": coupon.held_until.isoformat()}
    return write(coupon, MoveKind.HOLD, operation, asked, at, saved=found.saving, detail=detail)


@transaction.atomic
def redeem_coupon(
    *,
    operation: Operation,
    coupon_id: int,
    order: str,
    at: datetime,
    cart: Cart | None = None,
) -> Move:
    """Use a coupon for an order that is paid: at the saving it was set aside for, or for the cart given.

    A payment that comes after the time it was set aside for still counts while nobody else has the coupon.
    Raises Unusable, CartNeeded, KeyReused, OperationRunning.
    """
    asked = fingerprint(act="redeem", coupon=coupon_id, order=order, cart=_asked_cart(cart))
    known = done_before(operation, asked)
    if known is not None:
        return known
    lock_order(order)
    coupon = locked(coupon_id)
    agreed = _agreed(coupon, order)
    if agreed is None:
        free_when_over(coupon, at)
        refusal = refusal_of_state(coupon, at=at, order=order)
        if refusal is not None:
            raise unusable(refusal)
        if cart is None:
            raise CartNeeded
        found = _against(coupon, cart, at, order)
        if found.refusal is not None:
            raise unusable(found.refusal)
        agreed, coupon.store_id = found.saving, cart.store_id
    coupon.order = order
    return use(coupon, operation, asked, at, saved=agreed)


def _against(coupon: Coupon, cart: Cart, at: datetime, order: str) -> Verdict:
    beside = beside_of(coupon, order, at=at)
    return verdict(coupon, cart, person=holder(coupon.member_id, at=at), at=at, order=order, beside=beside)


def _agreed(coupon: Coupon, order: str) -> int | None:
    """Give the saving a coupon was set aside for by this order, if nobody had it since."""
    newest = last_move(coupon.pk)
    if newest is None:
        return None
    if coupon.state == State.HELD and coupon.order == order:
        return _saved_when_held(coupon.pk)
    late = coupon.state in (State.UNUSED, State.EXPIRED) and newest.kind in (MoveKind.RELEASE, MoveKind.EXPIRE)
    if late and newest.reason == TIMEOUT and newest.order == order and coupon.points_hold_id is None:
        return _saved_when_held(coupon.pk)
    return None


def _saved_when_held(coupon_id: int) -> int:
    held = last_move(coupon_id, MoveKind.HOLD)
    return held.saved if held is not None else 0


def use(
    coupon: Coupon,
    operation: Operation,
    asked: UUID,
    at: datetime,
    *,
    saved: int,
    used_at: datetime | None = None,
    staff_id: int | None = None,
    detail: dict[str, object] | None = None,
) -> Move:
    """Write that a locked coupon is used; points frozen for it are spent."""
    was_gone = coupon.state == State.EXPIRED
    coupon.state, coupon.used_at, coupon.saved = State.USED, used_at or at, saved
    _spend_points(coupon, was_gone=was_gone, at=at)
    return write(coupon, MoveKind.REDEEM, operation, asked, at, saved=saved, staff_id=staff_id, detail=detail)


def _spend_points(coupon: Coupon, *, was_gone: bool, at: datetime) -> None:
    """Spend what was frozen. A till that was offline may be later than the freeze: then the points are spent anew."""
    hold = coupon.points_hold
    if hold is None or _paid(coupon, hold):
        return
    if was_gone and coupon.nth is None:
        if not take(coupon.template_id):
            raise BudgetGone
        coupon.nth = first_free(numbers_of(coupon.member_id, coupon.template_id))
    name = by_system("coupon-used", coupon, at)
    try:
        with transaction.atomic():
            capture(operation=name, hold=hold, at=at, reason=coupon.version.name)
    except HoldEnded:
        burn_points(
            operation=name,
            member_id=coupon.member_id,
            points=hold.points,
            source=SOURCE,
            at=at,
            number=str(coupon.public_id),
            reason=coupon.version.name,
        )


def _paid(coupon: Coupon, hold: Hold) -> bool:
    """Say whether points were spent for a coupon: those that were frozen, or others after the freeze had ended."""
    if hold.state != HoldState.RELEASED:
        return hold.state == HoldState.CAPTURED
    spent = Journal.objects.filter(kind=JournalKind.BURN, source=SOURCE, number=str(coupon.public_id))
    return any(reversed_points(journal.pk) < journal.points for journal in spent)


@transaction.atomic
def release_coupon(*, operation: Operation, coupon_id: int, order: str, at: datetime) -> Move:
    """Set a coupon free again: its order was cancelled. Raises NotHeld, KeyReused, OperationRunning."""
    asked = fingerprint(act="release", coupon=coupon_id, order=order)
    known = done_before(operation, asked)
    if known is not None:
        return known
    coupon = locked(coupon_id)
    if coupon.state != State.HELD or coupon.order != order:
        raise NotHeld
    return _free(coupon, operation, asked, at, "")


def free_when_over(coupon: Coupon, at: datetime) -> None:
    """Set a locked coupon free whose time for an order is over."""
    if coupon.state == State.HELD and coupon.held_until is not None and coupon.held_until <= at:
        operation = by_system("release", coupon, coupon.held_until)
        _free(coupon, operation, fingerprint(act="timeout"), at, TIMEOUT)


def _free(coupon: Coupon, operation: Operation, asked: UUID, at: datetime, reason: str) -> Move:
    coupon.state = State.UNUSED
    move = write(coupon, MoveKind.RELEASE, operation, asked, at, reason=reason)
    coupon.order, coupon.store_id = "", None
    coupon.save(update_fields=["order", "store"])
    return move


@transaction.atomic
def return_coupon(
    *, operation: Operation, coupon_id: int, order: str, at: datetime, whole: bool = True, reason: str = ""
) -> Move:
    """Give a used coupon back as its rule says, once an order is refunded in full.

    Raises NotUsed, RefundPartial, KeyReused, OperationRunning.
    """
    asked = fingerprint(act="return", coupon=coupon_id, order=order, whole=whole)
    known = done_before(operation, asked)
    if known is not None:
        return known
    coupon = locked(coupon_id)
    if coupon.state != State.USED or coupon.order != order:
        raise NotUsed
    if not whole:
        raise RefundPartial
    return give_again(coupon, operation, asked, at, reason=reason)


def give_again(coupon: Coupon, operation: Operation, asked: UUID, at: datetime, *, reason: str) -> Move:
    """Write what a full refund does to a locked coupon.

    | rule | can still be used | expired meanwhile, days of grace | expired, none |
    | --- | --- | --- | --- |
    | RETURN | back, same end | back, until the end of the last day of grace | expired |
    | EXTEND | back, later by the time it was away | (has not expired: it is later) | (the same) |
    | VOID | taken back | taken back | taken back |
    """
    rule, used_at = read(coupon.version.rule), coupon.used_at or at
    before = coupon.valid_until
    coupon.state = State.UNUSED
    if rule.on_refund == OnRefund.VOID:
        coupon.state = State.VOID
    elif rule.on_refund == OnRefund.EXTEND:
        coupon.valid_until += max(at - used_at, timedelta(0))
    elif coupon.valid_until <= at and rule.grace_days:
        coupon.valid_until = day_end(at, rule.grace_days, zone())
    elif coupon.valid_until <= at:
        coupon.state = State.EXPIRED
    detail = {"policy": rule.on_refund, "until": [before.isoformat(), coupon.valid_until.isoformat()]}
    move = write(coupon, MoveKind.RETURN, operation, asked, at, reason=reason, detail=detail)
    coupon.order, coupon.store_id = "", None
    coupon.save(update_fields=["order", "store"])
    return move


@transaction.atomic
def return_order(*, order: str, member_id: int, at: datetime, reason: str) -> list[Move]:
    """Give back every coupon that a member's order used, because all of it was refunded."""
    rows = Coupon.objects.filter(order=order, member_id=member_id, state=State.USED).order_by("pk")
    moves = []
    for coupon_id in list(rows.values_list("pk", flat=True)):
        coupon = locked(coupon_id)
        if coupon.state == State.USED and coupon.order == order:
            operation = by_system("refund", coupon, coupon.used_at or at)
            moves.append(give_again(coupon, operation, fingerprint(act="refund", order=order), at, reason=reason))
    return moves


def return_refunded(fact: Fact) -> None:
    """When a refund is reported and nothing of its purchase is left: the coupons of that order go back."""
    purchase = fact.refers
    if fact.kind != FactKind.REFUND or purchase is None:
        return
    refunded = Fact.objects.filter(refers=purchase).aggregate(all=Sum("amount"))["all"] or 0
    if refunded >= purchase.amount:
        return_order(
            order=purchase.number, member_id=fact.member_id, at=fact.received_at, reason=f"{fact.system} {fact.number}"
        )


@transaction.atomic
def void_coupon(*, operation: Operation, coupon_id: int, reason: str, at: datetime) -> Move:
    """Take a coupon back that was not used; points frozen for it come back. Raises ReasonNeeded, Unusable."""
    if len(reason.strip()) < SHORTEST_REASON:
        raise ReasonNeeded
    asked = fingerprint(act="void", coupon=coupon_id)
    known = done_before(operation, asked)
    if known is not None:
        return known
    coupon = locked(coupon_id)
    if coupon.state not in (State.UNUSED, State.HELD):
        refusal = refusal_of_state(coupon, at=at)
        raise unusable(refusal or Refusal("expired", (("until", coupon.valid_until),)))
    viewer = current_viewer()
    move = end(
        coupon, MoveKind.VOID, operation, asked, at, reason=reason.strip(), staff_id=viewer.staff_id if viewer else None
    )
    record_audit(action="take coupon back", obj=coupon, changes={"state": [None, State.VOID]}, reason=reason)
    return move


@transaction.atomic
def cancel_exchange(*, operation: Operation, coupon_id: int, member_id: int, at: datetime) -> Move:
    """Let a member call an exchange off while the points are frozen: they come back. Raises CannotCancel."""
    asked = fingerprint(act="cancel", coupon=coupon_id)
    known = done_before(operation, asked)
    if known is not None:
        return known
    coupon = locked(coupon_id)
    if coupon.member_id != member_id:
        raise CouponUnknown
    hold = coupon.points_hold
    frozen = hold is not None and hold.state == HoldState.HELD
    if coupon.state != State.UNUSED or coupon.way != Way.EXCHANGE or not frozen:
        raise CannotCancel
    return end(coupon, MoveKind.VOID, operation, asked, at, reason="")


def end(
    coupon: Coupon,
    kind: str,
    operation: Operation,
    asked: UUID,
    at: datetime,
    *,
    reason: str,
    staff_id: int | None = None,
) -> Move:
    """Write that a locked coupon is over. What was never paid for goes back into the budget."""
    coupon.state = State.VOID if kind == MoveKind.VOID else State.EXPIRED
    if coupon.points_hold is not None and not _paid(coupon, coupon.points_hold):
        _release_points(coupon, at)
        if coupon.nth is not None:
            coupon.nth = None
            give_back(coupon.template_id)
    return write(coupon, kind, operation, asked, at, reason=reason, staff_id=staff_id)


def _release_points(coupon: Coupon, at: datetime) -> None:
    hold = coupon.points_hold
    if hold is None or hold.state != HoldState.HELD:
        return
    try:
        with transaction.atomic():
            release(operation=by_system("coupon-over", coupon, at), hold=hold, at=at, reason=coupon.version.name)
    except HoldEnded:
        return  # it was released by itself meanwhile


def release_due(*, at: datetime) -> int:
    """Set coupons free whose time for an order is over; gives how many were looked at."""
    rows = Coupon.objects.filter(state=State.HELD, held_until__lte=at).order_by("pk").values_list("pk", flat=True)
    due = list(rows[:_AT_ONCE])
    for coupon_id in due:
        with transaction.atomic():
            free_when_over(locked(coupon_id), at)
    return len(due)


def expire_due(*, at: datetime) -> int:
    """Write down which coupons are over; gives how many were dealt with."""
    rows = Coupon.objects.filter(state=State.UNUSED, valid_until__lte=at).order_by("pk").values_list("pk", flat=True)
    done = 0
    for coupon_id in list(rows[:_AT_ONCE]):
        with alone("end of a coupon", coupon_id):
            coupon = locked(coupon_id)
            if coupon.state == State.UNUSED and coupon.valid_until <= at:
                newest = last_move(coupon_id)
                late = newest is not None and newest.kind == MoveKind.RELEASE and newest.reason == TIMEOUT
                if newest is not None and late:
                    coupon.order = newest.order
                operation = Operation(SYSTEM, f"expire:{coupon.pk}:{coupon.valid_until.isoformat()}")
                asked = fingerprint(act="expire")
                end(coupon, MoveKind.EXPIRE, operation, asked, at, reason=TIMEOUT if late else "")
                if late:
                    Coupon.objects.filter(pk=coupon.pk).update(order="")
            done += 1
    return done
