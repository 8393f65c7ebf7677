"""The shape of the channel tree: today, as it stood at a moment, and what stands below what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from touchpoints.models import Move, Touchpoint
from touchpoints.origins import TOP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet


Path = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A node as the shape needs it. `is_code`: people come by it, by a code or by a way of WeChat's own."""

    pk: int
    name: str
    parent_id: int | None
    is_code: bool
    archived_at: datetime | None


@dataclass(frozen=True)
class Shape:
    """Where nodes stand, and where they stood: `moments` cut time into spans, `parents[i]` is the tree of span i.

    Only moves that keep the past make a span; a move that restates it has changed all of them.
    """

    moments: list[datetime]
    parents: list[dict[int, int | None]]


def tree_nodes() -> list[Node]:
    """Give every node of the brand's tree."""
    rows = Touchpoint.objects.order_by("name", "pk")
    return [
        Node(pk, name, parent_id, bool(scene) or is_way(origin), archived)
        for pk, name, parent_id, scene, origin, archived in rows.values_list(
            "pk", "name", "parent_id", "scene", "origin", "archived_at"
        )
    ]


def is_way(origin: str) -> bool:
    """Say whether people come by this origin: it ranks like a code, and nothing stands below it."""
    return origin not in ("", TOP)


def folders() -> QuerySet[Touchpoint]:
    """Give the nodes below which something can stand: neither codes nor ways of WeChat's own."""
    return Touchpoint.objects.filter(scene="", origin__in=("", TOP))


def below(nodes: Iterable[Node], pk: int) -> set[int]:
    """Give a node and everything below it."""
    return descendants({node.pk: node.parent_id for node in nodes}, pk)


def descendants(parents: dict[int, int | None], pk: int) -> set[int]:
    """Give a node and everything below it in a tree given as child → parent."""
    children: dict[int | None, list[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found, waiting = set(), [pk]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting.extend(children.get(each, []))
    return found


def path_of(parents: Mapping[int, int | None], pk: int) -> Path:
    """Give the nodes from the top of the tree down to a node; a circle ends where it closes."""
    path, above = [pk], parents.get(pk)
    while above is not None and above not in path:
        path.append(above)
        above = parents.get(above)
    return tuple(reversed(path))


def places(
    form: Shape, *, touchpoint_id: int | None, path: Path, reachable: Collection[int] | None
) -> list[tuple[int, int]]:
    """Give the nodes that a figure is made of, each with the span of the tree in which it stood there."""
    inside = frozenset(reachable) if reachable is not None else None
    return [
        (pk, span)
        for span, parents in enumerate(form.parents)
        for pk in (descendants(parents, touchpoint_id) if touchpoint_id is not None else parents)
        if (inside is None or pk in inside) and path_of(parents, pk)[: len(path)] == path
    ]


def shape(nodes: Sequence[Node], *, as_it_was: bool = True) -> Shape:
    """Give the tree as reports use it, in one query. Without `as_it_was` all of the past counts at today's places."""
    today = {node.pk: node.parent_id for node in nodes}
    if not as_it_was:
        return Shape([], [today])
    kept: dict[int, list[tuple[datetime, int | None, int | None]]] = {}
    for pk, before, after, restates, at in Move.objects.order_by("at", "pk").values_list(
        "touchpoint_id", "before_id", "after_id", "restates", "at"
    ):
        if restates:
            kept[pk] = []  # as if it had always stood there: earlier moves are void
        else:
            kept.setdefault(pk, []).append((at, before, after))
    moments = sorted({at for moves in kept.values() for at, _before, _after in moves})
    spans = []
    for number in range(len(moments) + 1):
        parents = dict(today)
        for pk, moves in kept.items():
            if pk in parents and moves:
                parents[pk] = _parent_before(moves, moments[number] if number < len(moments) else None)
        spans.append(_without_circles(parents, today, kept))
    return Shape(moments, spans)


def _parent_before(moves: list[tuple[datetime, int | None, int | None]], moment: datetime | None) -> int | None:
    """Give where a node stood in the span that ends at a moment (None: the span that is still open)."""
    parent = moves[0][1]
    for at, _before, after in moves:
        if moment is None or at < moment:
            parent = after
    return parent


def _without_circles(
    parents: dict[int, int | None], today: dict[int, int | None], moved: Iterable[int]
) -> dict[int, int | None]:
    """Break circles: a move that restates may put a node below one that once stood below it. Then today's place counts.

    Today's tree has none, so this ends.
    """
    for pk in moved:
        seen, at = {pk}, parents.get(pk)
        while at is not None and at not in seen:
            seen.add(at)
            at = parents.get(at)
        if at is not None:
            parents[pk] = today.get(pk)
    return parents
