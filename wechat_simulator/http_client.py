"""The least HTTP/1.1 client that pushes need: keep-alive, no redirects, loopback only."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import cast
from urllib.parse import SplitResult, urlsplit

MAX_ANSWER = 1_000_000
MAX_HEAD = 64 * 1024
MAX_IDLE = 256


class DeliveryError(Exception):
    """The exchange failed; the text says how."""


class ClosedEarlyError(DeliveryError):
    """The other side closed before a byte of the answer came: on a kept connection nothing was lost."""


def is_loopback(host: str) -> bool:
    """Only this machine is ever called."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=64)
def target_of(base: str) -> tuple[str, int]:
    """Host and port of a URL; ``DeliveryError`` unless it is http on loopback."""
    parts: SplitResult = urlsplit(base)
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise DeliveryError("callback is not http on loopback")
    return parts.hostname or "", parts.port or 80


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.keep = False
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class, yet does all of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._try(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.keep = False
        self.transport = None
        if self.answer is None or self.answer.done():
            return
        if not self._buffer:
            self.answer.set_exception(ClosedEarlyError(str(exc) if exc else "closed without an answer"))
        else:
            self._try(ended=True)
            if not self.answer.done():
                self.answer.set_exception(DeliveryError("answer cut"))

    def close(self) -> None:
        """Drop the connection."""
        self.keep = False
        if self.transport is not None:
            self.transport.close()

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; the future gives status and body."""
        self.answer = asyncio.get_running_loop().create_future()
        self._buffer.clear()
        if self.transport is None or self.transport.is_closing():
            self.answer.set_exception(ClosedEarlyError("closed"))
        else:
            self.transport.write(request)
        return self.answer

    def _try(self, *, ended: bool) -> None:
        if self.answer is None or self.answer.done():
            return
        try:
            result = self._parse(ended=ended)
        except (ValueError, IndexError):
            self.keep = False
            self.answer.set_exception(DeliveryError("no HTTP answer"))
            return
        except DeliveryError as error:
            self.keep = False
            self.answer.set_exception(error)
            return
        if result is not None:
            self.answer.set_result(result)

    def _parse(self, *, ended: bool) -> tuple[int, bytes] | None:
        """Status and body once the answer is whole; None before."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise DeliveryError("headers too large")
            return None
        head = bytes(self._buffer[:end]).split(b"\r\n")
        if not head[0].startswith(b"HTTP/1."):
            raise DeliveryError("no HTTP answer")
        status = int(head[0].split(b" ", 2)[1])
        headers = {
            name.strip().lower(): value.strip().lower() for name, _, value in (x.partition(b":") for x in head[1:])
        }
        self.keep = head[0].startswith(b"HTTP/1.1") and headers.get(b"connection") != b"close"
        body = bytes(self._buffer[end + 4 :])
        if status == 204:  # never has a body, and needs no length (RFC 9110, 15.3.5)
            return status, b""
        if b"chunked" in headers.get(b"transfer-encoding", b""):
            whole = _chunks(body)
            return None if whole is None else (status, whole)
        if b"content-length" not in headers:
            self.keep = False
            return (status, body) if ended else None
        length = int(headers[b"content-length"])
        if max(length, len(body)) > MAX_ANSWER:
            raise DeliveryError("answer too large")
        return (status, body[:length]) if len(body) >= length else None


def _chunks(data: bytes) -> bytes | None:
    """The chunks joined, once the last one is there."""
    parts: list[bytes] = []
    position = 0
    while True:
        line_end = data.find(b"\r\n", position)
        if line_end < 0:
            return None
        size = int(data[position:line_end].split(b";")[0], 16)
        start = line_end + 2
        if start + size + 2 > len(data):
            return None
        if size == 0:
            return b"".join(parts)
        parts.append(data[start : start + size])
        position = start + size + 2


class HttpClient:
    """Keeps idle connections per host and port."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[_Connection]] = {}

    async def exchange(
        self, method: str, url: str, body: bytes, content_type: str, headers: Sequence[tuple[str, str]] = ()
    ) -> tuple[int, bytes]:
        """Status and body. Raises ``OSError`` or ``DeliveryError``; the caller sets the time limit."""
        base, _, query = url.partition("?")
        host, port = target_of(base)
        path = base[base.index("/", 7) :] if "/" in base[7:] else "/"
        more = "".join(f"{name}: {value}\r\n" for name, value in headers if name != "Host")
        named = dict(headers).get("Host", f"{host}:{port}")
        request = (
            f"{method} {path}{'?' if query else ''}{query} HTTP/1.1\r\nHost: {named}\r\n"
            f"User-Agent: Mozilla/4.0\r\nAccept: */*\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
            f"{more}Connection: keep-alive\r\n\r\n"
        ).encode() + body
        idle = self._idle.setdefault((host, port), [])
        while True:
            reused = bool(idle)
            connection = idle.pop() if idle else await self._connect(host, port)
            try:
                answer = await connection.ask(request)
            except ClosedEarlyError:
                if reused:
                    continue  # the idle connection had been closed meanwhile: not a failed try
                raise
            except BaseException:
                connection.close()
                raise
            if connection.keep and len(idle) < MAX_IDLE:
                idle.append(connection)
            else:
                connection.close()
            return answer

    @staticmethod
    async def _connect(host: str, port: int) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
        return connection

    def close(self) -> None:
        """Drop idle connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
