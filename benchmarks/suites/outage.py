"""G4: a minute of 512 connections and retries, PostgreSQL held up in the middle; then Redis held up as well."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.callback import load, processes
from benchmarks.callback.messages import Numbers, Writer
from benchmarks.callback.processes import PEERS_PYTHON, Server
from benchmarks.callback.stage import Stage, check_answers, check_rows, warm
from benchmarks.rounds import Absent, Bar, InvalidRunError, Reading
from benchmarks.suites.callback import BEST, OURS, granian

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.callback.load import Result
    from benchmarks.callback.messages import Push
    from benchmarks.rounds import Contestant

BOTH: Final = "gateway, PostgreSQL and Redis gone"
ACCOUNTS: Final = 20
CONNECTIONS: Final = 512
SECONDS: Final = float(os.environ.get("BENCH_OUTAGE_SECONDS", "60"))
PAUSE: Final = 3.0
BOTH_PAUSE: Final = 4.0
_RETRIES: Final = 0.2
_RECENT: Final = 2000
_SETTLING: Final = 60.0  # spilt rows are written by then


class OutageSuite:
    """Waiting times while the database is away; every answer right, every message one row."""

    key = "outage"
    title = (
        f"{CONNECTIONS} connections, {ACCOUNTS} accounts, retries; PostgreSQL held up for {PAUSE:.0f} s in the middle"
    )
    unit = "ms (p99)"
    rounds = 5
    bars = (
        Bar(
            "G4a",
            "longest wait for an answer, s (0 errors, one row per message)",
            OURS,
            "",
            "at most",
            5,
            figure="max s",
            every_round=True,
        ),
        Bar(
            "G4b", "p99 over WeRoBot on granian that nothing happens to (an aim only)", OURS, BEST, "at most", 1e3, 1.5
        ),
        Bar(
            "G4c",
            "longest wait for the 503 when both are gone, s",
            BOTH,
            "",
            "at most",
            2.0,
            figure="max s",
            every_round=True,
        ),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start the product and the peer."""
        mine = os.sched_getaffinity(0)
        processes.pin([os.getpid()], processes.OTHER_CORES)
        numbers = Numbers()
        try:
            with ExitStack() as stack:
                stage = stack.enter_context(Stage(ACCOUNTS))
                writer = Writer(stage.accounts, stage.port)
                warm(writer, stage.port, numbers)
                contestants: dict[str, Contestant | Absent] = {
                    OURS: partial(_held_up, stage, writer, numbers),
                    BEST: Absent("the peers are not installed: python -m launcher install --peers"),
                    BOTH: partial(_both_gone, stage, writer, numbers),
                }
                if PEERS_PYTHON.exists():
                    env = {**stage.env, "BENCH_ACCOUNTS": json.dumps([stage.accounts[0].as_json()])}
                    server = stack.enter_context(Server(granian("callback_werobot", threads=1), env))
                    contestants[BEST] = partial(_peer, server, Writer(stage.accounts[:1], server.port), numbers)
                yield contestants
        finally:
            os.sched_setaffinity(0, mine)


def _with_retries(writer: Writer, numbers: Numbers, dice: random.Random) -> Iterator[Push]:
    """Messages without end; one request in five repeats a recent one, encrypted anew, as WeChat does."""
    recent: list[int] = []
    while True:
        if recent and dice.random() < _RETRIES:
            yield writer.push(dice.choice(recent))
        else:
            (number,) = numbers.take(1)
            if len(recent) < _RECENT:
                recent.append(number)
            else:
                recent[number % _RECENT] = number
            yield writer.push(number)


@contextmanager
def _stopping(roots: list[int], *, after: float, seconds: float) -> Iterator[list[float]]:
    """Hold the processes below `roots` up for a while, from a thread; they go on in any case. Gives when it began."""
    began: list[float] = []
    ended = threading.Event()

    def signal_all(which: signal.Signals) -> None:
        for root in roots:
            for pid in processes.tree(root):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, which)

    def hold() -> None:
        if not ended.wait(after):
            signal_all(signal.SIGSTOP)
            began.append(time.perf_counter())
            ended.wait(seconds)
            signal_all(signal.SIGCONT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield began
    finally:
        ended.set()
        thread.join()
        signal_all(signal.SIGCONT)


def _reading(result: Result) -> Reading:
    waits = sorted(result.waits)
    return Reading(
        waits[int(len(waits) * 0.99)] * 1e3,
        {
            "p50 ms": waits[len(waits) // 2] * 1e3,
            "p99.9 ms": waits[int(len(waits) * 0.999)] * 1e3,
            "max s": waits[-1],
            "answers": len(waits),
            "req/s": result.rate,
        },
    )


def _settled(stage: Stage, result: Result, first: int) -> None:
    """Wait until the spilt rows are written, then judge."""
    expected = len({push.number for push in result.pushes})
    deadline = time.monotonic() + _SETTLING
    while len(found := stage.stored(first)) < expected and time.monotonic() < deadline:
        time.sleep(0.5)
    check_rows(result, found)


def _held_up(stage: Stage, writer: Writer, numbers: Numbers, number: int) -> Reading:
    first = numbers.next
    pushes = _with_retries(writer, numbers, random.Random(number))
    with _stopping([stage.postgres_pid], after=SECONDS / 2, seconds=PAUSE):
        result = load.drive(stage.port, pushes, connections=CONNECTIONS, seconds=SECONDS)
    check_answers(result, writer)
    _settled(stage, result, first)
    return _reading(result)


def _peer(server: Server, writer: Writer, numbers: Numbers, number: int) -> Reading:
    pushes = _with_retries(writer, numbers, random.Random(number))
    result = load.drive(server.port, pushes, connections=CONNECTIONS, seconds=SECONDS / 3)
    check_answers(result, writer)
    return _reading(result)


def _both_gone(stage: Stage, writer: Writer, numbers: Numbers, number: int) -> Reading:
    """Every request that begins while both are held up is refused in time, and a later retry of it is kept once."""
    first = numbers.next
    seconds = BOTH_PAUSE + 6
    pushes = _with_retries(writer, numbers, random.Random(number))
    with _stopping([stage.postgres_pid, stage.redis_pid], after=2, seconds=BOTH_PAUSE) as began:
        result = load.drive(stage.port, pushes, connections=CONNECTIONS, seconds=seconds)
    if result.broken:
        raise InvalidRunError(f"{result.broken} requests were not answered")
    if unexpected := set(result.statuses) - {200, 503}:
        raise InvalidRunError(f"answers with {unexpected}")
    refused = [index for index, status in enumerate(result.statuses) if status == 503]
    if not refused:
        raise InvalidRunError("nobody was refused although nothing could be kept")
    again = load.drive(
        stage.port,
        iter(writer.pushes(sorted({result.pushes[index].number for index in refused}))),
        connections=CONNECTIONS,
        seconds=60,
    )
    check_answers(again, writer)
    _settled(stage, result, first)
    # Who had waited in a long queue before is counted from the moment at which nothing could be kept any more.
    waits = sorted(result.waits[index] - max(0.0, began[0] - result.began[index]) for index in refused)
    return Reading(
        waits[int(len(waits) * 0.99)] * 1e3,
        {"p50 ms": waits[len(waits) // 2] * 1e3, "max s": waits[-1], "refused": len(refused)},
    )


SUITE = OutageSuite()
