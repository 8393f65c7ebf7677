"""Gives every test run its own PostgreSQL and Valkey, before Django reads its settings.

Loaded by `addopts = -p launcher.pytest_plugin`; run tests as `python -m pytest`, so that the project folder can be
imported that early. Only the controller starts servers; xdist's workers inherit the environment. DATABASE_URL and
REDIS_URL in the environment name other servers.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
from typing import TYPE_CHECKING

import pytest

from launcher import pytest_databases, roles
from launcher.launched import Launched, LaunchFailed

if TYPE_CHECKING:
    from collections.abc import Generator

_TEST_SETTINGS = {
    "ZHIYIN_ENV": "test",
    "ZHIYIN_DEBUG": "false",
    "ZHIYIN_ALLOWED_HOSTS": "127.0.0.1,localhost,[::1],testserver",
    "ZHIYIN_CLOCK_URL": "",
    "ZHIYIN_SIMULATOR_URL": "",
    # Nothing listens there: a test that forgets its simulator fails at once and never reaches Tencent.
    "ZHIYIN_WECHAT_BASE_URL": "http://127.0.0.1:9",
    "ZHIYIN_WECHAT_MP_URL": "http://127.0.0.1:9",
    "ZHIYIN_PUBLIC_URL": "http://127.0.0.1:9",
    "ZHIYIN_CONSOLE_URL": "http://127.0.0.1:9",
}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """Start the servers and set the environment; a wrapper, because pytest-django reads settings in this hook."""
    gc.set_threshold(50_000, 20, 50)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        _start_servers(early_config)
    pytest_databases.point_environment_at_own_database(worker or "main")
    yield


def pytest_configure(config: pytest.Config) -> None:
    """Register the database fixtures after pytest-django's, so that ours replace them."""
    config.pluginmanager.register(pytest_databases, "launcher-databases")


def pytest_collection_finish() -> None:
    """Have what is loaded by now not looked through again and again: that was a tenth of the run."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    """Name the servers in the header of the run."""
    run = pytest_databases.TestRun.from_environment()
    return f"servers: {roles.without_password(run.owner_url)} {run.redis_url}"


def _start_servers(config: pytest.Config) -> None:
    try:
        launched = Launched("--only", "servers", "--throwaway", "--in-memory")
    except LaunchFailed as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
    config.add_cleanup(launched.close)
    run = pytest_databases.TestRun(
        name=secrets.token_hex(4),
        app_url=launched.env["DATABASE_URL"],
        owner_url=launched.env["DATABASE_OWNER_URL"],
        intake_url=launched.env["DATABASE_INTAKE_URL"],
        redis_url=launched.env["REDIS_URL"],
        own_postgres="postgres" in launched.pids,
        own_redis="valkey" in launched.pids,
    )
    if not run.own_postgres:
        config.add_cleanup(run.drop_databases)
    os.environ[pytest_databases.VARIABLE] = json.dumps(vars(run))
    os.environ.update(
        {name: launched.env[name] for name in ("ZHIYIN_SECRET_KEY", "ZHIYIN_MASTER_KEYS", "DJANGO_SETTINGS_MODULE")}
    )
    os.environ.update(_TEST_SETTINGS)
