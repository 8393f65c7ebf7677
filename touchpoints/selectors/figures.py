"""Figures of channels: who came by which code, what became of them, and how long they stayed. All views on touches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from django.db import connection
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import current_brand_id
from common.registry import Registry
from touchpoints.models import Cost, TouchCase
from touchpoints.selectors.tree import Node, Shape, descendants, shape, tree_nodes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date, datetime, tzinfo

    from django_stubs_ext import StrOrPromise

WHOLE: Final = 1_000_000  # a person's credit is shared out in whole parts, so that sums are exact
STAYS: Final = (7, 30, 90)  # days
FAST: Final = timedelta(days=3)
FOLLOWS: Final = "('FOLLOW', 'REFOLLOW')"  # kinds of touches, as SQL


@dataclass(frozen=True)
class Attribution:
    """A way to share a person among their touches: `weight` is SQL over `n` (which touch, from 1) and `c` (how many).

    The weights of a person's touches must add up to WHOLE.
    """

    label: StrOrPromise
    meaning: StrOrPromise
    weight: str


attributions: Registry[Attribution] = Registry("attribution models", purpose="how a person is shared among touches")
attributions.register(
    "first",
    Attribution(
        _("First touch"),
        _("Each person counts for the code they scanned first."),
        f"CASE WHEN n = 1 THEN {WHOLE} ELSE 0 END",
    ),
)
attributions.register(
    "last",
    Attribution(
        _("Last touch"),
        _("Each person counts for the code they scanned last."),
        f"CASE WHEN n = c THEN {WHOLE} ELSE 0 END",
    ),
)
attributions.register(
    "position",
    Attribution(
        _("Position"),
        _("40% for the first code, 40% for the last, 20% shared by those between."),
        f"CASE WHEN c = 1 THEN {WHOLE} WHEN c = 2 THEN {WHOLE // 2} WHEN n IN (1, c) THEN {WHOLE * 2 // 5} "
        f"ELSE {WHOLE // 5} / (c - 2) + CASE WHEN n = 2 THEN {WHOLE // 5} %% (c - 2) ELSE 0 END END",
    ),
)


@dataclass(frozen=True)
class Stage:
    """A step on a person's way after the first scan: `reached` is SQL over `p` (the visit) and `m` (the member).

    `p` has brand_id, member_id, follower_id, at (first touch in the window), followed, followed_at. A person counts for
    a stage when they reached it and every one before.
    """

    label: StrOrPromise
    reached: str
    order: int = 100


funnel_stages: Registry[Stage] = Registry("funnel stages", purpose="steps after a scan: follow, join, first order …")
funnel_stages.register("follow", Stage(_("Followed"), "p.followed", 10))
funnel_stages.register("join", Stage(_("Joined as member"), "m.joined_at >= p.at", 20))


class Window(NamedTuple):
    """From when to when touches are looked at; what became of people is looked at until now."""

    since: datetime | None
    until: datetime


@dataclass
class Figures:
    """What is counted of a node: whole touches in `scans` and `cases`, shares of people (parts of WHOLE) in `parts`."""

    scans: int = 0
    cost: int = 0
    cases: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        """Take in what another node has."""
        self.scans += other.scans
        self.cost += other.cost
        self.cases.update(other.cases)
        self.parts.update(other.parts)

    def people(self, key: str = "people") -> int:
        """Give a share as a number of people, half up."""
        return (self.parts[key] * 2 + WHOLE) // (2 * WHOLE)

    def rate(self, part: str, whole: str) -> float | None:
        """Give one share of another, None when there is no whole."""
        return self.parts[part] / self.parts[whole] if self.parts[whole] else None

    def cost_of_each(self, key: str) -> int | None:
        """Give the cost per person of a stage in fen, half up; None without people or cost."""
        parts = self.parts[key]
        return (self.cost * WHOLE * 2 + parts) // (2 * parts) if parts and self.cost else None


def stages() -> list[tuple[str, Stage]]:
    """Give the stages of the funnel in order."""
    return sorted(funnel_stages.items(), key=lambda item: (item[1].order, item[0]))


# Who scanned; rows from before there was the column say it by what they are.
CASE: Final = """CASE WHEN t."case" <> '' THEN t."case" WHEN t.kind = 'FOLLOW' THEN 'NEW'
            WHEN t.kind = 'REFOLLOW' THEN 'RETURNING' ELSE 'FOLLOWING' END"""
# When the follower of a visit `p` left after that follow: both WeChat's pushes and what it said when asked count.
LEFT_AT: Final = """least(
        (SELECT min(u.at) FROM touchpoints_unfollow u
         WHERE u.brand_id = p.brand_id AND u.follower_id = p.follower_id AND u.at > p.followed_at),
        (SELECT f.unfollowed_at FROM members_follower f
         WHERE f.brand_id = p.brand_id AND f.id = p.follower_id AND f.unfollowed_at > p.followed_at))"""
ENGAGED: Final = """(m.last_interaction_at AT TIME ZONE %(zone)s)::date
            > (p.followed_at AT TIME ZONE %(zone)s)::date"""

# Every touch of the window with its share of the person, and what became of that person. `%(moments)s` cut the time
# into the spans of the tree, so that each touch counts where its code stood then.
_CREDITED: Final = """
WITH scanned AS (
    SELECT t.id, t.member_id, t.follower_id, t.touchpoint_id, t.at, t.kind, {case} AS "case",
        row_number() OVER (PARTITION BY t.member_id ORDER BY t.at, t.id) AS n,
        count(*) OVER (PARTITION BY t.member_id) AS c
    FROM touchpoints_touch t
    WHERE t.brand_id = %(brand)s AND t.at < %(until)s AND t.at >= %(since)s
        AND t.touchpoint_id IS NOT NULL AND t."case" <> 'STAFF'
), visit AS (
    SELECT %(brand)s::bigint AS brand_id, member_id, min(at) AS at, bool_or(kind IN {follows}) AS followed,
        min(at) FILTER (WHERE kind IN {follows}) AS followed_at,
        (array_agg(follower_id ORDER BY at, id) FILTER (WHERE kind IN {follows}))[1] AS follower_id
    FROM scanned GROUP BY member_id
), person AS (
    SELECT p.*, {left_at} AS left_at FROM visit p
), outcome AS (
    SELECT p.member_id, p.followed, p.followed_at, p.left_at, {reached}, coalesce({engaged}, false) AS engaged
    FROM person p JOIN members_member m ON m.brand_id = p.brand_id AND m.id = p.member_id
), credited AS (
    SELECT s.id, s.touchpoint_id, s.member_id, s.at, s.kind, s."case", {outcome}, {weight} AS part,
        width_bucket(s.at, %(moments)s::timestamptz[]) AS span
    FROM scanned s JOIN outcome o USING (member_id)
)
"""


def _statement(model: str) -> tuple[str, list[str]]:
    """Give the common part of the statements with a model's weight, and the keys of its stages."""
    keys = [key for key, _stage in stages()]
    # `o.*` would bring member_id again: name what is needed instead
    names = ["o.followed", "o.followed_at", "o.left_at", "o.engaged", *(f"o.stage_{n}" for n in range(len(keys)))]
    parts = {
        "case": CASE,
        "follows": FOLLOWS,
        "left_at": LEFT_AT,
        "engaged": ENGAGED,
        "reached": reached_columns(),
        "weight": attributions.get(model).weight,
        "outcome": ", ".join(names),
    }
    return filled(_CREDITED, parts), keys


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Put pieces of SQL into a statement; only constants of the code ever are."""
    for name, value in parts.items():
        text = text.replace("{" + name + "}", value)
    return text


def reached_columns() -> str:
    """Give a column for each stage, as SQL over the visit `p` and the member `m`: reached, and all before it."""
    conditions: list[str] = []
    columns = []
    for number, (_key, stage) in enumerate(stages()):
        conditions.append(f"coalesce({stage.reached}, false)")
        columns.append(f"{' AND '.join(conditions)} AS stage_{number}")
    return ", ".join(columns)


def measures(keys: Sequence[str]) -> dict[str, str]:
    """Give the conditions under which a touch's share counts for each figure."""
    found = {"people": "true"} | {key: f"stage_{number}" for number, key in enumerate(keys)}
    for days in STAYS:
        old = f"followed AND followed_at <= %(now)s - interval '{days} days'"
        found[f"old_{days}"] = old
        found[f"kept_{days}"] = f"{old} AND (left_at IS NULL OR left_at > followed_at + interval '{days} days')"
    found["engaged_30"] = f"{found['old_30']} AND engaged"
    found["fast_30"] = f"{found['old_30']} AND left_at <= followed_at + %(fast)s"
    found["joined_30"] = f"{found['old_30']} AND stage_{keys.index('join')}"
    return found


