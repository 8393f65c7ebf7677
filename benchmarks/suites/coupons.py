"""A thousand claims at once for half as many coupons, and a million codes."""

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

CLAIMS, CODES = "claims", "codes"


class Coupons:
    """Budgets that must be exact on 32 connections, and how long the codes of a batch take."""

    key = "coupons"
    title = "coupons: 1,000 claims at once for 500 of them (a second); 1,000,000 codes (seconds)"
    unit = "claims/s, s"
    rounds = 1
    bars = (
        Bar("F2c", "claims a second, 32 connections, one budget", CLAIMS, "", "at least", 50, 200),
        Bar("F2m", "seconds for a million codes", CODES, "", "at most", 60, 40),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start a database and the process that asks."""
        data = ("--brands", "1", "--members", "10", "--stores", "10", "--sessions", "1", "--keys", "1")
        with (
            stand(*data, web=False) as place,
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.coupons.ask"],
                env={**os.environ, **place.launched.env, "ZHIYIN_CLOCK_URL": ""},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as asking,
        ):
            _line(asking)

            def contestant(what: str) -> Contestant:
                def run(_round: int) -> Reading:
                    if asking.stdin is None:
                        raise InvalidRunError("the asking process has no pipes")
                    asking.stdin.write(f"{what}\n")
                    asking.stdin.flush()
                    found = _line(asking)
                    if found.pop("breaches") or not found.pop("exact"):
                        raise InvalidRunError("a budget was not exact, or codes are missing")
                    return Reading(found.pop("value"), found)

                return run

            yield {what: contestant(what) for what in (CLAIMS, CODES)}
            if asking.stdin:
                asking.stdin.close()


def _line(asking: subprocess.Popen[str]) -> dict[str, float]:
    line = asking.stdout.readline() if asking.stdout else ""
    if not line:
        raise InvalidRunError("the asking process has ended")
    found: dict[str, float] = json.loads(line)
    return found


SUITE = Coupons()
