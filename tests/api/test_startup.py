"""No process of the product starts as a role that row security does not bind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ENTRIES = {
    "gateway": "import asyncio, importlib\nasync def load(): importlib.import_module('config.gateway')\nasyncio.run(load())",
    "web": "import config.wsgi",
    "worker": "from celery.signals import worker_init; import config.worker; worker_init.send(None)",
}


def start(entry, url, **more):
    return subprocess.run(
        [sys.executable, "-c", ENTRIES[entry]],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings", **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("entry", ENTRIES)
def test_application_role_starts(entry, test_run, django_db_setup):
    url = test_run.urls(test_run.database(os.environ.get("PYTEST_XDIST_WORKER", "main"))).app

    done = start(entry, url)

    assert (done.returncode, "connects as" in done.stderr) == (0, False)


@pytest.mark.parametrize("entry", ENTRIES)
def test_owner_of_the_tables_does_not_start(entry, test_run, django_db_setup):
    url = test_run.urls(test_run.database(os.environ.get("PYTEST_XDIST_WORKER", "main"))).owner

    done = start(entry, url)

    assert done.returncode == 1
    assert "owns tables" in done.stderr
    assert "Traceback" not in done.stderr


def test_start_without_database_warns_and_goes_on():
    done = start("web", "postgresql://zhiyin_app@127.0.0.1:9/none")

    assert done.returncode == 0
    assert "could not be asked" in done.stdout + done.stderr
