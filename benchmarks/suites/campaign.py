"""Whole campaigns at 50 ms latency, from the launch to the last final row, beside one task per recipient."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.callback.processes import PEERS_PYTHON, cpu_seconds, resident_mb, tree
from benchmarks.rounds import Absent, Bar, InvalidRunError, Reading
from benchmarks.sending.child import Child, end_with_parent
from benchmarks.sending.stack import Stack
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from benchmarks.rounds import Contestant

OURS: Final = "ours, worker of 2 (as deployed)"
ONE: Final = "ours, worker of 1"
FOUR: Final = "ours, worker of 4"
LARGE: Final = "ours, worker of 2, 10x the data"
PEER: Final = "task per recipient, prefork 20"
LATENCY_MS: Final = 50
CONNECTIONS: Final = 64  # of each process: the default of ZHIYIN_SEND_CONCURRENCY
PEER_PROCESSES: Final = 20
PEOPLE: Final = 12_000
PEER_PEOPLE: Final = 400
TIMES: Final = 10
PATIENCE: Final = 120.0


class Worker:
    """A Celery worker, ready; its processes' time and memory."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log.open("w+b")
        self.process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - before it has threads
        )
        deadline = time.monotonic() + 90
        while b" ready" not in log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise InvalidRunError(f"a worker did not start: {log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.1)

    def cpu(self) -> float:
        """Processor seconds so far."""
        return cpu_seconds(tree(self.process.pid))

    def sender_mb(self) -> float:
        """The largest of its processes."""
        return resident_mb(self.process.pid)

    def close(self) -> None:
        """End it at once: nothing is under way."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


class Campaign:
    """The real worker of the deployment; K is what its processes may have open at a time."""

    key = "campaign"
    title = f"whole campaigns at {LATENCY_MS} ms, processor time of workers, PostgreSQL and Redis per message"
    unit = "us/message"
    rounds = 5
    bars = (
        Bar("G6", "share of K / latency", OURS, "", "at least", 0.8, 0.9, figure="of bound"),
        Bar("G6", "throughput against task per recipient", FOUR, PEER, "at least", 10, 15, figure="msg/s"),
        Bar("G7", "processor time against task per recipient", OURS, PEER, "at most", 1 / 25, 1 / 60),
        Bar("G15", "sender process, MB", OURS, "", "at most", 120, 70, figure="sender MB"),
        Bar("G16", "throughput of 2 processes over 1", OURS, ONE, "at least", 1.0, 1.7, figure="msg/s"),
        Bar("G16", "throughput of 4 processes over 1", FOUR, ONE, "at least", 1.0, 2.5, figure="msg/s"),
        Bar("G16", "processor time at 10x the data", LARGE, OURS, "at most", 1.3, 1.1),
    )

    @contextmanager
    def prepare(self, _rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start the servers, the far end, and every worker."""
        with ExitStack() as exits:
            stack = exits.enter_context(Stack())
            folder = Path(stack.launched.state_dir)
            broker = stack.env["REDIS_URL"].rpartition("/")[0]
            argv = [sys.executable, "-m", "benchmarks.sending.endpoint", "--latency", str(LATENCY_MS)]
            endpoint = exits.enter_context(Child(argv, {}))
            url = f"http://127.0.0.1:{endpoint.ask('port')}"
            driver = exits.enter_context(stack.ours("benchmarks.sending.ours_campaign"))
            driver.ask("people", count=PEOPLE, times=TIMES)
            workers: dict[int, Worker] = {}
            for size in (1, 2, 4):
                # A database of the broker's own for each, so that only the one that is measured hears the bell.
                env = {**stack.env, "REDIS_URL": f"{broker}/{size}", "ZHIYIN_WECHAT_BASE_URL": url}
                argv = [sys.executable, *"-m celery -A config.worker worker -Q send,sync,default -l INFO".split()]
                argv += ["-c", str(size), "-n", f"of-{size}@bench", "--without-gossip", "--without-mingle"]
                workers[size] = exits.enter_context(Worker(argv, env, folder / f"worker-{size}.log"))
            contestants: dict[str, Contestant | Absent] = {}
            for name, size, which in ((OURS, 2, "small"), (ONE, 1, "small"), (FOUR, 4, "small"), (LARGE, 2, "large")):
                contestants[name] = functools.partial(_ours, stack, endpoint, driver, workers[size], size, which)
            contestants[PEER] = _peer(stack, exits, endpoint, url, f"{broker}/5", folder)
            yield contestants


def _ours(stack: Stack, endpoint: Child, driver: Child, worker: Worker, size: int, which: str, _number: int) -> Reading:
    bound = min(size, 4) * CONNECTIONS / (LATENCY_MS / 1_000)  # a campaign has four lanes
    found = _measured(stack, worker, endpoint, driver, which=which, count=PEOPLE, seconds=PATIENCE, broker=size)
    rate = PEOPLE / found["seconds"]
    return Reading(
        found["cpu"] / PEOPLE * 1e6,
        {"msg/s": rate, "of bound": rate / bound, "sender MB": worker.sender_mb(), **_parts(found, PEOPLE)},
    )


def _peer(stack: Stack, exits: ExitStack, endpoint: Child, url: str, broker: str, folder: Path) -> Contestant | Absent:
    if not PEERS_PYTHON.exists():
        return Absent("no .venv-peers (make venv-peers)")
    env = {
        "BENCH_URL": url,
        "BENCH_BROKER": broker,
        "BENCH_DATABASE_URL": stack.env["DATABASE_OWNER_URL"],
    }
    child = exits.enter_context(Child([str(PEERS_PYTHON), "-m", "benchmarks.peers.send_celery"], env))
    child.ask("prepare")
    argv = [str(PEERS_PYTHON), *"-m celery -A benchmarks.peers.send_celery worker -l INFO -n peer@bench".split()]
    argv += ["-c", str(PEER_PROCESSES), "--without-gossip", "--without-mingle"]
    worker = exits.enter_context(Worker(argv, env, folder / "worker-peer.log"))

    def measure(_number: int) -> Reading:
        found = _measured(
            *(stack, worker, endpoint, child),
            count=PEER_PEOPLE,
            public_id=uuid.uuid4().hex[:16],
            seconds=PATIENCE,
        )
        rate = PEER_PEOPLE / found["seconds"]
        bound = PEER_PROCESSES / (LATENCY_MS / 1_000)
        return Reading(
            found["cpu"] / PEER_PEOPLE * 1e6,
            {"msg/s": rate, "of bound": rate / bound, "sender MB": worker.sender_mb(), **_parts(found, PEER_PEOPLE)},
        )

    return measure


def _measured(stack: Stack, worker: Worker, endpoint: Child, child: Child, **arguments: Any) -> dict[str, Any]:
    """Run one campaign; its figures, after its rows were compared with what the far end has accepted."""
    endpoint.ask("take")
    before = (worker.cpu(), stack.cpu_of("postgres"), stack.cpu_of("valkey"))
    found: dict[str, Any] = child.ask("run", **arguments)
    parts = (worker.cpu(), stack.cpu_of("postgres"), stack.cpu_of("valkey"))
    found["parts"] = [after - earlier for after, earlier in zip(parts, before, strict=True)]
    found["cpu"] += sum(found["parts"])
    came = endpoint.ask("accepted")
    if came["msgids"] != found["sent"] or came["calls"] != len(found["sent"]) or came["bad"]:
        wrong = len(set(came["msgids"].items()) ^ set(found["sent"].items()))
        raise InvalidRunError(f"{wrong} messages differ from the {came['distinct']} that came in {came['calls']} calls")
    return found


def _parts(found: dict[str, Any], count: int) -> dict[str, float]:
    names = ("worker us", "PostgreSQL us", "Redis us")
    return {name: part / count * 1e6 for name, part in zip(names, found["parts"], strict=True)}


SUITE = Campaign()
