"""Importing a table of members against plain statements that write the same rows."""

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

OURS, PLAIN = "import", "plain statements"


class Imports:
    """One worker: matching, sealing, locks, ledger and the memory for undo over writing the rows."""

    key = "imports"
    title = "imports: 100,000 members with phone, birthday and opening balance, one worker"
    unit = "rows/s"
    rounds = 1
    bars = (
        Bar("A6r", "importing against plain statements", OURS, PLAIN, "at least", 0.02, 0.1),
        Bar("A6s", "dry run and import of the table, in seconds", OURS, "", "at most", 600.0, 300.0, figure="seconds"),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start a database and the process that works."""
        data = ("--brands", "1", "--members", "10", "--stores", "10", "--sessions", "1", "--keys", "1")
        with (
            stand(*data, web=False) as place,
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.tables.ask"],
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
                    if found.pop("wrong"):
                        raise InvalidRunError("rows were lost or doubled, or the ledger does not add up")
                    return Reading(found["rows"], found)

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


SUITE = Imports()
