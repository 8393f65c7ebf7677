"""G12: reading a frozen audience of 200,000 by pages, beside a cursor of the server over a join, and OFFSET."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.rounds import Bar, Reading
from benchmarks.sending.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Absent, Contestant
    from benchmarks.sending.child import Child

OURS: Final = "ours: frozen rows by key"
CURSOR: Final = "server cursor with join"
OFFSET: Final = "OFFSET with join"
AUDIENCE: Final = 200_000
PAGE: Final = 1_000


class Paging:
    """All pages of one audience, each of 1,000 people with what a message needs; ours under row security."""

    key = "paging"
    title = "audience read by pages, time by the clock"
    unit = "ms"
    rounds = 5
    bars = (
        Bar("G12", "against a server cursor with join", OURS, CURSOR, "at most", 1 / 2, 0.35),
        Bar("G12", "longest page against the median page", OURS, "", "at most", 5.0, figure="longest/median"),
    )

    @contextmanager
    def prepare(self, _rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Fill a brand with people and freeze an audience once; one process does everything on one connection."""
        with Stack() as stack, stack.ours("benchmarks.sending.rows") as rows:
            rows.ask("people", count=2 * AUDIENCE)
            rows.ask("frozen", count=AUDIENCE)
            yield {
                OURS: functools.partial(_measure, rows, "keyset"),
                CURSOR: functools.partial(_measure, rows, "cursor"),
                OFFSET: functools.partial(_measure, rows, "offset"),
            }


def _measure(rows: Child, command: str, _number: int) -> Reading:
    found = rows.ask(command, page=PAGE)
    return Reading(
        found["seconds"] * 1e3,
        {"CPU ms": found["cpu"] * 1e3, "longest/median": found["longest"] / found["median"]},
    )


SUITE = Paging()
