"""Figures of the tree: those of every code, added up over the places it stood in, with what each place cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from touchpoints.models import Cost
from touchpoints.selectors.counting import counted_credits
from touchpoints.selectors.figures import Figures
from touchpoints.selectors.tree import Node, Path, Shape, descendants, path_of, shape, tree_nodes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import date, datetime, tzinfo

    from touchpoints.selectors.figures import Credited, Window


class Credits(Protocol):
    """Gives the figures of codes in each span of the tree, for each model.

    `codes` narrows what is given to some codes, `keys` to some figures, where that costs less.
    """

    def __call__(
        self,
        window: Window,
        *,
        models: Collection[str],
        now: datetime,
        zone: tzinfo,
        moments: Sequence[datetime] = (),
        codes: Collection[int] | None = None,
        keys: Collection[str] | None = None,
    ) -> dict[str, Credited]: ...


@dataclass(frozen=True)
class TreeFigures:
    """Figures of every node wherever it stood (`nodes`), of every place in the tree (`paths`), and of the whole tree.

    A branch that was moved and kept its past has two paths; what stands below a path always adds up to it.
    """

    nodes: dict[int, Figures]
    paths: dict[Path, Figures]
    whole: Figures
    shape: Shape


def tree_figures(
    window: Window,
    *,
    model: str,
    now: datetime,
    zone: tzinfo,
    as_it_was: bool = True,
    nodes: Sequence[Node] | None = None,
    below: int | None = None,
    credited: Credits = counted_credits,
) -> TreeFigures:
    """Give the figures of the whole tree, or of a branch: the same few queries for one node and for a thousand.

    `credited` says where they are read from: the touches, or the sums made of them. With `below` only that node and
    what stands or stood below it has figures.
    """
    return trees_by_model(
        window,
        models=[model],
        now=now,
        zone=zone,
        as_it_was=as_it_was,
        nodes=nodes,
        below=below,
        credited=credited,
    )[model]


def trees_by_model(
    window: Window,
    *,
    models: Collection[str],
    now: datetime,
    zone: tzinfo,
    as_it_was: bool = True,
    nodes: Sequence[Node] | None = None,
    below: int | None = None,
    keys: Collection[str] | None = None,
    credited: Credits = counted_credits,
) -> dict[str, TreeFigures]:
    """Give the figures of the tree under several models from one reading; with `keys` only those shares of people."""
    nodes = tree_nodes() if nodes is None else nodes
    form = shape(nodes, as_it_was=as_it_was)
    codes = None
    if below is not None:
        codes = frozenset(pk for parents in form.parents for pk in descendants(parents, below))
    found = credited(window, models=models, now=now, zone=zone, moments=form.moments, codes=codes, keys=keys)
    costs = [row for row in _costs(window, now, zone, form.moments) if codes is None or row[0] in codes]
    return {model: _added_up(nodes, form, found[model], costs) for model in models}


def _added_up(
    nodes: Sequence[Node], form: Shape, credited: Credited, costs: Iterable[tuple[int, int, int]]
) -> TreeFigures:
    paths: dict[Path, Figures] = {}
    for (pk, span), figures in credited.items():
        paths.setdefault(path_of(form.parents[span], pk), Figures()).add(figures)
    for pk, span, amount in costs:
        paths.setdefault(path_of(form.parents[span], pk), Figures()).cost += amount
    whole = Figures()
    for depth in range(max(map(len, paths), default=0), 0, -1):
        for path in [path for path in paths if len(path) == depth]:
            above = paths.setdefault(path[:-1], Figures()) if depth > 1 else whole
            above.add(paths[path])
    by_node = {node.pk: Figures() for node in nodes}
    for path, figures in paths.items():
        by_node.setdefault(path[-1], Figures()).add(figures)
    return TreeFigures(by_node, paths, whole, form)


def _costs(window: Window, now: datetime, zone: tzinfo, moments: Sequence[datetime]) -> Iterable[tuple[int, int, int]]:
    """Give what each node cost in the window, by span of the tree: (node, span, fen)."""
    first = window.since.astimezone(zone).date() if window.since else None
    end = min(window.until, now).astimezone(zone).date() + timedelta(days=1)  # today counts
    edges = [moment.astimezone(zone).date() for moment in moments]
    for row in Cost.objects.order_by("pk"):
        for span in range(len(edges) + 1):
            low = max(filter(None, (first, edges[span - 1] if span else None)), default=row.starts_on)
            high = min(end, edges[span]) if span < len(edges) else end
            amount = cost_between(row, low, high)
            if amount:
                yield row.touchpoint_id, span, amount


def cost_between(cost: Cost, first: date, end: date) -> int:
    """Give the part of a cost that falls on the days from `first` up to before `end`; parts add up to the whole."""
    days = (cost.ends_on - cost.starts_on).days + 1

    def up_to(day: date) -> int:
        passed = min(max((day - cost.starts_on).days, 0), days)
        return cost.amount * passed // days

    return max(0, up_to(end) - up_to(first))
