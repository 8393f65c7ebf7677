"""What must hold for points whatever dies and whenever: queries that give no rows (for tests and for operators)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id

# Each takes the brand by name and gives (id of the row, what is wrong).
INVARIANTS: Final[dict[str, str]] = {
    "every journal sums to 0": """
        SELECT journal_id, sum(points)::bigint FROM loyalty_entry WHERE brand_id = %(brand)s
        GROUP BY journal_id HAVING sum(points) <> 0""",
    "every journal has two legs": """
        SELECT j.id, count(e.id) FROM loyalty_journal j
        LEFT JOIN loyalty_entry e ON e.brand_id = j.brand_id AND e.journal_id = j.id
        WHERE j.brand_id = %(brand)s GROUP BY j.id HAVING count(e.id) < 2""",
    "every leg has its journal": """
        SELECT e.id, e.journal_id FROM loyalty_entry e WHERE e.brand_id = %(brand)s AND NOT EXISTS (
            SELECT 1 FROM loyalty_journal j WHERE j.brand_id = e.brand_id AND j.id = e.journal_id)""",
    "legs carry the moment of their journal": """
        SELECT e.id, e.at - j.at FROM loyalty_entry e
        JOIN loyalty_journal j ON j.brand_id = e.brand_id AND j.id = e.journal_id
        WHERE e.brand_id = %(brand)s AND e.at <> j.at""",
    "lots equal their legs": """
        SELECT l.id, format('left %%s, by the ledger %%s; frozen %%s, by the ledger %%s',
            l.remaining, coalesce(e.available, 0), l.held, coalesce(e.held, 0))
        FROM loyalty_lot l LEFT JOIN (
            SELECT lot_id, sum(points) FILTER (WHERE pocket = 'AVAILABLE') AS available,
                sum(points) FILTER (WHERE pocket = 'HELD') AS held
            FROM loyalty_entry WHERE brand_id = %(brand)s AND lot_id IS NOT NULL GROUP BY lot_id
        ) e ON e.lot_id = l.id
        WHERE l.brand_id = %(brand)s
            AND (l.remaining <> coalesce(e.available, 0) OR l.held <> coalesce(e.held, 0))""",
    "nobody else has legs left in a lot": """
        SELECT e.lot_id, e.member_id FROM loyalty_entry e
        JOIN loyalty_lot l ON l.brand_id = e.brand_id AND l.id = e.lot_id
        WHERE e.brand_id = %(brand)s AND e.member_id <> l.member_id
        GROUP BY e.lot_id, e.member_id, e.pocket HAVING sum(e.points) <> 0""",
    "legs are of lots that exist": """
        SELECT e.id, e.lot_id FROM loyalty_entry e WHERE e.brand_id = %(brand)s AND e.lot_id IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM loyalty_lot l WHERE l.brand_id = e.brand_id AND l.id = e.lot_id)""",
    "no lot below 0 or above what came": """
        SELECT id, format('%%s left, %%s frozen of %%s', remaining, held, granted) FROM loyalty_lot
        WHERE brand_id = %(brand)s AND (remaining < 0 OR held < 0 OR remaining + held > granted)""",
    "balances equal lots": """
        SELECT coalesce(a.member_id, l.member_id), format('available %%s, lots %%s; frozen %%s, lots %%s',
            coalesce(a.available, 0), coalesce(l.remaining, 0), coalesce(a.held, 0), coalesce(l.held, 0))
        FROM (SELECT * FROM loyalty_account WHERE brand_id = %(brand)s) a
        FULL JOIN (
            SELECT member_id, sum(remaining) AS remaining, sum(held) AS held FROM loyalty_lot
            WHERE brand_id = %(brand)s GROUP BY member_id
        ) l ON l.member_id = a.member_id
        WHERE coalesce(a.available, 0) <> coalesce(l.remaining, 0) OR coalesce(a.held, 0) <> coalesce(l.held, 0)""",
    "balances equal the ledger": """
        SELECT coalesce(a.member_id, e.member_id), format('%%s and by the ledger %%s',
            coalesce(a.available + a.held - a.owed, 0), coalesce(e.points, 0))
        FROM (SELECT * FROM loyalty_account WHERE brand_id = %(brand)s) a
        FULL JOIN (
            SELECT member_id, sum(points) AS points FROM loyalty_entry
            WHERE brand_id = %(brand)s AND member_id IS NOT NULL GROUP BY member_id
        ) e ON e.member_id = a.member_id
        WHERE coalesce(a.available + a.held - a.owed, 0) <> coalesce(e.points, 0)""",
    "what is owed equals the ledger": """
        SELECT a.member_id, format('%%s and by the ledger %%s', a.owed, coalesce(e.points, 0))
        FROM loyalty_account a LEFT JOIN (
            SELECT member_id, -sum(points) AS points FROM loyalty_entry
            WHERE brand_id = %(brand)s AND pocket = 'OWED' GROUP BY member_id
        ) e ON e.member_id = a.member_id
        WHERE a.brand_id = %(brand)s AND a.owed <> coalesce(e.points, 0)""",
    "no balance below 0": """
        SELECT member_id, format('%%s available, %%s frozen, %%s owed', available, held, owed) FROM loyalty_account
        WHERE brand_id = %(brand)s AND (available < 0 OR held < 0 OR owed < 0)""",
    "freezes equal what is frozen": """
        SELECT coalesce(h.member_id, a.member_id), format('%%s in freezes, %%s in the account',
            coalesce(h.points, 0), coalesce(a.held, 0))
        FROM (SELECT * FROM loyalty_account WHERE brand_id = %(brand)s) a
        FULL JOIN (
            SELECT member_id, sum(points) AS points FROM loyalty_hold
            WHERE brand_id = %(brand)s AND state = 'HELD' GROUP BY member_id
        ) h ON h.member_id = a.member_id
        WHERE coalesce(h.points, 0) <> coalesce(a.held, 0)""",
    "no more reversed than happened": """
        SELECT j.id, format('%%s reversed of %%s', sum(r.points), j.points) FROM loyalty_journal j
        JOIN loyalty_journal r ON r.brand_id = j.brand_id AND r.reverses_id = j.id
        WHERE j.brand_id = %(brand)s GROUP BY j.id, j.points HAVING sum(r.points) > j.points""",
    "journals say what their legs move": """
        SELECT j.id, format('%%s and by its legs %%s', j.points, sum(e.points) FILTER (WHERE e.points > 0))
        FROM loyalty_journal j JOIN loyalty_entry e ON e.brand_id = j.brand_id AND e.journal_id = j.id
        WHERE j.brand_id = %(brand)s AND j.kind IN ('EARN', 'BURN', 'FREEZE', 'RELEASE', 'EXPIRE', 'RETURN', 'GIFT')
        GROUP BY j.id, j.points HAVING sum(e.points) FILTER (WHERE e.points > 0) <> j.points""",
    "points that were issued have a lot or paid a debt": """
        SELECT j.id, j.points FROM loyalty_journal j WHERE j.brand_id = %(brand)s AND j.kind = 'EARN' AND j.points <>
            coalesce((SELECT sum(l.granted) FROM loyalty_lot l
                WHERE l.brand_id = j.brand_id AND l.journal_id = j.id), 0)
            + coalesce((SELECT sum(e.points) FROM loyalty_entry e
                WHERE e.brand_id = j.brand_id AND e.journal_id = j.id AND e.pocket = 'OWED'), 0)""",
    "one grant for a fact and rule": """
        SELECT min(id), format('fact %%s, rule %%s', detail->>'fact', detail->>'rule') FROM loyalty_journal
        WHERE brand_id = %(brand)s AND kind = 'EARN' AND detail ? 'fact'
        GROUP BY detail->>'fact', detail->>'rule' HAVING count(*) > 1""",
    "no more refunded than paid": """
        SELECT p.id, sum(r.amount)::bigint - p.amount FROM loyalty_fact p
        JOIN loyalty_fact r ON r.brand_id = p.brand_id AND r.refers_id = p.id
        WHERE p.brand_id = %(brand)s GROUP BY p.id, p.amount HAVING sum(r.amount) > p.amount""",
    "merged and deleted people have no points": """
        SELECT m.id, l.id FROM loyalty_lot l JOIN members_member m ON m.brand_id = l.brand_id AND m.id = l.member_id
        WHERE l.brand_id = %(brand)s AND (m.merged_into_id IS NOT NULL OR m.erased_at IS NOT NULL)
            AND l.remaining + l.held > 0""",
    "done adjustments have their journal": """
        SELECT a.id, a.state FROM loyalty_adjustment a
        LEFT JOIN loyalty_journal j ON j.brand_id = a.brand_id AND j.id = a.journal_id
        WHERE a.brand_id = %(brand)s AND (a.state = 'DONE') <> (j.id IS NOT NULL AND j.points = a.points)""",
}


@dataclass(frozen=True)
class Breach:
    """One invariant that does not hold: which, for which row, and what."""

    name: str
    row_id: int
    what: Any


def breaches() -> list[Breach]:
    """Every breach in the brand in scope; an empty list is the only good answer."""
    found = []
    with connection.cursor() as cursor:
        for name, statement in INVARIANTS.items():
            cursor.execute(statement, {"brand": current_brand_id()})
            found += [Breach(name, row_id, what) for row_id, what in cursor.fetchall()]
    return found
