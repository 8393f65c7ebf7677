"""What the page of the tree shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404
from django.utils.translation import gettext

from console.http import row_id, viewer_of
from touchpoints import on_screen, selectors
from touchpoints.models import Touchpoint, TouchpointTag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpRequest

    from touchpoints.on_screen import Line, Options, Place, Places

MOST_DEEP: Final = 20


def tree_context(request: HttpRequest) -> dict[str, Any]:
    """Give what the page of the tree shows: lines with figures, saved views, permanent codes."""
    tree = _Tree(request)
    options, rows = tree.options, tree.rows
    health = selectors.code_health(rows.values(), now=options.at)
    views = _views(options, request.GET.get("show", ""), list(rows.values()), health)
    whole = tree.figures.whole if tree.reaches_all else on_screen.scoped_whole(tree.figures, tree.places)
    term = request.GET.get("q", "").strip().casefold()
    wanted = next((view["wanted"] for view in views if view["active"]), None)
    flat = bool(term) or wanted is not None
    found = [
        place
        for place in tree.places.below()
        if (not term or term in rows[place.pk].name.casefold())
        and (wanted(rows[place.pk]) if wanted else tree.is_shown(place))
    ]
    page = on_screen.Pages(request, len(found))
    shown, left_out = (page.of(found), 0) if flat else on_screen.opened(found)
    return {
        "tree": tree.lines(shown, found, health),
        "flat": flat,
        "pages": page if flat else None,
        "left_out": left_out,
        "whole": on_screen.cells(whole, on_screen.RowLinks(options)),
        "options": options,
        "choices": options.choices(),
        "views": views,
        "moved": bool(tree.figures.shape.moments) or not options.as_it_was,
        "meters": on_screen.code_meters(options.at),
        "at": options.at,
        "has_codes": any(row.scene for row in rows.values()),
        "may_edit": viewer_of(request).can("touchpoints.edit"),
    }


def branch_context(request: HttpRequest) -> dict[str, Any]:
    """Give the lines directly below a place, for a tree that is too large to be shown at once."""
    path = on_screen.path_of_text(request.GET.get("branch", ""))
    tree = _Tree(request, below=path[-1] if path else None)
    level = row_id(request.GET.get("level")) or 0
    if not tree.places.has(path) or not 1 < level < MOST_DEEP:
        raise Http404
    found = [place for place in tree.places.below(path, level=level, depth=2) if tree.is_shown(place)]
    below = [place for place in found if place.level == level]
    shown = below[: on_screen.MOST_LINES]
    health = selectors.code_health([tree.rows[place.pk] for place in shown], now=tree.options.at)
    left_out = len(below) - len(shown)
    return {"tree": tree.lines(shown, found, health), "flat": False, "left_out": left_out, "level": level}


class _Tree:
    """The channels a person may see, their places and their figures."""

    options: Options
    places: Places

    def __init__(self, request: HttpRequest, *, below: int | None = None) -> None:
        self.options = on_screen.read_options(request)
        everything = list(Touchpoint.objects.order_by("name", "pk").defer("welcome", "benefit"))
        reach = on_screen.reachable_ids(request)
        self.reaches_all = reach is None
        self.rows = {row.pk: row for row in everything if reach is None or row.pk in reach}
        self.figures = self.options.figures(on_screen.nodes_of(everything), below=below)
        self.places = on_screen.Places(self.rows.values(), self.figures.shape, self.figures.paths)

    def is_shown(self, place: Place) -> bool:
        """Say whether a place is shown without being asked for: an archived one only while it is scanned."""
        if self.rows[place.pk].archived_at is None:
            return True
        figures = self.figures.paths.get(place.path)
        return figures is not None and figures.scans > 0

    def lines(
        self, shown: Sequence[Place], found: Sequence[Place], health: dict[int, selectors.CodeHealth]
    ) -> list[Line]:
        """Give places as lines; `found` are those that can be shown, also below these."""
        ids = {place.pk for place in shown}
        tags: dict[int, list[str]] = {}
        tagged = TouchpointTag.objects.filter(touchpoint__in=ids).order_by("pk")
        for touchpoint_id, name in tagged.values_list("touchpoint_id", "tag__name"):
            tags.setdefault(touchpoint_id, []).append(name)
        owners = selectors.owner_names([self.rows[pk] for pk in ids])
        children = Counter(place.above for place in found)
        facts = on_screen.Facts(health, tags, owners)
        return on_screen.tree_lines(shown, children, self.places, self.rows, self.figures, self.options, facts)


def _views(
    options: Options, chosen: str, rows: list[Touchpoint], health: dict[int, selectors.CodeHealth]
) -> list[dict[str, Any]]:
    """Give the saved views above the tree, with how many codes each holds; empty ones are left out."""

    def has(*ailments: selectors.Ailment) -> Callable[[Touchpoint], bool]:
        asked = set(ailments)
        return lambda row: bool(row.scene) and not asked.isdisjoint(health[row.pk].ailments)

    attention = has(*set(selectors.Ailment) - {selectors.Ailment.NO_SCAN})
    wanted: list[tuple[str, str, Callable[[Touchpoint], bool]]] = [
        ("quiet", gettext("No scan in 30 days"), has(selectors.Ailment.NO_SCAN)),
        ("print", gettext("Prints that end"), has(selectors.Ailment.PRINT_ENDS)),
        ("ailing", gettext("Need attention"), lambda row: bool(row.problem) or attention(row)),
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
        count = sum(keep(row) for row in rows)
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
