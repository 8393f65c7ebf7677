"""Who came by a channel for a benefit only, as SQL over a visit `p`: what was taken, and what was bought without it.

Nothing of this changes for somebody once the days are over, but purchases that are reported late, and those have people
counted again by themselves (`loyalty.channel_figures`).
"""

from __future__ import annotations

from typing import Final

from loyalty.taken_back import UNDONE_SQL

# What somebody took of their own accord: coupons that the brand pushed to them say nothing.
TAKEN: Final = """EXISTS (
        SELECT 1 FROM coupons_coupon c WHERE c.brand_id = p.brand_id AND c.member_id = p.member_id
            AND c.way IN ('CLAIM', 'CODE', 'SCAN') AND c.issued_at >= p.at
            AND c.issued_at < p.followed_at + interval '{days} days')"""

BOUGHT_WITHOUT: Final = f"""EXISTS (
        SELECT 1 FROM loyalty_fact f WHERE f.brand_id = p.brand_id AND f.member_id = p.member_id
            AND f.kind = 'PURCHASE' AND f.happened_at >= p.followed_at
            AND f.happened_at < p.followed_at + interval '{{days}} days' AND NOT {UNDONE_SQL}
            AND NOT EXISTS (SELECT 1 FROM coupons_coupon u WHERE u.brand_id = f.brand_id
                AND u.member_id = f.member_id AND u."order" = f.number AND u.state = 'USED'))"""  # noqa: S608 - constants
