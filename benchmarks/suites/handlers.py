"""What the effects of a push cost the worker that handles it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.reads.stand import asking
from benchmarks.rounds import InvalidRunError, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.rounds import Absent, Bar, Contestant

SIDES = ("scans", "words", "taps", "links", "results", "follows")


class Handlers:
    """One worker, one connection; scaling.md multiplies with this, so it has no peer and no bar."""

    key = "handlers"
    title = "handling stored pushes: all effects, one worker, one connection"
    unit = "pushes/s"
    rounds = 3
    bars: tuple[Bar, ...] = ()

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Make a brand with followers and a code."""
        with asking("benchmarks.callback.handling", "") as process:

            def contestant(side: str) -> Contestant:
                def run(_round: int) -> Reading:
                    found = process.ask(side)
                    if found.pop("not handled"):
                        raise InvalidRunError("pushes were not handled")
                    return Reading(found.pop("rate"), found)

                return run

            yield {side: contestant(side) for side in SIDES}


SUITE = Handlers()
