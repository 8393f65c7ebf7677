"""A lean HTTP/1.1 load generator: prepared requests over kept connections, one under way on each, answers kept."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import uvloop

from benchmarks.rounds import InvalidRunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.callback.messages import Push

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_PATIENCE: Final = 15.0  # an answer that takes longer will not come


@dataclass
class Result:
    """What was sent and answered, in the order of the answers."""

    seconds: float = 0.0
    pushes: list[Push] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    broken: int = 0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.pushes) / self.seconds


class _Connection(asyncio.Protocol):
    __slots__ = ("_answer", "_began", "_load", "_needed", "_push", "_transport")

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._answer = b""
        self._needed = 0
        self._push: Push | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        push = self._load.next()
        self._push = push
        if push is None:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(push.request)

    def data_received(self, data: bytes) -> None:
        answer = self._answer + data if self._answer else data
        if not self._needed:
            end = answer.find(b"\r\n\r\n")
            length = _LENGTH.search(answer, 0, end + 2) if end >= 0 else None
            if length is None:
                self._answer = answer
                return
            self._needed = end + 4 + int(length[1])
        if len(answer) < self._needed:
            self._answer = answer
            return
        self._answer, needed, self._needed = b"", self._needed, 0
        head = answer.index(b"\r\n\r\n")
        if self._push is not None:
            self._load.answered(self._push, int(answer[9:12]), answer[head + 4 : needed], self._began)
            self._push = None
        if _CLOSES.search(answer, 0, head + 2):
            self._transport.close()  # connection_lost goes on with another one
        else:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._push is not None:
            self._load.broke(self._push)
        self._load.lost()


class _Load:
    def __init__(self, port: int, pushes: Iterator[Push], seconds: float) -> None:
        self.result = Result()
        self._port = port
        self._pushes = pushes
        self._seconds = seconds
        self._open = 0
        self._exhausted = False
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, connections: int) -> Result:
        started = time.perf_counter()
        self._stop_at = started + self._seconds
        self._open = connections
        for _ in range(connections):
            self._connect()
        await asyncio.wait_for(self._over, self._seconds + _PATIENCE)
        self.result.seconds = time.perf_counter() - started
        return self.result

    def next(self) -> Push | None:
        if self._exhausted or time.perf_counter() > self._stop_at:
            return None
        push = next(self._pushes, None)
        self._exhausted = push is None
        return push

    def answered(self, push: Push, status: int, body: bytes, began: float) -> None:
        result = self.result
        result.pushes.append(push)
        result.statuses.append(status)
        result.bodies.append(body)
        result.began.append(began)
        result.waits.append(time.perf_counter() - began)

    def broke(self, push: Push) -> None:
        self.result.broken += 1

    def lost(self) -> None:
        if self._exhausted or time.perf_counter() > self._stop_at:
            self._open -= 1
            if not self._open and not self._over.done():
                self._over.set_result(None)
        else:
            self._connect()

    def _connect(self) -> None:
        task = self._loop.create_task(self._dial())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self) -> None:
        try:
            await self._loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        except OSError:
            await asyncio.sleep(0.01)
            self.lost()


def drive(port: int, pushes: Iterator[Push], *, connections: int, seconds: float) -> Result:
    """Send until the time is over or nothing is left; every request that was sent is answered or counted as broken."""
    return drive_several({port: pushes}, connections=connections, seconds=seconds)


def drive_several(pushes: Mapping[int, Iterator[Push]], *, connections: int, seconds: float) -> Result:
    """Send to several ports at once, an equal part of the connections to each."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_drive(pushes, connections // len(pushes), seconds))
    except TimeoutError:
        raise InvalidRunError(f"a server on one of the ports {list(pushes)} stopped answering") from None
    finally:
        if collecting:
            gc.enable()


async def _drive(pushes: Mapping[int, Iterator[Push]], connections: int, seconds: float) -> Result:
    loads = [_Load(port, each, seconds) for port, each in pushes.items()]
    results = await asyncio.gather(*(load.run(connections) for load in loads))
    whole = Result(seconds=max(result.seconds for result in results))
    for result in results:
        whole.pushes += result.pushes
        whole.statuses += result.statuses
        whole.bodies += result.bodies
        whole.waits += result.waits
        whole.began += result.began
        whole.broken += result.broken
    return whole
