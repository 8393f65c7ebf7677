"""Daily and per-minute quotas per account and path (reference: service account 6.1)."""

from __future__ import annotations

from typing import Any, NamedTuple

from wechat_simulator.clock import parse_moment, shanghai_day, shanghai_month
from wechat_simulator.errors import WeChatError

CLEARS_PER_MONTH = 10


class Limit(NamedTuple):
    """One row of the dated table: None is no limit known."""

    valid_from: str
    path: str
    per_day: int | None
    per_minute: int | None


# New verified account. Growth at 100k, 1M and 10M fans is per account and not published as factors: set it by
# ``quotas`` of the account in the world.
TABLE: tuple[Limit, ...] = (
    Limit("2020-01-01", "/cgi-bin/token", 2_000, None),
    Limit("2022-09-01", "/cgi-bin/stable_token", 500_000, 10_000),
    Limit("2020-01-01", "/cgi-bin/user/info", 5_000_000, None),
    Limit("2020-01-01", "/cgi-bin/user/get", 500, None),
    Limit("2020-01-01", "/cgi-bin/user/info/updateremark", 10_000, None),
    Limit("2020-01-01", "/cgi-bin/tags/get", 1_000, None),
    Limit("2020-01-01", "/cgi-bin/menu/create", 1_000, None),
    Limit("2020-01-01", "/cgi-bin/menu/get", 10_000, None),
    Limit("2020-01-01", "/cgi-bin/menu/delete", 1_000, None),
    Limit("2020-01-01", "/cgi-bin/menu/addconditional", 2_000, None),
    Limit("2020-01-01", "/cgi-bin/menu/trymatch", 20_000, None),
    Limit("2020-01-01", "/cgi-bin/qrcode/create", 100_000, None),
    Limit("2020-01-01", "/wxa/getwxacodeunlimit", None, 5_000),
    Limit("2020-01-01", "/cgi-bin/message/custom/send", 500_000, None),
    Limit("2020-01-01", "/cgi-bin/message/template/send", 100_000, None),
    Limit("2020-01-01", "/cgi-bin/message/mass/sendall", 100, 60),
    Limit("2020-01-01", "/cgi-bin/message/mass/preview", 100, None),
    Limit("2020-01-01", "/cgi-bin/message/mass/delete", 10, None),
    Limit("2020-01-01", "/cgi-bin/draft/add", 1_000, None),
    Limit("2020-01-01", "/cgi-bin/draft/get", 500, None),
    Limit("2020-01-01", "/cgi-bin/draft/delete", 1_000, None),
    Limit("2020-01-01", "/cgi-bin/draft/count", 1_000, None),
    Limit("2020-01-01", "/sns/jscode2session", None, 50_000),
    Limit("2020-01-01", "/sns/oauth2/access_token", None, 50_000),
    Limit("2020-01-01", "/sns/oauth2/refresh_token", None, 50_000),
    Limit("2020-01-01", "/sns/userinfo", None, 50_000),
    Limit("2020-01-01", "/sns/auth", None, 50_000),
)
SHARED = {
    "/cgi-bin/menu/delconditional": "/cgi-bin/menu/addconditional",  # 2,000 together
    "/cgi-bin/message/mass/send": "/cgi-bin/message/mass/sendall",  # 100 together
}


class _Counter:
    __slots__ = ("day", "minute", "used", "used_minute")

    def __init__(self) -> None:
        self.day = 0
        self.used = 0
        self.minute = 0
        self.used_minute = 0


