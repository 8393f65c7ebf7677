"""The stand: a throw-away PostgreSQL and Valkey with data, our web process, peers, and what each costs in CPU time."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.reads.load import Call, drive
from benchmarks.rounds import Absent, InvalidRunError, Reading
from launcher import roles
from launcher.install import PEERS, python_of
from launcher.launched import Launched
from launcher.ports import HOST, free_numbers
from launcher.postgres import SUPERUSER
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PEER_ROLE = "bench_peer"
# What Django would have made for the peers' models: their queries name no brand where they join or follow a key.
_PEER_INDEXES = (
    *("members_member (id)", "members_tag (id)", "stores_store (id)", "guides_guide (id)", "guides_assignment (id)"),
    *("members_membertag (member_id)", "members_membertag (tag_id)", "guides_assignment (member_id)"),
    *("members_miniprogramsession (public_id)", "accounts_apikey (prefix)", "members_member (phone_index)"),
    *("members_follower (member_id)", "members_identity (member_id)"),
    *("stores_openinghours (store_id)", "stores_dayexception (store_id)"),
)
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Stand:
    """What runs: ids of the servers' processes, addresses, and the callers that were made."""

    launched: Launched
    data: dict[str, Any]
    admin_url: str
    peers: dict[str, Peer | Absent] = field(default_factory=dict)

    @property
    def servers(self) -> list[int]:
        """The processes every contestant leans on."""
        return [self.launched.pids["postgres"], self.launched.pids["valkey"]]


@dataclass(frozen=True)
class Peer:
    """A web server that answers, by its first process."""

    pid: int
    port: int


def _kept(data: tuple[str, ...]) -> Path | None:
    """Give the folder in which a filled database is kept for the next run, if `BENCH_KEEP` asks for one."""
    asked = os.environ.get("BENCH_KEEP", "")
    return Path(asked) / hashlib.sha256(" ".join(data).encode()).hexdigest()[:12] if asked else None


@contextmanager
def stand(*data: str, web: bool = True, admin_url: str = "") -> Iterator[Stand]:
    """Start servers and our web process as `make up` does, and fill the database. `data`: arguments of reads.data.

    With `admin_url` the product's database is made on that PostgreSQL server. With `BENCH_KEEP` in the environment
    the filled database stays in that folder, and a later run with the same arguments takes it as it is, migrated.
    """
    if not python_of(ROOT).exists():
        raise InvalidRunError("the product is not installed: make install")
    env = {**os.environ, "ZHIYIN_CLOCK_URL": "", "ZHIYIN_SIMULATOR_URL": ""}
    if admin_url:
        env["DATABASE_URL"] = admin_url
    only = "servers,web" if web else "servers"
    folder = None if admin_url else _kept(data)
    filled_before = folder / "filled" if folder else None
    if folder and filled_before and folder.exists() and not filled_before.exists():
        shutil.rmtree(folder)  # an earlier run ended while it was filling
    where = ("--state-dir", str(folder)) if folder else ("--throwaway",)
    with Launched(*where, "--no-demo", "--only", only, env=env) as launched:
        environment = {**os.environ, **launched.env}
        if not web:
            _run([sys.executable, "manage.py", "migrate", "--database", "owner", "-v", "0"], environment)
        admin = admin_url or _administrator(launched)
        again = bool(filled_before and filled_before.exists())
        fill = [sys.executable, "-m", "benchmarks.reads.data", *data, *(["--again"] if again else [])]
        filled = _run(fill, environment | {"BENCH_ADMIN_URL": admin})
        if not again:
            _let_peers_in(admin)
        if filled_before:
            filled_before.touch()
        yield Stand(launched, json.loads(filled), admin)


def _let_peers_in(admin: str) -> None:
    with roles.cursor_on(admin) as cursor:
        # The peers see every row, as without row security, and filter by brand in their querysets.
        cursor.execute(f"CREATE ROLE {PEER_ROLE} LOGIN BYPASSRLS PASSWORD '{PEER_ROLE}'")
        cursor.execute(f"GRANT CONNECT ON DATABASE {roles.DATABASE} TO {PEER_ROLE}")
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {PEER_ROLE}")
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {PEER_ROLE}")
        # Django's admin would write this row when it shows its first page of a person, and the peers may not write.
        cursor.execute("INSERT INTO django_content_type (app_label, model) VALUES ('peers', 'member')")
        for index in _PEER_INDEXES:
            cursor.execute(f"CREATE INDEX ON {index}")
        cursor.execute("VACUUM ANALYZE")


def _administrator(launched: Launched) -> str:
    known = json.loads((Path(launched.state_dir) / "secrets.json").read_text())
    return roles.replace_in_url(launched.env["DATABASE_URL"], user=SUPERUSER, password=known["postgres_password"])


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=3_600)
    if done.returncode:
        raise InvalidRunError(f"{' '.join(command)}: {done.stderr[-1500:]}")
    return done.stdout


