"""WeChat's quotas: counted per app, path and window in PostgreSQL, taken in grants; WeChat's own word wins."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from accounts.tenancy import brand_scope
from wechat_gateway.models import QuotaLimit, QuotaUse, QuotaWindow

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")  # WeChat's days begin there
_LIMITS_SECONDS: Final = 60.0

_limits: dict[str, dict[str, int]] = {}
_limits_read = 0.0


def take(*, brand_id: int, appid: str, api: str, count: int, at: datetime, share: float = 1.0) -> int:
    """Take up to `count` calls of a path; gives how many were granted (0 when none are left).

    `share` keeps the rest of the quota for others: 0.8 stops at 80 % of it. One statement's lock per batch, not per
    message. A path without a known limit grants everything and is still counted.
    """
    limits = _limits_of(api, at)
    granted = count
    with brand_scope(brand_id):
        rows = [_locked(appid, api, QuotaWindow.DAY, day_start(at))]
        if QuotaWindow.MINUTE in limits:
            rows.append(_locked(appid, api, QuotaWindow.MINUTE, at.replace(second=0, microsecond=0)))
        for row in rows:
            if row.blocked_until is not None and row.blocked_until > at:
                return 0
            limit = row.limit if row.limit is not None else limits.get(row.window)
            if limit is not None:
                granted = min(granted, max(0, int(limit * share) - row.used))
        for row in rows:
            row.used += granted
            row.save(update_fields=["used"])
    return granted


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
    return until


def told(*, brand_id: int, appid: str, api: str, limit: int, used: int, at: datetime) -> None:
    """Store WeChat's own figures for today (openapi/quota/get); a block that no longer holds is lifted."""
    with brand_scope(brand_id):
        row = _locked(appid, api, QuotaWindow.DAY, day_start(at))
        row.limit, row.used = limit, used
        if used < limit:
            row.blocked_until = None
        row.save(update_fields=["limit", "used", "blocked_until"])


def day_start(at: datetime) -> datetime:
    """The midnight in Shanghai that began the quota day of a moment."""
    return at.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)


def next_reset(at: datetime) -> datetime:
    """The midnight in Shanghai at which the day's quotas are renewed."""
    return (day_start(at) + timedelta(hours=36)).replace(hour=0)


def limit_of(api: str, at: datetime) -> int | None:
    """The documented limit per day of a path on a date, None when none is known."""
    return _limits_of(api, at).get(QuotaWindow.DAY)


def _limits_of(api: str, at: datetime) -> dict[str, int]:
    global _limits, _limits_read
    if time.monotonic() - _limits_read > _LIMITS_SECONDS or not _limits_read:
        found: dict[str, dict[str, int]] = {}
        for row in QuotaLimit.objects.filter(valid_from__lte=day_start(at).date()).order_by("valid_from", "pk"):
            found.setdefault(row.api, {})[row.window] = row.limit
        _limits, _limits_read = found, time.monotonic()
    return _limits.get(api, {})


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
