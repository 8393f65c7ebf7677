"""Test databases: migrated once into a template, copied for each xdist worker and for tests with real processes.

A copy costs a fifth of a second of processor time and more; after a test that commits, the rows are taken away instead.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import pytest

from launcher import roles, template_dump, valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class with a lower-case name
    from pytest_django import DjangoDbBlocker

VARIABLE = "ZHIYIN_TEST_RUN"
_FIRST_FRESH_REDIS = 64  # the numbers below belong to workers, two each
_WORTH_A_COPY = 2 * 1024 * 1024  # bytes: many dead rows would mislead the planner in later tests
_KEYS_OF_A_COPY = 1_000_000  # more than the tests of one copy use up
_PATIENCE = 30.0  # seconds, with a session that does not end
_numbers = itertools.count()


@dataclass(frozen=True)
class TestRun:
    """What the controller tells the workers. The URLs name the roles and a database to sign in to, not to test in."""

    __test__ = False

    name: str
    app_url: str
    owner_url: str
    intake_url: str
    redis_url: str
    own_postgres: bool
    own_redis: bool

    @classmethod
    def from_environment(cls) -> TestRun:
        """Read what the controller has written."""
        return cls(**json.loads(os.environ[VARIABLE]))

    @property
    def template(self) -> str:
        """The name of the migrated template database."""
        return self.database("template")

    def database(self, suffix: str) -> str:
        """Return the name of a database of this run."""
        return f"test_{self.name}_{suffix}"

    def urls(self, database: str) -> roles.DatabaseUrls:
        """Return the URLs of the three roles on `database`."""
        app, owner, intake = (
            roles.replace_in_url(url, database=database) for url in (self.app_url, self.owner_url, self.intake_url)
        )
        return roles.DatabaseUrls(app=app, owner=owner, intake=intake)

    def redis(self, number: int) -> str:
        """Return the Redis URL with database `number`; somebody else's server may have only the one it names."""
        return roles.replace_in_url(self.redis_url, database=str(number)) if self.own_redis else self.redis_url

    def empty_redis(self, number: int) -> None:
        """Forget everything in the pair of databases (broker, cache) at `number`; never on somebody else's server."""
        import redis

        if self.own_redis:
            for each in (number, number + 1):
                with redis.Redis.from_url(self.redis(each)) as client:
                    client.flushdb()

    def drop_databases(self) -> None:
        """Drop every database of this run."""
        with roles.cursor_on(self.owner_url) as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"test\\_{self.name}\\_%"])
            for (name,) in cursor.fetchall():
                cursor.execute(f"DROP DATABASE IF EXISTS {roles.quoted(name)} WITH (FORCE)")

    def copy_template(self, database: str) -> None:
        """(Re)make `database` as a copy of the template; whoever is connected to the old one is thrown out."""
        name = roles.quoted(database)
        roles.statements(
            self.owner_url,
            f"DROP DATABASE IF EXISTS {name} WITH (FORCE)",
            f"CREATE DATABASE {name} TEMPLATE {roles.quoted(self.template)}",
        )
        with roles.cursor_on(self.urls(database).owner) as cursor:
            roles.prepare_database(cursor, database)


class WorkerDatabase:
    """A copy of the template that is brought back to the template's content after each test that has committed rows.

    Deleting the rows of the tables that were written to takes a hundredth of the time of a new copy, and of TRUNCATE,
    which makes a file for every index. Sequences go on, in a new copy too, so no key is met twice: what a process
    remembers of an earlier test's brands is never taken for this test's.
    """

    def __init__(self, run: TestRun, name: str) -> None:
        self._run = run
        self._name = name
        self._owner_url = run.urls(name).owner
        self._original: dict[str, str] = {}
        self.copies = 0
        self.copy_afresh()

    def copy_afresh(self) -> None:
        """Replace the database by a new copy of the template and remember what it holds."""
        self._run.copy_template(self._name)
        self.copies += 1
        with roles.cursor_on(self._owner_url) as cursor:
            self._original = {each.name: _digest(cursor, each.name) for each in _written_tables(cursor)}
            if self.copies > 1:
                _start_sequences_at(cursor, self.copies * _KEYS_OF_A_COPY)

    def restore(self) -> None:
        """Bring the content of the template back; by a new copy where deleting is not enough.

        Whoever is still connected is thrown out. Tables that the migrations have filled are compared, not emptied.
        """
        with roles.cursor_on(self._owner_url) as cursor:
            end_sessions(cursor, "datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL")
            cursor.execute("SET lock_timeout = '5s'")
            written = [each for each in _written_tables(cursor) if each.name not in self._original]
            restored = (
                sum(each.size for each in written) <= _WORTH_A_COPY
                and _delete_rows(cursor, [each for each in written if each.may_have_rows])
                and all(_digest(cursor, table) == digest for table, digest in self._original.items())
            )
        if not restored:
            self.copy_afresh()


