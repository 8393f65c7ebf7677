"""Corrections by hand: with a reason, and above the brand's limit only with a second person."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.viewer import current_viewer
from loyalty.errors import AdjustmentRefused, DecidedAlready, KeyReused, OwnRequest, PointsShort, PolicyInvalid
from loyalty.models import (
    Adjustment,
    AdjustmentState,
    ExpiryKind,
    Journal,
    JournalKind,
    Pocket,
    PointsPolicy,
)
from loyalty.selectors import points as selectors
from loyalty.services.ledger import (
    MOST_POINTS,
    About,
    Leg,
    Operation,
    done_before,
    fingerprint,
    open_account,
    post,
)
from loyalty.services.points import give, out_of, take

if TYPE_CHECKING:
    from datetime import datetime

SHORTEST_REASON: Final = 2
ONE_DAY: Final = timedelta(days=1)
APPROVES: Final = "points.approve"
_KEPT: Final = ("id", "brand", "updated_at", "past_costs")  # the service's own
_SPANS: Final = {
    ExpiryKind.ROLLING: (1, 120),
    ExpiryKind.MONTH_END: (0, 120),
    ExpiryKind.YEAR_END: (0, 10),
    ExpiryKind.ACTIVITY: (1, 120),
}


@transaction.atomic
def adjust_points(*, member_id: int, points: int, reason: str, at: datetime, key: str = "") -> Adjustment:
    """Give (or below zero take) points by hand. Above the limit it waits for a second person.

    The limit is for what one person gives (or takes) one member within a day, however many adjustments that is.
    With a key of the member's page the same request again is the first one.

    Raises AdjustmentRefused, PointsShort, MemberGone, KeyReused.
    """
    if not isinstance(points, int) or isinstance(points, bool) or not 1 <= abs(points) <= MOST_POINTS:
        raise AdjustmentRefused(
            _("Nothing was done. An adjustment moves at least one point."),
            hint=_("Enter a whole number; below zero takes points away."),
            field="points",
        )
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise AdjustmentRefused(
            _("Nothing was done. A reason is needed."), hint=_("Say in a few words why."), field="reason"
        )
    member_id, viewer = open_account(member_id).member_id, current_viewer()
    asked_by = viewer.staff_id if viewer else None
    known = Adjustment.objects.filter(asked_by_id=asked_by, key=key).first() if key else None
    if known is not None:
        if (known.member_id, known.points, known.reason) != (member_id, points, reason[:200]):
            raise KeyReused
        return known
    there = selectors.balance_of(member_id).spendable
    if points < 0 and there < -points:
        raise PointsShort(asked=-points, there=there)
    earlier = _moved_alone(member_id, asked_by, given=points > 0, at=at)
    adjustment = Adjustment.objects.create(
        member_id=member_id,
        points=points,
        reason=reason[:200],
        asked_by_id=asked_by,
        asked_at=at,
        earlier=earlier,
        key=key,
    )
    if earlier + abs(points) <= selectors.policy().adjust_limit:
        _carry_out(adjustment, at)
        record_audit(action="adjust points", obj=adjustment, changes={"points": [0, points]}, reason=reason)
    else:
        record_audit(action="ask for points", obj=adjustment, changes={"points": [0, points]}, reason=reason)
    return adjustment


@transaction.atomic
def decide_adjustment(*, adjustment_id: int, approve: bool, at: datetime, note: str = "") -> Adjustment:
    """Approve or reject a correction that waits. Raises OwnRequest, DecidedAlready, PointsShort, MemberGone."""
    adjustment = Adjustment.objects.select_for_update().get(pk=adjustment_id)
    if adjustment.state != AdjustmentState.PENDING:
        raise DecidedAlready
    viewer = current_viewer()
    by = viewer.staff_id if viewer else None
    if approve and (by is None or by == adjustment.asked_by_id):
        raise OwnRequest
    adjustment.decided_by_id = by if by != adjustment.asked_by_id else None
    adjustment.decided_at, adjustment.note = at, note.strip()[:200]
    if approve:
        _carry_out(adjustment, at)
    else:
        adjustment.state = AdjustmentState.REJECTED
        adjustment.save()
    action = "approve points" if approve else "reject points"
    record_audit(action=action, obj=adjustment, changes={"points": [0, adjustment.points]}, reason=adjustment.note)
    return adjustment


def _moved_alone(member_id: int, asked_by: int | None, *, given: bool, at: datetime) -> int:
    """Add what somebody gave (or took) a member within a day without a second person. The account is locked."""
    rows = Adjustment.objects.filter(
        member_id=member_id,
        asked_by_id=asked_by,
        state=AdjustmentState.DONE,
        decided_by=None,
        asked_at__gt=at - ONE_DAY,
    )
    rows = rows.filter(points__gt=0) if given else rows.filter(points__lt=0)
    total: int | None = rows.aggregate(all=Sum("points"))["all"]
    return abs(total or 0)


def _carry_out(adjustment: Adjustment, at: datetime) -> Journal:
    points = adjustment.points
    operation = Operation("staff", f"adjustment:{adjustment.pk}")
    asked = fingerprint(act="adjust", member=adjustment.member_id, points=points)
    known = done_before(operation, asked)
    if known is not None:
        return known
    account = open_account(adjustment.member_id)
    about = About(
        JournalKind.ADJUST,
        account.member_id,
        points,
        "adjustment",
        at,
        reason=adjustment.reason,
        detail={"adjustment": adjustment.pk},
    )
    if points > 0:
        journal = give(operation, asked, about, account, Pocket.ADJUSTED, selectors.policy())
    else:
        legs = [*out_of(take(account, -points, at), account.member_id), Leg(Pocket.ADJUSTED, -points)]
        journal = post(operation, asked, about, legs, {account.member_id: account})
    adjustment.state, adjustment.journal = AdjustmentState.DONE, journal
    adjustment.save()
    return journal


@transaction.atomic
def set_policy(*, settings: PointsPolicy, at: datetime) -> PointsPolicy:
    """Save how points work. Lots that exist keep their day. Raises PolicyInvalid."""
    low, high = _SPANS.get(ExpiryKind(settings.expiry), (0, 120))
    if not low <= settings.expiry_span <= high:
        raise PolicyInvalid(
            _("Not saved. For this kind of expiry the number is %(low)s to %(high)s.") % {"low": low, "high": high},
            field="expiry_span",
        )
    before, viewer = selectors.policy(), current_viewer()
    limit = before.adjust_limit
    if settings.adjust_limit != limit and viewer is not None and not viewer.can(APPROVES):
        # Whoever asks for points must not be the one who says from when on a second person is needed.
        raise PolicyInvalid(
            _("Not saved. From when on a second person is needed is changed by somebody who may approve adjustments."),
            hint=_("Leave the limit at %(limit)s, or ask an owner to change it.") % {"limit": f"{limit:,}"},
            field="adjust_limit",
        )
    names = [field.attname for field in settings._meta.local_fields if field.name not in _KEPT]
    changes = {
        name: [getattr(before, name), getattr(settings, name)]
        for name in names
        if getattr(before, name) != getattr(settings, name)
    }
    settings.pk, settings.updated_at = before.pk, at
    settings.past_costs = list(before.past_costs)
    if settings.cost_per_100 != before.cost_per_100:
        settings.past_costs.append({"until": at.isoformat(), "cost": before.cost_per_100})
    settings.save()
    if changes:
        record_audit(action="change points settings", obj=settings, changes=changes)
    return settings
