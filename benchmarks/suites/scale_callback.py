"""G16: callbacks through one, two and four gateway processes over one PostgreSQL, and beside ten times the rows."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.callback import load, processes
from benchmarks.callback.messages import Numbers, Writer
from benchmarks.callback.processes import Server
from benchmarks.callback.stage import Stage, check_answers, check_rows, warm
from benchmarks.rounds import Absent, Bar, Reading
from launcher.ports import free_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Contestant

ACCOUNTS: Final = 20
CONNECTIONS: Final = 128
SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "4"))
ONE, TWO, FOUR = "1 gateway process", "2 gateway processes", "4 gateway processes"
LARGE: Final = "1 process, ten times the rows"
_ROWS: Final = 50_000
_MOST: Final = 12_000


class ScaleSuite:
    """One process more must cost the others nothing, and rows that lie there must cost new ones nothing."""

    key = "scale_callback"
    title = "callbacks with more gateway processes and a fuller inbox; all cores for everybody"
    unit = "req/s"
    rounds = 5
    bars = (
        # With every core busy at one process there is no throughput to gain: what shows a lock is the cost of an item.
        Bar(
            "G16a",
            "CPU per callback (gateway + PostgreSQL), 2 processes over 1",
            TWO,
            ONE,
            "at most",
            1.3,
            1.1,
            "cpu us",
        ),
        Bar(
            "G16b", "throughput, 2 processes over 1 (two cores shared with everything)", TWO, ONE, "at least", 0.9, 1.2
        ),
        Bar("G16c", "CPU per callback, 4 processes over 1", FOUR, ONE, "at most", 1.5, 1.2, "cpu us"),
        Bar("G16d", "CPU per callback at ten times the rows", LARGE, ONE, "at most", 1.3, 1.1, "cpu us"),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start two products, one with ten times the rows, and three gateways more beside the first."""
        numbers = Numbers()
        everywhere = processes.SERVER_CORE | processes.OTHER_CORES
        processes.pin([os.getpid()], everywhere)
        with ExitStack() as stack:
            small, large = stack.enter_context(Stage(ACCOUNTS)), stack.enter_context(Stage(ACCOUNTS))
            for stage, rows in ((small, _ROWS), (large, _ROWS * 10)):
                processes.pin([*processes.tree(stage.gateway_pid), *processes.tree(stage.postgres_pid)], everywhere)
                warm(Writer(stage.accounts, stage.port), stage.port, numbers)
                stage.fill(rows)
            gateways = [(small.port, small.gateway_pid)]
            for port in free_numbers(3):
                argv = small.uvicorn("config.gateway:application", port)
                server = stack.enter_context(Server(argv, small.env, cores=everywhere, port=port))
                warm(Writer(small.accounts, port), port, numbers)
                gateways.append((port, server.pid))
            yield {
                ONE: partial(_through, small, gateways[:1], numbers),
                TWO: partial(_through, small, gateways[:2], numbers),
                FOUR: partial(_through, small, gateways, numbers),
                LARGE: partial(_through, large, [(large.port, large.gateway_pid)], numbers),
            }


def _through(stage: Stage, gateways: list[tuple[int, int]], numbers: Numbers, _round: int) -> Reading:
    first = numbers.next
    writers = {port: Writer(stage.accounts, port) for port, _ in gateways}
    share = int(_MOST * SECONDS / len(gateways))
    pushes = {port: iter(writer.pushes(numbers.take(share))) for port, writer in writers.items()}
    pids = [pid for _, root in gateways for pid in processes.tree(root)]
    backends = stage.intake_pids()
    before = processes.cpu_seconds(pids), processes.cpu_seconds(backends)
    result = load.drive_several(pushes, connections=CONNECTIONS, seconds=SECONDS)
    gateway, postgres = processes.cpu_seconds(pids) - before[0], processes.cpu_seconds(backends) - before[1]
    check_answers(result, writers[gateways[0][0]])
    check_rows(result, stage.stored(first))
    stage.take_new_away()
    answers = len(result.pushes)
    return Reading(
        result.rate,
        {
            "cpu us": (gateway + postgres) / answers * 1e6,
            "gateway us": gateway / answers * 1e6,
            "PG us": postgres / answers * 1e6,
        },
    )


SUITE = ScaleSuite()
