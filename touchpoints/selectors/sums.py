"""Figures from sums that are kept up to date: exactly what counting every touch gives, from far fewer rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import connection

from accounts.tenancy import current_brand_id
from touchpoints.models import FigureState
from touchpoints.selectors import figures as defined
from touchpoints.selectors.figures import (
    CASES,
    PAGE,
    Cohort,
    Figures,
    Row,
    Window,
    attributions,
    days_since_follow,
    figures_of,
    filled,
    measures,
    stages,
)
from touchpoints.selectors.tree import places as places_of
from touchpoints.selectors.tree import shape, tree_nodes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import tzinfo

    from touchpoints.selectors.figures import Credited
    from touchpoints.selectors.tree import Path

# Where a touch stood that is older than every move; a real moment, because Python knows no infinite one.
LAST_ID: Final = 2**63 - 1
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT: Final = "4"  # of the rows in ChannelSum and CountedTouch; another number has all of them made again


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
        defined.value_columns(),
        defined.bargain_column(),
        defined.ENGAGED,
        defined.LEFT_AT,
        defined.CASE,
        *CASES,
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


# --- what people bring -----------------------------------------------------------------------------------------------

# What some people bring to the sums: for every month their window may begin in, their shares by each model; what the
# month before counted is taken out again. `a` begins the window, `b` gets the share. Cohorts have rows of their own.
_BROUGHT: Final = """pair AS (
    SELECT b.touchpoint_id, b.placed_at, date_trunc('month', a.day)::date AS month,
        date_trunc('month', a.previous_day)::date AS previous_month, a.cohort, a.outcome, {values_of_a},
        b.seq - a.seq + 1 AS n, a.total - a.seq + 1 AS c
    FROM touchpoints_countedtouch a
    JOIN touchpoints_countedtouch b ON b.brand_id = a.brand_id AND b.member_id = a.member_id AND b.seq >= a.seq
    WHERE a.brand_id = %(brand)s AND a.member_id = ANY(%(people)s)
        AND (a.previous_day IS NULL OR date_trunc('month', a.previous_day) < date_trunc('month', a.day))
), share AS (
    {shares}
), entry AS (
    SELECT model, month, touchpoint_id, placed_at, cohort, outcome, {values}, part FROM share WHERE part <> 0
    UNION ALL
    SELECT model, previous_month, touchpoint_id, placed_at, cohort, outcome, {values}, -part FROM share
    WHERE part <> 0 AND previous_month IS NOT NULL
), brought AS (
    SELECT model, month, touchpoint_id, placed_at, 0 AS cohort, {figures} AS parts FROM entry GROUP BY 1, 2, 3, 4
    UNION ALL
    SELECT model, month, touchpoint_id, placed_at, cohort, {figures} FROM entry WHERE cohort > 0
    GROUP BY 1, 2, 3, 4, 5
    UNION ALL
    SELECT '', date_trunc('month', day)::date, touchpoint_id, placed_at, 0, {cases}
    FROM touchpoints_countedtouch WHERE brand_id = %(brand)s AND member_id = ANY(%(people)s) GROUP BY 2, 3, 4
)"""
_SHARE: Final = """SELECT '{model}' AS model, touchpoint_id, placed_at, month, previous_month, cohort, outcome,
        {values}, ({weight})::bigint AS part FROM pair"""


def brought() -> str:
    """Give the common part of statements over what `people` bring: `brought` has a row for each sum to change."""
    values = {"values": _values(), "values_of_a": _values("a.{}")}
    shares = [
        filled(_SHARE, {"model": key, "weight": model.weight} | values) for key, model in sorted(attributions.items())
    ]
    figures = [_sum(key, bit) for key, bit in _positions().items()]
    cases = [f"count(*) FILTER (WHERE \"case\" = '{case}')" for case in CASES]
    return filled(
        _BROUGHT,
        {"shares": " UNION ALL ".join(shares), "figures": _array(figures), "cases": _array(cases)} | values,
    )


def _positions() -> dict[str, int]:
    """Give every figure in the order it has in a sum, with its bit; 0 for `people` and for money: everybody counts."""
    return {"people": 0} | bits([key for key, _stage in stages()]) | dict.fromkeys(defined.values(), 0)


def _sum(key: str, bit: int) -> str:
    part = f"part * {key}" if key in defined.values() else "part"
    return f"coalesce(sum({part}){f' FILTER (WHERE outcome & {bit} <> 0)' if bit else ''}, 0)"


def _values(form: str = "{}") -> str:
    return ", ".join(form.format(key) for key in defined.values())


def _array(values: Sequence[str]) -> str:
    """Give an array as long as any sum."""
    filling = ["0"] * (length_of_sums() - len(values))
    return f"ARRAY[{', '.join([*values, *filling])}]::bigint[]"


def length_of_sums() -> int:
    """Give how many numbers a sum has: the figures of a model, or touches by case."""
    return max(len(_positions()), len(CASES))


# --- the tree --------------------------------------------------------------------------------------------------------

# Whole months. A sum holds its figures in the order of `_positions`, without a model the touches by case.
_MONTHS: Final = """
SELECT model, touchpoint_id, width_bucket(placed_at, %(moments)s::timestamptz[]) AS span, {sums}
FROM touchpoints_channelsum
WHERE brand_id = %(brand)s AND model = ANY(%(models)s) AND cohort = 0 AND month >= %(month)s
    AND (%(all)s OR touchpoint_id = ANY(%(codes)s))
