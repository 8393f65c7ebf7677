"""Figures from sums that are kept up to date: exactly what counting every touch gives, from far fewer rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id
from touchpoints.models import FigureState, TouchCase
from touchpoints.selectors import figures as counting
from touchpoints.selectors.figures import PAGE, Cohort, Figures, Path, Row, Window, attributions, measures, stages
from touchpoints.selectors.tree import shape, tree_nodes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import tzinfo

    from touchpoints.selectors.figures import Attribution

# Where a touch stood that is older than every move; a real moment, because Python knows no infinite one.
ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAYOUT: Final = "2"  # of the rows in ChannelSum and CountedTouch; another number has all of them made again


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

# What some people bring to figures: for every day their window may begin on, their shares by each model; what the day
# before counted is taken out again. `a` begins the window, `b` gets the share.
_ENTRIES: Final = """pair AS (
    SELECT b.touchpoint_id, b.placed_at, a.day, a.previous_day, a.cohort, a.outcome,
        b.seq - a.seq + 1 AS n, a.total - a.seq + 1 AS c
    FROM touchpoints_countedtouch a
    JOIN touchpoints_countedtouch b ON b.brand_id = a.brand_id AND b.member_id = a.member_id AND b.seq >= a.seq
    WHERE a.brand_id = %(brand)s AND a.member_id = ANY(%(people)s)
        AND (a.previous_day IS NULL OR a.previous_day < a.day)
), share AS (
    {shares}
), entry AS (
    SELECT model, day, touchpoint_id, placed_at, cohort, outcome, part FROM share WHERE part <> 0
    UNION ALL
    SELECT model, previous_day, touchpoint_id, placed_at, cohort, outcome, -part FROM share
    WHERE part <> 0 AND previous_day IS NOT NULL
    UNION ALL
    SELECT '', day, touchpoint_id, placed_at, 0, array_position(%(cases)s::text[], "case"::text) - 1, 1
    FROM touchpoints_countedtouch WHERE brand_id = %(brand)s AND member_id = ANY(%(people)s)
)"""
_SHARE: Final = """SELECT '{model}' AS model, touchpoint_id, placed_at, day, previous_day, cohort, outcome,
        ({weight})::bigint AS part FROM pair"""


def entries(models: Iterable[tuple[str, Attribution]]) -> str:
    """Give the common part of statements over what `people` bring, by some models: `entry` has a row for each share."""
    shares = (counting.filled(_SHARE, {"model": key, "weight": model.weight}) for key, model in models)
    return _ENTRIES.replace("{shares}", " UNION ALL ".join(shares))


# Whole months come from the sums. The days between the window's first and the nearest end of a month are added, or
# taken out again, by counting the people who came on them: half a month at most.
_SUMMED: Final = """
WITH {entries}, chosen AS (
    SELECT model, touchpoint_id, placed_at, outcome, parts FROM touchpoints_channelsum
    WHERE brand_id = %(brand)s AND model = ANY(%(models)s) AND month >= %(month)s
    UNION ALL
    SELECT model, touchpoint_id, placed_at, outcome, %(sign)s * part FROM entry
    WHERE day >= %(first)s AND day < %(end)s
), folded AS (
    SELECT model, touchpoint_id, width_bucket(placed_at, %(moments)s::timestamptz[]) AS span, outcome,
        sum(parts)::bigint AS parts
    FROM chosen GROUP BY 1, 2, 3, 4
)
SELECT touchpoint_id, span, {sums} FROM folded GROUP BY 1, 2
"""
_CAME: Final = """
SELECT DISTINCT member_id FROM touchpoints_countedtouch
WHERE brand_id = %(brand)s AND at >= %(opens)s AND at < %(closes)s
"""


def summed_credits(
    window: Window, *, model: str, now: datetime, zone: tzinfo, moments: Sequence[datetime] = ()
) -> dict[tuple[int, int], Figures]:
    """Give the figures of every code in each span of the tree. The window begins at a midnight and ends now.

    The sums themselves are of `now`: they hold what has become of people until they were counted.
    """
    wanted = bits([key for key, _stage in stages()])
    columns = [
        *(_sum_where(f"model = '' AND outcome = {number}") for number in range(len(TouchCase.values))),
        _sum_where("model <> ''"),
        *(_sum_where(f"model <> '' AND outcome & {bit} <> 0") for bit in wanted.values()),
    ]
    text = counting.filled(
        _SUMMED, {"entries": entries([(model, attributions.get(model))]), "sums": ", ".join(columns)}
    )
    parameters: dict[str, Any] = {"brand": current_brand_id(), "moments": list(moments), "models": ["", model]} | _cut(
        window, zone
    )
    found: dict[tuple[int, int], Figures] = {}
    with connection.cursor() as cursor:
        cursor.execute(_CAME, parameters)
        people = [row[0] for row in cursor.fetchall()]
        cursor.execute(text, parameters | {"people": people, "cases": list(TouchCase.values)})
        for touchpoint_id, span, *counted in cursor.fetchall():
            numbers = [int(each) for each in counted]
            cases, parts = numbers[: len(TouchCase.values)], numbers[len(TouchCase.values) :]
            if any(cases):
                found[touchpoint_id, span] = Figures(
                    scans=sum(cases),
                    cases=Counter(dict(zip(TouchCase.values, cases, strict=True))),
                    parts=Counter(dict(zip(["people", *wanted], parts, strict=True))),
                )
    return found


def _sum_where(condition: str) -> str:
    return f"coalesce(sum(parts) FILTER (WHERE {condition}), 0)"


def _cut(window: Window, zone: tzinfo) -> dict[str, Any]:
    """Cut a window at the nearest end of a month: the months to sum, and the days to add (1) or to take out (-1)."""
    day = window.since.astimezone(zone).date() if window.since is not None else date.min
    this = day.replace(day=1)
    following = (this + timedelta(days=32)).replace(day=1)
    if (following - day) <= (day - this) and window.since is not None:
        month, first, end, sign = following, day, following, 1
    else:
        month, first, end, sign = this, this, day, -1
    if sign < 0 and first == end:
        opens = closes = ALWAYS
    else:
        opens, closes = (datetime.combine(each, time.min, zone) for each in (first, end))
    return {"month": month, "first": first, "end": end, "sign": sign, "opens": opens, "closes": closes}


_COHORTS: Final = """
SELECT cohort, {sums} FROM touchpoints_channelsum
WHERE brand_id = %(brand)s AND model = %(model)s AND month >= %(month)s AND cohort > 0
    AND touchpoint_id = ANY(%(points)s)
GROUP BY 1 ORDER BY 1 DESC
"""


def summed_cohorts(now: datetime, *, model: str, zone: tzinfo, touchpoint_ids: Sequence[int]) -> list[Cohort]:
    """Give the followers of the last six months by the month they came, newest first."""
    keys = [key for key, _stage in stages()]
    wanted = {key: bit for key, bit in bits(keys).items() if key in counting.cohort_measures(keys)}
    sums = ["sum(parts)", *(_sum_where(f"outcome & {bit} <> 0") for bit in wanted.values())]
    month = counting.first_month(now, zone).astimezone(zone).date()
    parameters: dict[str, Any] = {
        "brand": current_brand_id(),
        "model": model,
        "month": month,
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
