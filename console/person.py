"""What apps contribute to the page of one person: facts of its head, blocks of the card and entries of the timeline."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from common.clock import now
from console import formats
from console.http import viewer_of
from console.registry import (
    BASICS,
    BEHAVIOUR,
    WORTH,
    TimelineKind,
    panels,
    person_marks,
    portraits,
    timeline_kinds,
    timelines,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer
    from console.registry import Moment, Panel, Trait

T = TypeVar("T")
ENTRIES = 60
MOST_ENTRIES = 600
MOST_TRAITS = 6
_OTHER = TimelineKind("")
_BLOCKS = (
    (
        BASICS,
        gettext_lazy("Basics"),
        gettext_lazy("Nothing yet. What the person says, staff note or systems report stands here."),
    ),
    (
        BEHAVIOUR,
        gettext_lazy("Behaviour and interests"),
        gettext_lazy("Nothing yet. Scans, taps, tags and purchases fill this by themselves."),
    ),
    (
        WORTH,
        pgettext_lazy("of a person", "Value"),
        gettext_lazy("Nothing yet. It begins with joining or the first purchase."),
    ),
)


def with_marks(people: QuerySet[Any]) -> QuerySet[Any]:
    """Let the query for a person's page bring along what its blocks would ask for one by one."""
    marks = {_mark(key): expression() for key, expression in person_marks.items()}
    found: QuerySet[Any] = people.annotate(**marks)
    return found


def marked(person: Any, key: str) -> Any:
    """Give what the query for a person brought along; True where somebody came by another way, so that one looks."""
    return getattr(person, _mark(key), True)


def brought(person: Any, key: str) -> Any:
    """Give the value that the query for a person's page brought along; asks for it where somebody came another way."""
    kept = marked(person, key)
    if kept is not True:
        return kept
    expression = {_mark(key): person_marks.get(key)()}
    rows = type(person)._default_manager.filter(pk=person.pk).annotate(**expression)
    return rows.values_list(_mark(key), flat=True).first()


def _mark(key: str) -> str:
    return f"zy_{key.replace('.', '_')}"


def once(person: Any, key: str, ask: Callable[[], T]) -> T:
    """Ask something about a person once a page: their card and their timeline show much of the same."""
    kept: dict[str, Any] = person.__dict__.setdefault("zy_once", {})
    if key not in kept:
        kept[key] = ask()
    found: T = kept[key]
    return found


def timeline_of(person: Any, *, viewer: Viewer, only: str = "", limit: int = ENTRIES) -> list[Moment]:
    """Give the newest entries of every app (or one source) that the viewer may see, merged, newest first."""
    moments = []
    for key, entries in timelines.items():
        kind = timeline_kinds.find(key) or _OTHER
        if (only and only != key) or not _may(viewer, kind.area):
            continue
        found = entries(person, limit)
        moments += found if _may(viewer, kind.link_area) else [replace(each, link="") for each in found]
    moments.sort(key=lambda moment: moment.at, reverse=True)
    return moments[:limit]


def timeline_filter(request: HttpRequest) -> dict[str, Any]:
    """Give what a page with a timeline shows above and below it: the kinds to choose from, and older entries."""
    viewer = viewer_of(request)
    kinds = [(key, kind) for key, kind in timeline_kinds.items() if key in timelines and _may(viewer, kind.area)]
    kinds.sort(key=lambda pair: (pair[1].order, pair[0]))
    only = request.GET.get("only", "")
    only = only if any(key == only for key, _kind in kinds) else ""
    limit = MOST_ENTRIES if request.GET.get("older") == "1" else ENTRIES
    views = [{"label": _("All"), "link": "?", "active": not only}]
    views += [{"label": kind.label, "link": f"?only={key}", "active": key == only} for key, kind in kinds]
    older = "" if limit == MOST_ENTRIES else f"?only={only}&older=1"
    return {"only": only, "limit": limit, "timeline_views": views, "older_link": older}


def timeline_context(person: Any, request: HttpRequest) -> dict[str, Any]:
    """Give a person's timeline as a page shows it: filtered as the address says, by day."""
    chosen = timeline_filter(request)
    limit = chosen.pop("limit")
    moments = timeline_of(person, viewer=viewer_of(request), only=chosen.pop("only"), limit=limit)
    if len(moments) < limit:
        chosen["older_link"] = ""
    return {**chosen, "days": by_day(moments)}


def _may(viewer: Viewer, area: str) -> bool:
    return not area or viewer.can(f"{area}.view")


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


def portrait_of(person: Any, *, viewer: Viewer) -> list[dict[str, Any]]:
    """Give the three blocks at the head of a person's page, each with its first facts that the viewer may see."""
    told: list[Trait] = []
    for _key, each in portraits.items():
        if _may(viewer, each.area):
            found = each.tell(person)
            told += found if _may(viewer, each.link_area) else [replace(trait, link="") for trait in found]
    told.sort(key=lambda trait: trait.order)
    return [
        {
            "key": block,
            "label": label,
            "nothing": nothing,
            "traits": [trait for trait in told if trait.block == block][:MOST_TRAITS],
        }
        for block, label, nothing in _BLOCKS
    ]
