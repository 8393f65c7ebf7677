"""WeChat's quotas: counted per app, path and window in PostgreSQL, taken in grants; WeChat's own word wins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.tenancy import brand_scope
from wechat_gateway import incidents
from wechat_gateway.models import QuotaLimit, QuotaUse, QuotaWindow

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")  # WeChat's days begin there
_LIMITS_SECONDS: Final = 60.0

# Every batch of messages comes by here, so it is one statement. `used` is read under the lock.
_TAKE: Final = """
WITH held AS (
    SELECT q.id, q.used, q.blocked_until, coalesce(q."limit", w.known) AS most
    FROM unnest(%(windows)s::text[], %(starts)s::timestamptz[], %(limits)s::bigint[]) AS w(name, start, known)
    JOIN wechat_gateway_quotause q ON q.brand_id = %(brand)s AND q.appid = %(appid)s AND q.api = %(api)s
        AND q."window" = w.name AND q.window_start = w.start
    FOR UPDATE OF q
), given AS (
    SELECT count(*) AS found, CASE
        WHEN bool_or(coalesce(blocked_until > %(at)s, false)) THEN 0
        -- Nothing is sent for an account from the moment on at which it is disconnected.
        WHEN EXISTS (SELECT 1 FROM wechat_gateway_officialaccount
            WHERE brand_id = %(brand)s AND appid = %(appid)s AND NOT is_active) THEN 0
        WHEN EXISTS (SELECT 1 FROM wechat_gateway_miniprogram
            WHERE brand_id = %(brand)s AND appid = %(appid)s AND NOT is_active) THEN 0
        -- Without a known limit there is nothing to compare with, and least() leaves it out.
        ELSE least(%(count)s, min(greatest(0, floor(most * %(share)s::float8)::bigint - used))
            FILTER (WHERE most IS NOT NULL))
    END AS granted FROM held
), counted AS (
    UPDATE wechat_gateway_quotause q SET used = q.used + g.granted FROM held h, given g
    WHERE q.brand_id = %(brand)s AND q.id = h.id AND g.found = %(expected)s AND g.granted > 0
)
SELECT granted FROM given WHERE found = %(expected)s
"""

_limits: dict[str, dict[str, int]] = {}
_limits_read = 0.0


def take(*, brand_id: int, appid: str, api: str, count: int, at: datetime, share: float = 1.0) -> int:
    """Take up to `count` calls of a path; gives how many were granted (0 when none are left, or nothing is connected).

    `share` keeps the rest of the quota for others: 0.8 stops at 80 % of it. One statement's lock per batch, not per
    message. A path without a known limit grants everything and is still counted.
    """
    limits = _limits_of(api, at)
    windows = [(QuotaWindow.DAY.value, day_start(at), limits.get(QuotaWindow.DAY))]
    if QuotaWindow.MINUTE in limits:
        minute = at.replace(second=0, microsecond=0)
        windows.append((QuotaWindow.MINUTE.value, minute, limits[QuotaWindow.MINUTE]))
    with brand_scope(brand_id):
        granted = _take(brand_id, appid, api, windows, count, at, share)
        if granted is None:
            for window, start, _ in windows:
                _locked(appid, api, window, start)
            granted = _take(brand_id, appid, api, windows, count, at, share)
    return granted or 0


def free_at(*, brand_id: int, appid: str, api: str, at: datetime) -> datetime:
    """When the calls of a path go on that were not granted: at midnight, or with the next minute."""
    limit = minute_limit_of(api, at)
    minute = at.replace(second=0, microsecond=0)
    if limit is not None:
        with brand_scope(brand_id):
            row = _locked(appid, api, QuotaWindow.DAY, day_start(at))
        most = row.limit if row.limit is not None else limit_of(api, at)
        if (row.blocked_until is None or row.blocked_until <= at) and (most is None or row.used < most):
            return minute + timedelta(minutes=1)
    return next_reset(at)


def give_back(*, brand_id: int, appid: str, api: str, count: int, at: datetime) -> None:
    """Return calls that were granted and not made."""
    if count <= 0:
        return
    with brand_scope(brand_id):
        row = _locked(appid, api, QuotaWindow.DAY, day_start(at))
        row.used = max(0, row.used - count)
        row.save(update_fields=["used"])


def exhausted(*, brand_id: int, appid: str, api: str, at: datetime) -> datetime:
    """Note that WeChat itself says the day's quota is used up (45009); gives the moment it is renewed."""
    until = next_reset(at)
    with brand_scope(brand_id):
        row = _locked(appid, api, QuotaWindow.DAY, day_start(at))
        row.blocked_until = until
        row.save(update_fields=["blocked_until"])
        incidents.open_incident(kind=incidents.QUOTA, appid=appid, subject=api, code=45009, at=at)
    return until


