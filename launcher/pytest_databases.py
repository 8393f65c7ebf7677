"""Test databases: migrated once into a template, copied for each xdist worker and for tests with real processes."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from launcher import roles, valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import DjangoDbBlocker

VARIABLE = "ZHIYIN_TEST_RUN"
_FIRST_FRESH_REDIS = 64  # the numbers below belong to workers, two each
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


def point_environment_at_own_database(worker: str) -> None:
    """Name this process's own databases, which need not exist yet, before Django reads its settings."""
    run = TestRun.from_environment()
    os.environ.update(run.urls(run.database(worker)).environment())
    number = int(worker.removeprefix("gw")) + 1 if worker.startswith("gw") else 0
    os.environ["REDIS_URL"] = run.redis(2 * number)


@pytest.fixture(scope="session")
def test_run() -> TestRun:
    """Give the servers of this run and the names of its databases."""
    return TestRun.from_environment()


@pytest.fixture(scope="session")
def database_template(django_test_environment: None, django_db_blocker: DjangoDbBlocker, test_run: TestRun) -> str:
    """Give the name of the migrated template database, which the first worker makes while the others wait."""
    from django.core.management import call_command
    from django.db import connections

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
        with django_db_blocker.unblock():
            owner = connections["owner"]
            own_name = owner.settings_dict["NAME"]
            owner.close()
            owner.settings_dict["NAME"] = unfinished
            try:
                call_command("migrate", database="owner", interactive=False, verbosity=0)
            finally:
                connections.close_all()
                owner.settings_dict["NAME"] = own_name
        cursor.execute(f"ALTER DATABASE {name} RENAME TO {roles.quoted(test_run.template)}")
    return test_run.template


@pytest.fixture(scope="session")
def django_db_setup(database_template: str, django_db_blocker: DjangoDbBlocker, test_run: TestRun) -> Iterator[None]:
    """Make this worker's database; replaces pytest-django's fixture, which would migrate once per worker.

    A test marked `transaction=True` leaves committed rows. Django would empty the tables, as a role that may not and
    without bringing back what migrations have put there; here the whole database is copied afresh, which takes less.
    """
    from django.db import connections
    from django.test import TransactionTestCase

    own = str(connections["default"].settings_dict["NAME"])

    def copy_afresh(_case: TransactionTestCase) -> None:
        for connection in connections.all(initialized_only=True):
            connection.close()
        test_run.copy_template(own)

    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        test_run.copy_template(own)
        patch.setattr(TransactionTestCase, "_fixture_teardown", copy_afresh)
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
    for each in (number, number + 1):
        with redis.Redis.from_url(test_run.redis(each)) as client:
            if test_run.own_redis:
                client.flushdb()
    return number
