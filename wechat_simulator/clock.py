"""The movable clock of the simulated world, and the timers that run by it."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # no daylight saving since 1991, so a fixed offset is exact
DEFAULT_START = datetime(2025, 6, 1, 8, 0, tzinfo=SHANGHAI).timestamp()
SHANGHAI_OFFSET = 8 * 3600

logger = logging.getLogger(__name__)


class Clock:
    """Simulated epoch seconds: ``sim_epoch + (real_now - real_epoch) * rate``."""

    def __init__(self, start: float = DEFAULT_START, rate: float = 1.0, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self.real_epoch = real()
        self.sim_epoch = float(start)
        self.rate = float(rate)

    def now(self) -> float:
        """Epoch seconds of the simulated world."""
        return self.sim_epoch + (self._real() - self.real_epoch) * self.rate

    def set(self, epoch: float) -> None:
        """Move to an absolute moment, forward or back."""
        self.real_epoch = self._real()
        self.sim_epoch = float(epoch)

    def advance(self, seconds: float) -> None:
        """Move by a span of seconds."""
        self.set(self.now() + seconds)

    def set_rate(self, rate: float) -> None:
        """Simulated seconds per real second; 0 stands still."""
        if rate < 0:
            msg = "rate must be 0 or more"
            raise ValueError(msg)
        self.set(self.now())
        self.rate = float(rate)

    def view(self) -> dict[str, Any]:
        """The shape of ``GET /_sim/clock``."""
        now = self.now()
        return {
            "real_epoch": self.real_epoch,
            "sim_epoch": self.sim_epoch,
            "rate": self.rate,
            "now": now,
            "iso": datetime.fromtimestamp(now, SHANGHAI).isoformat(timespec="seconds"),
        }


def shanghai_day(epoch: float) -> int:
    """Number of the day in Asia/Shanghai: daily quotas turn over with it (reference: service account 6.1)."""
    return int((epoch + SHANGHAI_OFFSET) // 86400)


def shanghai_month(epoch: float) -> str:
    """``YYYY-MM`` in Asia/Shanghai."""
    return datetime.fromtimestamp(epoch, SHANGHAI).strftime("%Y-%m")


def next_midnight(epoch: float) -> float:
    """The next 00:00 in Asia/Shanghai."""
    return float((shanghai_day(epoch) + 1) * 86400 - SHANGHAI_OFFSET)


def parse_moment(value: str | float) -> float:
    """Epoch seconds of a number or an ISO text; a text without offset is Asia/Shanghai."""
    if isinstance(value, int | float):
        return float(value)
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=SHANGHAI)
    return moment.astimezone(UTC).timestamp()


TimerHandler = Callable[[float, Any], None]


class Timers:
    """Work that falls due at simulated moments. Entries are plain data, so they survive a restart."""

    BATCH = 500

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, str, Any]] = []
        self._seq = 0
        self._handlers: dict[str, TimerHandler] = {}
        self._wake = asyncio.Event()

    def on(self, kind: str, handler: TimerHandler) -> None:
        """Name the function that carries out timers of a kind: ``handler(due, payload)``."""
        self._handlers[kind] = handler

    def at(self, when: float, kind: str, payload: Any) -> None:
        """Schedule; wakes the runner only when this is the next thing due."""
        self._seq += 1
        heapq.heappush(self._heap, (when, self._seq, kind, payload))
        if self._heap[0][1] == self._seq:
            self._wake.set()

    def poke(self) -> None:
        """The clock was moved: look again."""
        self._wake.set()

    def __len__(self) -> int:
        return len(self._heap)

    def upcoming(self, until: float, limit: int = 50) -> dict[str, Any]:
        """What falls due up to a moment: ``{"count", "kinds": {kind: n}, "items": [{at, kind, payload}]}``."""
        due = [entry for entry in self._heap if entry[0] <= until]
        return {
            "count": len(due),
            "kinds": dict(Counter(entry[2] for entry in due)),
            "items": [{"at": at, "kind": kind, "payload": data} for at, _, kind, data in heapq.nsmallest(limit, due)],
        }

    def payloads(self, kind: str) -> list[Any]:
        """What the timers of a kind carry."""
        return [entry[3] for entry in self._heap if entry[2] == kind]

    def fire_some(self) -> bool:
        """Carry out at most one batch; True when more is due."""
        for _ in range(self.BATCH):
            if not self._heap or self._heap[0][0] > self._clock.now():
                return False
            due, _, kind, payload = heapq.heappop(self._heap)
            try:
                self._handlers[kind](due, payload)
            except Exception:
                logger.exception("timer %s failed", kind)
        return True

    async def catch_up(self) -> None:
        """Carry out everything that is due now, letting others run between batches."""
        more = self.fire_some()
        while more:
            await asyncio.sleep(0)
            more = self.fire_some()

    async def run(self) -> None:
        """Runner: one task for the life of the process."""
        while True:
            self._wake.clear()
            await self.catch_up()
            timeout = None
            if self._heap and self._clock.rate > 0:
                timeout = max((self._heap[0][0] - self._clock.now()) / self._clock.rate, 0.001)
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                continue

    def dump(self) -> list[list[Any]]:
        """For the state file."""
        return [list(entry) for entry in sorted(self._heap)]

    def load(self, rows: list[list[Any]]) -> None:
        """From the state file."""
        self._heap = [(row[0], row[1], row[2], row[3]) for row in rows]
        heapq.heapify(self._heap)
        self._seq = max((entry[1] for entry in self._heap), default=0)