def end_sessions(cursor: Cursor, which: str, *values: object) -> None:
    """End the sessions that a condition on pg_stat_activity names, and come back when they are gone.

    `cursor` is outside transactions. PostgreSQL's own way to wait looks after a tenth of a second again; they end in
    a thousandth.
    """
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {which}", values)  # noqa: S608
        if not cursor.fetchall():
            return
        time.sleep(0.001)


def _start_sequences_at(cursor: Cursor, first: int) -> None:
    cursor.execute("SELECT setval(seqrelid, %s) FROM pg_sequence WHERE seqmax > %s", [first, first])


class _Table(NamedTuple):
    """A table that was written to."""

    name: str  # quoted
    is_forced: bool  # row security binds the owner too
    size: int
    may_have_rows: bool


def _written_tables(cursor: Cursor) -> list[_Table]:
    """Return every table ever written to, by its size: row security hides from the owner how many rows are left.

    Sessions tell the server what they have committed before they are gone, so with nobody connected its count of a
    table's rows is right, unless VACUUM or ANALYZE has replaced it by an estimate.
    """
    cursor.execute(
        "SELECT oid::regclass::text, relforcerowsecurity, pg_relation_size(oid), pg_stat_get_live_tuples(oid) > 0 "
        "OR pg_stat_get_vacuum_count(oid) + pg_stat_get_analyze_count(oid) > 0 "
        "OR NOT current_setting('track_counts')::boolean FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0 ORDER BY 1"
    )
    return [_Table(*row) for row in cursor.fetchall()]


def _delete_rows(cursor: Cursor, tables: list[_Table]) -> bool:
    """Delete every row in one transaction; False when it cannot be done.

    Without triggers and row security where we may: asking every table that could refer to a brand takes longer than
    all the rest, and every altered table has to be looked up again.
    """
    names = [each.name for each in tables]
    forced: list[str] = []
    watched: list[str] = []
    has_cleaner = _has_cleaner(cursor)
    if has_cleaner:
        cursor.execute(f"SET session_replication_role = replica; SET ROLE {roles.CLEANER}")
    else:
        forced = [each.name for each in tables if each.is_forced]
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 8 <> 0"
        )
        watched = [table for (table,) in cursor.fetchall() if table in names]
    try:
        cursor.execute(
            "; ".join(
                [
                    "BEGIN",
                    "SET CONSTRAINTS ALL DEFERRED",
                    *(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY" for table in forced),
                    *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in watched),  # they refuse, or write rows
                    *(f"DELETE FROM {table}" for table in names),  # noqa: S608 - names from the catalogue
                    "SET CONSTRAINTS ALL IMMEDIATE",  # a table with pending checks cannot be altered
                    *(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in watched),
                    *(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in forced),
                    "COMMIT",
                ]
            )
        )
    except psycopg2.Error:
        cursor.execute("ROLLBACK")
        return False
    finally:
        if has_cleaner:
            cursor.execute("RESET ROLE")
    return True


def _has_cleaner(cursor: Cursor) -> bool:
    """Whether this server is one of ours, which lends the owner a role that sees all (`roles.let_owner_clear_up`)."""
    cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [roles.CLEANER])
    return cursor.fetchone() == (True,)


def _keep_statistics_away(cursor: Cursor) -> None:
    """Have no table analysed by itself: a plan depends on the test alone.

    An empty table that was analysed counts as one page, for which a session keeps a plan without an index; a test that
    then writes thousands of rows in one transaction is slower by the square of their number.
    """
    cursor.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for (table,) in cursor.fetchall():
        cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")


def _digest(cursor: Cursor, table: str) -> str:
    """Return a digest of the rows of a table that belongs to no brand."""
    cursor.execute(f"SELECT md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM {table} t")  # noqa: S608
    row = cursor.fetchone()
    return str(row[0]) if row else ""


