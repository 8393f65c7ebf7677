"""Writing what came of each message: our batches beside one `update()` per row and a bare UPDATE."""

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

RECORD: Final = "answers recorded"
MATCH: Final = "finish events matched"
ORM: Final = "ORM update() per row"
BARE: Final = "bare UPDATE … FROM unnest"
PEOPLE: Final = 6_400
_COUNTS: Final = {RECORD: PEOPLE, MATCH: PEOPLE, ORM: 1_000, BARE: PEOPLE}
_COMMANDS: Final = {RECORD: "record", MATCH: "match", ORM: "orm", BARE: "bare"}


class Results:
    """Answers come by the claim of 64, each its own durable transaction; results are matched as they wait."""

    key = "results"
    title = "results written, processor time of client and PostgreSQL per row"
    unit = "us/row"
    rounds = 5
    bars = (
        Bar("G8", "answers against ORM update()", RECORD, ORM, "at most", 1 / 20),
        Bar("G8", "answers against bare UPDATE", RECORD, BARE, "at most", None, 1.3),
        Bar("G8", "finish events against ORM update()", MATCH, ORM, "at most", 1 / 20),
        Bar("G8", "finish events against bare UPDATE", MATCH, BARE, "at most", None, 1.3),
    )

    @contextmanager
    def prepare(self, _rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start PostgreSQL and one process that does everything on one connection."""
        with Stack() as stack, stack.ours("benchmarks.sending.rows") as rows:
            rows.ask("people", count=PEOPLE)
            for name in _COMMANDS:
                _measure(rows, name, -1)
            yield {name: functools.partial(_measure, rows, name) for name in _COMMANDS}


def _measure(rows: Child, name: str, _number: int) -> Reading:
    count = _COUNTS[name]
    found = rows.ask(_COMMANDS[name], count=count)
    rows.ask("clean")
    return Reading(found["cpu"] / count * 1e6, {"wall us/row": found["seconds"] / count * 1e6})


SUITE = Results()
