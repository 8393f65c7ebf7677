"""Questions about guides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Q

from guides.models import Assignment, Guide

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.viewer import Viewer


@dataclass(frozen=True)
class OwnGuide:
    """A member's guide, and why it is them."""

    staff_no: str
    name: str
    store_name: str
    since: datetime
    reason: str


def guide_of_code(touchpoint_id: int | None) -> Guide | None:
    """Give the working guide a code belongs to."""
    if touchpoint_id is None:
        return None
    return Guide.objects.select_related("store").filter(touchpoint_id=touchpoint_id, is_active=True).first()


def guide_of(member_id: int) -> OwnGuide | None:
    """Give a member's guide now."""
    row = (
        Assignment.objects.select_related("guide", "guide__store")
        .filter(member_id=member_id, until__isnull=True)
        .first()
    )
    if row is None:
        return None
    return OwnGuide(row.guide.staff_no, row.guide.name, row.guide.store.name, row.since, row.reason)


def member_counts(guide_ids: list[int]) -> dict[int, int]:
    """Give how many members each guide looks after now."""
    rows = (
        Assignment.objects.filter(guide_id__in=guide_ids, until__isnull=True)
        .values("guide_id")
        .annotate(people=Count("pk"))
        .order_by("guide_id")
    )
    return {row["guide_id"]: row["people"] for row in rows}


def members_of_viewer(viewer: Viewer) -> Q:
    """Narrow members to those the viewer looks after as a guide."""
    mine = Assignment.objects.filter(guide__staff_user_id=viewer.staff_id, until__isnull=True)
    return Q(pk__in=mine.values("member_id"))
