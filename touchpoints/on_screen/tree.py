"""The tree of channels on screen: which lines it has, which of them are shown at once, and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.urls import reverse

from console import formats
from touchpoints import selectors
from touchpoints.on_screen.pages import MOST_LINES
from touchpoints.on_screen.reports import RowLinks
from touchpoints.on_screen.words import kind_of, state_of
from touchpoints.selectors import Figures, Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from touchpoints.models import Touchpoint
    from touchpoints.on_screen.options import Options
    from touchpoints.selectors import CodeHealth, Path, Shape, TreeFigures


Natural = tuple[tuple[int, int | str], ...]


def natural(name: str) -> Natural:
    """Give a key that sorts names as people count: stand 2 before stand 10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part)) if number % 2 else (1, part) for number, part in enumerate(parts) if part)


@dataclass(frozen=True)
class Place:
    """A place that a line of the tree shows, `above` the one it hangs below; places from before a move come last."""

    path: Path
    level: int
    above: Path = ()
    is_past: bool = False

    @property
    def pk(self) -> int:
        """Give the node that stands there."""
        return self.path[-1]


class Places:
    """The lines of a tree from top to bottom: what hangs below what. Only paths, so thousands take milliseconds."""

    def __init__(self, rows: Iterable[Touchpoint | Node], shape: Shape, counted: Iterable[Path]) -> None:
        self._known = {row.pk: row for row in rows}
        today = shape.parents[-1]
        homes = {pk: selectors.path_of(today, pk) for pk in self._known}
        paths = dict.fromkeys(homes.values(), False)
        paths |= {path: True for path in counted if path[-1] in self._known and homes[path[-1]] != path}
        below: dict[Path, list[tuple[bool, Natural, Path]]] = {}
        for path, is_past in paths.items():
            above = path[:-1]
            while above and above not in paths:  # the nearest place above that the person may see
                above = above[:-1]
            below.setdefault(above, []).append((is_past, natural(self._known[path[-1]].name), path))
        self._below = {above: sorted(found) for above, found in below.items()}
        self._paths = frozenset(paths)

    def has(self, path: Path) -> bool:
        """Say whether a line is of this place."""
        return path in self._paths

    def below(self, path: Path = (), *, level: int = 1, depth: int = 99) -> list[Place]:
        """Give the lines below a place down to a depth, from top to bottom."""
        found: list[Place] = []
        waiting = [(path, each, level) for each in reversed(self._below.get(path, ()))]
        while waiting:
            above, (is_past, _name, each), at = waiting.pop()
            found.append(Place(each, at, above, is_past))
            if at - level + 1 < depth:
                waiting.extend((each, inner, at + 1) for inner in reversed(self._below.get(each, ())))
        return found

    def moved_away(self, place: Place) -> bool:
        """Say whether the node stands elsewhere today."""
        above = place.path[-2] if len(place.path) > 1 else None
        return place.is_past and self._known[place.pk].parent_id != above


def opened(places: Sequence[Place]) -> tuple[list[Place], int]:
    """Give the levels that are shown at once: as many whole ones as there is room for, and how many lines are left out.

    Lines are left out of a first level only that is too long by itself.
    """
    for depth in range(max((place.level for place in places), default=1), 0, -1):
        shown = [place for place in places if place.level <= depth]
        if len(shown) <= MOST_LINES:
            return shown, 0
    return shown[:MOST_LINES], len(shown) - MOST_LINES


@dataclass(frozen=True)
class Cell:
    """A figure as the tree shows it: text, rows behind it, both parts of a rate; phones leave `wide` ones out."""

    text: str
    link: str = ""
    title: str = ""
    wide: bool = False


def cells(figures: Figures, links: RowLinks) -> list[Cell]:
    """Give the figures of a line: scans, new followers, new members, who stayed, cost, cost of a new member."""
    kept, old = figures.people("kept_30"), figures.people("old_30")
    stayed = figures.rate("kept_30", "old_30")
    each = figures.cost_of_each("join")
    return [
        Cell(formats.count(figures.scans), links["scans"] if figures.scans else ""),
        *(
            Cell(formats.count(number), links[key] if number else "", wide=wide)
            for key, number, wide in (
                ("follow", figures.people("follow"), False),
                ("join", figures.people("join"), True),
            )
        ),
        Cell(formats.rate(stayed), links["kept_30"] if kept else "", f"{kept:,} / {old:,}" if old else "", wide=True),
        Cell(formats.fen(figures.cost or None), wide=True),
        Cell(formats.fen(each), wide=True),
    ]


@dataclass(frozen=True)
class Line:
    """One line of the tree: a node at one place, its figures, and where they open; `more` gives what hangs below."""

    row: Touchpoint
    path: Path
    level: int
    figures: Figures
    cells: list[Cell]
    state: dict[str, str]
    kind: str
    owner: str
    moved_away: bool
    children: int
    more: str
    tags: list[str]
    link: str


@dataclass(frozen=True)
class Facts:
    """What lines show beside figures."""

    health: dict[int, CodeHealth]
    tags: dict[int, list[str]]
    owners: dict[tuple[str, int], str]


def tree_lines(
    shown: Sequence[Place],
    children: Mapping[Path, int],
    places: Places,
    rows: dict[int, Touchpoint],
    figures: TreeFigures,
    options: Options,
    facts: Facts,
) -> list[Line]:
    """Give places as lines."""
    deepest = max((place.level for place in shown), default=0)
    query = options.query()
    lines = []
    for place in shown:
        row, mine = rows[place.pk], figures.paths.get(place.path) or Figures()
        count = children.get(place.path, 0)
        lines.append(
            Line(
                row=row,
                path=place.path,
                level=place.level,
                figures=mine,
                cells=cells(mine, RowLinks(options, path=place.path)),
                state=state_of(row, facts.health.get(row.pk), options.at),
                kind=kind_of(row),
                owner=facts.owners.get((row.owner_kind, row.owner_id or 0), ""),
                moved_away=places.moved_away(place),
                children=count,
                more=more_below(options, place) if count and place.level == deepest else "",
                tags=facts.tags.get(row.pk, []),
                link=reverse("admin:touchpoints_touchpoint_change", args=[row.pk]) + query,
            )
        )
    return lines


def more_below(options: Options, place: Place, **more: str) -> str:
    """Give the address of the lines directly below a place."""
    return options.query(branch="-".join(map(str, place.path)), level=place.level + 1, **more)


def nodes_of(rows: Iterable[Touchpoint]) -> list[Node]:
    """Give rows as the shape of the tree needs them."""
    return [
        Node(row.pk, row.name, row.parent_id, bool(row.scene) or selectors.is_way(row.origin), row.archived_at)
        for row in rows
    ]


def scoped_whole(figures: TreeFigures, places: Places) -> Figures:
    """Give the sum of the lines at the top: the whole of what the person sees."""
    whole = Figures()
    for place in places.below(depth=1):
        whole.add(figures.paths.get(place.path) or Figures())
    return whole
