"""The append-only Redis stream that holds pushes while PostgreSQL is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from wechat_gateway.intake import STREAM

_TIMEOUT_SECONDS: Final = 0.4


class RedisSpill:
    """Groups of rows in the order they came; needs a Redis with an append-only file and `noeviction`."""

    def __init__(self, url: str, *, stream: str = STREAM) -> None:
        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            decode_responses=False,
        )
        self._stream = stream

    async def append(self, payload: bytes) -> None:
        """Keep one group."""
        await self._redis.xadd(self._stream, {"rows": payload})

    async def oldest(self, count: int) -> list[tuple[bytes, bytes]]:
        """Give (id, payload) of the oldest groups."""
        entries = await self._redis.xrange(self._stream, count=count)
        return [(identifier, values[b"rows"]) for identifier, values in entries]

    async def remove(self, ids: Sequence[bytes]) -> None:
        """Forget groups that were written."""
        await self._redis.xdel(self._stream, *ids)

    async def bury(self, payload: bytes) -> None:
        """Put aside rows that PostgreSQL refuses; a person has to look at them."""
        await self._redis.xadd(f"{self._stream}:refused", {"rows": payload})

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
