"""Figures from sums that are kept up to date: exactly what counting every touch gives, from far fewer rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id
from touchpoints.models import FigureState, TouchCase
from touchpoints.selectors import figures as counting
from touchpoints.selectors.figures import PAGE, Cohort, Figures, Path, Row, Window, attributions, measures, stages
from touchpoints.selectors.tree import shape, tree_nodes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import tzinfo

# Where a touch stood that is older than every move; a real moment, because Python knows no infinite one.
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT: Final = "1"  # of the rows in ChannelSum and CountedTouch; another number has all of them made again


@dataclass(frozen=True)
class Freshness:
    """Whether the sums can be read, up to when they are counted (None: up to now), and how many people wait."""

    is_ready: bool
    as_of: datetime | None = None
    waiting: int = 0


def meaning_of_sums(zone: tzinfo) -> str:
    """Give a mark of everything the sums were made by: another zone, stage, model or measure gives another mark."""
    keys = [key for key, _stage in stages()]
    parts = [
        _LAYOUT,
        str(zone),
        *(f"{key}:{stage.reached}" for key, stage in stages()),
        *(f"{key}:{model.weight}" for key, model in sorted(attributions.items())),
        *(f"{key}:{condition}" for key, condition in measures(keys).items()),
        counting.ENGAGED,
        counting.LEFT_AT,
        counting.CASE,
        *TouchCase.values,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def bits(keys: Sequence[str]) -> dict[str, int]:
    """Give the bit of each figure in an outcome. Everybody counts for `people`, which needs none."""
    return {key: 1 << number for number, key in enumerate(key for key in measures(keys) if key != "people")}


_WAITING: Final = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM touchpoints_recount WHERE brand_id = %(brand)s LIMIT %(most)s) w)
    + (SELECT count(*) FROM (SELECT 1 FROM touchpoints_countedtouch
        WHERE brand_id = %(brand)s AND due_at <= %(now)s LIMIT %(most)s) d)
"""
MOST_WAITING: Final = 100_000  # more are not counted out


def freshness(*, at: datetime, zone: tzinfo) -> Freshness:
    """Say how fresh the sums of the brand in scope are."""
    state = FigureState.objects.first()
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, {"brand": current_brand_id(), "now": at, "most": MOST_WAITING})
        waiting = int(cursor.fetchone()[0])
    if state is None or not state.is_complete or state.meaning != meaning_of_sums(zone):
        return Freshness(is_ready=False, waiting=waiting)
    return Freshness(is_ready=True, as_of=state.counted_at if waiting else None, waiting=waiting)


# --- the tree --------------------------------------------------------------------------------------------------------

_SUMMED: Final = """
WITH chosen AS (
    SELECT touchpoint_id, width_bucket(placed_at, %(moments)s::timestamptz[]) AS span, outcome,
        sum(parts)::bigint AS parts
    FROM touchpoints_channelsum
    WHERE brand_id = %(brand)s AND model = %(model)s
        AND ((per_month AND day >= %(month)s) OR (NOT per_month AND day >= %(day)s AND day < %(month)s))
    GROUP BY 1, 2, 3
)
SELECT touchpoint_id, span, {sums} FROM chosen GROUP BY 1, 2
"""


def summed_credits(
    window: Window, *, model: str, now: datetime, zone: tzinfo, moments: Sequence[datetime] = ()
) -> dict[tuple[int, int], Figures]:
    """Give the figures of every code in each span of the tree. The window begins at a midnight and ends now.

    The sums themselves are of `now`: they hold what has become of people until they were counted.
    """
    wanted = bits([key for key, _stage in stages()])
    shares = [
        "sum(parts)",
        *(f"coalesce(sum(parts) FILTER (WHERE outcome & {bit} <> 0), 0)" for bit in wanted.values()),
    ]
    cases = [f"coalesce(sum(parts) FILTER (WHERE outcome = {number}), 0)" for number in range(len(TouchCase.values))]
    parameters = _parameters(window, zone) | {"moments": list(moments)}
    found: dict[tuple[int, int], Figures] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SUMMED.replace("{sums}", ", ".join(cases)), parameters | {"model": ""})
        for touchpoint_id, span, *counted in cursor.fetchall():
            by_case = Counter({case: int(count) for case, count in zip(TouchCase.values, counted, strict=True)})
            found[touchpoint_id, span] = Figures(scans=by_case.total(), cases=by_case)
        cursor.execute(_SUMMED.replace("{sums}", ", ".join(shares)), parameters | {"model": model})
        for touchpoint_id, span, *parts in cursor.fetchall():
            mine = found.setdefault((touchpoint_id, span), Figures())
            mine.parts = Counter(
                {key: int(part) for key, part in zip(["people", *wanted], parts, strict=True)},
            )
    return {place: figures for place, figures in found.items() if figures.scans}


def _sum_where(condition: str) -> str:
    return f"coalesce(sum(parts) FILTER (WHERE {condition}), 0)"


def _parameters(window: Window, zone: tzinfo) -> dict[str, Any]:
    """Cut a window into the days up to the end of its first month, and the whole months after."""
    parameters: dict[str, Any] = {"brand": current_brand_id(), "day": date.min, "month": date.min}
    if window.since is not None:
        day = window.since.astimezone(zone).date()
        following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        parameters |= {"day": day, "month": day if day.day == 1 else following}
    return parameters


