"""Changes to guides and to who looks after whom."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from guides.errors import GuideHasLeft, GuidePolicyRefused
from guides.models import Assignment, Guide, GuidePolicy
from guides.selectors import guide_of, guide_of_code, owning_guide, policy, protected_until
from members import services as member_services
from members.merging import Joined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from members.models import Member
    from touchpoints.models import Touch, Touchpoint

MOST_DAYS: Final = 3650
AT_ONCE: Final = 2_000


@transaction.atomic
def assign_guide(*, member_id: int, guide: Guide, reason: str, at: datetime, replace: bool = False) -> Assignment:
    """Make a guide the exclusive guide of a person. Who has one who works here keeps them unless `replace`."""
    current = _current(member_id)
    if current is not None and (current.guide_id == guide.pk or not (replace or not current.guide.is_active)):
        return current
    return _put(current, member_id=member_id, guide=guide, reason=reason, at=at)


def _current(member_id: int) -> Assignment | None:
    rows = Assignment.objects.select_for_update(of=("self",)).select_related("guide")
    return rows.filter(member_id=member_id, until__isnull=True).first()


def _put(current: Assignment | None, *, member_id: int, guide: Guide, reason: str, at: datetime) -> Assignment:
    if current is not None:
        current.until = at
        current.save(update_fields=["until"])
    assignment = Assignment.objects.create(member_id=member_id, guide=guide, since=at, reason=reason[:120])
    before = str(current.guide) if current else None
    record_audit(action="assign guide", obj=assignment, changes={"guide": [before, str(guide)]}, reason=reason)
    return assignment


@transaction.atomic
def hand_over(*, member_ids: Sequence[int], guide: Guide, reason: str, at: datetime) -> int:
    """Give people to a guide, whoever looks after them now; gives how many changed hands. Raises GuideHasLeft."""
    if not guide.is_active:
        raise GuideHasLeft(guide.name)
    open_ones = Assignment.objects.filter(member_id__in=member_ids, until__isnull=True)
    before = dict(open_ones.select_for_update().order_by("pk").values_list("member_id", "guide_id"))
    changing = [pk for pk in dict.fromkeys(member_ids) if before.get(pk) != guide.pk]
    open_ones.filter(member_id__in=changing).update(until=at)
    Assignment.objects.bulk_create(
        [Assignment(member_id=pk, guide=guide, since=at, reason=reason[:120]) for pk in changing], batch_size=1000
    )
    if changing:
        names = {row.pk: str(row) for row in Guide.objects.filter(pk__in=set(before.values())).order_by("pk")}
        record_audit(
            action="hand members over",
            obj=guide,
            changes={
                "guide": [sorted({names[before[pk]] for pk in changing if pk in before}), str(guide)],
                "count": [None, len(changing)],
            },
            reason=reason,
        )
    return len(changing)


@transaction.atomic
def set_policy(*, protected_days: int | None, valid_days: int | None, at: datetime) -> GuidePolicy:
    """Say how long guides keep members against other guides' codes. Raises GuidePolicyRefused."""
    for name, days in (("protected_days", protected_days), ("valid_days", valid_days)):
        if days is not None and not 0 <= days <= MOST_DAYS:
            raise GuidePolicyRefused(
                _("Days are a whole number up to %(most)s.") % {"most": MOST_DAYS}, hint="", field=name
            )
    if valid_days == 0 or (valid_days is not None and protected_days is not None and protected_days > valid_days):
        raise GuidePolicyRefused(
            _("Nobody is protected for longer than the relation is valid, and it is valid for a day at least."),
            hint=_("Shorten the protected days, or leave the valid days empty."),
            field="protected_days",
        )
    rules = policy()
    changes = {
        name: [getattr(rules, name), days]
        for name, days in (("protected_days", protected_days), ("valid_days", valid_days))
        if getattr(rules, name) != days
    }
    rules.protected_days, rules.valid_days, rules.changed_at = protected_days, valid_days, at
    rules.save()
    record_audit(action="change rules of guides", obj=rules, changes=changes)
    return rules


def end_lapsed(*, at: datetime, limit: int = AT_ONCE) -> int:
    """End relations that are valid no more, the oldest first; gives how many."""
    rules = policy()
    if rules.valid_days is None:
        return 0
    old = Assignment.objects.filter(until__isnull=True, since__lte=at - timedelta(days=rules.valid_days))
    ids = list(old.order_by("since", "pk").values_list("pk", flat=True)[:limit])
    return Assignment.objects.filter(pk__in=ids, until__isnull=True).update(until=at)


def assign_members(*, member_ids: Sequence[int], guide: Guide, reason: str, at: datetime) -> dict[int, int]:
    """Make a guide the exclusive guide of those of these people who have none; gives the assignments by person."""
    taken = set(
        Assignment.objects.filter(member_id__in=member_ids, until__isnull=True).values_list("member_id", flat=True)
    )
    rows = Assignment.objects.bulk_create(
        [
            Assignment(member_id=member_id, guide=guide, since=at, reason=reason[:120])
            for member_id in dict.fromkeys(member_ids)
            if member_id not in taken
        ],
        batch_size=1000,
    )
    return {row.member_id: row.pk for row in rows}


@transaction.atomic
def assign_by_code(touch: Touch) -> None:
    """Whoever scans a guide's code without having a guide gets that one; their store comes along.

    A code is a guide's when it is theirs, or when a guide answers for it. Who has another guide keeps them, unless that
    one has left or the brand's days of protection are over.
    """
    if touch.touchpoint is None:
        return
    guide = guide_of_code(touch.touchpoint_id) or owning_guide(touch.touchpoint)
    if guide is None:
        return
    current = _current(touch.member_id)
    if current is None or (current.guide_id != guide.pk and _is_open(current, touch.at)):
        _put(current, member_id=touch.member_id, guide=guide, reason=f"code: {touch.touchpoint.name}", at=touch.at)
    member_services.set_store(member_id=touch.member_id, store=guide.store, at=touch.at)


def _is_open(current: Assignment, at: datetime) -> bool:
    """Say whether another guide's code takes somebody over. A push that comes late counts for its own time."""
    if not current.guide.is_active:
        return True
    ends = protected_until(current.since, policy())
    return ends is not None and at >= ends


def give_code(*, guide: Guide, touchpoint: Touchpoint) -> Guide:
    """Tie a code to a guide: whoever follows through it gets this guide."""
    guide.touchpoint = touchpoint
    guide.save(update_fields=["touchpoint"])
    return guide


def _move_assignments(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one: who became the guide first and works here stays it."""
    now = Assignment.objects.filter(member__in=[kept, merged], until__isnull=True)
    ranked = sorted(
        now.select_related("guide"),
        key=lambda row: (not row.guide.is_active, row.since, row.member_id != kept.pk, row.pk),
    )
    now.filter(pk__in=[row.pk for row in ranked[1:]]).update(until=at)
    return Assignment.objects.filter(member=merged).update(member=kept)


ASSIGNMENTS: Final = Joined((Assignment,), _move_assignments)


def shown_guide(member_id: int) -> list[str]:
    """Say who looks after somebody, for the preview of a merge."""
    guide = guide_of(member_id)
    return [f"{guide.name} {guide.staff_no}"] if guide else []
