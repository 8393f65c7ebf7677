"""Changes to guides and to who looks after whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction

from accounts.services import record_audit
from guides.models import Assignment, Guide
from guides.selectors import guide_of, guide_of_code, owning_guide
from members import services as member_services
from members.merging import Joined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from members.models import Member
    from touchpoints.models import Touch, Touchpoint


@transaction.atomic
def assign_guide(*, member_id: int, guide: Guide, reason: str, at: datetime, replace: bool = False) -> Assignment:
    """Make a guide the exclusive guide of a person. Who already has one keeps them unless `replace`."""
    current = (
        Assignment.objects.select_for_update()
        .select_related("guide")
        .filter(member_id=member_id, until__isnull=True)
        .first()
    )
    if current is not None and (current.guide_id == guide.pk or not replace):
        return current
    if current is not None:
        current.until = at
        current.save(update_fields=["until"])
    assignment = Assignment.objects.create(member_id=member_id, guide=guide, since=at, reason=reason)
    before = str(current.guide) if current else None
    record_audit(action="assign guide", obj=assignment, changes={"guide": [before, str(guide)]}, reason=reason)
    return assignment


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


def assign_by_code(touch: Touch) -> None:
    """Whoever scans a guide's code without having a guide gets that one; their store comes along.

    A code is a guide's when it is theirs, or when a guide answers for it.
    """
    if touch.touchpoint is None:
        return
    guide = guide_of_code(touch.touchpoint_id) or owning_guide(touch.touchpoint)
    if guide is None:
        return
    assign_guide(member_id=touch.member_id, guide=guide, reason=f"code: {touch.touchpoint.name}", at=touch.at)
    member_services.set_store(member_id=touch.member_id, store=guide.store, at=touch.at)


def give_code(*, guide: Guide, touchpoint: Touchpoint) -> Guide:
    """Tie a code to a guide: whoever follows through it gets this guide."""
    guide.touchpoint = touchpoint
    guide.save(update_fields=["touchpoint"])
    return guide


def _move_assignments(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one: who became the guide first stays it, whatever arrived first."""
    now = Assignment.objects.filter(member__in=[kept, merged], until__isnull=True)
    ranked = sorted(now, key=lambda row: (row.since, row.member_id != kept.pk, row.pk))
    now.filter(pk__in=[row.pk for row in ranked[1:]]).update(until=at)
    return Assignment.objects.filter(member=merged).update(member=kept)


ASSIGNMENTS: Final = Joined((Assignment,), _move_assignments)


def shown_guide(member_id: int) -> list[str]:
    """Say who looks after somebody, for the preview of a merge."""
    guide = guide_of(member_id)
    return [f"{guide.name} {guide.staff_no}"] if guide else []
