"""Live changes for the phone page: a version that grows with every change, and subscribers that hear of it."""

from __future__ import annotations

import asyncio
from typing import Any


class Subscriber:
    """One open stream; changes between two reads are merged."""

    def __init__(self, person: str | None) -> None:
        self.person = person
        self.changed = asyncio.Event()
        self.kinds: set[str] = set()
        self.appids: set[str] = set()

    def take(self) -> tuple[list[str], list[str]]:
        """Kinds and appids since the last read."""
        kinds, appids = sorted(self.kinds), sorted(self.appids)
        self.kinds.clear()
        self.appids.clear()
        self.changed.clear()
        return kinds, appids


class Bus:
    """Kinds of change: conversation, person, menu, codes, world, clock, faults, push, pay, share."""

    def __init__(self) -> None:
        self.version = 0
        self.closed = False
        self._subscribers: set[Subscriber] = set()

    def bump(self, kind: str, person: str | None = None, appid: str = "") -> None:
        """Something changed; ``person`` None concerns everybody."""
        self.version += 1
        for subscriber in self._subscribers:
            if person is None or subscriber.person is None or subscriber.person == person:
                subscriber.kinds.add(kind)
                if appid:
                    subscriber.appids.add(appid)
                subscriber.changed.set()

    def subscribe(self, person: str | None) -> Subscriber:
        """A new stream."""
        subscriber = Subscriber(person)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """The stream ended."""
        self._subscribers.discard(subscriber)

    def close(self) -> None:
        """The process is stopping: let every stream end."""
        self.closed = True
        for subscriber in self._subscribers:
            subscriber.changed.set()

    def view(self) -> dict[str, Any]:
        """For the control API."""
        return {"version": self.version, "subscribers": len(self._subscribers)}
