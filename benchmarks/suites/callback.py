"""G1, G2, G3, G15: an encrypted push answered with a rendered reply, its row committed, beside those who do less."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import psycopg2

from benchmarks.callback import load, processes
from benchmarks.callback.messages import Numbers, Writer, msgid
from benchmarks.callback.processes import PEERS_PYTHON, Server
from benchmarks.callback.stage import Stage, check_answers, check_rows, warm
from benchmarks.rounds import Absent, Bar, InvalidRunError, Reading
from launcher.ports import free_numbers
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.callback.load import Result
    from benchmarks.rounds import Contestant

OURS: Final = "gateway"
RAW: Final = "raw ASGI (limit)"
SHIPPED: Final = "WeRoBot, gunicorn"
BEST: Final = "WeRoBot, granian"
FLASK: Final = "wechatpy + Flask, gunicorn"
USUAL: Final = "usual SaaS shape, granian"
ACCOUNTS: Final = 20
CONNECTIONS: Final = 64
SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "4"))
# How many requests are made ready for a round: more than anyone has ever answered in that time on one core.
_RATES: Final = {OURS: 9_000, RAW: 28_000, SHIPPED: 3_000, BEST: 9_000, FLASK: 2_000, USUAL: 1_200}
_GRANIAN: Final = ("--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}", "--no-ws", "--workers", "1")
_GUNICORN: Final = ("--bind", "127.0.0.1:{port}", "--workers", "1")


def _peer(server: str, module: str, *options: str) -> list[str]:
    return [str(PEERS_PYTHON), "-m", server, *options, f"benchmarks.peers.{module}:application"]


def granian(module: str, *, threads: int) -> list[str]:
    """The command line of a peer's WSGI application under granian."""
    return _peer("granian", module, *_GRANIAN, "--blocking-threads", str(threads))


def measure(
    rate: int,
    writer: Writer,
    port: int,
    pids: Callable[[], list[int]],
    numbers: Numbers,
    check: Callable[[Result, range], Mapping[str, float]],
) -> Reading:
    """Send for some seconds, check every answer and row, and give the figures of the server's processes."""
    taken = numbers.take(int(rate * SECONDS))
    pushes = writer.pushes(taken)
    before = processes.cpu_seconds(pids())
    result = load.drive(port, iter(pushes), connections=CONNECTIONS, seconds=SECONDS)
    spent = processes.cpu_seconds(pids()) - before
    details = check(result, taken)
    waits = sorted(result.waits)
    return Reading(
        result.rate,
        {
            "cpu us": spent / len(result.pushes) * 1e6,
            **details,
            "p99 ms": waits[int(len(waits) * 0.99)] * 1e3,
            "MB": max(processes.resident_mb(pid) for pid in pids()[:1]),
        },
    )


