"""Reports of channels: the rows behind a figure, the quality ranking, the three models side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.clock import now
from console.http import row_id, viewer_of
from console.registry import Chart, Series
from console.site import page_response
from members.opened import Way, shows
from members.selectors import visible_members
from members.services import note_listed
from touchpoints import on_screen, selectors
from touchpoints.models import TouchCase, Touchpoint
from touchpoints.selectors import FEWEST, MEASURES, WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from touchpoints.selectors import Node, Row

MOST_DEEP: Final = 20
LEVELS: Final = ("code", "place", "medium")
MOST_BARS: Final = 12
MOST_RANKED: Final = 100  # on a page
MOST_WAITING: Final = 100  # of those without a score


def rows(request: HttpRequest) -> HttpResponse:
    """Show the touches behind one figure; their shares add up to it."""
    options = on_screen.read_options(request)
    figure = request.GET.get("figure", "scans")
    case = request.GET.get("case", "")
    if figure not in on_screen.figure_keys() or case not in ("", *TouchCase.values):
        raise Http404
    path = on_screen.path_of_text(request.GET.get("at", ""))
    channel = _channel(request, path)
    found = options.rows(
        figure=figure,
        touchpoint_id=channel.pk if channel and not path else None,
        path=path,
        case=case,
        reachable=_ids(request),
        after=_after(request),
    )
    shown, more = found[: selectors.PAGE], len(found) > selectors.PAGE
    context = {
        "title": _rows_title(figure, channel),
        "zy_object": channel or _("All channels"),
        "options": options,
        "rows": _named(request, shown, figure),
        "channel": channel,
        "case": on_screen.case_label(case) if case else "",
        "meaning": selectors.attributions.get(options.model).meaning,
        "whole": figure == "scans",
        "total": sum(row.part for row in shown) if not more and not _after(request) else None,
        "next": _next_link(request, shown) if more else "",
        "first": bool(_after(request)),
        "back": reverse("admin:touchpoints_touchpoint_changelist") + options.query(),
    }
    return page_response(request, "touchpoints/rows.html", context)


def _rows_title(figure: str, channel: Touchpoint | None) -> str:
    label = figure_label(figure)
    return _("%(channel)s: %(figure)s") % {"channel": channel.name if channel else _("All channels"), "figure": label}


def figure_label(figure: str) -> str:
    """Name a figure."""
    stages = {key: str(stage.label) for key, stage in selectors.stages()}
    fixed = {"scans": _("Scans"), "people": _("People who scanned")}
    for days in selectors.STAYS:
        fixed[f"kept_{days}"] = _("Still following after %(days)s days") % {"days": days}
        fixed[f"old_{days}"] = _("Followed at least %(days)s days ago") % {"days": days}
    fixed["bargain_30"] = _("Came for a benefit only")
    for days in selectors.VALUES:
        fixed[f"bought_{days}"] = _("Bought within %(days)s days of following") % {"days": days}
    return (fixed | stages)[figure]


def _channel(request: HttpRequest, path: selectors.Path) -> Touchpoint | None:
    asked = path[-1] if path else row_id(request.GET.get("channel"))
    if asked is None:
        return None
    channel = on_screen.in_reach(viewer_of(request), Touchpoint.objects.filter(pk=asked)).first()
    if channel is None:
        raise Http404
    return channel


def _ids(request: HttpRequest) -> frozenset[int] | None:
    return on_screen.reachable_ids(request)


def _after(request: HttpRequest) -> tuple[datetime, int] | None:
    text, _dot, number = request.GET.get("after", "").partition("_")
    pk = row_id(number)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment, pk) if pk is not None and moment.tzinfo is not None else None


def _next_link(request: HttpRequest, shown: Sequence[Row]) -> str:
    query = request.GET.copy()
    query["after"] = f"{shown[-1].at.isoformat()}_{shown[-1].touch_id}"
    return "?" + query.urlencode()


def _named(request: HttpRequest, found: Sequence[Row], figure: str) -> list[dict[str, Any]]:
    """Give rows with names of people in reach; others stay unnamed."""
    people = {row.member_id for row in found}
    visible = set(visible_members(viewer_of(request)).filter(pk__in=people).values_list("pk", flat=True))
    note_listed(people=visible, page="touchpoints.rows", at=now())
    names = dict(Touchpoint.objects.filter(pk__in={row.touchpoint_id for row in found}).values_list("pk", "name"))
    return [
        {
            "row": row,
            "name": row.member_name or row.member_no if row.member_id in visible else "",
            "number": row.member_no if row.member_id in visible and row.member_name else "",
            "link": reverse("admin:members_member_change", args=[row.member_id]) if row.member_id in visible else "",
            "channel": names.get(row.touchpoint_id, ""),
            "channel_link": reverse("admin:touchpoints_touchpoint_change", args=[row.touchpoint_id]),
            "case": on_screen.case_label(row.case),
            "share": None if figure == "scans" else row.part / WHOLE,
        }
        for row in found
    ]


# --- quality ---------------------------------------------------------------------------------------------------------


def quality(request: HttpRequest) -> HttpResponse:
    """Rank channels by what became of their followers, not by how many there were."""
    level = request.GET.get("level", "code")
    level = level if level in LEVELS else "code"
    options = on_screen.read_options(request)
    nodes = selectors.tree_nodes()
    figures = options.figures(nodes, settled=True)
    reach = on_screen.reachable_ids(request)
    wanted = {
        node.pk: node
        for node in nodes
        if node.archived_at is None and (reach is None or node.pk in reach) and _level(node) == level
    }
    ranked = selectors.ranking(figures, wanted)
    scored = [each for each in ranked if each.score is not None]
    waiting = ranked[len(scored) :]
    page = on_screen.Pages(request, len(scored), size=MOST_RANKED)
    window = selectors.settled_window(options.at, options.zone)
    context = {
        "title": _("Quality ranking"),
        "options": options,
        "levels": [
            {"label": label, "value": value, "active": value == level}
            for value, label in (("code", _("Codes")), ("place", _("Places")), ("medium", _("Media")))
        ],
        "lines": [
            {
                "quality": each,
                "row": wanted[each.touchpoint_id],
                "link": reverse("admin:touchpoints_touchpoint_change", args=[each.touchpoint_id]),
                "cost": figures.nodes[each.touchpoint_id].cost_of_each("kept_30"),
                "value": figures.nodes[each.touchpoint_id].value_of_each(30),
            }
            for each in page.of(scored)
        ],
        "pages": page,
        "waiting": [{"quality": each, "row": wanted[each.touchpoint_id]} for each in waiting[:MOST_WAITING]],
        "all_waiting": len(waiting),
        "measures": MEASURES,
        "fewest": FEWEST,
        "bargain_days": selectors.BARGAIN_DAYS,
        "since": window.since.astimezone(options.zone).date() if window.since else None,
        "until": (options.at - selectors.SETTLED).astimezone(options.zone).date(),
    }
    return page_response(request, "touchpoints/quality.html", context)


def _level(node: Node) -> str:
    if node.is_code:
        return "code"
    return "medium" if node.parent_id is None else "place"


# --- attribution -----------------------------------------------------------------------------------------------------


def attribution(request: HttpRequest) -> HttpResponse:
    """Show the same people under every model, so that one sees what the choice changes."""
    options = on_screen.read_options(request)
    figure = request.GET.get("figure", "join")
    measures = {"people": _("People who scanned"), **{key: str(stage.label) for key, stage in selectors.stages()}}
    figure = figure if figure in measures else "join"
    models = options.choices()["models"]
    compared = _Compared(request, options, [model["value"] for model in models], figure)
    context = {"figure": figure, "options": options, "models": models}
    if "branch" in request.GET:
        path = on_screen.path_of_text(request.GET["branch"])
        level = row_id(request.GET.get("level")) or 0
        if not compared.places.has(path) or not 1 < level < MOST_DEEP:
            raise Http404
        found = compared.below(path, level=level, depth=2)
        below = [place for place in found if place.level == level]
        context |= {
            "lines": compared.lines(below[: on_screen.MOST_LINES], found),
            "left_out": max(0, len(below) - on_screen.MOST_LINES),
            "level": level,
        }
        return TemplateResponse(request, "touchpoints/_model_lines.html", context)
    found = compared.below()
    shown, left_out = on_screen.opened(found)
    tops = compared.places.below(depth=1)
    biggest = sorted(tops, key=lambda place: -compared.parts(place, "first"))[:MOST_BARS]
    chart = Chart(
        _("%(figure)s by model") % {"figure": measures[figure]},
        options.window_label,
        [compared.names[place.pk] for place in biggest],
        [
            Series(model["label"], [compared.parts(place, model["value"]) / WHOLE for place in biggest])
            for model in models
        ],
    )
    context |= {
        "title": _("Attribution"),
        "choices": options.choices(),
        "keep": {"figure": figure},
        "figures": [{"label": label, "value": key, "active": key == figure} for key, label in measures.items()],
        "lines": compared.lines(shown, found),
        "left_out": left_out,
        "wholes": [sum(compared.parts(place, model["value"]) for place in tops) / WHOLE for model in models],
        "chart": chart if biggest else None,
    }
    return page_response(request, "touchpoints/attribution.html", context)


class _Compared:
    """One figure of the tree under every model, for the channels a person may see."""

    def __init__(self, request: HttpRequest, options: on_screen.Options, models: Sequence[str], figure: str) -> None:
        nodes = selectors.tree_nodes()
        reach = on_screen.reachable_ids(request)
        seen = [node for node in nodes if reach is None or node.pk in reach]
        self._options, self._figure, self._models = options, figure, models
        self._found = options.by_model(nodes, models=models, key=figure)
        self.names = {node.pk: node.name for node in seen}
        counted = {path for each in self._found.values() for path in each.paths}
        self.places = on_screen.Places(seen, self._found[models[0]].shape, counted)

    def parts(self, place: on_screen.Place, model: str) -> int:
        """Give the share of people that a place has under a model."""
        figures = self._found[model].paths.get(place.path)
        return figures.parts[self._figure] if figures else 0

    def below(self, path: selectors.Path = (), *, level: int = 1, depth: int = MOST_DEEP) -> list[on_screen.Place]:
        """Give the places below one that have anything."""
        found = self.places.below(path, level=level, depth=depth)
        return [place for place in found if any(self.parts(place, model) for model in self._models)]

    def lines(self, shown: Sequence[on_screen.Place], found: Sequence[on_screen.Place]) -> list[dict[str, Any]]:
        """Give places as lines of a table with a column for each model; `found` has what can be shown below them."""
        deepest = max((place.level for place in shown), default=0)
        children = Counter(place.above for place in found)
        return [self._line(place, children[place.path], is_deepest=place.level == deepest) for place in shown]

    def _line(self, place: on_screen.Place, children: int, *, is_deepest: bool) -> dict[str, Any]:
        values = [self.parts(place, model) for model in self._models]
        links = [
            on_screen.RowLinks(replace(self._options, model=model), path=place.path)[self._figure]
            for model in self._models
        ]
        return {
            "name": self.names[place.pk],
            "level": place.level,
            "children": children,
            "more": on_screen.more_below(self._options, place, figure=self._figure) if children and is_deepest else "",
            "link": reverse("admin:touchpoints_touchpoint_change", args=[place.pk]),
            "cells": [
                {"parts": parts, "value": parts / WHOLE, "link": link}
                for parts, link in zip(values, links, strict=True)
            ],
            "spread": (max(values) - min(values)) / WHOLE,
        }


shows("touchpoints.rows", gettext_lazy("Scans behind a figure"), "name", "number", "behaviour", way=Way.LIST)
