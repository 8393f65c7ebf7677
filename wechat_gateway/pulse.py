"""What the gateway process saw of each account's callbacks, kept in Redis: when one was verified, when one was refused.

The gateway may only insert pushes into PostgreSQL, and a refusal is no push; so the last moments of each account go
into one small hash, once a second at most. Losing them costs nothing but a check that says "not known yet".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from django.conf import settings
from redis import Redis
from redis import exceptions as redis_errors
from redis.asyncio import Redis as AsyncRedis

logger = logging.getLogger(__name__)

# How our own check of the address signs itself: it proves that the door answers, not that WeChat comes through it.
OWN_NONCE: Final = "zhiyin"
FLUSH_SECONDS: Final = 1.0
_TIMEOUT_SECONDS: Final = 0.4
_KEPT_SECONDS: Final = 40 * 86_400
_MOST_ACCOUNTS: Final = 10_000
_DAY: Final = b"day "
_DAYS: Final = 4

# Hundreds of commands a second, each packed and its answer read by the client, were a twentieth of the gateway's time.
_RUN: Final = "for _, command in ipairs(cjson.decode(ARGV[1])) do redis.call(unpack(command)) end"

Who = tuple[int, int]  # brand, account


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last verified and the last refused callback of an account; `refusals` counts those since the former.

    `most_a_day` is the busiest of the last days: an account that is always quiet is not silent.
    """

    verified_at: datetime | None = None
    refused_at: datetime | None = None
    reason: str = ""
    refusals: int = 0
    most_a_day: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether what came last was refused."""
        if self.refused_at is None:
            return False
        return self.verified_at is None or self.verified_at < self.refused_at


class PulseWriter:
    """Belongs to the gateway's event loop; noting costs a dictionary write."""

    def __init__(self, url: str) -> None:
        self._redis: Any = AsyncRedis.from_url(
            url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )
        self._verified: dict[Who, tuple[float, int]] = {}
        self._refused: dict[Who, tuple[float, str, int]] = {}
        self._days: dict[Who, str] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write what was noted and let go."""
        if self._task is not None:
            self._task.cancel()
        await self.flush()
        await self._redis.aclose()

    def verified(self, brand_id: int, account_id: int, now: float) -> None:
        """Note an authentic callback."""
        known = self._verified.get((brand_id, account_id))
        self._verified[brand_id, account_id] = (now, 1 if known is None else known[1] + 1)

    def refused(self, brand_id: int, account_id: int, reason: str, now: float) -> None:
        """Note a callback that was no such thing."""
        known = self._refused.get((brand_id, account_id))
        if known is None and len(self._refused) >= _MOST_ACCOUNTS:
            return
        self._refused[brand_id, account_id] = (now, reason, 1 if known is None else known[2] + 1)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted since the last time; what cannot be written is forgotten."""
        verified, self._verified = self._verified, {}
        refused, self._refused = self._refused, {}
        if not verified and not refused:
            return
        commands: list[tuple[str, ...]] = []
        for who, (at, reason, count) in refused.items():
            key = _key(*who)
            commands.append(("HSET", key, "refused", str(at), "reason", reason))
            commands.append(("HINCRBY", key, "refusals", str(count)))
            commands.append(("EXPIRE", key, str(_KEPT_SECONDS)))
        for who, (at, count) in verified.items():
            key, day = _key(*who), _day(at)
            # A refusal within the same second may be the newer one: it is counted anew then.
            newer = who not in refused or refused[who][0] <= at
            commands.append(("HSET", key, "verified", str(at), *(("refusals", "0") if newer else ())))
            commands.append(("HINCRBY", key, day, str(count)))
            if self._days.get(who) != day:
                commands.append(("HDEL", key, _day(at - _DAYS * 86_400), _day(at - (_DAYS + 1) * 86_400)))
                commands.append(("EXPIRE", key, str(_KEPT_SECONDS)))
        try:
            await self._redis.eval(_RUN, 0, orjson.dumps(commands))
            self._days.update((who, _day(at)) for who, (at, _count) in verified.items())
        except (redis_errors.RedisError, OSError) as error:
            logger.warning("the state of callbacks could not be written: %s", type(error).__name__)


def read(who: Iterable[Who]) -> dict[Who, Pulse]:
    """The pulses of accounts; empty ones where nothing came or Redis is away."""
    wanted = list(who)
    if not wanted:
        return {}
    try:
        with _client() as client, client.pipeline(transaction=False) as pipe:
            for pair in wanted:
                pipe.hgetall(_key(*pair))
            found: list[Any] = pipe.execute()
    except (redis_errors.RedisError, OSError) as error:
        logger.warning("the state of callbacks could not be read: %s", type(error).__name__)
        return dict.fromkeys(wanted, Pulse())
    return {pair: _pulse(row) for pair, row in zip(wanted, found, strict=True)}


def _pulse(row: dict[bytes, bytes]) -> Pulse:
    return Pulse(
        verified_at=_moment(row.get(b"verified")),
        refused_at=_moment(row.get(b"refused")),
        reason=row.get(b"reason", b"").decode(),
        refusals=int(row.get(b"refusals", 0)),
        most_a_day=max((int(count) for name, count in row.items() if name.startswith(_DAY)), default=0),
    )


def _client() -> Any:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS)


def _key(brand_id: int, account_id: int) -> str:
    return f"zhiyin:pulse:b{brand_id}:{account_id}"


def _day(at: float) -> str:
    return f"{_DAY.decode()}{datetime.fromtimestamp(at, UTC):%Y%m%d}"


def _moment(value: bytes | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(float(value), UTC)
