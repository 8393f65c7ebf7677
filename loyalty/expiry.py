"""When points end: the four policies, in the brand's time zone. A lot can be spent until its moment, not at it."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo


def expires_at(kind: str, span: int, *, earned_at: datetime, zone: ZoneInfo) -> datetime | None:
    """Give the first moment at which points earned (or last moved) at a moment are gone; None: they never end."""
    last_day = _LAST_DAYS[kind]
    if last_day is None:
        return None
    day = last_day(earned_at.astimezone(zone).date(), span)
    return datetime.combine(day + timedelta(days=1), time(0), tzinfo=zone).astimezone(UTC)


def months_later(day: date, months: int) -> date:
    """Give the same day of a later month, or its last day where it is shorter."""
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(years, month + 1, min(day.day, calendar.monthrange(years, month + 1)[1]))


def _month_end(day: date, months: int) -> date:
    later = months_later(day.replace(day=1), months)
    return later.replace(day=calendar.monthrange(later.year, later.month)[1])


def _year_end(day: date, years: int) -> date:
    return date(day.year + years, 12, 31)


_LAST_DAYS: dict[str, Callable[[date, int], date] | None] = {
    "NEVER": None,
    "ROLLING": months_later,
    "MONTH_END": _month_end,
    "YEAR_END": _year_end,
    "ACTIVITY": months_later,
}
