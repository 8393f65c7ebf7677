"""Pooled connections never carry a brand on: pgbouncer in transaction mode, and first proof that the harness would see it."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing, suppress
from urllib.parse import urlsplit

import psycopg2
import pytest

from launcher import ports
from launcher.state import ROOT
from tests.isolation.cells import Cells
from tests.isolation.matrix.console import THOROUGH

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
OPERATIONS = 20_000 if THOROUGH else 3_000

pytestmark = [
    pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed"),
    pytest.mark.stack,
    pytest.mark.timeout(400),
    pytest.mark.long(15),
]


@pytest.fixture
def pooler(fresh_database, tmp_path):
    """A product's environment whose database is reached through two pooled connections."""
    direct = fresh_database["DATABASE_URL"]
    url = urlsplit(direct)
    (port,) = ports.free_numbers(1)
    name = url.path.strip("/")
    target = f"host={url.hostname} port={url.port} dbname={name} user={url.username} password={url.password}"
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{name} = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 50\nunix_socket_dir =\n"
        "ignore_startup_parameters = extra_float_digits,options\nlog_connections = 0\nlog_disconnections = 0\n"
    )
    # pgbouncer refuses root: a namespace in which we are somebody else, files and all.
    prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
    process = subprocess.Popen([*prefix, PGBOUNCER, str(config)], stderr=subprocess.PIPE, text=True)
    pooled = url._replace(netloc=f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
    try:
        deadline = time.monotonic() + 20
        while True:
            with suppress(psycopg2.OperationalError), closing(psycopg2.connect(pooled)):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"pgbouncer does not run: {process.communicate()[1][-800:]}")
        yield {**fresh_database, "DATABASE_URL": pooled}
    finally:
        process.terminate()
        process.communicate(timeout=20)


def play(environment, number, *more):
    result = subprocess.run(
        [sys.executable, "-m", "tests.isolation.pooled", str(number), *more],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=380, check=False,
    )  # fmt: skip
    assert result.stdout.startswith("{"), result.stderr[-2000:]
    return json.loads(result.stdout)


def test_harness_sees_a_brand_that_is_set_for_the_session(pooler):
    found = play(pooler, 600, "--session")
    assert found["wrong"] > 50, found


def test_no_connection_carries_a_brand_on(pooler):
    cells = Cells("pooled connections")
    found = play(pooler, OPERATIONS)
    cells.ran = found["ran"]
    cells.leaks = found["first"]
    cells.facts |= found["kinds"]
    cells.expect(found["stuck"] == 0, "clients that never ended", saw=found["stuck"])
    cells.expect(found["ran"] >= OPERATIONS - 6, "operations", saw=found["ran"])
    cells.close()
