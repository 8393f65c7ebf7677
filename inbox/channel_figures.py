"""What talking adds to the figures of channels, as SQL over a visit `p`.

The word that fetches a coupon is no conversation: what somebody writes counts from the day after they followed on, and
so does any answer of a person. Once the days are over nothing new falls into them.
"""

from __future__ import annotations

from typing import Final

TALKED: Final = """EXISTS (
        SELECT 1 FROM inbox_conversation c JOIN inbox_message t ON t.brand_id = c.brand_id AND t.conversation_id = c.id
        WHERE c.brand_id = p.brand_id AND c.follower_id = p.follower_id
            AND t.at >= p.followed_at AND t.at < p.followed_at + interval '{days} days'
            AND (t.direction = 'OUT' AND t.author_id IS NOT NULL
                OR t.direction = 'IN' AND t.at >= p.followed_at + interval '1 day'))"""
