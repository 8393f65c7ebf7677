"""A closed-loop client that costs little: prepared requests over kept connections, every answer checked."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.rounds import InvalidRunError
from launcher.ports import HOST

_HEAD_END = b"\r\n\r\n"
_FEWEST = 5


@dataclass(frozen=True)
class Call:
    """One GET."""

    path: str
    authorization: str = ""
    cookie: str = ""

    def wire(self) -> bytes:
        """Give the request as it is sent."""
        who = f"Cookie: {self.cookie}" if self.cookie else f"Authorization: {self.authorization}"
        accept = "text/html" if self.cookie else "application/json"
        return (f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n{who}\r\n\r\n").encode()


@dataclass
class _Line:
    """One connection and the answer that is arriving on it."""

    socket: socket.socket
    received: bytearray = field(default_factory=bytearray)

    def answer(self) -> bytes | None:
        """Give the body when it is complete; raises `InvalidRunError` when it is not a 200 with a length."""
        head_end = self.received.find(_HEAD_END)
        if head_end < 0:
            return None
        head = bytes(self.received[:head_end]).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise InvalidRunError(f"an answer was not 200: {bytes(self.received[:400])!r}")
        length = next(
            (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), None
        )
        if length is None:
            raise InvalidRunError("an answer carries no length")
        if len(self.received) < head_end + len(_HEAD_END) + length:
            return None
        body = bytes(self.received[head_end + len(_HEAD_END) :])
        self.received.clear()
        return body


def drive(port: int, calls: Sequence[Call], proof: Callable[[bytes], bool], *, connections: int) -> None:
    """Send every call once; raises `InvalidRunError` at a wrong answer or after a quarter of an hour."""
    waiting = iter([call.wire() for call in calls])
    deadline = time.monotonic() + 900
    done = 0
    with selectors.DefaultSelector() as selector:
        lines = [_Line(socket.create_connection((HOST, port), timeout=60)) for _ in range(connections)]
        try:
            for line in lines:
                line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(line.socket, selectors.EVENT_READ, line)
                line.socket.sendall(next(waiting, b""))
            while done < len(calls):
                if time.monotonic() > deadline:
                    raise InvalidRunError(f"{done} of {len(calls)} answers within a quarter of an hour")
                for key, _events in selector.select(5):
                    line = key.data
                    line.received += line.socket.recv(262_144)
                    body = line.answer()
                    if body is None:
                        continue
                    if not proof(body):
                        raise InvalidRunError(f"a wrong answer: {body[:300]!r}")
                    done += 1
                    line.socket.sendall(next(waiting, b""))
        finally:
            for line in lines:
                line.socket.close()


def latencies(port: int, calls: Sequence[Call], proof: Callable[[bytes], bool], *, seconds: float) -> list[float]:
    """Send the calls one after the other over one connection; gives milliseconds each.

    After so many seconds no further call is sent, once five have been. Raises `InvalidRunError` at a wrong answer.
    """
    found: list[float] = []
    deadline = time.monotonic() + seconds
    line = _Line(socket.create_connection((HOST, port), timeout=60))
    try:
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for call in calls:
            if len(found) >= _FEWEST and time.monotonic() > deadline:
                break
            started = time.perf_counter()
            line.socket.sendall(call.wire())
            try:
                while (body := line.answer()) is None:
                    piece = line.socket.recv(262_144)
                    if not piece:
                        raise InvalidRunError("the connection was closed")  # noqa: TRY301 - named below like the others
                    line.received += piece
            except InvalidRunError as error:
                raise InvalidRunError(f"port {port}, {call.path}: {error}") from error
            found.append((time.perf_counter() - started) * 1000)
            if not proof(body):
                raise InvalidRunError(f"{call.path}: a wrong answer: {body[:300]!r}")
    finally:
        line.socket.close()
    return found
