"""What apps contribute to the page of one person: blocks of the card and entries of the timeline."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from common.clock import now
from console import formats
from console.registry import panels, timelines

if TYPE_CHECKING:
    from django.http import HttpRequest

    from console.registry import Moment, Panel

ENTRIES = 60


def timeline_of(person: Any, *, limit: int = ENTRIES) -> list[Moment]:
    """Give the newest entries of every app, merged, newest first."""
    moments = [moment for _key, entries in timelines.items() for moment in entries(person, limit)]
    moments.sort(key=lambda moment: moment.at, reverse=True)
    return moments[:limit]


def by_day(moments: list[Moment]) -> list[dict[str, Any]]:
    """Group entries by day of the brand's zone: today, yesterday, then dates."""
    today = formats.local(now()).date()

    def label(day: Any) -> str:
        passed = (today - day).days
        return {0: _("Today"), 1: _("Yesterday")}.get(passed, formats.local_time(day))

    days = groupby(moments, key=lambda moment: formats.local(moment.at).date())
    return [{"label": label(day), "moments": list(rows)} for day, rows in days]


def panels_of(person: Any, request: HttpRequest) -> list[Panel]:
    """Give the blocks of the person's card that the role may see."""
    made = [panel for _key, make in panels.items() if (panel := make(person, request)) is not None]
    return sorted(made, key=lambda panel: panel.order)
