"""Freezing an audience of 200,000: one row per person with all that is sent later, beside bare ids and bulk_create."""

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

OURS: Final = "ours: 200,000 of 400,000"
IDS: Final = "ids only: id, once per person"
LEANEST: Final = "ids only: no id of their own"
USUAL: Final = "Django FK + bulk_create"
AUDIENCE: Final = 200_000
_COUNTS: Final = {OURS: AUDIENCE, IDS: AUDIENCE, LEANEST: AUDIENCE, USUAL: 40_000}


class Freeze:
    """The same segment each time. The usual way gets a fifth of the people: its cost per row is the same."""

    key = "freeze"
    title = "audience frozen, processor time of client and PostgreSQL per person"
    unit = "us/person"
    rounds = 5
    bars = (
        Bar("G11", "against INSERT … SELECT of ids", OURS, IDS, "at most", 1.6, 1.35),
        Bar("G11", "against Django FK + bulk_create", OURS, USUAL, "at most", 1 / 2, 1 / 4),
    )

    @contextmanager
    def prepare(self, _rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Fill a brand with people; one process does everything on one connection."""
        with Stack() as stack, stack.ours("benchmarks.sending.rows") as rows:
            rows.ask("people", count=2 * AUDIENCE)
            yield {
                OURS: functools.partial(_measure, rows, OURS, "freeze", {}),
                IDS: functools.partial(_measure, rows, IDS, "ids", {"table": "bench_ids"}),
                LEANEST: functools.partial(_measure, rows, LEANEST, "ids", {"table": "bench_leanest"}),
                USUAL: functools.partial(_measure, rows, USUAL, "usual", {}),
            }


def _measure(rows: Child, name: str, command: str, more: Mapping[str, str], _number: int) -> Reading:
    count = _COUNTS[name]
    found = rows.ask(command, count=count, **more)
    rows.ask("clean")
    return Reading(found["cpu"] / count * 1e6, {"wall us/person": found["seconds"] / count * 1e6})


SUITE = Freeze()
