"""What purchases add to the figures of channels, as SQL over a visit `p`: who ordered after it, and for how much.

A trigger of the first migration has people counted again whose purchases or visits to stores change.
"""

from __future__ import annotations

from typing import Final

from loyalty.taken_back import UNDONE_SQL

ORDERED: Final = f"""EXISTS (
        SELECT 1 FROM loyalty_fact f WHERE f.brand_id = p.brand_id AND f.member_id = p.member_id
            AND f.kind = 'PURCHASE' AND f.happened_at >= p.at AND NOT {UNDONE_SQL})"""  # noqa: S608

# Whoever comes into a store has not come for the benefit alone.
VISITED: Final = """EXISTS (
        SELECT 1 FROM loyalty_fact f WHERE f.brand_id = p.brand_id AND f.member_id = p.member_id
            AND f.kind = 'VISIT' AND f.happened_at >= p.followed_at
            AND f.happened_at < p.followed_at + interval '{days} days')"""

# What was sent back is taken from the purchase it belongs to, whenever that was.
ORDERS_WITHIN: Final = """(
        SELECT coalesce(sum(f.amount - coalesce((
            SELECT sum(r.amount) FROM loyalty_fact r WHERE r.brand_id = f.brand_id AND r.refers_id = f.id), 0)), 0)
        FROM loyalty_fact f WHERE f.brand_id = p.brand_id AND f.member_id = p.member_id AND f.kind = 'PURCHASE'
            AND f.happened_at >= p.followed_at AND f.happened_at < p.followed_at + interval '{days} days')"""