_COHORTS: Final = """
SELECT cohort, {sums} FROM touchpoints_channelsum
WHERE brand_id = %(brand)s AND model = %(model)s AND per_month AND day >= %(month)s AND cohort > 0
    AND touchpoint_id = ANY(%(points)s)
GROUP BY 1 ORDER BY 1 DESC
"""


def summed_cohorts(now: datetime, *, model: str, zone: tzinfo, touchpoint_ids: Sequence[int]) -> list[Cohort]:
    """Give the followers of the last six months by the month they came, newest first."""
    keys = [key for key, _stage in stages()]
    wanted = {key: bit for key, bit in bits(keys).items() if key in counting.cohort_measures(keys)}
    sums = ["sum(parts)", *(_sum_where(f"outcome & {bit} <> 0") for bit in wanted.values())]
    parameters = _parameters(Window(counting.first_month(now, zone), now), zone)
    with connection.cursor() as cursor:
        cursor.execute(
            _COHORTS.replace("{sums}", ", ".join(sums)), parameters | {"model": model, "points": list(touchpoint_ids)}
        )
        return [
            Cohort(
                date((cohort - 1) // 12, (cohort - 1) % 12 + 1, 1),
                Figures(parts=Counter({key: int(part) for key, part in zip(wanted, parts, strict=True)})),
            )
            for cohort, people, *parts in cursor.fetchall()
            if people
        ]


# --- the rows behind a figure ----------------------------------------------------------------------------------------

# `b` is the touch, `a` the first one of the person in the window: what became of them is looked at from there.
_SCANS: Final = """
SELECT b.touch_id, b.member_id, m.name, m.member_no, b.touchpoint_id, b.at, b."case", 0, a.left_at, m.joined_at
FROM (
    SELECT * FROM touchpoints_countedtouch b
    WHERE b.brand_id = %(brand)s AND b.touchpoint_id = ANY(%(nodes)s) AND b.at >= %(since)s
        AND {place} AND (%(case)s = '' OR b."case" = %(case)s) AND (b.at, b.touch_id) < (%(after)s, %(after_id)s)
    ORDER BY b.at DESC, b.touch_id DESC LIMIT %(size)s
) b
CROSS JOIN LATERAL (
    SELECT a.left_at FROM touchpoints_countedtouch a
    WHERE a.brand_id = %(brand)s AND a.member_id = b.member_id AND a.at >= %(since)s ORDER BY a.seq LIMIT 1
) a
JOIN members_member m ON m.brand_id = %(brand)s AND m.id = b.member_id
ORDER BY b.at DESC, b.touch_id DESC
"""
_SHARES: Final = """
SELECT b.touch_id, b.member_id, m.name, m.member_no, b.touchpoint_id, b.at, b."case", b.part, b.left_since, m.joined_at
FROM (
    SELECT b.*, a.left_at AS left_since, {weight} AS part
    FROM touchpoints_countedtouch b
    CROSS JOIN LATERAL (
        SELECT a.outcome, a.left_at, b.seq - a.seq + 1 AS n, a.total - a.seq + 1 AS c
        FROM touchpoints_countedtouch a
        WHERE a.brand_id = %(brand)s AND a.member_id = b.member_id AND a.at >= %(since)s ORDER BY a.seq LIMIT 1
    ) a
    WHERE b.brand_id = %(brand)s AND b.touchpoint_id = ANY(%(nodes)s) AND b.at >= %(since)s
        AND {place} AND (%(case)s = '' OR b."case" = %(case)s) AND (b.at, b.touch_id) < (%(after)s, %(after_id)s)
        AND a.outcome & %(bit)s = %(bit)s AND {weight} > 0
    ORDER BY b.at DESC, b.touch_id DESC LIMIT %(size)s
) b
JOIN members_member m ON m.brand_id = %(brand)s AND m.id = b.member_id
ORDER BY b.at DESC, b.touch_id DESC
"""
_PLACE: Final = """(b.touchpoint_id, width_bucket(b.placed_at, %(moments)s::timestamptz[])) IN
    (SELECT * FROM unnest(%(points)s::bigint[], %(spans)s::int[]))"""


def summed_rows(
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
    """Give the touches that a figure of the sums is made of, newest first, one page and one more."""
    form = shape(tree_nodes(), as_it_was=as_it_was)
    pairs = counting.places(form, touchpoint_id=touchpoint_id, path=path, reachable=reachable)
    nodes = {pk for pk, _span in pairs}
    split = bool(form.moments) and len(pairs) < len(nodes) * len(form.parents)  # some stood elsewhere for a time
    parameters: dict[str, Any] = {
        "brand": current_brand_id(),
        "since": window.since or ALWAYS,
        "nodes": sorted(nodes),
        "moments": list(form.moments),
        "points": [pk for pk, _span in pairs],
        "spans": [span for _pk, span in pairs],
        "case": case,
        "bit": bits([key for key, _stage in stages()]).get(figure, 0),
        "after": after[0] if after else "infinity",
        "after_id": after[1] if after else 0,
        "size": PAGE + 1,
    }
    text = _SCANS if figure == "scans" else _SHARES.replace("{weight}", f"({attributions.get(model).weight})")
    with connection.cursor() as cursor:
        cursor.execute(text.replace("{place}", _PLACE if split else "true"), parameters)
        return [Row(*row) for row in cursor.fetchall()]
