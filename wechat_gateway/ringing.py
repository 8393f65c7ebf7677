"""Wakes the workers after pushes were stored: coalesced, paced, in a thread of its own, and allowed to fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

logger = logging.getLogger(__name__)

Lanes: TypeAlias = Sequence[tuple[int, int]]

_GATHER_SECONDS: Final = 0.02
_RINGS_PER_SECOND: Final = 150
_PAUSE_AFTER_FAILURE: Final = 1.0
_LANES_PER_CALL: Final = 32


class Ringer:
    """Rings for (brand, lane) pairs, many in one call: a call to the broker costs as much as several whole callbacks.

    A ring that is lost does no harm: a sweeper rings again for what is waiting.
    """

    def __init__(self, publish: Callable[[Lanes], None]) -> None:
        self._publish = publish
        self._due: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ring for what is due, then end (waits two seconds at most)."""
        self._stop.set()
        self._wake.set()
        self._thread.join(2)

    def ring(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Ask for a ring; returns at once."""
        with self._lock:
            self._due.update(pairs)
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if not self._stop.is_set():
                self._stop.wait(_GATHER_SECONDS)
            self._wake.clear()
            with self._lock:
                due, self._due = self._due, set()
            failed = not self._publish_all(due)
            if self._stop.is_set():
                return
            # While we pause, further pushes of the same lanes become one ring.
            self._stop.wait(_PAUSE_AFTER_FAILURE if failed else len(due) / _RINGS_PER_SECOND)

    def _publish_all(self, due: set[tuple[int, int]]) -> bool:
        lanes = list(due)
        for start in range(0, len(lanes), _LANES_PER_CALL):
            try:
                self._publish(lanes[start : start + _LANES_PER_CALL])
            except Exception as error:  # noqa: BLE001 - whatever the broker does must not reach the callbacks
                logger.warning("could not ring for new pushes: %s", type(error).__name__)
                return False
        return True
