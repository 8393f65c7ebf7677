"""Facts of people: that one changed (automatic tags look again), and what it was before (rules ask about the past)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from members import facts, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

TAG = "tag"
SUBSCRIBED = "subscribed"

# A row each time: one that is there may be under work by a worker that does not see this change yet.
_NOTE = """
INSERT INTO members_factdue (brand_id, member_id, kind, at)
SELECT %(brand)s, p.id, %(kind)s, now() FROM unnest(%(people)s::bigint[]) AS p(id)
WHERE EXISTS (SELECT 1 FROM members_tagrule r WHERE r.brand_id = %(brand)s AND r.is_on)
"""
_LOG = """
INSERT INTO members_factchange (brand_id, member_id, what, ref, before, after, source, at)
SELECT %(brand)s, c.member_id, %(what)s, c.ref, %(before)s, %(after)s, %(source)s, %(at)s
FROM unnest(%(people)s::bigint[], %(refs)s::bigint[]) AS c(member_id, ref)
"""


def note_fact(*, kind: str, member_ids: Iterable[int], having: str = "", known: Mapping[str, Any] | None = None) -> int:
    """Have automatic tags look at people again within seconds; nothing is noted where a brand has none.

    `kind` must be registered in `members.facts.kinds`. Gives how many people were noted. What changed the fact may
    travel along: `having` is a WITH clause in front of the statement, `known` its parameters.
    """
    facts.kinds.get(kind)
    people = sorted(set(member_ids))
    if not people:
        return 0
    with connection.cursor() as cursor:
        values = {"brand": current_brand_id(), "kind": kind, "people": people, **(known or {})}
        cursor.execute(having + _NOTE, values)
        noted: int = cursor.rowcount
    if noted:
        ring(tasks.apply_due_facts, current_brand_id())
    return noted


def log_facts(
    *, what: str, pairs: Sequence[tuple[int, int]], before: str, after: str, source: str, at: datetime
) -> None:
    """Write down that facts of people changed: pairs of (member, reference of the fact)."""
    if not pairs:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _LOG,
            {
                "brand": current_brand_id(),
                "what": what,
                "before": before,
                "after": after,
                "source": source[:60],
                "at": at,
                "people": [member_id for member_id, _ref in pairs],
                "refs": [ref for _member_id, ref in pairs],
            },
        )
