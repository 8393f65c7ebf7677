"""Asks PostgreSQL what repliers want to know, for many pushes at a time.

While a group is being asked the next one gathers, as with the writing of pushes (`intake`). A thread, a transaction and
an answer cost as much for one push as for thirty, and far more than the queries themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Final, TypeAlias

from django.db import close_old_connections

from accounts.tenancy import BrandRead, read_brands

logger = logging.getLogger(__name__)

Rows: TypeAlias = list[dict[str, Any]]
Asked: TypeAlias = tuple[BrandRead, asyncio.Future[Rows]]

MOST_TOGETHER: Final = 64
TOGETHER_SECONDS: Final = 0.15  # then each is asked alone: nobody pays for another brand's slow query
ALONE_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 0.005  # a group that takes longer is no longer waited for by the next


class Lookups:
    """The reader of one gateway process. Its methods belong to the event loop; queries run in the executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: deque[Asked] = deque()
        self._next: asyncio.TimerHandle | None = None
        self._groups: set[asyncio.Task[None]] = set()

    async def ask(self, read: BrandRead) -> Rows:
        """Give the rows of a query. Raises what the query raised."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Rows] = loop.create_future()
        self._waiting.append((read, answer))
        if self._next is None:
            self._next = loop.call_later(0, self._send)  # after whatever else has come in by now
        return await answer

    def _send(self) -> None:
        """Send a group off; the next goes when this one is back, or when patience ends."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
        if not group:
            return
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(PATIENCE_SECONDS, self._send)
        task = loop.create_task(self._answer(group))
        self._groups.add(task)
        task.add_done_callback(self._back)

    def _back(self, task: asyncio.Task[None]) -> None:
        self._groups.discard(task)
        self._send()

    async def _answer(self, group: Sequence[Asked]) -> None:
        """Settle every answer of a group."""
        seconds = TOGETHER_SECONDS if len(group) > 1 else ALONE_SECONDS
        work = asyncio.get_running_loop().run_in_executor(
            self._executor, _read, [read for read, _answer in group], seconds
        )
        (found,) = await asyncio.gather(work, return_exceptions=True)
        if not isinstance(found, BaseException):
            for (_of, answer), rows in zip(group, found, strict=True):
                _settle(answer, rows)
        elif len(group) == 1:
            _settle(group[0][1], found)
        else:
            logger.warning("%d queries together failed (%s): each is asked alone", len(group), type(found).__name__)
            await asyncio.gather(*(self._answer([each]) for each in group if not each[1].done()))


def _settle(answer: asyncio.Future[Rows], outcome: Rows | BaseException) -> None:
    if answer.done():  # nobody waits for it any longer
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _read(reads: Sequence[BrandRead], seconds: float) -> list[Rows]:
    close_old_connections()
    return read_brands(reads, seconds=seconds)
