"""Questions about warnings that points end: whom they reached."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Q

from loyalty.models import ExpiryWarning, Unreached
from loyalty.selectors.points import zone

if TYPE_CHECKING:
    from datetime import date, datetime

STATES: Final = ("told", "waiting", "missed", "dropped")
_LOOKED_BACK: Final = timedelta(days=90)


def _in_state(state: str, today: date) -> Q:
    empty = Q(way="", why=Unreached.NOTHING_LEFT)
    untold = Q(way="") & ~Q(why=Unreached.NOTHING_LEFT)
    return {
        "told": ~Q(way=""),
        "waiting": untold & Q(day__gte=today),
        "missed": untold & Q(day__lt=today),
        "dropped": empty,
    }[state]


def warnings_of(state: str, *, at: datetime, before: int | None, limit: int) -> list[ExpiryWarning]:
    """Give warnings in a state (or all), the newest first."""
    today = at.astimezone(zone()).date()
    rows = ExpiryWarning.objects.select_related("member")
    if state:
        rows = rows.filter(_in_state(state, today))
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return list(rows.order_by("-pk")[:limit])


def figures_of(*, at: datetime) -> dict[str, Any]:
    """Count warnings of days in the last 90 and to come by state; those not told also by reason."""
    today = at.astimezone(zone()).date()
    rows = ExpiryWarning.objects.filter(day__gte=today - _LOOKED_BACK)
    counted = rows.aggregate(**{state: Count("pk", filter=_in_state(state, today)) for state in STATES})
    whys = (
        rows.filter(way="").exclude(why=Unreached.NOTHING_LEFT).order_by("why").values_list("why").annotate(Count("pk"))
    )
    return {**counted, "why": dict(whys)}
