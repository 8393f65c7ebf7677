"""Reports of channels over a million touches: every page within half a second, whatever the window."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.reads.stand import asking
from benchmarks.rounds import Bar, InvalidRunError, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Absent, Contestant

OURS, COUNTED, FLOOR = "sums", "counted from the touches", "floor"
TOUCHES = os.environ.get("BENCH_TOUCHES", "1000000")
PAGES: Final = (
    *(f"page {page}, {days}" for page in ("tree", "attribution") for days in ("today", "7 days", "30 days", "90 days")),
    *("page tree, everything", "page attribution, everything", "page code, everything", "page medium, 90 days"),
    *("page tree, place opened", "page attribution, place opened", "page tree, search", "page dead codes"),
    *(
        "page codes for print",
        "page quality",
        "page rows scans, everything",
        "page rows kept_30, everything",
        "page rows kept_90, 366 last",
    ),
    "API report, 366 days",
)


class Channels:
    """One brand with 600 codes (or `BENCH_CODES`) and two years of touches; somebody who signed in asks for pages."""

    key = "channels"
    title = f"reports of channels over {int(TOUCHES):,} touches (one process, one connection)"
    unit = "ms, tree of everything"
    rounds = 3
    bars = (
        *(Bar("L5", name, OURS, "", "at most", 500, 300, figure=name) for name in PAGES),
        Bar("L5t", "tree of 30 days against counting", OURS, COUNTED, "at most", 0.2, 0.1, figure="tree, 30 days"),
        Bar("L5e", "tree of everything against counting", OURS, COUNTED, "at most", 0.1, 0.05),
        Bar("L5f", "tree of everything against the floor", OURS, FLOOR, "at most", None, 4.0),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Fill a brand and have its sums made."""
        with asking("benchmarks.reads.channels", TOUCHES) as process:
            if process.facts["counted"] != process.facts["touches"]:
                raise InvalidRunError("not every touch was counted")

            def contestant(side: str) -> Contestant:
                def run(_round: int) -> Reading:
                    found = process.ask(side)
                    return Reading(found["tree, everything"], found)

                return run

            yield {side: contestant(side) for side in (OURS, COUNTED, FLOOR)}


SUITE = Channels()
