"""The inbox over a million lines: whoever looks for something waits 150 ms at most, and old rows just leave."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.reads.stand import asking
from benchmarks.rounds import Bar, InvalidRunError, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Absent, Contestant

OURS: Final = "inbox"
LINES: Final = os.environ.get("BENCH_LINES", "1000000")
KINDS: Final = (
    *("a word said often", "a whole phrase", "a word said seldom", "words nobody said"),
    *("how a name begins", "the end of a phone", "no search: the list"),
)


class Inbox:
    """20,000 conversations with a million lines of 200 days, and a million stored pushes of 33 days."""

    key = "inbox"
    title = f"the inbox over {int(LINES):,} lines and as many pushes (whole pages, one process, one connection)"
    unit = "ms, every search, p95"
    rounds = 3
    bars = (
        *(Bar("B9", f"{kind}, p95", OURS, "", "at most", 150, 75, figure=f"{kind}, p95") for kind in KINDS),
        Bar("B9w", "waits for a lock beside the leaving rows", OURS, "", "at most", 0, 0, figure="waits for a lock"),
        Bar("B9l", "longest write beside them, ms", OURS, "", "at most", 500, 100, figure="longest write"),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Fill a brand."""
        with asking("benchmarks.reads.inbox", LINES) as process:

            def run(_round: int) -> Reading:
                found = process.ask("go")
                if not found["lines gone"] or not found["pushes gone"]:
                    raise InvalidRunError("no old rows have left")
                return Reading(found["every search, p95"], found)

            yield {OURS: run}


SUITE = Inbox()
