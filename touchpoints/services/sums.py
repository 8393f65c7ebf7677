"""Keeping the sums of figures up to date, a few people at a time; all of them can be made again from the touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from accounts.tenancy import brand_scope, current_brand_id
from common.failpoints import point
from touchpoints.models import FigureState, Move, Recount
from touchpoints.selectors import figures, sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, tzinfo

A_ROUND: Final = 2_000  # people counted in one transaction
WHILE_LOOKING: Final = 200  # people counted by whoever opens a report

# People are taken before anything of them is read: what changes afterwards leaves a row of its own.
_TAKE: Final = """
DELETE FROM touchpoints_recount WHERE brand_id = %(brand)s AND id IN (
    SELECT id FROM touchpoints_recount WHERE brand_id = %(brand)s ORDER BY id LIMIT %(limit)s)
RETURNING member_id
"""
_DUE: Final = """
SELECT member_id FROM touchpoints_countedtouch
WHERE brand_id = %(brand)s AND due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s
"""
# Records became one: some touches of these people are counted for somebody else still.
_WERE: Final = """
SELECT DISTINCT c.member_id FROM touchpoints_touch t
JOIN touchpoints_countedtouch c ON c.brand_id = t.brand_id AND c.touch_id = t.id
WHERE t.brand_id = %(brand)s AND t.member_id = ANY(%(people)s) AND c.member_id <> t.member_id
"""
_FORGET: Final = "DELETE FROM touchpoints_countedtouch WHERE brand_id = %(brand)s AND member_id = ANY(%(people)s)"

# Each touch with what became of the person from it on, just as figures.py tells it of a window that begins there.
_COUNT: Final = """
WITH scanned AS (
    SELECT t.id, t.member_id, t.follower_id, t.touchpoint_id, t.at, t.kind, {case} AS "case",
        row_number() OVER (PARTITION BY t.member_id ORDER BY t.at, t.id) AS seq,
        count(*) OVER (PARTITION BY t.member_id) AS total
    FROM touchpoints_touch t
    WHERE t.brand_id = %(brand)s AND t.member_id = ANY(%(people)s)
        AND t.touchpoint_id IS NOT NULL AND t."case" <> 'STAFF'
), placed AS (
    SELECT s.*, (s.at AT TIME ZONE %(zone)s)::date AS day,
        lag((s.at AT TIME ZONE %(zone)s)::date) OVER (PARTITION BY s.member_id ORDER BY s.seq) AS previous_day,
        min(s.seq) FILTER (WHERE s.kind IN {follows})
            OVER (PARTITION BY s.member_id ORDER BY s.seq DESC ROWS UNBOUNDED PRECEDING) AS follow_seq
    FROM scanned s
), visit AS (
    SELECT %(brand)s::bigint AS brand_id, x.id, x.member_id, x.touchpoint_id, x.at, x."case", x.seq, x.total, x.day,
        x.previous_day, f.seq IS NOT NULL AS followed, f.at AS followed_at, f.follower_id
    FROM placed x LEFT JOIN scanned f ON f.member_id = x.member_id AND f.seq = x.follow_seq
), person AS (
    SELECT p.*, {left_at} AS left_at FROM visit p
), outcome AS (
    SELECT p.*, {reached}, coalesce({engaged}, false) AS engaged, {bargain}, {values}
    FROM person p JOIN members_member m ON m.brand_id = p.brand_id AND m.id = p.member_id
)
INSERT INTO touchpoints_countedtouch (brand_id, touch_id, member_id, touchpoint_id, at, day, previous_day, seq, total,
    "case", placed_at, followed_at, left_at, cohort, outcome, {value_names}, due_at)
SELECT brand_id, id, member_id, touchpoint_id, at, day, previous_day, seq, total, "case",
    coalesce((%(moments)s::timestamptz[])[width_bucket(at, %(moments)s::timestamptz[])], %(always)s),
    followed_at, left_at,
    coalesce(12 * date_part('year', followed_at AT TIME ZONE %(zone)s)
        + date_part('month', followed_at AT TIME ZONE %(zone)s), 0)::int,
    {outcome}, {value_names},
    (SELECT min(followed_at + stay) FROM unnest(%(stays)s::interval[]) stay WHERE followed_at + stay > %(now)s)
