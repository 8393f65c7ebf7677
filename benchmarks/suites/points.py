"""Earning and spending points against plain INSERTs of the same rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.reads.stand import stand
from benchmarks.rounds import Bar, InvalidRunError, Reading
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Absent, Contestant

OURS, PLAIN = "ledger", "plain inserts"


class Points:
    """One connection, one act a transaction: what key, lock, lots, checks and triggers cost over writing the rows."""

    key = "points"
    title = "points: earning and spending, one connection, a transaction each"
    unit = "burns/s"
    rounds = 3
    bars = (
        Bar("L1e", "earning against plain inserts", OURS, PLAIN, "at least", 0.15, 0.5, figure="earn"),
        Bar("L1b", "spending against plain inserts", OURS, PLAIN, "at least", 0.15, 0.5, figure="burn"),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start a database and the process that asks."""
        data = ("--brands", "1", "--members", "10", "--stores", "10", "--sessions", "1", "--keys", "1")
        with (
            stand(*data, web=False) as place,
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.points.ask"],
                env={**os.environ, **place.launched.env, "ZHIYIN_CLOCK_URL": ""},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as asking,
        ):
            _line(asking)

            def contestant(side: str) -> Contestant:
                def run(_round: int) -> Reading:
                    if asking.stdin is None:
                        raise InvalidRunError("the asking process has no pipes")
                    asking.stdin.write(f"{side}\n")
                    asking.stdin.flush()
                    found = _line(asking)
                    if found.pop("breaches"):
                        raise InvalidRunError("the ledger does not add up")
                    return Reading(found["burn"], found)

                return run

            yield {side: contestant(side) for side in (OURS, PLAIN)}
            if asking.stdin:
                asking.stdin.close()


def _line(asking: subprocess.Popen[str]) -> dict[str, float]:
    line = asking.stdout.readline() if asking.stdout else ""
    if not line:
        raise InvalidRunError("the asking process has ended")
    found: dict[str, float] = json.loads(line)
    return found


SUITE = Points()
