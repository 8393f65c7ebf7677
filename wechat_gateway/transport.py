"""HTTP to WeChat over libcurl: bounded in time and size, connections kept across batches, no secrets in errors."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wechat_gateway.curl import Transport

TOTAL_SECONDS: Final = 8.0
CONNECT_SECONDS: Final = 3.0
MAX_BODY: Final = 1_048_576


# Neither is frozen: setting every field through `object.__setattr__` costs more than a TLS record.
@dataclass(slots=True)
class HttpRequest:
    """One request. `url` may carry an access token, so it is kept out of every printed form.

    `repeatable` allows libcurl to repeat it by itself on a fresh connection when an idle one had died. An answer with
    more than `largest` bytes is cut off (TOO_LARGE). `ends_at` is a moment of the monotonic clock, looked at when the
    request leaves: after it, it does not.
    """

    url: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    content_type: str = "application/json; charset=utf-8"
    repeatable: bool = False
    tag: Any = None
    total_seconds: float = TOTAL_SECONDS
    ends_at: float = math.inf
    largest: int = MAX_BODY


@dataclass(slots=True)
class Exchange:
    """What came back. `error` is '' or one of DNS, CONNECT, TLS, TIMEOUT, RESET, CUT, TOO_LARGE, CURL_<n>, DEADLINE.

    `request_written` says whether the whole request had left: then a missing answer proves nothing.
    """

    request: HttpRequest
    status: int = 0
    body: bytes = field(default=b"", repr=False)
    error: str = ""
    request_written: bool = False
    retry_after: int = 0


_local = threading.local()


def shared() -> Transport:
    """The calling thread's own transport; a forked child gets a fresh one."""
    known: tuple[int, Transport] | None = getattr(_local, "transport", None)
    if known is None or known[0] != os.getpid():
        # The gateway knows this module through handlers and never calls WeChat: it can do without libcurl's memory.
        from wechat_gateway.curl import Transport

        known = (os.getpid(), Transport())
        _local.transport = known
    return known[1]


def perform(request: HttpRequest) -> Exchange:
    """Do one request on the calling thread's transport."""
    return shared().perform(request)


def perform_many(
    requests: Iterable[HttpRequest],
    *,
    concurrency: int,
    deadline: float | None = None,
) -> Iterator[Exchange]:
    """Do many requests on the calling thread's transport (see Transport.perform_many)."""
    return shared().perform_many(requests, concurrency=concurrency, deadline=deadline)


def drive() -> None:
    """Let what was started on the calling thread's transport go on, without waiting."""
    shared().drive()
