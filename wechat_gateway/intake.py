"""Writes pushes before they are answered: many at a time, each once, within the platform's five seconds.

Group commit: whatever is waiting goes into one INSERT, and while that is under way the next group gathers. All of it
runs on the gateway's event loop over one asynchronous connection, so nothing waits for another thread. When PostgreSQL
takes too long, rows go to an append-only Redis stream and are written later; when that is away too, the caller learns
that nothing was kept.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
import psycopg2
from psycopg2 import extensions

from common.failpoints import point

logger = logging.getLogger(__name__)

STREAM: Final = "zhiyin:inbox:spill"
PATIENCE_SECONDS: Final = 1.0  # how long a row may wait for PostgreSQL before it is spilt
STATEMENT_TIMEOUT_MS: Final = 1500
CONNECT_SECONDS: Final = 2
MAX_GROUP: Final = 500
MAX_WAITING: Final = 20_000
SPILL_SECONDS: Final = 0.5  # how long Redis may take; with the patience above well under the two seconds to a 503
TICK_SECONDS: Final = 0.05
_RECONNECT_SECONDS: Final = 0.25
_DRAIN_SECONDS: Final = 1.0
_DRAIN_ENTRIES: Final = 20

_COLUMNS: Final = (
    "brand_id", "account_id", "dedupe_key", "digest", "kind", "openid", "lane",
    "event_at", "received_at", "body", "is_binary", "reply", "state", "reason",
)  # fmt: skip
_TYPES: Final = (
    "bigint", "bigint", "uuid", "uuid", "text", "text", "smallint",
    "float8", "float8", "text", "boolean", "text", "text", "text",
)  # fmt: skip
# One JSON parameter costs a third of what a VALUES list costs to write and is cheaper to read for PostgreSQL.
_INSERT: Final = (
    f"INSERT INTO wechat_gateway_inboundpush ({', '.join(_COLUMNS)}, attempts) "  # noqa: S608 - constants
    f"SELECT {', '.join(f'to_timestamp({c})' if c.endswith('_at') else c for c in _COLUMNS)}, 0 "
    f"FROM json_to_recordset(%s::json) AS row({', '.join(map(' '.join, zip(_COLUMNS, _TYPES, strict=True)))}) "
    "ON CONFLICT (brand_id, account_id, dedupe_key) DO NOTHING RETURNING account_id, dedupe_key::text"
)
_STORED: Final = (
    "SELECT p.account_id, p.dedupe_key::text, p.digest::text, p.reply FROM wechat_gateway_inboundpush p "
    "JOIN json_to_recordset(%s::json) AS k(brand_id bigint, account_id bigint, dedupe_key uuid) "
    "ON p.brand_id = k.brand_id AND p.account_id = k.account_id AND p.dedupe_key = k.dedupe_key"
)


class NotKept(Exception):
    """The push could be written nowhere: the platform must try again."""


class NotStorable(NotKept):
    """PostgreSQL refuses this row for what it is; trying again would not help."""


class Spill(Protocol):
    """Where rows go while PostgreSQL is away."""

    async def append(self, payload: bytes) -> None:
        """Keep one group of rows; raises OSError or a Redis error when it cannot."""
        ...

    async def oldest(self, count: int) -> list[tuple[bytes, bytes]]:
        """Give (id, payload) of the oldest groups."""
        ...

    async def remove(self, ids: Sequence[bytes]) -> None:
        """Forget groups that are in PostgreSQL."""
        ...

    async def bury(self, payload: bytes) -> None:
        """Put aside rows that PostgreSQL refuses for what they are."""
        ...


@dataclass(slots=True)
class Row:
    """One push as it is stored; times are seconds since the epoch."""

    brand_id: int
    account_id: int
    dedupe_key: str
    digest: str
    kind: str
    openid: str
    lane: int
    event_at: float
    received_at: float
    body: str
    is_binary: bool = False
    reply: str = ""
    state: str = "NEW"
    reason: str = ""


@dataclass(slots=True)
class Kept:
    """What became of a row: the reply to give (that of the first copy) and whether it was there before."""

    reply: str
    repeated: bool = False
    conflicting: bool = False


class _Waiting:
    __slots__ = ("future", "row", "since", "spilling")

    def __init__(self, row: Row, future: asyncio.Future[Kept], since: float) -> None:
        self.row = row
        self.future = future
        self.since = since
        self.spilling = False


class Intake:
    """The writer of one gateway process. All methods belong to its event loop."""

    def __init__(
        self,
        dsn: str,
        spill: Spill | None,
        *,
        on_stored: Callable[[Iterable[tuple[int, int]]], None] = lambda _: None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._dsn = dsn
        self._spill = spill
        self._on_stored = on_stored
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._flying: list[_Waiting] = []
        self._flying_since = 0.0
        self._connection: Any = None
        self._cursor: Any = None
        self._watched = -1
        self._group_limit = MAX_GROUP
        self._down_since: float | None = time.monotonic()
        self._then: Callable[[], None] | None = None
        self._connecting = False
        self._retry_at = 0.0
        self._flush_soon = False
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._spilt: dict[tuple[int, str], str] = {}
        self._spilt_groups = 0
        self.counters: Counter[str] = Counter()

    def start(self) -> None:
        """Connect and begin to watch the clock."""
        self._connect()
        self._run(self._watch())
        self._run(self._drain_for_ever())

    async def close(self) -> None:
        """Write what is waiting (for at most two seconds), then stop."""
        ends = time.monotonic() + 2
        while (self._queue or self._flying) and time.monotonic() < ends:  # noqa: ASYNC110 - two things to wait for
            await asyncio.sleep(0.01)
        self._closed = True
        # Again and again: a client library may turn a cancellation into a timeout of its own.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(list(self._tasks), timeout=TICK_SECONDS)
        self._disconnect()

    @property
    def connected(self) -> bool:
        """Whether PostgreSQL can be written to right now."""
        return self._connection is not None and not self._connecting and not self.stalled

    @property
    def stalled(self) -> bool:
        """Whether the statement under way has taken longer than a row may wait."""
        return bool(self._flying) and time.monotonic() - self._flying_since > self._patience

    @property
    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._queue) + len(self._flying)

    async def keep(self, row: Row) -> Kept:
        """Store a row, or find the one it repeats. Raises NotKept."""
        if len(self._queue) >= MAX_WAITING:
            self.counters["overloaded"] += 1
            raise NotKept
        waiting = _Waiting(row, self._loop.create_future(), time.monotonic())
        self._queue.append(waiting)
        self._flush_when_free()
        kept = await waiting.future
        if kept.conflicting:
            return await self._quarantine_reused_id(row)
        return kept

    async def _quarantine_reused_id(self, row: Row) -> Kept:
        """The same message id with other content: keep the second one aside, whole, and acknowledge it."""
        self.counters["conflicting"] += 1
        logger.error("account %s: a message id came again with other content", row.account_id)
        if row.dedupe_key == row.digest:
            return Kept("", repeated=True)
        row.dedupe_key = row.digest
        row.reply, row.state, row.reason = "", "QUARANTINED", "MSGID_REUSED"
        kept = await self.keep(row)
        return Kept("", repeated=kept.repeated)

    # -- writing ------------------------------------------------------------------------------------------------------

    def _flush_when_free(self) -> None:
        if not self._flush_soon and not self._flying and self._connection is not None and not self._connecting:
            self._flush_soon = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_soon = False
        if self._flying or not self._queue or self._connection is None or self._connecting:
            return
        queue = self._queue
        group = [queue.popleft() for _ in range(min(len(queue), self._group_limit))]
        self._flying = [waiting for waiting in group if not waiting.future.done()]
        self._flying_since = time.monotonic()
        if self._flying:
            self._execute(_INSERT, [waiting.row for waiting in self._flying], self._inserted)
        else:
            self._flush_when_free()

    def _inserted(self) -> None:
        flying = self._flying
        self._group_limit = min(MAX_GROUP, self._group_limit * 2)
        self.counters["flushes"] += 1
        if self._cursor.rowcount == len(flying):  # which ones they are nobody has to read then
            self._finish_group({(waiting.row.brand_id, waiting.row.lane) for waiting in flying}, None)
            return
        new = set(self._cursor.fetchall())
        wanted = _to_read([waiting.row for waiting in flying], new)
        keys = [
            {"brand_id": row.brand_id, "account_id": row.account_id, "dedupe_key": row.dedupe_key} for row in wanted
        ]
        self._execute(_STORED, keys, lambda: self._found(new))

    def _found(self, new: set[tuple[int, str]]) -> None:
        known = {(account, key): (digest, reply) for account, key, digest, reply in self._cursor.fetchall()}
        fresh: set[tuple[int, int]] = set()
        answers: list[Kept] = []
        for waiting in self._flying:
            row = waiting.row
            key = (row.account_id, _dashed(row.dedupe_key))
            repeated = key not in new
            if not repeated:
                new.discard(key)  # further copies in this group repeat the first
                fresh.add((row.brand_id, row.lane))
            digest, reply = known.get(key, (_dashed(row.digest), row.reply))
            answers.append(Kept(reply, repeated=repeated, conflicting=digest != _dashed(row.digest)))
        self._finish_group(fresh, answers)

    def _finish_group(self, fresh: set[tuple[int, int]], answers: list[Kept] | None) -> None:
        point("intake: written, not answered")
        flying, self._flying = self._flying, []
        self.counters["rows"] += len(flying)
        for waiting, kept in zip(flying, answers or itertools.repeat(None), strict=False):
            if not waiting.future.done():
                if kept is not None and kept.repeated:
                    self.counters["repeated"] += 1
                waiting.future.set_result(kept or Kept(waiting.row.reply))
        if fresh:
            self._on_stored(fresh)
        self._flush_when_free()

    # -- the connection -----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._connecting = True
        self._retry_at = time.monotonic() + CONNECT_SECONDS
        try:
            self._connection = psycopg2.connect(
                self._dsn,
                async_=1,
                connect_timeout=CONNECT_SECONDS,
                application_name="zhiyin-gateway",
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=2,
            )
        except psycopg2.Error as error:
            self._lost(error)
            return
        self._then = self._connected
        self._poll()

    def _connected(self) -> None:
        self._connecting = False
        self._down_since = None
        self._cursor = self._connection.cursor()
        self._flush_when_free()

    def _execute(self, sql: str, rows: Sequence[object], then: Callable[[], None]) -> None:
        self._then = then
        try:
            point("intake: before the statement")
            # Quoted as the bytes they are: as text they would be decoded and encoded once more.
            self._cursor.execute(sql, (extensions.QuotedString(orjson.dumps(rows)),))
        except psycopg2.OperationalError as error:
            self._lost(error)
        except (psycopg2.Error, TypeError) as error:
            self._refused(error)
        else:
            self._poll()

    def _poll(self) -> None:
        """Drive the connection; when the step under way has ended, go on with `_then`."""
        connection = self._connection
        if connection is None:
            return
        try:
            state = connection.poll()
        except psycopg2.errors.QueryCanceled as error:
            self._refused(error)
            return
        except psycopg2.OperationalError as error:
            self._lost(error)
            return
        except psycopg2.Error as error:
            self._refused(error)
            return
        self._watch_descriptor(connection.fileno())
        if state == extensions.POLL_WRITE:
            self._loop.add_writer(self._watched, self._poll)
            return
        self._loop.remove_writer(self._watched)
        if state == extensions.POLL_OK and self._then is not None:
            then, self._then = self._then, None
            then()

    def _watch_descriptor(self, descriptor: int) -> None:
        """Watch a duplicate of libpq's descriptor.

        libpq closes its own when a connection fails, and the number may be somebody else's before the loop has been
        told. While connecting, it may also change to another socket.
        """
        if self._watched >= 0 and not self._connecting:
            return
        self._unwatch()
        self._watched = os.dup(descriptor)
        self._loop.add_reader(self._watched, self._poll)

    def _unwatch(self) -> None:
        if self._watched >= 0:
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
            os.close(self._watched)
            self._watched = -1

    def _refused(self, error: Exception) -> None:
        """A statement failed on a connection that is well: out of time or space, or a row cannot be stored."""
        self.counters["refused"] += 1
        logger.error("the inbox could not be written: %s", _first_line(error))
        self._then = None
        flying = self._flying
        self._give_back()
        if isinstance(error, psycopg2.DataError | psycopg2.IntegrityError | TypeError):
            if len(flying) == 1:
                self._queue.popleft()
                if not flying[0].future.done():
                    flying[0].future.set_exception(NotStorable())
            self._group_limit = 1  # find the row that spoils its group
            self._flush_when_free()
            return
        self._loop.call_later(_RECONNECT_SECONDS, self._flush_when_free)

    def _lost(self, error: Exception) -> None:
        self.counters["connection lost"] += 1
        logger.warning("the connection to PostgreSQL was lost: %s", _first_line(error))
        self._disconnect()
        self._give_back()
        if self._down_since is None:
            self._down_since = time.monotonic()
        if not self._closed:
            self._loop.call_later(_RECONNECT_SECONDS, self._reconnect)

    def _reconnect(self) -> None:
        if self._connection is None and not self._closed:
            self._connect()

    def _give_back(self) -> None:
        """Put the group under way back in front; if it was committed after all, writing it again is harmless."""
        self._queue.extendleft(reversed([waiting for waiting in self._flying if not waiting.future.done()]))
        self._flying = []

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._cursor = None
        self._then = None
        self._connecting = False
        self._unwatch()
        if connection is not None:
            connection.close()

    # -- patience, spilling and draining ------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Spill what has waited too long; give up on a connection that never comes up."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            if self._connecting and now > self._retry_at:
                self._lost(TimeoutError("no answer to the connection request"))
            # Once PostgreSQL is known to be away nobody has to wait for it again.
            hopeless = self.stalled or (self._down_since is not None and now - self._down_since > self._patience)
            late = [
                waiting
                for waiting in itertools.chain(self._flying, self._queue)
                if (hopeless or now - waiting.since > self._patience)
                and not waiting.spilling
                and not waiting.future.done()
            ]
            for start in range(0, len(late), MAX_GROUP):
                group = late[start : start + MAX_GROUP]
                for waiting in group:
                    waiting.spilling = True
                self._run(self._spill_group(group))
            while self._queue and self._queue[0].future.done():
                self._queue.popleft()

    async def _spill_group(self, group: list[_Waiting]) -> None:
        try:
            if self._spill is None:
                raise OSError("no spill")  # noqa: TRY301 - one way to fail
            point("intake: before the spill")
            await asyncio.wait_for(self._spill.append(orjson.dumps([waiting.row for waiting in group])), SPILL_SECONDS)
            point("intake: spilt")
        except Exception as error:  # noqa: BLE001 - any failure of Redis means the same: the platform must try again
            logger.error("pushes could be kept nowhere (%s)", type(error).__name__)  # noqa: TRY400 - no trace needed
            self.counters["lost to 503"] += len(group)
            for waiting in group:
                if not waiting.future.done():
                    waiting.future.set_exception(NotKept())
            return
        self.counters["spilt"] += len(group)
        self._spilt_groups += 1
        for waiting in group:
            row = waiting.row
            key = (row.account_id, row.dedupe_key)
            # Until the stream is drained a repeated push must still get the first one's reply.
            reply = self._spilt.setdefault(key, row.reply)
            if not waiting.future.done():
                waiting.future.set_result(Kept(reply))

    async def _drain_for_ever(self) -> None:
        while True:
            try:
                await self.drain()
            except Exception as error:  # noqa: BLE001 - Redis is away: nothing to drain from
                logger.debug("cannot drain: %s", type(error).__name__)
            await asyncio.sleep(_DRAIN_SECONDS)

    async def drain(self) -> int:
        """Write spilt rows to PostgreSQL, forget them in Redis, give how many groups. Stops when PostgreSQL stalls."""
        drained = 0
        while self._spill is not None and self.connected:
            known = self._spilt_groups
            groups = await self._spill.oldest(_DRAIN_ENTRIES)
            if not groups:
                if known == self._spilt_groups:
                    self._spilt.clear()
                break
            for identifier, payload in groups:
                rows = [Row(**fields) for fields in orjson.loads(payload)]
                ends = await asyncio.gather(*(self.keep(row) for row in rows), return_exceptions=True)
                refused = [row for row, end in zip(rows, ends, strict=True) if isinstance(end, NotStorable)]
                if refused:
                    await self._spill.bury(orjson.dumps(refused))
                elif any(isinstance(end, BaseException) for end in ends):
                    return drained
                point("intake: drained, not removed")
                await self._spill.remove([identifier])
                drained += 1
        return drained

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _to_read(rows: Iterable[Row], new: set[tuple[int, str]]) -> list[Row]:
    """The distinct rows whose first copy has to be looked up: those that were there, and copies within the group."""
    wanted: dict[tuple[int, str], Row] = {}
    seen: set[tuple[int, str]] = set()
    for row in rows:
        key = (row.account_id, row.dedupe_key)
        if key in seen or (row.account_id, _dashed(row.dedupe_key)) not in new:
            wanted[key] = row
        seen.add(key)
    return list(wanted.values())


def _dashed(key: str) -> str:
    """A key as PostgreSQL prints it."""
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