FROM outcome
"""

# What people add to the sums.
_ADD: Final = """
WITH {brought}
INSERT INTO touchpoints_channelsum (brand_id, model, month, touchpoint_id, placed_at, cohort, parts)
SELECT %(brand)s, model, month, touchpoint_id, placed_at, cohort, {signed} FROM brought
ON CONFLICT (brand_id, model, cohort, month, touchpoint_id, placed_at) DO UPDATE SET parts = {added}
"""

_START_OVER: Final = (
    "DELETE FROM touchpoints_channelsum WHERE brand_id = %(brand)s",
    "DELETE FROM touchpoints_countedtouch WHERE brand_id = %(brand)s",
    "DELETE FROM touchpoints_recount WHERE brand_id = %(brand)s",
    """INSERT INTO touchpoints_recount (brand_id, member_id) SELECT %(brand)s, member_id FROM touchpoints_touch
    WHERE brand_id = %(brand)s AND touchpoint_id IS NOT NULL GROUP BY member_id ORDER BY member_id""",
)
_FEW: Final = "SELECT count(*) FROM (SELECT 1 FROM touchpoints_touch WHERE brand_id = %(brand)s LIMIT %(limit)s) t"


def mark_changed(*, member_ids: Iterable[int]) -> None:
    """Have people counted anew: for apps above whose stages look at rows of their own. Call it with the change."""
    Recount.objects.bulk_create(Recount(member_id=member_id) for member_id in member_ids)


def catch_up(*, at: datetime, zone: tzinfo) -> sums.Freshness:
    """Count the few people that wait before a report of the brand in scope is read, and say how fresh it is.

    When many wait, or somebody else is counting, nothing is done: the report says how old its figures are.
    """
    fresh = sums.freshness(at=at, zone=zone)
    if (fresh.is_ready and not fresh.waiting) or fresh.waiting > WHILE_LOOKING:
        return fresh
    if not fresh.is_ready and not _is_small():
        return fresh  # a worker makes the sums
    if count_again(at=at, zone=zone, limit=WHILE_LOOKING + 1) is None:
        return fresh
    return sums.freshness(at=at, zone=zone)


def _is_small() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_FEW, {"brand": current_brand_id(), "limit": WHILE_LOOKING + 1})
        return int(cursor.fetchone()[0]) <= WHILE_LOOKING


def count_again(*, at: datetime, zone: tzinfo, limit: int = A_ROUND) -> int | None:
    """Count people anew of whom something changed; gives how many there were, None when somebody else is at it.

    One transaction: their old shares leave the sums and the new ones come in, or nothing happened. Sums that were made
    by other definitions (a new stage, another time zone) are thrown away and begun anew.
    """
    meaning = sums.meaning_of_sums(zone)
    with transaction.atomic():
        if not _is_mine():
            return None
        state, _made = FigureState.objects.get_or_create(brand_id=current_brand_id())
        if state.meaning != meaning:
            _start_over()
            state.meaning, state.is_complete = meaning, False
        people, is_last = _take(at, limit)
        if people:
            _count(people, at, zone)
        if is_last or not sums.freshness(at=at, zone=zone).waiting:
            state.is_complete, state.counted_at = True, at
        state.save(update_fields=["meaning", "is_complete", "counted_at"])
        point("figures: counted, not committed")
    return len(people)


def _is_mine() -> bool:
    """Take the brand's figures for this transaction; somebody else who has them is not waited for."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"figures of channels {current_brand_id()}"]
        )
        return bool(cursor.fetchone()[0])


def _take(at: datetime, limit: int) -> tuple[list[int], bool]:
    """Give people that wait, and whether these are surely all who waited when it began."""
    parameters: dict[str, Any] = {"brand": current_brand_id(), "now": at, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, parameters)
        marked = [row[0] for row in cursor.fetchall()]
        cursor.execute(_DUE, parameters | {"limit": max(0, limit - len(marked))})
        due = [row[0] for row in cursor.fetchall()]
    return sorted({*marked, *due}), len(marked) + len(due) < limit


def _count(people: Sequence[int], at: datetime, zone: tzinfo) -> None:
    keys = [key for key, _stage in figures.stages()]
    conditions, places = figures.measures(keys), sums.bits(keys)
    parts = {
        "case": figures.CASE,
        "follows": figures.FOLLOWS,
        "left_at": figures.LEFT_AT,
        "engaged": figures.ENGAGED,
        "reached": figures.reached_columns(),
        "bargain": figures.bargain_column(),
        "values": figures.value_columns(),
        "value_names": ", ".join(figures.values()),
        "outcome": " + ".join(f"CASE WHEN {conditions[key]} THEN {bit} ELSE 0 END" for key, bit in places.items()),
    }
    moments = Move.objects.filter(restates=False).order_by("at").values_list("at", flat=True).distinct()
    parameters: dict[str, Any] = {
        "brand": current_brand_id(),
        "people": list(people),
        "now": at,
        "zone": str(zone),
        "fast": figures.FAST,
        "always": sums.ALWAYS,
        "stays": [f"{days} days" for days in figures.STAYS],
        "moments": list(moments),
    }
    numbers = range(1, sums.length_of_sums() + 1)
    added = ", ".join(f"touchpoints_channelsum.parts[{number}] + excluded.parts[{number}]" for number in numbers)
    signed = ", ".join(f"%(sign)s * brought.parts[{number}]" for number in numbers)
    add = figures.filled(_ADD, {"brought": sums.brought(), "signed": f"ARRAY[{signed}]", "added": f"ARRAY[{added}]"})
    with connection.cursor() as cursor:
        cursor.execute(_WERE, parameters)
        parameters["people"] = sorted({*people, *(row[0] for row in cursor.fetchall())})
        cursor.execute(add, parameters | {"sign": -1})
        cursor.execute(_FORGET, parameters)
        cursor.execute(figures.filled(_COUNT, parts), parameters)
        cursor.execute(add, parameters | {"sign": 1})


def _start_over() -> None:
    """Throw the sums away and have everybody counted. Touches that come meanwhile leave their own rows."""
    with connection.cursor() as cursor:
        for statement in _START_OVER:
            cursor.execute(statement, {"brand": current_brand_id()})


def count_all(
    brand_id: int,
    *,
    clock: Callable[[], datetime],
    zone: tzinfo,
    limit: int = A_ROUND,
    goes_on: Callable[[], bool] = lambda: True,
) -> int:
    """Count until nobody waits or `goes_on` ends it, each round a short transaction; gives how many were counted."""
    counted = 0
    while goes_on():
        with brand_scope(brand_id):
            people = count_again(at=clock(), zone=zone, limit=limit)
            waiting = sums.freshness(at=clock(), zone=zone).waiting
        counted += people or 0
        if people is None or not waiting:
            break
    return counted


def rebuild_sums(brand_id: int, *, clock: Callable[[], datetime], zone: tzinfo, limit: int = A_ROUND) -> int:
    """Throw the sums of a brand away and make them again from the touches; reports count for themselves meanwhile."""
    with brand_scope(brand_id):
        FigureState.objects.update(meaning="", is_complete=False)
    return count_all(brand_id, clock=clock, zone=zone, limit=limit)
