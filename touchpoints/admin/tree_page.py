"""What the page of the tree shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext

from console.http import viewer_of
from touchpoints import on_screen, selectors
from touchpoints.models import Touchpoint, TouchpointTag

if TYPE_CHECKING:
    from django.http import HttpRequest

SHOWN: Final = 2_000


def tree_context(request: HttpRequest) -> dict[str, Any]:
    """Give what the page of the tree shows: lines with figures, saved views, permanent codes."""
    options = on_screen.read_options(request)
    everything = list(Touchpoint.objects.order_by("name", "pk")[:SHOWN])
    reach = on_screen.reachable_ids(request)
    rows = [row for row in everything if reach is None or row.pk in reach]
    figures = options.figures(on_screen.nodes_of(everything))
    tags: dict[int, list[str]] = {}
    for touchpoint_id, name in TouchpointTag.objects.order_by("pk").values_list("touchpoint_id", "tag__name"):
        tags.setdefault(touchpoint_id, []).append(name)
    health = selectors.code_health(rows, now=options.at)
    owners = selectors.owner_names(rows)
    lines = on_screen.tree_lines(rows, figures, options, health=health, tags=tags, owners=owners)
    views = _views(options, request.GET.get("show", ""), rows, health)
    whole = figures.whole if reach is None else on_screen.scoped_whole(lines)
    term = request.GET.get("q", "").strip().casefold()
    wanted = next((view["wanted"] for view in views if view["active"]), None)
    flat = bool(term) or wanted is not None
    gone = {row.pk for row in rows if row.archived_at is not None}
    return {
        "tree": [
            line
            for line in lines
            if (not term or term in line.row.name.casefold())
            and (wanted(line.row) if wanted else line.row.pk not in gone or line.figures.scans)
        ],
        "flat": flat,
        "whole": on_screen.cells(whole, on_screen.row_links(options)),
        "options": options,
        "choices": options.choices(),
        "views": views,
        "moved": bool(figures.shape.moments) or not options.as_it_was,
        "meters": on_screen.code_meters(options.at),
        "at": options.at,
        "has_codes": any(row.scene for row in rows),
        "may_edit": viewer_of(request).can("touchpoints.edit"),
    }


def _views(
    options: on_screen.Options, chosen: str, rows: list[Touchpoint], health: dict[int, selectors.CodeHealth]
) -> list[dict[str, Any]]:
    """Give the saved views above the tree, with how many codes each holds; empty ones are left out."""

    def has(*ailments: selectors.Ailment) -> Any:
        return lambda row: bool(row.scene) and bool(set(ailments) & set(health[row.pk].ailments))

    ailing = set(selectors.Ailment) - {selectors.Ailment.NO_SCAN}
    wanted: list[tuple[str, str, Any]] = [
        ("quiet", gettext("No scan in 30 days"), has(selectors.Ailment.NO_SCAN)),
        ("ailing", gettext("Need attention"), lambda row: bool(row.problem) or has(*ailing)(row)),
        ("archived", gettext("Archived"), lambda row: row.archived_at is not None),
    ]
    views = [
        {
            "label": gettext("All"),
            "link": options.query(),
            "active": chosen not in {key for key, *_rest in wanted},
            "count": None,
            "wanted": None,
        }
    ]
    for key, label, keep in wanted:
        count = sum(bool(keep(row)) for row in rows)
        if count or key == chosen:
            views.append(
                {
                    "label": label,
                    "link": options.query(show=key),
                    "active": key == chosen,
                    "count": count,
                    "wanted": keep,
                }
            )
    return views
