"""Keeps the gateway's memories of people up to date, in one thread beside the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from django.db import DatabaseError, connection

from wechat_gateway.registries import ReplyBook, memories

logger = logging.getLogger(__name__)

TURN_SECONDS: Final = 0.25


class Rememberer:
    """Calls every memory several times a second with the books there are."""

    def __init__(self, books: Callable[[], Sequence[tuple[int, ReplyBook]]]) -> None:
        self._books = books
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="memory")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._keep_up())

    async def stop(self) -> None:
        """End; a turn under way is waited for no longer."""
        if self._task is not None:
            self._task.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(TURN_SECONDS)
            await asyncio.get_running_loop().run_in_executor(self._executor, self.turn)

    def turn(self) -> None:
        """Call every memory once. Blocks."""
        books = self._books()
        for key, remember in memories.items():
            try:
                remember(books)
            except DatabaseError as error:
                connection.close()
                logger.warning("the memory %s could not be brought up to date: %s", key, type(error).__name__)
            except Exception:
                logger.exception("the memory %s failed", key)
