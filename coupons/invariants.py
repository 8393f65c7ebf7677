"""What must hold of coupons at every moment: one statement each, which gives the rows that break it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id

# Every statement gives (row, what is wrong) of the brand in scope.
INVARIANTS: Final[dict[str, str]] = {
    "a coupon stands as its last move says": """
        SELECT c.id, format('%%s, and by its moves %%s', c.state, m.after) FROM coupons_coupon c
        LEFT JOIN LATERAL (
            SELECT after, member_id, valid_until FROM coupons_move
            WHERE brand_id = c.brand_id AND coupon_id = c.id ORDER BY id DESC LIMIT 1
        ) m ON true
        WHERE c.brand_id = %(brand)s AND (m.after IS DISTINCT FROM c.state OR m.member_id IS DISTINCT FROM c.member_id
            OR m.valid_until IS DISTINCT FROM c.valid_until)""",
    "a coupon is given once, and first of all": """
        SELECT c.id, format('%%s times', count(m.id) FILTER (WHERE m.kind = 'ISSUE')) FROM coupons_coupon c
        LEFT JOIN coupons_move m ON m.brand_id = c.brand_id AND m.coupon_id = c.id
        WHERE c.brand_id = %(brand)s GROUP BY c.id
        HAVING count(m.id) FILTER (WHERE m.kind = 'ISSUE') <> 1
            OR min(m.id) IS DISTINCT FROM min(m.id) FILTER (WHERE m.kind = 'ISSUE')""",
    "a coupon is used once at a time": """
        SELECT c.id, format('%%s used, %%s taken back, %%s', u.used, u.back, c.state) FROM coupons_coupon c
        JOIN LATERAL (
            SELECT count(*) FILTER (WHERE kind = 'REDEEM') AS used,
                count(*) FILTER (WHERE kind IN ('RETURN', 'UNDO')) AS back
            FROM coupons_move WHERE brand_id = c.brand_id AND coupon_id = c.id
        ) u ON true
        WHERE c.brand_id = %(brand)s AND u.used - u.back <> (c.state = 'USED')::int""",
    "an order has what was taken off for it": """
        SELECT c.id, format('%%s, and by the move %%s', c.saved, m.saved) FROM coupons_coupon c
        JOIN LATERAL (
            SELECT saved FROM coupons_move
            WHERE brand_id = c.brand_id AND coupon_id = c.id AND kind = 'REDEEM' ORDER BY id DESC LIMIT 1
        ) m ON true
        WHERE c.brand_id = %(brand)s AND c.state = 'USED' AND c.saved <> m.saved""",
    "a budget is what was given and printed": """
        SELECT t.id, format('%%s taken, %%s given, %%s printed', t.taken, g.given, b.printed) FROM coupons_template t
        JOIN LATERAL (
            SELECT count(*) AS given FROM coupons_coupon c
            WHERE c.brand_id = t.brand_id AND c.template_id = t.id AND c.way <> 'CODE' AND c.nth IS NOT NULL
        ) g ON true
        JOIN LATERAL (
            SELECT coalesce(sum(CASE WHEN b.stopped_at IS NULL THEN b.count ELSE b.redeemed END), 0) AS printed
            FROM coupons_codebatch b WHERE b.brand_id = t.brand_id AND b.template_id = t.id
        ) b ON true
        WHERE t.brand_id = %(brand)s AND t.taken <> g.given + b.printed""",
    "no budget is exceeded": """
        SELECT id, format('%%s of %%s', taken, total) FROM coupons_template
        WHERE brand_id = %(brand)s AND taken > total""",
    "nobody was given more than one may have": """
        SELECT coupon_id, format('number %%s of %%s', detail->>'nth', detail->>'limit') FROM coupons_move
        WHERE brand_id = %(brand)s AND kind = 'ISSUE' AND (detail->>'nth')::int > (detail->>'limit')::int""",
    "a code became one coupon": """
        SELECT b.id, format('%%s redeemed, %%s codes, %%s coupons', b.redeemed, c.redeemed, c.coupons)
        FROM coupons_codebatch b JOIN LATERAL (
            SELECT count(*) FILTER (WHERE redeemed_at IS NOT NULL) AS redeemed, count(DISTINCT coupon_id) AS coupons
            FROM coupons_code WHERE brand_id = b.brand_id AND batch_id = b.id
        ) c ON true
        WHERE b.brand_id = %(brand)s AND (b.redeemed <> c.redeemed OR c.redeemed <> c.coupons)""",
    "a batch has the codes it counts": """
        SELECT b.id, format('%%s counted, %%s there', b.made, c.there) FROM coupons_codebatch b JOIN LATERAL (
            SELECT count(*) AS there FROM coupons_code WHERE brand_id = b.brand_id AND batch_id = b.id
        ) c ON true
        WHERE b.brand_id = %(brand)s AND b.made <> c.there""",
    "coupons by code have a code": """
        SELECT c.id, c.way FROM coupons_coupon c
        LEFT JOIN coupons_code k ON k.brand_id = c.brand_id AND k.coupon_id = c.id
        WHERE c.brand_id = %(brand)s AND (c.way = 'CODE') <> (k.id IS NOT NULL)""",
    "what was had for points was paid": """
        SELECT c.id, format('%%s, freeze %%s', c.state, h.state) FROM coupons_coupon c
        JOIN loyalty_hold h ON h.brand_id = c.brand_id AND h.id = c.points_hold_id
        WHERE c.brand_id = %(brand)s AND (
            (c.state IN ('VOID', 'EXPIRED') AND h.state = 'HELD')
            OR (c.state = 'USED' AND h.state = 'HELD')
            OR (c.nth IS NULL AND h.state = 'CAPTURED'))""",
    "a push counts what came of it": """
        SELECT p.id, format('%%s come to, %%s counted, %%s given', p.done, t.counted, c.given) FROM coupons_push p
        JOIN LATERAL (
            SELECT coalesce(sum(value::int), 0) AS counted FROM jsonb_each_text(p.tally)
        ) t ON true
        JOIN LATERAL (
            SELECT count(*) AS given FROM coupons_pushperson
            WHERE brand_id = p.brand_id AND push_id = p.id AND outcome = 'GIVEN'
        ) c ON true
        WHERE p.brand_id = %(brand)s
            AND (p.done <> t.counted OR coalesce((p.tally->>'GIVEN')::int, 0) <> c.given)""",
    "merged and deleted people have no coupons to use": """
        SELECT c.id, c.state FROM coupons_coupon c
        JOIN members_member m ON m.brand_id = c.brand_id AND m.id = c.member_id
        WHERE c.brand_id = %(brand)s AND (m.merged_into_id IS NOT NULL
            OR (m.erased_at IS NOT NULL AND c.state IN ('UNUSED', 'HELD')))""",
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