class CallbackSuite:
    """Answers per second of one core, processor time per answer, memory of the serving process."""

    key = "callback"
    title = "an encrypted push: row committed, reply encrypted; one core for the server"
    unit = "req/s"
    rounds = 5
    bars = (
        Bar("G1a", "callback req/s over WeRoBot as shipped", OURS, SHIPPED, "at least", 2.5, 3.5),
        Bar("G1b", "callback req/s over WeRoBot on granian", OURS, BEST, "at least", 1.0, 1.5),
        Bar("G1c", "callback req/s over wechatpy + Flask", OURS, FLASK, "at least", 3.5, 5.0),
        Bar("G2", "callback req/s over the same work done the usual way", OURS, USUAL, "at least", 10, 18),
        Bar("G3a", "app CPU per callback over raw ASGI", OURS, RAW, "at most", 5.0, 3.5, figure="cpu us"),
        Bar("G3b", "PostgreSQL CPU us per callback", OURS, "", "at most", 60, 30, figure="PG us"),
        Bar("G15a", "memory of the gateway over WeRoBot's", OURS, BEST, "at most", 1.5, 1.25, figure="MB"),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start everybody; each keeps running through all rounds and idles while others are measured."""
        mine = os.sched_getaffinity(0)
        processes.pin([os.getpid()], processes.OTHER_CORES)
        numbers = Numbers()
        try:
            with ExitStack() as stack:
                stage = stack.enter_context(Stage(ACCOUNTS))
                env = {**stage.env, "BENCH_ACCOUNTS": json.dumps([account.as_json() for account in stage.accounts])}
                writer = Writer(stage.accounts, stage.port)
                warm(writer, stage.port, numbers)
                contestants: dict[str, Contestant | Absent] = {OURS: partial(_ours, stage, writer, numbers)}
                port = free_numbers(1)[0]
                raw_argv = stage.uvicorn("benchmarks.peers.callback_raw:application", port)
                raw = stack.enter_context(Server(raw_argv, env, port=port))
                contestants[RAW] = partial(static, raw, Writer(stage.accounts, raw.port), numbers)
                contestants |= peers(stack, stage, env, numbers)
                yield contestants
        finally:
            os.sched_setaffinity(0, mine)


def peers(stack: ExitStack, stage: Stage, env: Mapping[str, str], numbers: Numbers) -> dict[str, Contestant | Absent]:
    """Start everybody else who answers."""
    if not PEERS_PYTHON.exists():
        missing = Absent("the peers are not installed: python -m launcher install --peers")
        return dict.fromkeys((SHIPPED, BEST, FLASK, USUAL), missing)
    found: dict[str, Contestant | Absent] = {}
    alone = {
        SHIPPED: _peer("gunicorn", "callback_werobot", *_GUNICORN),
        BEST: granian("callback_werobot", threads=1),
        FLASK: _peer("gunicorn", "callback_flask", *_GUNICORN),
    }
    for name, argv in alone.items():
        server = stack.enter_context(Server(argv, env))
        found[name] = partial(_peer_alone, name, server, Writer(stage.accounts[:1], server.port), numbers)
    subprocess.run(
        [str(PEERS_PYTHON), "-m", "benchmarks.peers.callback_usual"],
        cwd=ROOT,
        env={**os.environ, **env},
        check=True,
    )
    server = stack.enter_context(Server(granian("callback_usual", threads=4), env))
    found[USUAL] = partial(_usual, stage, server, Writer(stage.accounts, server.port), numbers)
    return found


def _ours(stage: Stage, writer: Writer, numbers: Numbers, _round: int) -> Reading:
    backends = stage.intake_pids()
    before = processes.cpu_seconds(backends)

    def check(result: Result, taken: range) -> Mapping[str, float]:
        spent = processes.cpu_seconds(backends) - before
        check_answers(result, writer)
        check_rows(result, stage.stored(taken.start))
        return {"PG us": spent / len(result.pushes) * 1e6}

    return measure(_RATES[OURS], writer, stage.port, lambda: processes.tree(stage.gateway_pid), numbers, check)


def static(server: Server, writer: Writer, numbers: Numbers, _round: int) -> Reading:
    """Measure the application that says the same to everybody."""

    def check(result: Result, taken: range) -> Mapping[str, float]:
        if result.broken or set(result.statuses) != {200}:
            raise InvalidRunError("the static answer failed")
        return {}

    return measure(_RATES[RAW], writer, server.port, lambda: processes.tree(server.pid), numbers, check)


def _peer_alone(name: str, server: Server, writer: Writer, numbers: Numbers, _round: int) -> Reading:
    def check(result: Result, taken: range) -> Mapping[str, float]:
        check_answers(result, writer)
        return {}

    return measure(_RATES[name], writer, server.port, lambda: processes.tree(server.pid), numbers, check)


def _usual(stage: Stage, server: Server, writer: Writer, numbers: Numbers, _round: int) -> Reading:
    with psycopg2.connect(stage.env["DATABASE_OWNER_URL"]) as database, database.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'bench-usual'")
        backends = [pid for (pid,) in cursor.fetchall()]
    before = processes.cpu_seconds(backends)

    def check(result: Result, taken: range) -> Mapping[str, float]:
        spent = processes.cpu_seconds(backends) - before
        check_answers(result, writer)
        with psycopg2.connect(stage.env["DATABASE_OWNER_URL"]) as database, database.cursor() as cursor:
            cursor.execute("SELECT msgid FROM bench_usual.usual_message WHERE msgid >= %s", (msgid(taken.start),))
            check_rows(result, [number - msgid(0) for (number,) in cursor.fetchall()])
        return {"PG us": spent / len(result.pushes) * 1e6}

    return measure(_RATES[USUAL], writer, server.port, lambda: processes.tree(server.pid), numbers, check)


SUITE = CallbackSuite()
