"""Reports of channels: the rows behind a figure, the quality ranking, the three models side by side."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from console.http import row_id, viewer_of
from console.registry import Chart, Series
from console.site import page_response
from members.selectors import visible_members
from touchpoints import on_screen, selectors
from touchpoints.models import TouchCase, Touchpoint
from touchpoints.selectors import FEWEST, MEASURES, WHOLE, Figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from touchpoints.selectors import Row

LEVELS: Final = ("code", "place", "medium")
MOST_BARS: Final = 12


def rows(request: HttpRequest) -> HttpResponse:
    """Show the touches behind one figure; their shares add up to it."""
    options = on_screen.read_options(request)
    figure = request.GET.get("figure", "scans")
    known = {"scans", *on_screen.row_links(options)} - set(TouchCase.values)
    case = request.GET.get("case", "")
    if figure not in known or case not in ("", *TouchCase.values):
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
    names = dict(Touchpoint.objects.filter(pk__in={row.touchpoint_id for row in found}).values_list("pk", "name"))
    return [
        {
            "row": row,
            "name": row.member_name or row.member_no if row.member_id in visible else "",
            "number": row.member_no if row.member_id in visible else "",
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
    rows_of = {
        row.pk: row
        for row in on_screen.in_reach(viewer_of(request), Touchpoint.objects.filter(archived_at__isnull=True))
    }
    wanted = [pk for pk, row in rows_of.items() if _level(row) == level]
    ranked = selectors.ranking(figures, wanted)
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
                "row": rows_of[each.touchpoint_id],
                "link": reverse("admin:touchpoints_touchpoint_change", args=[each.touchpoint_id]),
                "cost": figures.nodes[each.touchpoint_id].cost_of_each("kept_30"),
            }
            for each in ranked
            if each.score is not None
        ],
        "waiting": [{"quality": each, "row": rows_of[each.touchpoint_id]} for each in ranked if each.score is None],
        "measures": MEASURES,
        "fewest": FEWEST,
        "since": window.since.astimezone(options.zone).date() if window.since else None,
        "until": (options.at - selectors.SETTLED).astimezone(options.zone).date(),
    }
    return page_response(request, "touchpoints/quality.html", context)


def _level(row: Touchpoint) -> str:
    if row.scene:
        return "code"
    return "medium" if row.parent_id is None else "place"


# --- attribution -----------------------------------------------------------------------------------------------------


def attribution(request: HttpRequest) -> HttpResponse:
    """Show the same people under every model, so that one sees what the choice changes."""
    options = on_screen.read_options(request)
    figure = request.GET.get("figure", "join")
    measures = {"people": _("People who scanned"), **{key: str(stage.label) for key, stage in selectors.stages()}}
    figure = figure if figure in measures else "join"
    models = options.choices()["models"]
    nodes = selectors.tree_nodes()
    found = {model["value"]: options.figures(nodes, model=model["value"]) for model in models}
    reach = on_screen.reachable_ids(request)
    names = {node.pk: node.name for node in nodes if reach is None or node.pk in reach}
    paths = sorted(
        {path for each in found.values() for path in each.paths if path[-1] in names},
        key=lambda path: [names.get(pk, "") for pk in path],
    )
    tops = [path for path in paths if not any(pk in names for pk in path[:-1])]
    lines = [_model_line(path, names, found, figure, options) for path in paths if len(path) <= 3]
    wholes = [_sum(found[model["value"]].paths.get(path) for path in tops).parts[figure] for model in models]
    biggest = sorted(tops, key=lambda path: -found["first"].paths.get(path, Figures()).parts[figure])[:MOST_BARS]
    chart = Chart(
        _("%(figure)s by model") % {"figure": measures[figure]},
        options.window_label,
        [names[path[-1]] for path in biggest],
        [
            Series(
                model["label"],
                [found[model["value"]].paths.get(path, Figures()).parts[figure] / WHOLE for path in biggest],
            )
            for model in models
        ],
    )
    context = {
        "title": _("Attribution"),
        "options": options,
        "choices": options.choices(),
        "figure": figure,
        "keep": {"figure": figure},
        "figures": [{"label": label, "value": key, "active": key == figure} for key, label in measures.items()],
        "models": models,
        "lines": [line for line in lines if any(cell["parts"] for cell in line["cells"])],
        "wholes": [whole / WHOLE for whole in wholes],
        "chart": chart if biggest else None,
    }
    return page_response(request, "touchpoints/attribution.html", context)


def _sum(figures: Any) -> Figures:
    whole = Figures()
    for each in figures:
        whole.add(each or Figures())
    return whole


def _model_line(
    path: selectors.Path,
    names: dict[int, str],
    found: dict[str, selectors.TreeFigures],
    figure: str,
    options: on_screen.Options,
) -> dict[str, Any]:
    cells = []
    values = []
    for model, figures in found.items():
        parts = figures.paths.get(path, Figures()).parts[figure]
        values.append(parts)
        mine = replace(options, model=model)
        cells.append({"parts": parts, "value": parts / WHOLE, "link": on_screen.row_links(mine, path=path)[figure]})
    return {
        "name": names[path[-1]],
        "level": sum(pk in names for pk in path),
        "link": reverse("admin:touchpoints_touchpoint_change", args=[path[-1]]),
        "cells": cells,
        "spread": (max(values) - min(values)) / WHOLE,
    }