def _parameters(window: Window, now: datetime, zone: tzinfo, moments: Sequence[datetime]) -> dict[str, Any]:
    return {
        "brand": current_brand_id(),
        "since": window.since or "-infinity",
        "until": window.until,
        "now": now,
        "fast": FAST,
        "zone": str(zone),
        "moments": list(moments),
    }


def credits_by_code(
    window: Window, *, model: str, now: datetime, zone: tzinfo, moments: Sequence[datetime] = ()
) -> dict[tuple[int, int], Figures]:
    """Give the figures of every code in each span of the tree, counted from the touches: {(code, span): figures}.

    One statement that reads every touch of the window. The sums (`sums.py`) give the same from far fewer rows.
    """
    text, keys = _statement(model)
    wanted = measures(keys)
    cases = [f"count(*) FILTER (WHERE \"case\" = '{case}')" for case in TouchCase.values]
    sums = [f"coalesce(sum(part) FILTER (WHERE {condition}), 0)::bigint" for condition in wanted.values()]
    text += f"SELECT touchpoint_id, span, count(*), {', '.join([*cases, *sums])} FROM credited GROUP BY 1, 2"  # noqa: S608 - constants
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(text, _parameters(window, now, zone, moments))
        for touchpoint_id, span, scans, *rest in cursor.fetchall():
            counted = rest[: len(cases)]
            found[touchpoint_id, span] = Figures(
                scans=scans,
                cases=Counter(dict(zip(TouchCase.values, counted, strict=True))),
                parts=Counter(dict(zip(wanted, rest[len(cases) :], strict=True))),
            )
    return found


