"""Where everybody stands: each person in the first of several rules that fits, each condition asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import BooleanField, Case, Q, Value, When

from accounts.tenancy import current_brand_id, reporting
from members.left_out import left_out
from members.models import Member
from members.segments import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from members.segments import Condition


def placed(
    rules: Sequence[object], values: Sequence[int], *, nowhere: int, at: datetime, is_past: bool = False
) -> tuple[str, list[Any]]:
    """Give a statement of (id, place) over everybody the brand knew: the value of the first rule that fits, or nowhere.

    Conditions that several rules share are looked at once. `is_past`: by what was written down of that moment. Raises
    `RuleInvalid`.
    """
    leaves: dict[tuple[str, Any], tuple[int, Q]] = {}

    def leaf(item: Condition, params: Any) -> str:
        key = (item.key, params)
        if key not in leaves:
            asked = was_q_of(item) if is_past else None
            leaves[key] = (len(leaves), (asked or item.to_q)(params, at))
        return f"x.leaf_{leaves[key][0]}"

    said = [walk(rule, leaf, _join) for rule in rules]
    columns = {
        f"leaf_{number}": Case(
            When(condition, then=Value(True)) if condition else When(pk__isnull=False, then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        )
        for number, condition in leaves.values()
    }
    everybody = Member.objects.filter(merged_into=None, erased_at=None, created_at__lte=at).annotate(**columns)
    statement, params = everybody.order_by().values_list("id", *columns).query.sql_with_params()
    places = " ".join(f"WHEN {rule} THEN %s" for rule in said)
    # OFFSET 0: the conditions are looked at here, not again in every line of the case.
    text = f"SELECT x.id, CASE {places} ELSE %s END AS place FROM ({statement} OFFSET 0) x"  # noqa: S608 - names of ours
    return text, [*values, nowhere, *params]


def counted(rules: Sequence[object], *, at: datetime, everybody: bool = False, is_past: bool = False) -> list[int]:
    """Count how many people stand in each of several rules at a moment; the last number is those in none.

    Staff, test people and blocked ones are left out unless `everybody`.
    """
    text, params = placed(rules, range(len(rules)), nowhere=len(rules), at=at, is_past=is_past)
    if not everybody:
        flagged, more = left_out(by=at).query.sql_with_params()
        text, params = f"SELECT q.* FROM ({text}) q WHERE q.id NOT IN ({flagged})", [*params, *more]  # noqa: S608
    with reporting(current_brand_id()), connection.cursor() as cursor:
        cursor.execute(f"SELECT place, count(*) FROM ({text}) p GROUP BY place", params)  # noqa: S608
        found = dict(cursor.fetchall())
    return [found.get(number, 0) for number in range(len(rules) + 1)]


def was_q_of(item: Condition) -> Callable[[Any, datetime], Q] | None:
    """Give how a condition asks everybody about a past moment, if it does so in another way than about now."""
    found: Callable[[Any, datetime], Q] | None = getattr(item, "was_q", None)
    return found


def undated(rules: Sequence[object]) -> list[str]:
    """Name the conditions of rules whose facts are not kept for past times."""
    found: dict[str, None] = {}

    def leaf(item: Condition, _params: Any) -> None:
        if not getattr(item, "exact_past", False) and was_q_of(item) is None:
            found[str(item.label)] = None

    for rule in rules:
        walk(rule, leaf, lambda _kind, _parts: None)
    return list(found)


def _join(kind: str, parts: list[str]) -> str:
    if not parts:
        return "true"
    joined = f" {'OR' if kind == 'any' else 'AND'} ".join(
        parts if kind != "none" else [f"NOT {each}" for each in parts]
    )
    return f"({joined})"
