"""Figures counted from the touches themselves: what the sums must be equal to, and what reports read without sums."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id
from touchpoints.models import TouchCase
from touchpoints.selectors.figures import (
    CASE,
    ENGAGED,
    FAST,
    FOLLOWS,
    LEFT_AT,
    PAGE,
    Cohort,
    Figures,
    Row,
    Window,
    attributions,
    bargain_column,
    cohort_measures,
    figures_of,
    filled,
    first_month,
    measures,
    reached_columns,
    stages,
    value_columns,
    values,
)
from touchpoints.selectors.tree import places, shape, tree_nodes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, tzinfo

    from touchpoints.selectors.figures import Credited
    from touchpoints.selectors.tree import Path

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
    SELECT p.member_id, p.followed, p.followed_at, p.left_at, {reached}, coalesce({engaged}, false) AS engaged,
        {bargain}, {values}
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
    names = [
        "o.followed",
        "o.followed_at",
        "o.left_at",
        "o.engaged",
        "o.bargain",
        *(f"o.stage_{n}" for n in range(len(keys))),
    ]
    names += [f"o.{key}" for key in values()]
    parts = {
        "case": CASE,
        "follows": FOLLOWS,
        "left_at": LEFT_AT,
        "engaged": ENGAGED,
        "reached": reached_columns(),
        "bargain": bargain_column(),
        "values": value_columns(),
        "weight": attributions.get(model).weight,
        "outcome": ", ".join(names),
    }
    return filled(_CREDITED, parts), keys


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


def counted_credits(
    window: Window,
    *,
    models: Collection[str],
    now: datetime,
    zone: tzinfo,
    moments: Sequence[datetime] = (),
    codes: Collection[int] | None = None,
    keys: Collection[str] | None = None,
) -> dict[str, Credited]:
    """Give the figures of codes in each span of the tree, for each model: {model: {(code, span): figures}}.

    A statement for each model that reads every touch of the window. The sums (`sums.py`) give the same from far fewer
    rows.
    """
    return {model: _counted(model, _parameters(window, now, zone, moments), codes) for model in models}


def _counted(model: str, parameters: dict[str, Any], codes: Collection[int] | None) -> Credited:
    text, names = _statement(model)
    wanted = measures(names)
    cases = [f"count(*) FILTER (WHERE \"case\" = '{case}')" for case in TouchCase.values]
    sums = [f"coalesce(sum(part) FILTER (WHERE {condition}), 0)::bigint" for condition in wanted.values()]
    sums += [f"coalesce(sum(part * {key}), 0)::bigint" for key in values()]
    text += f"""
SELECT touchpoint_id, span, {", ".join([*cases, *sums])} FROM credited
WHERE %(all)s OR touchpoint_id = ANY(%(codes)s) GROUP BY 1, 2"""  # noqa: S608 - constants
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(text, parameters | {"all": codes is None, "codes": list(codes or ())})
        for touchpoint_id, span, *counted in cursor.fetchall():
            found[touchpoint_id, span] = figures_of(
                counted[: len(cases)], dict(zip([*wanted, *values()], counted[len(cases) :], strict=True))
            )
    return found


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


# --- the rows behind a figure ---


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
