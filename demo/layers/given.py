"""The coupons that some of a crowd have: used, expired, or not used yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.backends.utils import CursorWrapper

from demo.layers.ground import Ground, member_no
from demo.truth import COUPON_LASTS, COUPONS, Person

RULES: Final = tuple(
    {"kind": "AMOUNT", "amount": fen, "threshold": 20_000, "days": COUPON_LASTS} for _name, fen in COUPONS
)
_USED_AFTER: Final = 12

_COUPONS: Final = """
WITH c AS (
    INSERT INTO coupons_coupon (brand_id, public_id, template_id, version_id, member_id, nth, way, state, valid_from,
        valid_until, issued_at, "order", used_at, store_id, saved)
    SELECT m.brand_id, g.public_id, %(template)s, %(version)s, m.id, 1, 'SYSTEM', upper(g.fate), g.issued,
        g.until, g.issued, CASE WHEN g.fate = 'used' THEN 'CC' || %(which)s::text || m.member_no ELSE '' END, g.used,
        CASE WHEN g.fate = 'used' THEN m.store_id END, CASE WHEN g.fate = 'used' THEN %(saved)s ELSE 0 END
    FROM unnest(%(numbers)s::text[], %(public_ids)s::uuid[], %(fates)s::text[], %(issued)s::timestamptz[],
        %(until)s::timestamptz[], %(used)s::timestamptz[]) AS g(member_no, public_id, fate, issued, until, used)
    JOIN members_member m ON m.brand_id = %(brand)s AND m.member_no = g.member_no
    RETURNING id, brand_id, public_id, member_id, state, valid_until, issued_at, "order", used_at, store_id, saved
), t AS (
    UPDATE coupons_template SET taken = taken + (SELECT count(*) FROM c)
    WHERE brand_id = %(brand)s AND id = %(template)s
)
INSERT INTO coupons_move (brand_id, public_id, coupon_id, kind, after, actor, key, fingerprint, member_id, "order",
    store_id, saved, reason, detail, valid_until, at)
SELECT c.brand_id, gen_random_uuid(), c.id, m.kind, m.after, 'demo', 'crowd:' || m.kind || ':' || c.public_id,
    gen_random_uuid(), c.member_id, m."order", m.store_id, m.saved, m.reason, m.detail, c.valid_until, m.at
FROM c CROSS JOIN LATERAL (VALUES
    (1, 'ISSUE', 'UNUSED', '', NULL::bigint, 0::bigint, %(name)s, '{"nth": 1, "limit": 1}'::jsonb, c.issued_at),
    (2, CASE WHEN c.state = 'USED' THEN 'REDEEM' ELSE 'EXPIRE' END, c.state, c."order", c.store_id, c.saved, '', '{}',
        coalesce(c.used_at, c.valid_until))
) AS m(step, kind, after, "order", store_id, saved, reason, detail, at)
WHERE m.after <> 'UNUSED' OR m.step = 1
ORDER BY c.id, m.step
"""


def plant(some: Sequence[Person], ground: Ground, cursor: CursorWrapper) -> None:
    """Give the coupons, and let what became of each have happened."""
    for which, (template, version) in enumerate(ground.coupons):
        have = [(person, days, fate) for person in some for each, days, fate in person.coupons if each == which]
        if not have:
            continue
        name, saved = COUPONS[which]
        given = ground.given(
            template=template,
            version=version,
            name=name,
            saved=saved,
            which=which,
            numbers=[member_no(person.number) for person, _days, _fate in have],
            public_ids=[ground.key("coupon", person.number, *([which] if which else [])) for person, *_rest in have],
            fates=[fate for _person, _days, fate in have],
            issued=[ground.ago(days) for _person, days, _fate in have],
            until=[ground.ago(days - COUPON_LASTS) for _person, days, _fate in have],
            used=[ground.ago(days - _USED_AFTER) if fate == "used" else None for _person, days, fate in have],
        )
        cursor.execute(_COUPONS, given)
