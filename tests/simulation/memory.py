"""A small PostgreSQL in memory: READ COMMITTED, row locks, SKIP LOCKED, savepoints, advisory locks, what a crash undoes.

What the engine's statements mean on it is in `stores.py`; `test_differential.py` compares both with the real thing.
"""

from contextlib import contextmanager

from django.db import OperationalError

from accounts import tenancy

GONE = object()


class Busy(Exception):
    """A row could not be locked in time."""


class Row:
    """One row: what is committed, and what the transaction that holds it has written."""

    __slots__ = ("holder", "key", "pending", "table", "value", "waiters")

    def __init__(self, table, key):
        self.table = table
        self.key = key
        self.value = None  # committed; None: not there
        self.pending = None  # None: nothing written; GONE: deleted
        self.holder = None
        self.waiters = []

    def seen_by(self, transaction):
        if self.pending is not None and self.holder is transaction:
            return None if self.pending is GONE else self.pending
        return self.value


class Table:
    """Rows by primary key, and one unique key if the table has one."""

    def __init__(self, name, unique=None):
        self.name = name
        self.rows = {}
        self.unique = unique
        self.by_unique = {}
        self.next_id = 1


class Transaction:
    """What one connection does between BEGIN and COMMIT."""

    def __init__(self, database, task):
        self.database = database
        self.task = task
        self.started = None
        self.rows = {}
        self.log = []
        self.advisory = set()
        self.on_commit = []
        self.lost = False
        self.ended = False
        self.lock_timeout = None
        self.idle_timeout = database.idle_timeout
        self.busy_since = database.world.now

    def touch(self):
        """A statement begins: `now()` is that of the first one."""
        world = self.database.world
        if self.lost:
            raise OperationalError("connection lost")
        if self.started is None:
            self.started = world.moment()

    def lose(self):
        """The connection is gone, and with it the transaction; the client learns it with its next statement."""
        self.rollback()
        self.lost = True

    def rollback(self):
        if self.ended:
            return
        self.ended = True
        for row, _before in reversed(self.log):
            row.pending = None
        self._release()

    def commit(self):
        if self.lost or self.ended:
            raise OperationalError("connection lost")
        self.ended = True
        changed = []
        for row in self.rows.values():
            if row.pending is not None:
                before, row.value = row.value, None if row.pending is GONE else row.pending
                row.pending = None
                changed.append((row.table.name, before, row.value))
                if row.value is None:
                    self.database.forget(row)
        self._release()
        for watch in self.database.watchers:
            watch(self.task, changed)
        for ring in self.on_commit:
            ring()

    def _release(self):
        world = self.database.world
        for row in self.rows.values():
            row.holder = None
            if row.value is None and row.pending is None:
                self.database.forget(row)
            for waiter in row.waiters:
                world.wake(waiter)
            row.waiters.clear()
        self.rows = {}
        for lock in self.advisory:
            waiters = self.database.advisory.pop(lock)[1]
            for waiter in waiters:
                world.wake(waiter)
        self.advisory = set()


