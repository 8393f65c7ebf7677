"""Which buttons of menus are tapped: one row a button and day, and one of each person's with how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id
from wechat_gateway.quotas import SHANGHAI

if TYPE_CHECKING:
    from datetime import datetime

LONGEST: Final = 300
# Taps that open what lies outside of the talk with the account (reference: 3.3).
OPENING: Final = ("VIEW", "view_miniprogram")
# One statement for both: a tap costs a worker no more than finding out that the day is known already.
_NOTE: Final = """
WITH known AS (
    INSERT INTO conversations_buttontap (brand_id, account_id, key, day)
    SELECT %(brand)s, %(account)s, %(key)s, %(day)s WHERE NOT EXISTS (
        SELECT 1 FROM conversations_buttontap t WHERE t.brand_id = %(brand)s AND t.account_id = %(account)s
            AND t.key = %(key)s AND t.day = %(day)s)
    ON CONFLICT DO NOTHING
)
INSERT INTO conversations_buttonuse (brand_id, account_id, follower_id, key, day, taps, answered, opened)
SELECT %(brand)s, %(account)s, f.id, %(key)s, %(day)s, 1,
    (NOT %(opens)s AND (
        EXISTS (SELECT 1 FROM wechat_gateway_inboundpush p
            WHERE p.brand_id = %(brand)s AND p.id = %(push)s AND p.reply <> '')
        OR EXISTS (SELECT 1 FROM conversations_replyrecord r
            WHERE r.brand_id = %(brand)s AND r.push_id = %(push)s)))::int,
    %(opens)s::int
FROM members_follower f WHERE f.brand_id = %(brand)s AND f.account_id = %(account)s AND f.openid = %(openid)s
ON CONFLICT (brand_id, follower_id, day, key) DO UPDATE
    SET taps = conversations_buttonuse.taps + 1,
        answered = conversations_buttonuse.answered + excluded.answered,
        opened = conversations_buttonuse.opened + excluded.opened
"""


def note_tap(
    *, account_id: int, key: str, at: datetime, openid: str = "", kind: str = "", push_id: int | None = None
) -> None:
    """Note that somebody tapped a button, and whether that was answered or opened something. One statement."""
    if not key:
        return
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "account": account_id,
        "key": key[:LONGEST],
        "day": at.astimezone(SHANGHAI).date(),
        "openid": openid,
        "opens": kind in OPENING,
        "push": push_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, values)