def told(*, brand_id: int, appid: str, api: str, limit: int, used: int, at: datetime) -> None:
    """Store WeChat's own figures for today (openapi/quota/get); a block that no longer holds is lifted."""
    with brand_scope(brand_id):
        row = _locked(appid, api, QuotaWindow.DAY, day_start(at))
        row.limit, row.used = limit, used
        if used < limit:
            row.blocked_until = None
            incidents.close_incident(kind=incidents.QUOTA, appid=appid, subject=api, at=at)
        row.save(update_fields=["limit", "used", "blocked_until"])


def blocked_paths(*, brand_id: int, appid: str, at: datetime) -> list[str]:
    """The paths of which WeChat itself said that today's calls are used up."""
    with brand_scope(brand_id):
        rows = QuotaUse.objects.filter(appid=appid, window_start=day_start(at), blocked_until__gt=at)
        return list(rows.order_by("api").values_list("api", flat=True))


def day_start(at: datetime) -> datetime:
    """The midnight in Shanghai that began the quota day of a moment."""
    return at.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)


def next_reset(at: datetime) -> datetime:
    """The midnight in Shanghai at which the day's quotas are renewed."""
    return (day_start(at) + timedelta(hours=36)).replace(hour=0)


def forget_limits() -> None:
    """Drop the limits this process remembers; the next call reads PostgreSQL."""
    global _limits_read
    _limits.clear()
    _limits_read = 0.0


def limit_of(api: str, at: datetime) -> int | None:
    """The documented limit per day of a path on a date, None when none is known."""
    return _limits_of(api, at).get(QuotaWindow.DAY)


def minute_limit_of(api: str, at: datetime) -> int | None:
    """The documented limit per minute of a path on a date, None when there is none."""
    return _limits_of(api, at).get(QuotaWindow.MINUTE)


def _limits_of(api: str, at: datetime) -> dict[str, int]:
    global _limits, _limits_read
    if time.monotonic() - _limits_read > _LIMITS_SECONDS or not _limits_read:
        found: dict[str, dict[str, int]] = {}
        for row in QuotaLimit.objects.filter(valid_from__lte=day_start(at).date()).order_by("valid_from", "pk"):
            found.setdefault(row.api, {})[row.window] = row.limit
        _limits, _limits_read = found, time.monotonic()
    return _limits.get(api, {})


def _take(
    brand_id: int,
    appid: str,
    api: str,
    windows: Sequence[tuple[str, datetime, int | None]],
    count: int,
    at: datetime,
    share: float,
) -> int | None:
    """Take from every window at once; None when one of them has no counter yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            _TAKE,
            {
                "brand": brand_id,
                "appid": appid,
                "api": api,
                "windows": [name for name, _, _ in windows],
                "starts": [start for _, start, _ in windows],
                "limits": [limit for _, _, limit in windows],
                "expected": len(windows),
                "count": count,
                "at": at,
                "share": share,
            },
        )
        row = cursor.fetchone()
    return int(row[0]) if row else None


def _locked(appid: str, api: str, window: str, start: datetime) -> QuotaUse:
    rows = QuotaUse.objects.select_for_update().filter(appid=appid, api=api, window=window, window_start=start)
    row = rows.first()
    if row is None:
        QuotaUse.objects.bulk_create(
            [QuotaUse(appid=appid, api=api, window=window, window_start=start)],
            ignore_conflicts=True,
        )
        row = rows.get()
    return row
