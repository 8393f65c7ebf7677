"""What row security costs each hot statement: its processor time in PostgreSQL with the policies over without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.reads.stand import stand
from benchmarks.rounds import Bar, InvalidRunError, Reading
from launcher import roles
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Absent, Contestant

WITH, WITHOUT = "with policies", "without policies"
FREE = "bench_free"
REPEATS = 60
STATEMENTS: Final = (
    *("session", "card", "guide of the card", "list of 20", "search by phone", "nearest stores", "hours of stores"),
    *("find in the console", "segment count", "freeze of an audience", "claim of 64 messages", "record of 64 answers"),
    *("result kept", "match of results", "inbox insert of 16", "claim of pushes"),
)


class RowSecurity:
    """The product's own statements, recorded and repeated in turn as its role and as one that passes the policies."""

    key = "rowsecurity"
    title = "hot statements with and without row security, processor time of PostgreSQL"
    unit = "us in all"
    rounds = 5
    bars = tuple(Bar("RLS", name, WITH, WITHOUT, "at most", 1.1, figure=name) for name in STATEMENTS)

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Fill two brands, make the free role and have the statements recorded."""
        data = ("--brands", "2", "--members", "20000", "--stores", "200", "--sessions", "10", "--keys", "1")
        with stand(*data, web=False) as place:
            with roles.cursor_on(place.admin_url) as cursor:
                cursor.execute(f"CREATE ROLE {FREE} BYPASSRLS IN ROLE {roles.APP}, {roles.INTAKE}, {roles.REPORTS}")
            with subprocess.Popen(
                [sys.executable, "-m", "benchmarks.reads.policies", str(place.data["brand"]), FREE],
                env={**os.environ, **place.launched.env, "ZHIYIN_CLOCK_URL": "", "BENCH_ADMIN_URL": place.admin_url},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as asking:
                if set(_line(asking)) != set(STATEMENTS):
                    raise InvalidRunError("the recorded statements are not those of the suite")
                with roles.cursor_on(place.admin_url) as cursor:
                    cursor.execute("VACUUM ANALYZE")
                sides = _Sides(asking)
                yield {WITH: sides.contestant(0), WITHOUT: sides.contestant(1)}
                if asking.stdin:
                    asking.stdin.close()


class _Sides:
    """Both sides are measured in turn within one round; each contestant tells its own."""

    def __init__(self, asking: subprocess.Popen[str]) -> None:
        self._asking = asking
        self._rounds: dict[int, dict[str, list[float]]] = {}

    def contestant(self, side: int) -> Contestant:
        def run(number: int) -> Reading:
            if number not in self._rounds:
                if self._asking.stdin is None:
                    raise InvalidRunError("the asking process has no pipes")
                self._asking.stdin.write(f"{REPEATS}\n")
                self._asking.stdin.flush()
                self._rounds[number] = _line(self._asking)
            spent = {name: self._rounds[number][name][side] for name in STATEMENTS}
            return Reading(sum(spent.values()), spent)

        return run


def _line(asking: subprocess.Popen[str]) -> dict[str, list[float]]:
    line = asking.stdout.readline() if asking.stdout else ""
    if not line:
        raise InvalidRunError("the asking process has ended")
    found: dict[str, list[float]] = json.loads(line)
    return found


SUITE = RowSecurity()