class Database:
    """Tables, locks, transactions."""

    def __init__(self, world):
        self.world = world
        self.tables = {}
        self.advisory = {}
        self.watchers = []
        self.idle_timeout = tenancy.IDLE_SECONDS  # idle_in_transaction_session_timeout
        self.commit_answer_lost = 0.0

    def table(self, name, unique=None):
        made = self.tables[name] = Table(name, unique)
        return made

    # -- transactions -------------------------------------------------------------------------------------------------

    @property
    def transaction(self):
        return self.world.current.transaction

    @contextmanager
    def scope(self, brand_id):
        """What `brand_scope` does."""
        outer = tenancy.current_scope()
        if outer is not None:
            if outer.brand_id != brand_id:
                raise tenancy.BrandMismatch
            with self.atomic():
                yield brand_id
            return
        world, task = self.world, self.world.current
        transaction = task.transaction = Transaction(self, task)
        token = tenancy._current.set(tenancy.Scope(brand_id))
        try:
            world.step("begin")
            yield brand_id
            world.step("commit")
            if not task.process.alive:
                world.say("a dead process commits nothing")
                transaction.rollback()
            else:
                transaction.commit()
        except BaseException:
            transaction.rollback()
            raise
        finally:
            tenancy._current.reset(token)
            task.transaction = None
        self._committed(world)

    def _committed(self, world):
        if world.faults and world.random.random() < self.commit_answer_lost:
            world.count("commit whose answer was lost")
            world.say("the answer to COMMIT is lost")
            raise OperationalError("connection lost")
        world.step("committed")

    @contextmanager
    def atomic(self):
        """A savepoint."""
        transaction = self.transaction
        mark = len(transaction.log)
        rings = len(transaction.on_commit)
        try:
            yield
        except BaseException:
            if not transaction.ended:
                for row, before in reversed(transaction.log[mark:]):
                    row.pending = before
                del transaction.log[mark:]
                del transaction.on_commit[rings:]
            raise

    # -- rows ---------------------------------------------------------------------------------------------------------

    def scan(self, table):
        """(row, content) of everything this transaction can see."""
        transaction = self.transaction
        for row in list(self.tables[table].rows.values()):
            content = row.seen_by(transaction)
            if content is not None:
                yield row, content

    def get(self, table, key):
        row = self.tables[table].rows.get(key)
        return row, (row.seen_by(self.transaction) if row is not None else None)

    def lock(self, row, *, skip=False):
        """Lock a row; False when it is held and `skip`. After a wait the caller looks at it anew."""
        transaction = self.transaction
        while row.holder is not None and row.holder is not transaction:
            if skip:
                self.world.count("row skipped")
                return False
            self._wait_for(row.holder, row.waiters)
        if row.holder is None:
            row.holder = transaction
            transaction.rows[id(row)] = row
        return True

    def _wait_for(self, holder, waiters):
        world, transaction = self.world, self.transaction
        seen, other = {transaction}, holder
        while other is not None:
            if other in seen:
                world.count("deadlock")
                raise OperationalError("deadlock detected")
            seen.add(other)
            other = other.task.waits_for
        world.count("lock waited for")
        task = world.current
        task.waits_for = holder
        waiters.append(task)
        ends = None if transaction.lock_timeout is None else world.now + transaction.lock_timeout
        try:
            world.wait(transaction.lock_timeout)
        finally:
            task.waits_for = None
            if task in waiters:
                waiters.remove(task)
        transaction.touch()
        if ends is not None and world.now >= ends and not holder.ended:
            raise Busy

    def advise(self, lock, *, wait):
        """pg_advisory_xact_lock."""
        transaction = self.transaction
        while True:
            held = self.advisory.get(lock)
            if held is None:
                self.advisory[lock] = (transaction, [])
                transaction.advisory.add(lock)
                return True
            if held[0] is transaction:
                return True
            if not wait:
                return False
            self._wait_for(held[0], held[1])

    def wait_beside(self, lock):
        """pg_advisory_xact_lock_shared in a savepoint that is undone at once: all who wait go on together."""
        while (held := self.advisory.get(lock)) is not None and held[0] is not self.transaction:
            self._wait_for(held[0], held[1])

    def write(self, row, **changes):
        """Change a row that is locked."""
        transaction = self.transaction
        before = row.seen_by(transaction)
        transaction.log.append((row, row.pending))
        row.pending = {**before, **changes}

    def delete(self, row):
        self.transaction.log.append((row, row.pending))
        row.pending = GONE

    def insert(self, table, **content):
        """Insert; gives the row, or None when the unique key is taken (after waiting for whoever is at it)."""
        found = self.tables[table]
        key = tuple(content[name] for name in found.unique) if found.unique else None
        if key is not None:
            while True:
                other = found.by_unique.get(key)
                if other is None:
                    break
                if other.holder is not None and other.holder is not self.transaction:
                    self._wait_for(other.holder, other.waiters)
                    continue
                if other.seen_by(self.transaction) is not None:
                    return None
                break
        if "id" not in content:
            content["id"] = found.next_id
            found.next_id += 1
        row = Row(found, content["id"])
        found.rows[content["id"]] = row
        if key is not None:
            found.by_unique[key] = row
        row.holder = self.transaction
        self.transaction.rows[id(row)] = row
        self.transaction.log.append((row, None))
        row.pending = content
        return row

    def by_unique(self, table, key):
        return self.tables[table].by_unique.get(key)

    def forget(self, row):
        table = row.table
        if table.rows.get(row.key) is row:
            del table.rows[row.key]
        for key, other in list(table.by_unique.items()) if table.unique else ():
            if other is row:
                del table.by_unique[key]

    # -- from outside -------------------------------------------------------------------------------------------------

    def put(self, table, **content):
        """A committed row, without a transaction."""
        found = self.tables[table]
        content.setdefault("id", found.next_id)
        found.next_id = max(found.next_id, content["id"] + 1)
        row = Row(found, content["id"])
        row.value = content
        found.rows[content["id"]] = row
        if found.unique:
            found.by_unique[tuple(content[name] for name in found.unique)] = row
        return row

    def committed(self, table):
        return [row.value for row in self.tables[table].rows.values() if row.value is not None]
