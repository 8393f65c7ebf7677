"""What invitations bring: when one counts, what is given to both sides once, and what is taken back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import DateTimeField, DurationField, Exists, ExpressionWrapper, F, OuterRef, Q, Value
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from common.failpoints import point
from coupons.errors import Unusable
from coupons.models import Outcome as CouponOutcome
from coupons.models import State as CouponState
from coupons.models import Way
from coupons.services import void_coupon
from coupons.services.outcomes import give_promised
from loyalty.errors import MemberGone, NothingToReverse, RefundBlocked
from loyalty.models import Fact, FactKind, Journal
from loyalty.selectors.points import zone
from loyalty.services import Operation, earn_points
from loyalty.services.facts import period_start, refunded
from loyalty.services.ledger import SYSTEM, lock_accounts
from loyalty.services.points import reverse
from loyalty.taken_back import undone
from referrals import tasks
from referrals.errors import DecisionRefused
from referrals.models import Act, Given, Referral, State
from referrals.services.arrivals import ARRIVAL
from referrals.services.checks import circle, doubts, refusal

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

_AT_ONCE: Final = 200
SHORTEST_REASON: Final = 2
SOURCE: Final = "referral"  # in the points ledger
_SIDES: Final = ("inviter", "invited")
_PERIODS: Final = (("per_day", "DAY"), ("per_month", "MONTH"), ("in_all", "EVER"))


# --- what counts -----------------------------------------------------------------------------------------------------


@transaction.atomic
def look_at_open(*, at: datetime) -> int:
    """Find who has done what the programme asks, or whose time is over; gives how many were settled.

    It asks what is so and not what happened, so that repeated, late and lost news make no difference.
    """
    rows = _ripe(at).select_for_update(of=("self",), skip_locked=True).select_related("programme", "invited")
    found = list(rows.order_by("pk")[:_AT_ONCE])
    for row in found:
        _settle_open(row, at)
    return len(found)


def _ripe(at: datetime) -> QuerySet[Referral]:
    # What was done on the last day may be told later: nothing lapses before it could have been rewarded.
    days = F("programme__within_days") + F("programme__wait_days")
    allowed = ExpressionWrapper(days * Value(timedelta(days=1)), output_field=DurationField())
    rows = Referral.objects.filter(state=State.OPEN).annotate(
        last=ExpressionWrapper(F("bound_at") + allowed, output_field=DateTimeField())
    )
    done = Q(programme__act=Act.FOLLOW, invited__subscribed=True)
    done |= Q(programme__act=Act.JOIN, invited__joined_at__isnull=False)
    done |= Q(Exists(_orders()), programme__act=Act.ORDER)
    gone = Q(invited__merged_into__isnull=False) | Q(invited__erased_at__isnull=False) | Q(last__lt=at)
    return rows.filter(done | gone)


def _orders() -> QuerySet[Fact]:
    return Fact.objects.filter(
        ~undone(),
        member_id=OuterRef("invited_id"),
        kind=FactKind.PURCHASE,
        amount__gte=OuterRef("programme__at_least"),
        happened_at__gte=OuterRef("bound_at") - Value(ARRIVAL),
    )


def _settle_open(row: Referral, at: datetime) -> None:
    last = row.bound_at + timedelta(days=row.programme.within_days)
    act_at, order = _act(row)
    if row.invited.merged_into_id is not None or row.invited.erased_at is not None:
        why = {"key": "twice" if row.invited.merged_into_id is not None else "gone"}
        _close(row, State.REFUSED, at, reasons=[why])
    elif act_at is None or act_at > last:
        _close(row, State.LAPSED, at)
    else:
        row.state, row.act_at, row.order = State.WAITING, act_at, order
        row.due_at = max(act_at, row.bound_at) + timedelta(days=row.programme.wait_days)
        row.save(update_fields=["state", "act_at", "order", "due_at"])


def _act(row: Referral) -> tuple[datetime | None, Fact | None]:
    """Give when the invited person did what the programme asks, and by which order."""
    invited, programme = row.invited, row.programme
    if programme.act == Act.JOIN:
        return invited.joined_at, None
    if programme.act == Act.FOLLOW:
        followed = invited.followers.filter(subscribed=True, followed_at__isnull=False).order_by("followed_at").first()
        return (followed.followed_at if followed else None), None
    order = (
        Fact.objects.filter(
            ~undone(),
            member_id=invited.pk,
            kind=FactKind.PURCHASE,
            amount__gte=programme.at_least,
            happened_at__gte=row.bound_at - ARRIVAL,
        )
        .order_by("happened_at", "pk")
        .first()
    )
    return (order.happened_at, order) if order else (None, None)


def _close(row: Referral, state: str, at: datetime, *, reasons: list[dict[str, Any]] | None = None) -> None:
    row.state, row.settled_at = state, at
    if reasons is not None:
        row.reasons = reasons
    row.save(update_fields=["state", "settled_at", "reasons"])


# --- giving ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def pay_due(*, at: datetime) -> int:
    """Give, hold or refuse the next invitation whose waiting is over; 0 when none is. Killed anywhere, nobody gets two.

    Accounts are locked before the row, as refunds and merges do.
    """
    due = Referral.objects.filter(state=State.WAITING, due_at__lte=at).order_by("due_at", "pk")
    waiting = due.values_list("pk", "inviter_id", "invited_id").first()
    if waiting is None:
        return 0
    row = _locked(*waiting)
    if row is None or row.state != State.WAITING:
        return 1  # another worker was faster, or a merge came between: the next round sees it as it is
    refused = refusal(row, at)
    if refused is not None:
        _close(row, State.REFUSED, at, reasons=[refused])
        return 1
    found = doubts(row)
    if found:
        row.state, row.reasons = State.HELD, found
        row.save(update_fields=["state", "reasons"])
        _hold_circle(row)
        return 1
    _pay(row, at)
    point("invitations: given, not committed")
    return 1


def _locked(pk: int, inviter_id: int, invited_id: int) -> Referral | None:
    """Lock both accounts and then the row; None when the people of the row are others meanwhile."""
    lock_accounts([inviter_id, invited_id])
    rows = Referral.objects.select_for_update(of=("self",)).select_related("programme", "order")
    row = rows.filter(pk=pk).first()
    return row if row is not None and (row.inviter_id, row.invited_id) == (inviter_id, invited_id) else None


def _hold_circle(row: Referral) -> None:
    """Hold everybody of a circle: those who wait, and those who were rewarded before it closed."""
    people = circle(row)
    if not people:
        return
    others = Referral.objects.filter(invited_id__in=people).exclude(pk=row.pk)
    reasons = [{"key": "ring", "people": len(people)}]
    others.filter(state=State.WAITING).update(state=State.HELD, reasons=reasons)
    others.filter(state=State.PAID).update(state=State.DOUBTED, reasons=reasons)


def _pay(row: Referral, at: datetime) -> None:
    for side in _SIDES:
        _give(row, side, at)
    row.state, row.settled_at = State.PAID, at
    row.save()


def _give(row: Referral, side: str, at: datetime) -> None:
    """Give one side what the programme promises; the keys make it happen once."""
    programme, key = row.programme, f"referral:{row.pk}:{side}"
    points, template = getattr(programme, f"{side}_points"), getattr(programme, f"{side}_template")
    member_id: int = getattr(row, f"{side}_id")
    if not points and template is None:
        given = Given.NOTHING
    elif side == "inviter" and _over_limit(row, at):
        given, points = Given.LIMIT, 0
    else:
        given, coupon = Given.GIVEN, None
        if points:
            earn_points(
                operation=Operation(SYSTEM, key),
                member_id=member_id,
                points=points,
                source=SOURCE,
                number=str(row.pk),
                reason=programme.name,
                at=at,
            )
        if template is not None:
            outcome, coupon = give_promised(
                key=key, template=template, member_id=member_id, way=Way.PUSH, reason=programme.name, at=at
            )
            if outcome != CouponOutcome.GIVEN:
                given = Given.PARTLY if points else Given.MISSED
        setattr(row, f"{side}_coupon", coupon)
    setattr(row, f"{side}_given", given)
    setattr(row, f"{side}_points", points)


def _over_limit(row: Referral, at: datetime) -> bool:
    """Say whether the inviter was rewarded as often as the programme allows; their account is locked."""
    had = Referral.objects.filter(
        programme=row.programme, inviter_id=row.inviter_id, inviter_given__in=[Given.GIVEN, Given.PARTLY]
    )
    for name, period in _PERIODS:
        limit: int | None = getattr(row.programme, name)
        if limit is None:
            continue
        since = period_start(period, at, zone())
        rows = had.filter(settled_at__gte=since) if since is not None else had
        if rows.count() >= limit:
            return True
    return False


# --- decisions -------------------------------------------------------------------------------------------------------


@transaction.atomic
def decide(*, referral_id: int, approve: bool, reason: str, by: str, at: datetime) -> Referral:
    """Let somebody give what was held, or refuse it; what was given already is taken back. Raises DecisionRefused."""
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise DecisionRefused(_("Nothing was changed. A reason is needed."))
    people = Referral.objects.filter(pk=referral_id).values_list("pk", "inviter_id", "invited_id").first()
    row = _locked(*people) if people else None
    allowed = (State.HELD, State.DOUBTED) if approve else (State.HELD, State.DOUBTED, State.PAID)
    if row is None or row.state not in allowed:
        raise DecisionRefused(_("Nothing was changed. This was decided meanwhile."))
    before = row.state
    row.decided_by, row.note = by[:60], reason[:200]
    if not approve:
        row.state = State.REFUSED if before == State.HELD else State.RETURNING
        row.settled_at = at if before == State.HELD else row.settled_at
        row.save()
        if row.state == State.RETURNING:
            ring(tasks.settle, current_brand_id())
    elif before == State.DOUBTED:
        row.state = State.PAID
        row.save()
    else:
        refused = refusal(row, at)
        if refused is not None:
            row.reasons = [*row.reasons, refused]
            row.state, row.settled_at = State.REFUSED, at
            row.save()
        else:
            _pay(row, at)
    record_audit(
        action="approve invitation" if approve else "refuse invitation",
        obj=row,
        changes={"state": [before, row.state]},
        reason=reason,
    )
    return row


# --- taking back -----------------------------------------------------------------------------------------------------


def after_refund(fact: Fact) -> None:
    """Note that an order by which an invitation counts was sent back; a worker takes back what was given for it."""
    if fact.kind != FactKind.REFUND or fact.refers_id is None:
        return
    rows = Referral.objects.select_for_update(of=("self",)).select_related("programme", "order")
    row = rows.filter(order_id=fact.refers_id).first()
    if row is None or row.state not in (State.WAITING, State.HELD, State.PAID, State.DOUBTED):
        return
    order = row.order
    if order is None or order.amount - refunded(order) >= row.programme.at_least:
        return
    if row.state in (State.WAITING, State.HELD):
        _close(row, State.REFUSED, fact.received_at, reasons=[*row.reasons, {"key": "refunded"}])
        return
    row.state, row.reasons = State.RETURNING, [*row.reasons, {"key": "refunded"}]
    row.save(update_fields=["state", "reasons"])
    ring(tasks.settle, current_brand_id())


@transaction.atomic
def take_back_next(*, at: datetime) -> int:
    """Take back what the next invitation brought; 0 when none waits for it. Killed anywhere, nothing goes twice."""
    returning = Referral.objects.filter(state=State.RETURNING).order_by("pk")
    waiting = returning.values_list("pk", "inviter_id", "invited_id").first()
    if waiting is None:
        return 0
    row = _locked(*waiting)
    if row is None or row.state != State.RETURNING:
        return 1
    for side in _SIDES:
        if getattr(row, f"{side}_given") in (Given.GIVEN, Given.PARTLY):
            setattr(row, f"{side}_given", _take_back(row, side, at))
    row.state = State.RETURNED
    row.save()
    point("invitations: taken back, not committed")
    return 1


def _take_back(row: Referral, side: str, at: datetime) -> Given:
    key, came = f"referral:{row.pk}:{side}", Given.BACK
    back = Operation(SYSTEM, f"{key}:back")
    journal = Journal.objects.filter(actor=SYSTEM, key=key).first()
    if journal is not None:
        try:
            with transaction.atomic():
                reverse(operation=back, journal=journal, at=at, reason=row.programme.name)
        except (RefundBlocked, NothingToReverse, MemberGone):  # spent, or nobody is left to take it from
            came = Given.SPENT
    coupon = getattr(row, f"{side}_coupon")
    if coupon is not None and coupon.state in (CouponState.UNUSED, CouponState.HELD):
        try:
            with transaction.atomic():
                void_coupon(operation=back, coupon_id=coupon.pk, reason=f"{SOURCE}: {row.programme.name}", at=at)
        except (Unusable, MemberGone):
            came = Given.SPENT  # it was redeemed in the same moment, or nobody is left to take it from
    elif coupon is not None and coupon.state == CouponState.USED:
        came = Given.SPENT
    return came
