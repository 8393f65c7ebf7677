"""Telling people that points end: noted once for a day, carried by the first way that reaches them, never twice.

What is said is what is there when it is said: days may lie between the note and the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from common.failpoints import point
from loyalty.models import ExpiryWarning, Unreached
from loyalty.news import kinds
from loyalty.selectors import points as selectors
from loyalty.services.notices import AGAIN, AT_ONCE, Owed, by_day, tell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from loyalty.models import Lot

LOTS_WORDS: Final = kinds.get("points").spellings("lots")
MOST_LOTS: Final = 5  # that one message lists


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

    Whom no way reaches is tried again until the day is over. Whoever has points that end on several days is told of
    them in one message, the soonest first, where the text lists them. Killed anywhere, nobody is told twice. Points
    that were spent or prolonged since are not told; points that came for the same day are. A warning of which nothing
    is left is closed with that reason, and looked at again for points that come back until the day is over.
    """
    settings, today = selectors.policy(), at.astimezone(selectors.zone()).date()
    if not settings.warn_text or not by_day(at):
        return 0
    rows = list(
        ExpiryWarning.objects.select_for_update(skip_locked=True)
        .filter(Q(tried_at=None) | Q(tried_at__lt=at - AGAIN), way="", day__gte=today)
        .order_by("day", "pk")[:limit]
    )
    until = max((row.day for row in rows), default=today)
    ending = selectors.ending_lots({row.member_id for row in rows}, at=at, until=until)
    for row in rows:
        lots = ending.get((row.member_id, row.day), [])
        row.lots = [[lot.pk, lot.remaining] for lot in lots]
        row.points = sum(lot.remaining for lot in lots)
        if not lots:
            row.tried_at, row.why = at, Unreached.NOTHING_LEFT.value
    for theirs in _messages(
        [row for row in rows if row.lots], in_one=any(word in settings.warn_text for word in LOTS_WORDS)
    ):
        told = tell(settings.warn_text, _owed(theirs, ending), about="points", at=at)
        for member_id, each in theirs.items():
            for row in each:
                row.tried_at = at
                row.way, row.why = told[member_id]
    ExpiryWarning.objects.bulk_update(rows, ["points", "lots", "tried_at", "way", "why"])
    point("warnings: told, not noted")
    return len(rows)


def _messages(rows: list[ExpiryWarning], *, in_one: bool) -> list[dict[int, list[ExpiryWarning]]]:
    """Give what each message is about: all days of a person where the text lists them, else a message a day."""
    rounds: list[dict[int, list[ExpiryWarning]]] = [{}]
    for row in rows:
        if in_one:
            rounds[0].setdefault(row.member_id, []).append(row)
            continue
        free = next((each for each in rounds if row.member_id not in each), None)
        if free is None:
            free = {}
            rounds.append(free)
        free[row.member_id] = [row]
    return rounds


def _owed(theirs: Mapping[int, list[ExpiryWarning]], ending: Mapping[tuple[int, date], list[Lot]]) -> dict[int, Owed]:
    return {
        member_id: Owed(
            {
                "points": f"{sum(row.points for row in rows):,}",
                "day": rows[0].day.isoformat(),
                "lots": _listed([(row.day, lot) for row in rows for lot in ending[member_id, row.day]]),
            },
            tuple(row.pk for row in rows),
            {way: until for row in rows for way, until in row.ways_held.items()},
            rows[0].why,
        )
        for member_id, rows in theirs.items()
    }


def _listed(lots: list[tuple[date, Lot]]) -> str:
    """Say lot by lot how many points end when, and since when they are there; the soonest first."""
    here, lines = selectors.zone(), []
    for day, lot in lots[:MOST_LOTS]:
        since = lot.earned_at.astimezone(here).date().isoformat()
        words = {"points": f"{lot.remaining:,}", "until": day.isoformat(), "since": since}
        lines.append(_("%(until)s: %(points)s (of %(since)s)") % words)
    if len(lots) > MOST_LOTS:
        lines.append(_("%(count)s more lots") % {"count": len(lots) - MOST_LOTS})
    return _("; ").join(lines)
