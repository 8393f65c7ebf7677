"""How often somebody may call: token buckets in Redis, filled and emptied by one Lua script.

When Redis is away calls are let through and a warning is logged once in a while: a mini program that cannot sign in is
worse than one that can be asked too often, WeChat limits log-ins itself (100 a minute and person; reference:
mini program 1.1), and every one-time code is still spent once.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import redis
from django.conf import settings
from rest_framework.throttling import BaseThrottle

from accounts.rest.callers import MemberPrincipal, SystemPrincipal

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 5.0
_SCRIPT: Final = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local burst, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'left', 'at')
local left, at = tonumber(known[1]) or burst, tonumber(known[2]) or now
left = math.min(burst, left + math.max(0, now - at) * rate)
local wait = 0
if left >= 1 then left = left - 1 else wait = (1 - left) / rate end
redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return string.format('%.6f', wait)
"""
_SCRIPT_ID: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Rate:
    """`burst` calls at once, refilled with `per_second`."""

    burst: int
    per_second: float


class Buckets:
    """The buckets of one Redis. Rests for five seconds after a failure, so that a dead Redis slows nobody down."""

    def __init__(self, url: str) -> None:
        patience = settings.REDIS_PATIENCE
        self._pool = redis.ConnectionPool.from_url(url, socket_timeout=patience, socket_connect_timeout=patience)
        self._lines = threading.local()
        self._closed_until = 0.0

    def take(self, key: str, rate: Rate) -> float:
        """Take one call from a bucket. Gives 0.0, or how many seconds to wait; 0.0 as well when Redis is away."""
        if time.monotonic() < self._closed_until:
            return 0.0
        try:
            return float(self._ask(key, rate))
        except redis.RedisError as error:
            self._closed_until = time.monotonic() + _PAUSE_SECONDS
            logger.warning("rate limits are off for %s s: %s", int(_PAUSE_SECONDS), type(error).__name__)
            return 0.0

    def _ask(self, key: str, rate: Rate) -> bytes:
        # A connection of the thread's own: every call of the API waits here, and a pool and its client cost three
        # times what the question costs.
        line: Any = getattr(self._lines, "connection", None)
        if line is None:
            line = self._lines.connection = self._pool.make_connection()
        try:
            return self._answer(line, key, rate)
        except redis.TimeoutError:
            raise
        except redis.ConnectionError:  # it was closed while nobody called
            return self._answer(line, key, rate)

    @staticmethod
    def _answer(line: Any, key: str, rate: Rate) -> bytes:
        asked = (1, key, rate.burst, rate.per_second)
        try:
            try:
                line.send_command("EVALSHA", _SCRIPT_ID, *asked)
                answer: bytes = line.read_response()
            except redis.exceptions.NoScriptError:
                line.send_command("EVAL", _SCRIPT, *asked)
                answer = line.read_response()
        except redis.RedisError:
            line.disconnect()
            raise
        return answer


@lru_cache(maxsize=4)
def buckets(url: str) -> Buckets:
    """Give the buckets of a Redis, one set a process."""
    return Buckets(url)


def caller_address(request: Any) -> str:
    """Give the address a request came from; forwarded headers count only as far as `TRUSTED_PROXY_HOPS` says."""
    hops: int = settings.TRUSTED_PROXY_HOPS
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if hops and len(forwarded) >= hops and forwarded[-hops]:
        return str(forwarded[-hops])
    return str(request.META.get("REMOTE_ADDR", ""))


class Throttle(BaseThrottle):
    """Refuses with 429 and `Retry-After` when the caller's bucket is empty."""

    rate: ClassVar[str]

    def __init__(self) -> None:
        self._wait = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Take one call."""
        key = self.key(request)
        if key is None:
            return True
        burst, per_second = settings.API_RATES[self.rate]
        self._wait = buckets(str(settings.CACHES["default"]["LOCATION"])).take(key, Rate(burst, per_second))
        return self._wait <= 0

    def wait(self) -> float:
        """Give the seconds until the next call will be taken."""
        return self._wait

    def key(self, request: Request) -> str | None:
        """Name the bucket, None for no limit. What belongs to a brand carries the brand."""
        raise NotImplementedError


class PerAddress(Throttle):
    """By address: for calls that nobody has signed in for. The key is global, since no brand is known yet."""

    def key(self, request: Request) -> str | None:
        """Hash the address: it is personal data."""
        digest = hashlib.blake2b(
            caller_address(request).encode(), digest_size=16, key=settings.SECRET_KEY.encode()[:64]
        )
        return f"zhiyin:global:bucket:{self.rate}:{digest.hexdigest()}"


class PerCaller(Throttle):
    """By member's session or API key, inside the brand."""

    rate = "member"

    def key(self, request: Request) -> str | None:
        """Name the session or key."""
        user = request.user
        if isinstance(user, MemberPrincipal):
            return f"zhiyin:b{user.brand_id}:bucket:{self.rate}:m{user.member_id}"
        return None


class PerKey(Throttle):
    """By API key, inside the brand."""

    rate = "key"

    def key(self, request: Request) -> str | None:
        """Name the key."""
        user = request.user
        return (
            f"zhiyin:b{user.brand_id}:bucket:{self.rate}:k{user.key_id}" if isinstance(user, SystemPrincipal) else None
        )
