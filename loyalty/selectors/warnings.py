"""Questions about news of what people have: whom they reached."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Q

from loyalty.models import ExpiryWarning, Notice, Unreached
from loyalty.selectors.points import zone

if TYPE_CHECKING:
    from datetime import date, datetime

    from django.db.models import QuerySet

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


def _of(about: str) -> QuerySet[Any]:
    return ExpiryWarning.objects.all() if about == "points" else Notice.objects.filter(about=about)


def warnings_of(
    state: str, *, about: str, at: datetime, before: int | None, limit: int
) -> list[ExpiryWarning] | list[Notice]:
    """Give warnings of a kind in a state (or all), the newest first."""
    today = at.astimezone(zone()).date()
    rows = _of(about).select_related("member")
    if state:
        rows = rows.filter(_in_state(state, today))
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return list(rows.order_by("-pk")[:limit])


def figures_of(*, about: str, at: datetime) -> dict[str, Any]:
    """Count warnings of a kind and of days in the last 90 and to come by state; those not told also by reason."""
    today = at.astimezone(zone()).date()
    rows = _of(about).filter(day__gte=today - _LOOKED_BACK)
    counted = rows.aggregate(**{state: Count("pk", filter=_in_state(state, today)) for state in STATES})
    whys = (
        rows.filter(way="").exclude(why=Unreached.NOTHING_LEFT).order_by("why").values_list("why").annotate(Count("pk"))
    )
    return {**counted, "why": dict(whys)}
