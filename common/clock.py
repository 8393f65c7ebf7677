"""The product's clock: real time, or the simulator's movable time when one is configured.

Leases use the database's clock and durations the monotonic one; everything a person would call a date uses this.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings

REFRESH_SECONDS = 1.0


@dataclass(frozen=True)
class Mapping:
    """How simulated time follows real time: `sim = sim_epoch + (real - real_epoch) * rate`, all in seconds."""

    real_epoch: float
    sim_epoch: float
    rate: float

    def at(self, real: float) -> float:
        """Give the simulated moment for a real one."""
        return self.sim_epoch + (real - self.real_epoch) * self.rate


class _Follower:
    """Keeps the mapping of the clock at `ZHIYIN_CLOCK_URL`, re-read at most once a second."""

    def __init__(self) -> None:
        self._mapping: Mapping | None = None
        self._checked = -REFRESH_SECONDS
        self._lock = threading.Lock()

    def forget(self) -> None:
        self._mapping, self._checked = None, -REFRESH_SECONDS

    def timestamp(self, url: str) -> float:
        real = time.time()
        if self._mapping is None or time.monotonic() - self._checked > REFRESH_SECONDS:
            self.refresh(url)
        return self._mapping.at(real) if self._mapping else real

    def refresh(self, url: str) -> None:
        first = self._mapping is None
        # Before the first reading there is nothing to go on: real time may be a year away from the simulator's.
        if not self._lock.acquire(blocking=first):
            return
        try:
            if first and (self._mapping is not None or time.monotonic() - self._checked < REFRESH_SECONDS):
                return  # somebody else has just asked
            self._checked = time.monotonic()
            with urllib.request.urlopen(url, timeout=0.5) as answer:  # noqa: S310 - a loopback URL from settings
                data = json.load(answer)
            self._mapping = Mapping(float(data["real_epoch"]), float(data["sim_epoch"]), float(data["rate"]))
        except (OSError, ValueError, KeyError):
            # Keep the last mapping: a simulator that restarts must not throw the product back to real time.
            return
        finally:
            self._lock.release()


_follower = _Follower()


def timestamp() -> float:
    """Give the current moment as seconds since the epoch."""
    if settings.CLOCK_URL:
        return _follower.timestamp(settings.CLOCK_URL)
    return time.time()


def now() -> datetime:
    """Give the current moment, aware, in UTC."""
    return datetime.fromtimestamp(timestamp(), UTC)


def resync() -> None:
    """Read a simulated clock anew at once (after a jump); does nothing with the real clock."""
    if settings.CLOCK_URL:
        _follower.refresh(settings.CLOCK_URL)


def forget_mapping() -> None:
    """Begin as a new process would: how simulated time was following real time is not known."""
    _follower.forget()


def is_simulated() -> bool:
    """Say whether the product follows the simulator's clock."""
    return bool(settings.CLOCK_URL)


def ago(**duration: float) -> datetime:
    """Give the moment that lies `timedelta(**duration)` back."""
    return now() - timedelta(**duration)
