"""Whom reports leave out: those flagged as staff, test people or blocked, each from the moment of the flag on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q

from members.models import Flag

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

# For statements by hand: of somebody `{who}` who counts at `{at}`; nothing but names and placeholders goes in.
COUNTS: Final = (
    "NOT EXISTS (SELECT 1 FROM members_flag f WHERE f.brand_id = %(brand)s AND f.member_id = {who} "
    "AND (f.since IS NULL OR f.since <= {at}))"
)


def left_out(*, by: datetime) -> QuerySet[Any]:
    """Give the ids of whom reports about a moment leave out."""
    return Flag.objects.filter(Q(since=None) | Q(since__lte=by)).order_by().values("member_id")