@dataclass(frozen=True)
class Cohort:
    """Who followed in one month by some codes, and how many of them were there after so many days (None: too early)."""

    month: date
    figures: Figures


MONTHS: Final = 6


def cohorts(now: datetime, *, model: str, zone: tzinfo, touchpoint_ids: Sequence[int]) -> list[Cohort]:
    """Give the followers of the last six months by the month they came, newest first, in one statement."""
    text, keys = _statement(model)
    wanted = cohort_measures(keys)
    sums = [f"coalesce(sum(part) FILTER (WHERE {condition}), 0)::bigint" for condition in wanted.values()]
    text += f"""
SELECT date_trunc('month', followed_at AT TIME ZONE %(zone)s)::date, {", ".join(sums)}
FROM credited WHERE followed AND part > 0 AND touchpoint_id = ANY(%(points)s) GROUP BY 1 ORDER BY 1 DESC"""  # noqa: S608 - constants
    parameters = _parameters(Window(first_month(now, zone), now + timedelta(seconds=1)), now, zone, ())
    with connection.cursor() as cursor:
        cursor.execute(text, parameters | {"points": list(touchpoint_ids)})
        return [
            Cohort(row[0], Figures(parts=Counter(dict(zip(wanted, row[1:], strict=True))))) for row in cursor.fetchall()
        ]


def cohort_measures(keys: Sequence[str]) -> dict[str, str]:
    """Give the conditions of the figures that a cohort has."""
    wanted = {key: condition for key, condition in measures(keys).items() if key.startswith(("old_", "kept_"))}
    return wanted | {"follow": f"stage_{keys.index('follow')}"}


def first_month(now: datetime, zone: tzinfo) -> datetime:
    """Give the beginning of the oldest month that cohorts show."""
    since = now.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _step in range(MONTHS - 1):
        since = (since - timedelta(days=1)).replace(day=1)
    return since


