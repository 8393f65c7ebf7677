"""G14: the nearest open stores among 10,000, beside PostGIS and the bare bounding box, all in one server."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.reads.stand import stand
from benchmarks.rounds import Absent, Bar, InvalidRunError, Reading
from launcher import roles
from launcher.errors import LauncherError
from launcher.ports import HOST, free_numbers
from launcher.postgres import SUPERUSER, Installation
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Contestant

OURS, POSTGIS, BARE = "Zhiyin", "PostGIS", "bare bounding box"
QUESTIONS = 300
_BOTH_FORMS = """
CREATE EXTENSION postgis;
CREATE TABLE bench_stores AS
SELECT id, brand_id, code, name, address, telephone, lat, lng, is_active,
       ST_SetSRID(ST_MakePoint(lng, lat), 4326)::geography AS place FROM stores_store;
ALTER TABLE bench_stores ADD PRIMARY KEY (brand_id, id);
CREATE INDEX ON bench_stores USING gist (place);
GRANT SELECT ON bench_stores TO zhiyin_app;
VACUUM ANALYZE bench_stores
"""


class Nearby:
    """One brand with 10,000 shops round a city, two others with as many; three open shops are asked for."""

    key = "nearby"
    title = "nearest three open stores among 10,000, client and server CPU"
    unit = "us"
    rounds = 7
    bars = (
        Bar("G14", "nearest open stores: CPU against PostGIS", OURS, POSTGIS, "at most", 1.0),
        Bar(
            "G14b",
            "nearest open stores: CPU against the bare bounding box",
            OURS,
            BARE,
            "at most",
            None,
            1.15,
        ),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start Debian's server with PostGIS, or ours without it."""
        data = ("--brands", "2", "--members", "100", "--stores", "10000", "--sessions", "1", "--keys", "1")
        with _debian_server() as admin, stand(*data, web=False, admin_url=admin) as place:
            if admin:
                with roles.cursor_on(place.admin_url) as cursor:
                    for statement in _BOTH_FORMS.split(";"):
                        cursor.execute(statement)
            command = [sys.executable, "-m", "benchmarks.reads.nearby", str(place.data["brand"])]
            with subprocess.Popen(
                command,
                env={**os.environ, **place.launched.env, "ZHIYIN_CLOCK_URL": ""},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as asking:
                yield {
                    OURS: _contestant(asking, "ours"),
                    BARE: _contestant(asking, "bare"),
                    POSTGIS: _contestant(asking, "postgis")
                    if admin
                    else Absent("no PostgreSQL with PostGIS in /usr/lib/postgresql"),
                }
                if asking.stdin:
                    asking.stdin.close()


def _contestant(asking: subprocess.Popen[str], way: str) -> Contestant:
    def run(number: int) -> Reading:
        if asking.stdin is None or asking.stdout is None:
            raise InvalidRunError("the asking process has no pipes")
        for questions in (QUESTIONS // 10, QUESTIONS) if number == 0 else (QUESTIONS,):
            asking.stdin.write(f"{way} {questions}\n")
            asking.stdin.flush()
            line = asking.stdout.readline()
        if not line:
            raise InvalidRunError(f"{way} ended")
        said = json.loads(line)
        # The sphere and the ellipsoid may put two shops at nearly one distance the other way round.
        if said["differing"] > QUESTIONS // 20:
            raise InvalidRunError(f"{said['differing']} of {QUESTIONS} answers differ from {OURS}'s")
        return Reading(said["us"], {"wall us": said["wall"]})

    return run


@contextmanager
def _debian_server() -> Iterator[str]:
    """Run a throw-away server of a Debian package that has PostGIS; give the URL of its administrator, or nothing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/lib/postgis-3.so"))
    if not found:
        yield ""
        return
    binaries = found[-1].parent.parent / "bin"
    prefix = ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()
    server = Installation(binaries, prefix)
    password = secrets.token_hex(16)
    (port,) = free_numbers(1)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "password").write_text(password)
        subprocess.run(
            server.command(
                *("initdb", f"--pgdata={folder}/data", f"--username={SUPERUSER}", "--auth=scram-sha-256"),
                *(f"--pwfile={folder}/password", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ),
            check=True,
            capture_output=True,
        )
        settings = [f"port={port}", f"listen_addresses={HOST}", "unix_socket_directories=", "fsync=off", "timezone=UTC"]
        with subprocess.Popen(
            server.command("postgres", "-D", f"{folder}/data", *(word for each in settings for word in ("-c", each))),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                url = f"postgresql://{SUPERUSER}:{password}@{HOST}:{port}/zhiyin"
                _wait_for(url)
                yield url
            finally:
                process.terminate()


def _wait_for(url: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with roles.cursor_on(roles.replace_in_url(url, database="postgres")):
                return
        except LauncherError as error:
            if time.monotonic() > deadline:
                raise InvalidRunError(f"PostgreSQL with PostGIS does not start: {error}") from error
            time.sleep(0.1)


SUITE = Nearby()