class Quotas:
    """Counts calls and refuses past a limit: 45009 per day, 45011 per minute."""

    def __init__(self, table: tuple[Limit, ...] = TABLE) -> None:
        self._dated: dict[str, list[tuple[float, int | None, int | None]]] = {}
        for row in sorted(table, key=lambda item: item.valid_from, reverse=True):
            dated = (parse_moment(row.valid_from), row.per_day, row.per_minute)
            self._dated.setdefault(row.path, []).append(dated)
        self._own: dict[tuple[str, str], tuple[int | None, int | None]] = {}
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._clears: dict[tuple[str, str], int] = {}
        self.refused: dict[tuple[str, str, int], int] = {}

    def set_limit(self, appid: str, path: str, per_day: int | None, per_minute: int | None) -> None:
        """An account's own limit for a path."""
        self._own[appid, path] = (per_day, per_minute)

    def limits(self, appid: str, path: str, now: float) -> tuple[int | None, int | None]:
        """Per day and per minute, by the row that is valid at that moment; None is unlimited."""
        path = SHARED.get(path, path)
        own = self._own.get((appid, path))
        if own is not None:
            return own
        for valid_from, per_day, per_minute in self._dated.get(path, ()):
            if valid_from <= now:
                return per_day, per_minute
        return None, None

    def spend(self, appid: str, path: str, now: float) -> None:
        """Count one call, or raise."""
        path = SHARED.get(path, path)
        key = (appid, path)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = _Counter()
        self._turn(counter, now)
        per_day, per_minute = self.limits(appid, path, now)
        if per_day is not None and counter.used >= per_day:
            self._refuse(appid, path, 45009)
        if per_minute is not None and counter.used_minute >= per_minute:
            self._refuse(appid, path, 45011)
        counter.used += 1
        counter.used_minute += 1

    @staticmethod
    def _turn(counter: _Counter, now: float) -> None:
        day, minute = shanghai_day(now), int(now // 60)
        if counter.day != day:
            counter.day, counter.used = day, 0
        if counter.minute != minute:
            counter.minute, counter.used_minute = minute, 0

    def _refuse(self, appid: str, path: str, code: int) -> None:
        key = (appid, path, code)
        self.refused[key] = self.refused.get(key, 0) + 1
        raise WeChatError(code)

    def view(self, appid: str, path: str, now: float) -> dict[str, Any]:
        """The answer of openapi/quota/get without errcode (reference: service account 5.16)."""
        path = SHARED.get(path, path)
        counter = self._counters.get((appid, path)) or _Counter()
        self._turn(counter, now)
        per_day, per_minute = self.limits(appid, path, now)
        limit = per_day if per_day is not None else 2_000_000_000
        answer: dict[str, Any] = {
            "quota": {"daily_limit": limit, "used": counter.used, "remain": max(limit - counter.used, 0)}
        }
        if per_minute is not None:
            answer["rate_limit"] = {"call_count": per_minute, "refresh_second": 60}
        return answer

    def clear(self, appid: str, now: float, path: str | None = None) -> None:
        """Set the daily counters to zero; ten times a month (48006)."""
        key = (appid, shanghai_month(now))
        if self._clears.get(key, 0) >= CLEARS_PER_MONTH:
            raise WeChatError(48006)
        self._clears[key] = self._clears.get(key, 0) + 1
        for (owner, counted), counter in self._counters.items():
            if owner == appid and (path is None or counted == SHARED.get(path, path)):
                counter.used = 0

    def used(self, now: float) -> list[dict[str, Any]]:
        """All counters of today."""
        rows = []
        for (appid, path), counter in self._counters.items():
            self._turn(counter, now)
            per_day, per_minute = self.limits(appid, path, now)
            rows.append(
                {"appid": appid, "path": path, "used": counter.used, "per_day": per_day, "per_minute": per_minute}
            )
        return rows

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        return {
            "own": [[*key, *value] for key, value in self._own.items()],
            "counters": [[*key, c.day, c.used, c.minute, c.used_minute] for key, c in self._counters.items()],
            "clears": [[*key, value] for key, value in self._clears.items()],
        }

    def load(self, data: dict[str, Any]) -> None:
        """From the state file."""
        self._own = {(row[0], row[1]): (row[2], row[3]) for row in data["own"]}
        self._clears = {(row[0], row[1]): row[2] for row in data["clears"]}
        self._counters = {}
        for appid, path, day, used, minute, used_minute in data["counters"]:
            counter = self._counters[appid, path] = _Counter()
            counter.day, counter.used, counter.minute, counter.used_minute = day, used, minute, used_minute