# --- the tree --------------------------------------------------------------------------------------------------------


Path = tuple[int, ...]


class Credits(Protocol):
    """Gives the figures of every code in each span of the tree."""

    def __call__(
        self, window: Window, *, model: str, now: datetime, zone: tzinfo, moments: Sequence[datetime] = ()
    ) -> dict[tuple[int, int], Figures]: ...


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
    credited: Credits = credits_by_code,
) -> TreeFigures:
    """Give the figures of the whole tree: the same few queries for one node and for a thousand.

    `credited` says where they are read from: the touches, or the sums made of them.
    """
    nodes = tree_nodes() if nodes is None else nodes
    form = shape(nodes, as_it_was=as_it_was)
    found = TreeFigures({node.pk: Figures() for node in nodes}, {}, Figures(), form)
    for (pk, span), figures in credited(window, model=model, now=now, zone=zone, moments=form.moments).items():
        _count(found, path_of(form.parents[span], pk), figures)
    for pk, span, amount in _costs(window, now, zone, form.moments):
        _count(found, path_of(form.parents[span], pk), Figures(cost=amount))
    return found


def path_of(parents: Mapping[int, int | None], pk: int) -> Path:
    """Give the nodes from the top of the tree down to a node."""
    path, above = [pk], parents.get(pk)
    while above is not None:
        path.append(above)
        above = parents.get(above)
    return tuple(reversed(path))


def _count(found: TreeFigures, path: Path, figures: Figures) -> None:
    found.whole.add(figures)
    for depth, pk in enumerate(path, 1):
        found.nodes.setdefault(pk, Figures()).add(figures)
        found.paths.setdefault(path[:depth], Figures()).add(figures)


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


# --- the rows behind a figure ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One touch behind a figure, and how much of the person it stands for there."""

    touch_id: int
    member_id: int
    member_name: str
    member_no: str
    touchpoint_id: int
    at: datetime
    case: str
    part: int
    left_at: datetime | None
    joined_at: datetime | None


PAGE: Final = 50


def rows_behind(
    window: Window,
    *,
    model: str,
    now: datetime,
    zone: tzinfo,
    figure: str,
    touchpoint_id: int | None = None,
    path: Path = (),
    case: str = "",
    as_it_was: bool = True,
    reachable: Collection[int] | None = None,
    after: tuple[datetime, int] | None = None,
) -> list[Row]:
    """Give the touches that a figure is made of, newest first, one page and one more.

    `figure` is `scans` (every touch) or a key of `Figures.parts`. The shares of all rows add up to the figure: that of
    a node wherever it stood, or that of one place in the tree (`path`).
    """
    form = shape(tree_nodes(), as_it_was=as_it_was)
    text, keys = _statement(model)
    condition = "true" if figure == "scans" else f"part > 0 AND ({measures(keys)[figure]})"
    pairs = places(form, touchpoint_id=touchpoint_id, path=path, reachable=reachable)
    parameters = _parameters(window, now, zone, form.moments) | {
        "points": [pk for pk, _span in pairs],
        "spans": [span for _pk, span in pairs],
        "case": case,
        "after": after[0] if after else "infinity",
        "after_id": after[1] if after else 0,
        "size": PAGE + 1,
    }
    text += f"""
SELECT c.id, c.member_id, m.name, m.member_no, c.touchpoint_id, c.at, c."case", c.part, c.left_at, m.joined_at
FROM credited c JOIN members_member m ON m.brand_id = %(brand)s AND m.id = c.member_id
WHERE (c.touchpoint_id, c.span) IN (SELECT * FROM unnest(%(points)s::bigint[], %(spans)s::int[]))
    AND {condition} AND (%(case)s = '' OR c."case" = %(case)s) AND (c.at, c.id) < (%(after)s, %(after_id)s)
ORDER BY c.at DESC, c.id DESC LIMIT %(size)s"""  # noqa: S608 - constants
    with connection.cursor() as cursor:
        cursor.execute(text, parameters)
        return [Row(*row) for row in cursor.fetchall()]


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
