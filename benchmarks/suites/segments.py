"""Segments over many people: counted, previewed, kept and followed, beside statements written by hand.

`BENCH_MEMBERS` says how many people the brand has: 100,000 when left out; the bars speak of 1000000 and 5000000.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.reads.stand import stand
from benchmarks.rounds import Bar, InvalidRunError, Reading
from launcher.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Absent, Contestant

OURS, HAND, USUAL = "ours", "hand-written SQL", "many-to-many"
MEMBERS: Final = int(os.environ.get("BENCH_MEMBERS", "100000"))
_ASKED: Final = {OURS: "ours", HAND: "hand", USUAL: "usual"}


class Segments:
    """Every contestant counts the same people; a figure of one who counts others does not count."""

    key = "segments"
    title = f"segments of a brand of {MEMBERS:,} people, one connection"
    unit = "ms to keep"
    rounds = 5
    bars = (
        Bar(
            "D4t",
            "count, 20 people and reach before saving, tags (ms)",
            OURS,
            "",
            "at most",
            2000,
            figure="preview tags",
        ),
        Bar("D4d", "the same, dates (ms)", OURS, "", "at most", 2000, figure="preview dates"),
        Bar("D4p", "the same, purchases (ms)", OURS, "", "at most", 2000, figure="preview purchases"),
        Bar(
            "G9",
            "tag A, not B against the many-to-many form",
            OURS,
            USUAL,
            "at most",
            None,
            0.1,
            figure="count tags",
        ),
        Bar("G10d", "dates against hand-written SQL", OURS, HAND, "at most", 1.5, 1.2, figure="count dates"),
        Bar("G10p", "purchases against hand-written SQL", OURS, HAND, "at most", 1.5, 1.2, figure="count purchases"),
        Bar("G11k", "keeping a fifth of all people against INSERT … SELECT by hand", OURS, HAND, "at most", 1.6, 1.35),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start a database, fill a brand, and start the process that asks."""
        data = ("--brands", "1", "--members", f"{MEMBERS}", "--stores", "50", "--sessions", "1", "--keys", "1")
        with stand(*data, web=False) as place:
            more = {"ZHIYIN_CLOCK_URL": "", "BENCH_BRAND": f"{place.data['brand']}", "BENCH_ADMIN_URL": place.admin_url}
            with subprocess.Popen(
                [sys.executable, "-m", "benchmarks.segments.ask"],
                env={**os.environ, **place.launched.env, **more},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as asking:
                _line(asking)
                people: dict[str, float] = {}

                def contestant(name: str) -> Contestant:
                    def run(_round: int) -> Reading:
                        if asking.stdin is None:
                            raise InvalidRunError("the asking process has no pipes")
                        asking.stdin.write(f"{_ASKED[name]}\n")
                        asking.stdin.flush()
                        found = _line(asking)
                        for key in [each for each in found if each.startswith("people ")]:
                            if people.setdefault(key, found[key]) != found[key]:
                                raise InvalidRunError(f"{name} counts {found[key]} {key}, others {people[key]}")
                        return Reading(found.get("keep", found["count tags"]), found)

                    return run

                yield {name: contestant(name) for name in (OURS, HAND, USUAL)}
                if asking.stdin:
                    asking.stdin.close()


def _line(asking: subprocess.Popen[str]) -> dict[str, float]:
    line = asking.stdout.readline() if asking.stdout else ""
    if not line:
        raise InvalidRunError("the asking process has ended")
    found: dict[str, float] = json.loads(line)
    return found


SUITE = Segments()
