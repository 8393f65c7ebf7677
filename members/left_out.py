"""Whom reports leave out: those flagged as staff, test people or blocked, each while the flag held."""

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
    "AND (f.since IS NULL OR f.since <= {at}) AND (f.until IS NULL OR f.until > {at}))"
)


def held(*, at: Any, since: Any = None) -> Q:
    """Give the flags that held at a moment, or at any between `since` and it; both may be expressions."""
    return (Q(since=None) | Q(since__lte=at)) & (Q(until=None) | Q(until__gt=at if since is None else since))


def left_out(*, by: datetime, since: datetime | None = None) -> QuerySet[Any]:
    """Give the ids of whom reports about a moment leave out; with `since` about a window that ends then."""
    return Flag.objects.filter(held(at=by, since=since)).order_by().values("member_id")
