"""Telling people that points end: noted once for a day, carried by the first way that reaches them, never twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from common.failpoints import point
from loyalty.models import ExpiryWarning, Lot
from loyalty.selectors import points as selectors
from loyalty.services.notices import AGAIN, AT_ONCE, SPELLINGS, Owed, by_day, tell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LOTS_WORDS: Final = SPELLINGS["points"]["lots"]
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
    them in one message, the soonest first, where the text lists them. Killed anywhere, nobody is told twice.
    """
    settings, today = selectors.policy(), at.astimezone(selectors.zone()).date()
    if not settings.warn_text or not by_day(at):
        return 0
    rows = list(
        ExpiryWarning.objects.select_for_update(skip_locked=True)
        .filter(Q(tried_at=None) | Q(tried_at__lt=at - AGAIN), way="", day__gte=today)
        .order_by("day", "pk")[:limit]
    )
    for theirs in _messages(rows, in_one=any(word in settings.warn_text for word in LOTS_WORDS)):
        told = tell(settings.warn_text, _owed(theirs), about="points", at=at)
        for member_id, each in theirs.items():
            for row in each:
                row.tried_at = at
                row.way, row.why = told[member_id]
    ExpiryWarning.objects.bulk_update(rows, ["tried_at", "way", "why"])
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


def _owed(theirs: Mapping[int, list[ExpiryWarning]]) -> dict[int, Owed]:
    lots = [lot for rows in theirs.values() for row in rows for lot, _points in row.lots]
    earned = dict(Lot.objects.filter(pk__in=lots).order_by().values_list("pk", "earned_at"))
    return {
        member_id: Owed(
            {
                "points": f"{sum(row.points for row in rows):,}",
                "day": rows[0].day.isoformat(),
                "lots": _listed(rows, earned),
            },
            tuple(row.pk for row in rows),
            {way: until for row in rows for way, until in row.ways_held.items()},
        )
        for member_id, rows in theirs.items()
    }


def _listed(rows: list[ExpiryWarning], earned: Mapping[int, datetime]) -> str:
    """Say lot by lot how many points end when, and since when they are there; the soonest first."""
    here, lines = selectors.zone(), []
    for row in rows:
        for lot, points in row.lots:
            words = {"points": f"{points:,}", "until": row.day.isoformat(), "since": ""}
            if lot in earned:
                words["since"] = earned[lot].astimezone(here).date().isoformat()
            lines.append(_("%(until)s: %(points)s (of %(since)s)") % words)
    more = len(lines) - MOST_LOTS
    if more > 0:
        lines = [*lines[:MOST_LOTS], _("%(count)s more lots") % {"count": more}]
    return _("; ").join(lines)