GROUP BY 1, 2, 3
"""
# The days between the window's first and where whole months begin, to be added; or those between the beginning of a
# month and the window's first, to be taken out. Who came on them counts from their first touch there, and no longer
# from their first touch after them. Window functions instead of joins: planners know nothing of such rows and would
# compare each with each.
_DAYS: Final = """
WITH came AS MATERIALIZED (
    SELECT member_id, seq, total, touchpoint_id, placed_at, "case",
        first_value(seq) OVER w AS first_seq, first_value(outcome) OVER w AS first_outcome, {first_values}
    FROM touchpoints_countedtouch WHERE brand_id = %(brand)s AND at >= %(opens)s AND at < %(closes)s
    WINDOW w AS (PARTITION BY member_id ORDER BY seq)
), later AS MATERIALIZED (
    SELECT b.seq, b.total, b.touchpoint_id, b.placed_at, a.first_seq, a.first_outcome,
        first_value(b.seq) OVER w AS next_seq, first_value(b.outcome) OVER w AS next_outcome,
        {carried}, {next_values}
    FROM came a JOIN touchpoints_countedtouch b
        ON b.brand_id = %(brand)s AND b.member_id = a.member_id AND b.seq > a.seq AND b.at >= %(closes)s
    WHERE %(goes_on)s AND a.seq = a.first_seq AND a.total > a.seq
    WINDOW w AS (PARTITION BY b.member_id ORDER BY b.seq)
), shared AS (
    SELECT touchpoint_id, placed_at, first_outcome AS outcome, seq - first_seq + 1 AS n, total - first_seq + 1 AS c,
        1 AS sign, {values_of_first}
    FROM came
    UNION ALL
    SELECT touchpoint_id, placed_at, first_outcome, seq - first_seq + 1, total - first_seq + 1, 1, {from_first}
    FROM later
    UNION ALL
    SELECT touchpoint_id, placed_at, next_outcome, seq - next_seq + 1, total - next_seq + 1, -1, {from_next}
    FROM later
), credited AS (
    SELECT touchpoint_id, width_bucket(placed_at, %(moments)s::timestamptz[]) AS span, outcome, n, c, sign, {values}
    FROM shared WHERE %(all)s OR touchpoint_id = ANY(%(codes)s)
)
{models}
"""
_OF_MODEL: Final = """SELECT '{model}', touchpoint_id, span, {sums} FROM
    (SELECT touchpoint_id, span, outcome, {values}, sign * ({weight}) AS part FROM credited) weighted GROUP BY 2, 3"""
_OF_CASES: Final = """SELECT '', touchpoint_id, width_bucket(placed_at, %(moments)s::timestamptz[]), {sums}
FROM came WHERE %(all)s OR touchpoint_id = ANY(%(codes)s) GROUP BY 2, 3"""


def summed_credits(
    window: Window,
    *,
    models: Collection[str],
    now: datetime,
    zone: tzinfo,
    moments: Sequence[datetime] = (),
    codes: Collection[int] | None = None,
    keys: Collection[str] | None = None,
) -> dict[str, Credited]:
    """Give the figures of codes in each span of the tree, for each model. The window begins at a midnight and ends now.

    With `keys` touches are not counted, only these shares of people. At most two statements, whatever there is.
    """
    places = {key: bit for key, bit in _positions().items() if keys is None or key in keys}
    cases = CASES if keys is None else ()
    cut = _cut(window, zone)
    parameters: dict[str, Any] = {
        "brand": current_brand_id(),
        "moments": list(moments),
        "models": [*models, *([""] if cases else [])],
        "all": codes is None,
        "codes": list(codes or ()),
    }
    found: dict[tuple[str, int, int], list[int]] = {}
    with connection.cursor() as cursor:
        if cut.month is not None:
            order = list(_positions())
            numbers = sorted({*(order.index(key) for key in places), *range(len(cases))})
            columns = _array_of([f"sum(parts[{number + 1}])" for number in numbers])
            cursor.execute(filled(_MONTHS, {"sums": columns}), parameters | {"month": cut.month})
            for model, touchpoint_id, span, parts in cursor.fetchall():
                by_number = dict(zip(numbers, parts, strict=True))
                wanted = (order.index(key) for key in places) if model else range(len(cases))
                found[model, touchpoint_id, span] = [by_number[number] for number in wanted]
        if cut.opens < cut.closes:
            cursor.execute(
                _days(models, places, cases), parameters | cut._asdict() | {"goes_on": cut.month is not None}
            )
            for model, touchpoint_id, span, parts in cursor.fetchall():
                before = found.get((model, touchpoint_id, span)) or [0] * len(parts)
                found[model, touchpoint_id, span] = [
                    one + cut.sign * other for one, other in zip(before, parts, strict=True)
                ]
    return {model: _credited(found, model, list(places), len(cases)) for model in models}


def _days(models: Collection[str], places: dict[str, int], cases: Sequence[str]) -> str:
    sums = _array_of([_sum(key, bit) for key, bit in places.items()])
    common = {"sums": sums, "values": _values()}
    selects = [
        filled(_OF_MODEL, common | {"model": model, "weight": attributions.get(model).weight}) for model in models
    ]
    if cases:
        columns = [f"count(*) FILTER (WHERE \"case\" = '{case}')" for case in cases]
        selects.append(filled(_OF_CASES, {"sums": _array_of(columns)}))
    return filled(
        _DAYS,
        {
            "models": " UNION ALL ".join(selects),
            "first_values": _values("first_value({0}) OVER w AS first_{0}"),
            "carried": _values("a.first_{}"),
            "next_values": _values("first_value(b.{0}) OVER w AS next_{0}"),
            "values_of_first": _values("first_{0} AS {0}"),
            "from_first": _values("first_{}"),
            "from_next": _values("next_{}"),
            "values": _values(),
        },
    )


def _array_of(values: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(values)}]::bigint[]"


def _credited(found: dict[tuple[str, int, int], list[int]], model: str, keys: Sequence[str], cases: int) -> Credited:
    nothing = [0] * len(CASES)
    credited = {}
    for key, touchpoint_id, span in found:
        if key != ("" if cases else model):
            continue
        counted = found["", touchpoint_id, span] if cases else nothing
        parts = found.get((model, touchpoint_id, span)) or [0] * len(keys)
        if any(counted) or any(parts):
            credited[touchpoint_id, span] = figures_of(counted, dict(zip(keys, parts, strict=True)))
    return credited


class _Cut(NamedTuple):
    """Where a window is cut: whole months from `month` on, and days to add (`sign` 1) or to take out (-1)."""

    month: date | None
    opens: datetime
    closes: datetime
    sign: int


FEW_DAYS: Final = 10  # so many are counted faster than any month is read and corrected
_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


def _cut(window: Window, zone: tzinfo) -> _Cut:
    """Cut a window at the nearest end of a month: half a month of days at most. A short one is days only."""
    if window.since is None:
        return _Cut(date.min, ALWAYS, ALWAYS, 1)
    day = window.since.astimezone(zone).date()
    if window.until - window.since <= timedelta(days=FEW_DAYS):
        return _Cut(None, window.since, _NEVER, 1)
    this = day.replace(day=1)
    following = (this + timedelta(days=32)).replace(day=1)
    if following - day <= day - this:
        opens, closes = (datetime.combine(each, time.min, zone) for each in (day, following))
        return _Cut(following, opens, closes, 1)
    opens, closes = (datetime.combine(each, time.min, zone) for each in (this, day))
    return _Cut(this, opens, closes, -1)


_COHORTS: Final = """
SELECT cohort, {sums} FROM touchpoints_channelsum
WHERE brand_id = %(brand)s AND model = %(model)s AND cohort > 0 AND month >= %(month)s
    AND touchpoint_id = ANY(%(points)s)