def point_environment_at_own_database(worker: str) -> None:
    """Name this process's own databases, which need not exist yet, before Django reads its settings."""
    run = TestRun.from_environment()
    os.environ.update(run.urls(run.database(worker)).environment())
    os.environ["REDIS_URL"] = run.redis(_worker_redis_number(worker))


def _worker_redis_number(worker: str) -> int:
    """Return the first of the two numbered Redis databases of a worker, of none for the only process."""
    return 2 * (int(worker.removeprefix("gw")) + 1) if worker.startswith("gw") else 0


@pytest.fixture(scope="session")
def test_run() -> TestRun:
    """Give the servers of this run and the names of its databases."""
    return TestRun.from_environment()


@pytest.fixture(scope="session")
def database_template(django_test_environment: None, django_db_blocker: DjangoDbBlocker, test_run: TestRun) -> str:
    """Give the name of the migrated template database, which the first worker makes while the others wait."""
    with roles.cursor_on(test_run.owner_url) as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [test_run.template])
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [test_run.template])
        if cursor.fetchone():
            return test_run.template
        unfinished = test_run.database("unfinished")
        name = roles.quoted(unfinished)
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        with roles.cursor_on(test_run.urls(unfinished).owner) as inside:
            roles.prepare_database(inside, unfinished)
        kept = template_dump.place()
        if test_run.own_postgres and kept.exists():
            template_dump.restore(test_run.urls(unfinished).owner, kept)
        else:
            with django_db_blocker.unblock():
                _migrate(unfinished)
            if test_run.own_postgres:
                template_dump.save(test_run.urls(unfinished).owner, kept)
        with roles.cursor_on(test_run.urls(unfinished).owner) as inside:
            _keep_statistics_away(inside)
        cursor.execute(f"ALTER DATABASE {name} RENAME TO {roles.quoted(test_run.template)}")
    return test_run.template


def _migrate(database: str) -> None:
    from django.core.management import call_command
    from django.db import connections

    owner = connections["owner"]
    own_name = owner.settings_dict["NAME"]
    owner.close()
    owner.settings_dict["NAME"] = database
    try:
        call_command("migrate", database="owner", interactive=False, verbosity=0)
    finally:
        connections.close_all()
        owner.settings_dict["NAME"] = own_name


@pytest.fixture(scope="session")
def django_db_setup(database_template: str, django_db_blocker: DjangoDbBlocker, test_run: TestRun) -> Iterator[None]:
    """Make this worker's database; replaces pytest-django's fixture, which would migrate once per worker.

    A test marked `transaction=True` leaves committed rows. Django would empty the tables, as a role that may not and
    without bringing back what migrations have put there; WorkerDatabase.restore() does it instead.
    """
    from django.db import connections
    from django.test import TransactionTestCase

    own = str(connections["default"].settings_dict["NAME"])

    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        database = WorkerDatabase(test_run, own)
        redis_number = _worker_redis_number(os.environ.get("PYTEST_XDIST_WORKER", "main"))

        def restore(_case: TransactionTestCase) -> None:
            for connection in connections.all(initialized_only=True):
                connection.close()
            database.restore()
            test_run.empty_redis(redis_number)

        patch.setattr(TransactionTestCase, "_fixture_teardown", restore)
        yield
        connections.close_all()
        roles.statements(test_run.owner_url, f"DROP DATABASE IF EXISTS {roles.quoted(own)} WITH (FORCE)")


@pytest.fixture
def fresh_database(database_template: str, test_run: TestRun) -> Iterator[dict[str, str]]:
    """Give the environment for processes that work on a new migrated database and an empty Redis of their own."""
    number = next(_numbers)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    database = test_run.database(f"{worker}_{number}")
    test_run.copy_template(database)
    redis_url = test_run.redis(_fresh_redis_number(test_run))
    yield {**os.environ, **test_run.urls(database).environment(), "REDIS_URL": redis_url}
    roles.statements(test_run.owner_url, f"DROP DATABASE IF EXISTS {roles.quoted(database)} WITH (FORCE)")


def _fresh_redis_number(test_run: TestRun) -> int:
    """Take two numbered databases (broker, cache) that no other test of the run uses, and empty them."""
    import redis

    pairs = (valkey.DATABASES - _FIRST_FRESH_REDIS) // 2
    with redis.Redis.from_url(test_run.redis(0)) as client:
        taken = int(client.incr(f"zhiyin-test-run:{test_run.name}"))
    number = _FIRST_FRESH_REDIS + 2 * (taken % pairs)
    test_run.empty_redis(number)
    return number