def told(process: subprocess.Popen[str]) -> dict[str, float]:
    """Read the figures that a process tells in a line of JSON; one that says nothing makes the run invalid."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise InvalidRunError("the asking process has ended")
    found: dict[str, float] = json.loads(line)
    return found


@dataclass(frozen=True)
class Asking:
    """A process that has filled a brand and asks for its pages, one side of the comparison at a time."""

    process: subprocess.Popen[str]
    facts: dict[str, float]

    def ask(self, side: str) -> dict[str, float]:
        """Have one round asked; gives its figures."""
        if self.process.stdin is None:
            raise InvalidRunError("the asking process has no pipes")
        self.process.stdin.write(f"{side}\n")
        self.process.stdin.flush()
        return told(self.process)


@contextmanager
def asking(module: str, size: str) -> Iterator[Asking]:
    """Start servers and a process that fills a brand of a size and asks from within; prints what was filled."""
    data = ("--brands", "1", "--members", "10", "--stores", "10", "--sessions", "1", "--keys", "1")
    with (
        stand(*data, web=False) as place,
        subprocess.Popen(
            [sys.executable, "-m", module, size],
            env={**os.environ, **place.launched.env, "ZHIYIN_CLOCK_URL": "", "BENCH_ADMIN_URL": place.admin_url},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        facts = told(process)
        print(", ".join(f"{value:,} {name}" for name, value in facts.items()), flush=True)
        yield Asking(process, facts)
        if process.stdin:
            process.stdin.close()


@contextmanager
def peer(stand: Stand, urls: str, **more: str) -> Iterator[Peer | Absent]:
    """Run one of the peers on the product's own web server, with the same options."""
    python = python_of(ROOT, PEERS)
    if not python.exists():
        yield Absent(f"{PEERS} is not there: python -m launcher install --peers")
        return
    (port,) = free_numbers(1)
    env = {
        **os.environ,
        **stand.launched.env,
        "BENCH_URLS": urls,
        "BENCH_DATABASE_URL": roles.replace_in_url(
            stand.launched.env["DATABASE_URL"], user=PEER_ROLE, password=PEER_ROLE
        ),
        **more,
        "DJANGO_SETTINGS_MODULE": "benchmarks.peers.read_settings",
    }
    command = [
        *(str(python), "-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", str(port)),
        *("--workers", "1", "--blocking-threads", "4", "--no-ws", "benchmarks.peers.read_app:application"),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            if not _answers(port, process):
                log.seek(0)
                raise InvalidRunError(f"{urls} does not start: {log.read()[-1500:].decode()}")
            yield Peer(process.pid, port)
        finally:
            process.terminate()
            process.wait(120)


def _answers(port: int, process: subprocess.Popen[bytes], seconds: float = 180) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=30)
        try:
            connection.request("GET", "/api/v1/me/")
            connection.getresponse()
        except OSError:
            time.sleep(0.1)
        else:
            return True
        finally:
            connection.close()
    return False


def ours(stand: Stand) -> Peer:
    """Give our own web process."""
    return Peer(stand.launched.pids["web"], urlsplit(stand.launched.urls["web"]).port or 0)


def fetch(where: Peer, call: Call) -> Any:
    """Ask once and give the JSON; anything but 200 makes the run invalid."""
    connection = http.client.HTTPConnection(HOST, where.port, timeout=60)
    try:
        connection.request("GET", call.path, headers={"Authorization": call.authorization})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise InvalidRunError(f"{call.path}: {answer.status} {body[:300]!r}")
    return json.loads(body)


def measured(
    stand: Stand, where: Peer, calls: Sequence[Call], proof: Callable[[bytes], bool], *, connections: int = 4
) -> Reading:
    """Send the calls once and give what they cost: the value is requests per second of CPU time, everything counted."""
    drive(where.port, calls[: len(calls) // 10], proof, connections=connections)
    before = [tree_seconds(pid) for pid in (where.pid, *stand.servers)]
    started = time.perf_counter()
    drive(where.port, calls, proof, connections=connections)
    lasted = time.perf_counter() - started
    server, database, redis = (
        (after - first) * 1e6 / len(calls)
        for after, first in zip((tree_seconds(pid) for pid in (where.pid, *stand.servers)), before, strict=True)
    )
    return Reading(
        1e6 / (server + database + redis),
        {"cpu us": server + database + redis, "server": server, "postgres": database, "redis": redis,
         "req/s": len(calls) / lasted},
    )  # fmt: skip


def tree_seconds(pid: int) -> float:
    """Give the CPU seconds of a process and everything below it, ended children included."""
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        number = int(entry.name)
        children.setdefault(int(fields[1]), []).append(number)
        times[number] = sum(int(ticks) for ticks in fields[11:15]) / _TICK
    total, queue = 0.0, [pid]
    while queue:
        each = queue.pop()
        total += times.get(each, 0.0)
        queue += children.get(each, [])
    return total


@contextmanager
def peers(stand: Stand, **urls: tuple[str, dict[str, str]]) -> Iterator[dict[str, Peer | Absent]]:
    """Run several peers by name: (module with urlpatterns, more environment)."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(peer(stand, module, **more)) for name, (module, more) in urls.items()}