GROUP BY 1 ORDER BY 1 DESC
"""


def summed_cohorts(now: datetime, *, model: str, zone: tzinfo, touchpoint_ids: Sequence[int]) -> list[Cohort]:
    """Give the followers of the last six months by the month they came, newest first."""
    order = list(_positions())
    wanted = [key for key in order if key in defined.cohort_measures([key for key, _stage in stages()])]
    sums = [f"sum(parts[{order.index(key) + 1}])" for key in ("people", *wanted)]
    parameters: dict[str, Any] = {
        "brand": current_brand_id(),
        "model": model,
        "month": defined.first_month(now, zone).astimezone(zone).date(),
        "points": list(touchpoint_ids),
    }
    with connection.cursor() as cursor:
        cursor.execute(_COHORTS.replace("{sums}", ", ".join(sums)), parameters)
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
        AND (%(bit)s = 0 OR a.outcome & %(bit)s <> 0) AND {weight} > 0
    ORDER BY b.at DESC, b.touch_id DESC LIMIT %(size)s
) b
JOIN members_member m ON m.brand_id = %(brand)s AND m.id = b.member_id
ORDER BY b.at DESC, b.touch_id DESC
"""
# When only first touches count, `a` and `b` are the same, and none is younger than who followed by it.
_FIRSTS: Final = """
SELECT b.touch_id, b.member_id, m.name, m.member_no, b.touchpoint_id, b.at, b."case", b.part, b.left_at, m.joined_at
FROM (
    SELECT b.*, {weight} AS part
    FROM (SELECT b.*, 1 AS n, b.total - b.seq + 1 AS c FROM touchpoints_countedtouch b) b
    WHERE b.brand_id = %(brand)s AND b.touchpoint_id = ANY(%(nodes)s) AND b.at >= %(since)s
        AND (b.seq = 1 OR NOT EXISTS (
            SELECT 1 FROM touchpoints_countedtouch a
            WHERE a.brand_id = %(brand)s AND a.member_id = b.member_id AND a.seq = b.seq - 1 AND a.at >= %(since)s))
        AND {place} AND (%(case)s = '' OR b."case" = %(case)s) AND (b.at, b.touch_id) < (%(after)s, %(after_id)s)
        AND (%(bit)s = 0 OR b.outcome & %(bit)s <> 0) AND {weight} > 0
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
    pairs = places_of(form, touchpoint_id=touchpoint_id, path=path, reachable=reachable)
    nodes = {pk for pk, _span in pairs}
    split = bool(form.moments) and len(pairs) < len(nodes) * len(form.parents)  # some stood elsewhere for a time
    shared, bit = attributions.get(model), _positions().get(figure, 0)
    days = days_since_follow(figure)
    if shared.first_only and days and figure != "scans":
        oldest = now - timedelta(days=days), LAST_ID
        after = min(after, oldest) if after else oldest
    parameters: dict[str, Any] = {
        "brand": current_brand_id(),
        "since": window.since or ALWAYS,
        "nodes": sorted(nodes),
        "moments": list(form.moments),
        "points": [pk for pk, _span in pairs],
        "spans": [span for _pk, span in pairs],
        "case": case,
        "bit": bit,
        "after": after[0] if after else "infinity",
        "after_id": after[1] if after else 0,
        "size": PAGE + 1,
    }
    text = _SCANS
    if figure != "scans":
        text = filled(_FIRSTS if shared.first_only else _SHARES, {"weight": f"({shared.weight})"})
    with connection.cursor() as cursor:
        cursor.execute(text.replace("{place}", _PLACE if split else "true"), parameters)
        return [Row(*row) for row in cursor.fetchall()]
