"""Telling people that points end: noted once for a day, carried by the first way that reaches them, never twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q

from common.failpoints import point
from common.registry import Registry
from loyalty.models import ExpiryWarning
from loyalty.selectors import points as selectors
from members.gate import gate_for
from members.models import Purpose

if TYPE_CHECKING:
    from datetime import datetime

AT_ONCE: Final = 200
AGAIN: Final = timedelta(hours=6)  # between two tries to reach somebody no way reaches yet
_FIRST_HOUR, _LAST_HOUR = 9, 21

# callable(*, warning=ExpiryWarning, text=str, at=datetime) -> bool: sends or queues the text, in the transaction that
# notes it; False when this way does not reach the person now. Ways are asked in the order of their keys.
on_warning: Registry[Callable[..., bool]] = Registry(
    "expiry warnings", purpose="who carries the news that points end: callable(*, warning, text, at) -> bool"
)

# How operators may write what is filled in: in either language of the console.
POINTS_WORDS: Final = ("{points}", "{积分}")
DAY_WORDS: Final = ("{day}", "{日期}")


def warn_of_expiry(*, at: datetime) -> int:
    """Note whose points end within the brand's days of warning; gives how many are new."""
    soon = selectors.ending_soon(at=at, days=selectors.policy().warn_days)
    told = set(
        ExpiryWarning.objects.filter(day__in={day for _member, day, *_rest in soon}).values_list("member_id", "day")
    )
    fresh = [
        ExpiryWarning(member_id=member_id, day=day, points=points, lots=lots, at=at)
        for member_id, day, points, lots in soon
        if (member_id, day) not in told
    ]
    return len(ExpiryWarning.objects.bulk_create(fresh, ignore_conflicts=True, batch_size=1000))


@transaction.atomic
def carry_warnings(*, at: datetime, limit: int = AT_ONCE) -> int:
    """Tell some of those who were not told yet, by day only; gives how many were looked at.

    Whom no way reaches is tried again until the day is over. Killed anywhere, nobody is told twice.
    """
    settings, local = selectors.policy(), at.astimezone(selectors.zone())
    if not settings.warn_text or not _FIRST_HOUR <= local.hour < _LAST_HOUR:
        return 0
    rows = list(
        ExpiryWarning.objects.select_for_update(skip_locked=True)
        .filter(Q(tried_at=None) | Q(tried_at__lt=at - AGAIN), way="", day__gte=local.date())
        .order_by("day", "pk")[:limit]
    )
    refusing = gate_for([row.member_id for row in rows], purpose=Purpose.SERVICE).refusing
    for row in rows:
        row.tried_at = at
        if row.member_id not in refusing:
            row.way = _tell(row, settings.warn_text, at)
    ExpiryWarning.objects.bulk_update(rows, ["tried_at", "way"])
    point("warnings: told, not noted")
    return len(rows)


def _tell(row: ExpiryWarning, text: str, at: datetime) -> str:
    for spelling in POINTS_WORDS:
        text = text.replace(spelling, f"{row.points:,}")
    for spelling in DAY_WORDS:
        text = text.replace(spelling, row.day.isoformat())
    for key, tell in on_warning.items():
        if tell(warning=row, text=text, at=at):
            return key
    return ""
