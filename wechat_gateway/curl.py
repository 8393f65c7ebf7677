"""libcurl behind `wechat_gateway.transport`: handles, connections, and what its errors mean."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import certifi
import pycurl

from wechat_gateway.transport import CONNECT_SECONDS, MAX_BODY, Exchange, HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_POLL_SECONDS: Final = 0.2
_IDLE_CONNECTIONS: Final = 256
# A far end closes what was silent for long (often after 60 or 75 s): what became of a message that leaves at that
# moment, nobody knows. So what was silent for a third of that is not used again.
_REUSED_SECONDS: Final = 20

_ERRORS: Final = {
    pycurl.E_COULDNT_RESOLVE_HOST: "DNS",
    pycurl.E_COULDNT_RESOLVE_PROXY: "DNS",
    pycurl.E_COULDNT_CONNECT: "CONNECT",
    pycurl.E_OPERATION_TIMEDOUT: "TIMEOUT",
    pycurl.E_SSL_CONNECT_ERROR: "TLS",
    pycurl.E_PEER_FAILED_VERIFICATION: "TLS",
    pycurl.E_SSL_CERTPROBLEM: "TLS",
    pycurl.E_SSL_CACERT_BADFILE: "TLS",
    pycurl.E_WRITE_ERROR: "TOO_LARGE",
    pycurl.E_SEND_ERROR: "RESET",
    pycurl.E_RECV_ERROR: "RESET",
    pycurl.E_GOT_NOTHING: "RESET",
    pycurl.E_PARTIAL_FILE: "CUT",
    pycurl.E_SEND_FAIL_REWIND: "RESET",
}


class _Slot:
    """One reusable easy handle with the state of its current request."""

    __slots__ = (
        "chunks",
        "curl",
        "outgoing",
        "position",
        "request",
        "set_length",
        "set_type",
        "set_url",
        "size",
        "too_large",
    )

    def __init__(self) -> None:
        self.curl = pycurl.Curl()
        self.request: HttpRequest | None = None
        self.outgoing = b""
        self.position = 0
        self.chunks: list[bytes] = []
        self.size = 0
        self.too_large = False
        # What the handle was last told: most requests of a batch differ in nothing but their body.
        self.set_url = ""
        self.set_type: str | None = None
        self.set_length = -1
        curl = self.curl
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.CAINFO, os.environ.get("SSL_CERT_FILE") or certifi.where())
        curl.setopt(pycurl.PROXY, "")  # variables of the environment must not redirect brand traffic
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(CONNECT_SECONDS * 1000))
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.MAXAGE_CONN, _REUSED_SECONDS)
        curl.setopt(pycurl.WRITEFUNCTION, self._receive)
        curl.setopt(pycurl.READFUNCTION, self._send)
        curl.setopt(pycurl.SEEKFUNCTION, self._rewind)

    def prepare(self, request: HttpRequest, seconds: float) -> None:
        curl = self.curl
        self.request = request
        self.chunks = []
        self.size = 0
        self.too_large = False
        self.position = 0
        if request.url != self.set_url:
            curl.setopt(pycurl.URL, request.url)
            self.set_url = request.url
        curl.setopt(pycurl.TIMEOUT_MS, max(1, int(seconds * 1000)))
        if request.body is None:
            self.outgoing = b""
            self.set_type, self.set_length = None, -1
            curl.setopt(pycurl.HTTPGET, 1)
            curl.setopt(pycurl.HTTPHEADER, ["Accept: application/json"])
            return
        self.outgoing = request.body
        if request.content_type != self.set_type:
            curl.setopt(pycurl.POST, 1)
            curl.setopt(
                pycurl.HTTPHEADER, [f"Content-Type: {request.content_type}", "Accept: application/json", "Expect:"]
            )
            self.set_type = request.content_type
        if len(request.body) != self.set_length:
            self.set_length = len(request.body)
            curl.setopt(pycurl.POSTFIELDSIZE_LARGE, self.set_length)

    def finish(self, code: int) -> Exchange:
        request = self.request
        if request is None:
            message = "a handle finished that had no request"
            raise RuntimeError(message)
        curl = self.curl
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        error = ""
        if code:
            error = "TOO_LARGE" if self.too_large else _ERRORS.get(code, f"CURL_{code}")
        exchange = Exchange(
            request,
            status,
            b"".join(self.chunks),
            error,
            bool(status) or self._written(),  # an early answer counts as written
            0 if status == 200 else min(curl.getinfo(pycurl.RETRY_AFTER), 86_400),
        )
        self.request = None
        self.chunks = []
        self.outgoing = b""
        return exchange

    def _written(self) -> bool:
        """Whether everything was handed to the network."""
        curl = self.curl
        if not curl.getinfo(pycurl.REQUEST_SIZE):
            return False
        return bool(curl.getinfo(pycurl.SIZE_UPLOAD_T) >= len(self.outgoing))

    def _receive(self, chunk: bytes) -> int | None:
        self.size += len(chunk)
        if self.size > (self.request.largest if self.request else MAX_BODY):
            self.too_large = True
            return -1
        self.chunks.append(chunk)
        return None

    def _send(self, size: int) -> bytes:
        start = self.position
        self.position += size
        return self.outgoing[start : self.position]

    def _rewind(self, offset: int, _: int) -> int:
        """Let libcurl repeat a request on a fresh connection only if doing it twice does no harm.

        Otherwise it reports the dead connection instead of silently sending a message for the second time.
        """
        if self.request is None or not self.request.repeatable:
            return int(pycurl.SEEKFUNC_FAIL)
        self.position = offset
        return int(pycurl.SEEKFUNC_OK)


class Transport:
    """A pool of handles and connections. Belongs to one thread; use `transport.shared()` for the thread's own."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, _IDLE_CONNECTIONS)
        self._multi.setopt(pycurl.M_PIPELINING, 0)  # one answer per connection: answers can never be mixed up
        self._idle: deque[_Slot] = deque()
        self._busy: dict[pycurl.Curl, _Slot] = {}
        self._ended: dict[pycurl.Curl, int] = {}  # also of batches further out: a caller may do requests inside a batch

    def perform(self, request: HttpRequest) -> Exchange:
        """Do one request; never raises for anything the network does."""
        return next(self.perform_many([request], concurrency=1))

    def perform_many(
        self,
        requests: Iterable[HttpRequest],
        *,
        concurrency: int,
        deadline: float | None = None,
    ) -> Iterator[Exchange]:
        """Do the requests, at most `concurrency` at a time, and yield exchanges as they end.

        `deadline` is in seconds from now for the whole batch: later requests come back as DEADLINE, unwritten, and
        running ones are bounded by what is left. Each request is taken from the iterable only when it can start.
        """
        ends_at = time.monotonic() + deadline if deadline is not None else None
        waiting = iter(requests)
        mine: set[pycurl.Curl] = set()
        exhausted = False
        try:
            while True:
                while not exhausted and len(mine) < concurrency:
                    request = next(waiting, None)
                    if request is None:
                        exhausted = True
                        break
                    now = time.monotonic()
                    left = min(request.total_seconds, request.ends_at - now, (ends_at or math.inf) - now)
                    if left <= 0:
                        yield Exchange(request, error="DEADLINE")
                        continue
                    mine.add(self._start(request, left))
                if not mine:
                    return
                for curl, code in self._finished(mine):
                    slot = self._release(curl)
                    mine.discard(curl)
                    yield slot.finish(code)
        finally:
            for curl in mine:  # the caller stopped early: close what is running, its fate is unknown
                self._ended.pop(curl, None)
                slot = self._busy.pop(curl)
                self._multi.remove_handle(curl)
                slot.curl.close()

    def drive(self) -> None:
        """Write and read whatever is possible right now."""
        self._multi.perform()

    def close(self) -> None:
        """Close every connection."""
        for slot in self._idle:
            slot.curl.close()
        self._idle.clear()
        self._multi.close()

    def _start(self, request: HttpRequest, seconds: float) -> pycurl.Curl:
        slot = self._idle.pop() if self._idle else _Slot()
        slot.prepare(request, seconds)
        self._busy[slot.curl] = slot
        self._multi.add_handle(slot.curl)
        return slot.curl

    def _release(self, curl: pycurl.Curl) -> _Slot:
        slot = self._busy.pop(curl)
        self._multi.remove_handle(curl)
        self._idle.append(slot)
        return slot

    def _finished(self, mine: set[pycurl.Curl]) -> list[tuple[pycurl.Curl, int]]:
        """Drive the transfers until at least one of `mine` has ended."""
        multi, ended = self._multi, self._ended
        while True:
            multi.perform()
            more = 1
            while more:
                more, good, bad = multi.info_read()
                for curl in good:
                    ended[curl] = 0
                for curl, code, _ in bad:
                    ended[curl] = code
            done = [(curl, ended.pop(curl)) for curl in mine & ended.keys()]
            if done:
                return done
            multi.select(_POLL_SECONDS)
