"""G13: the member card, with the member's token, the brand's scope and rate limits, over HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.reads.compare import same_answers
from benchmarks.reads.load import Call
from benchmarks.reads.stand import measured, ours, peers, stand
from benchmarks.rounds import Absent, Bar, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.reads.stand import Peer
    from benchmarks.rounds import Contestant

OURS, DRF, NINJA, LIMITED = "Zhiyin", "DRF", "django-ninja", "DRF with its rate limit"
PATH = "/api/v1/me/"
CALLS = 1_500


class Card:
    """The card of the person who calls: themselves, home store and guide."""

    key = "card"
    title = "member card with a member's token (granian, one process)"
    unit = "req/CPU-s"
    rounds = 5
    bars = (
        Bar("G13a", "card: requests per CPU second against DRF", OURS, DRF, "at least", 2.0, 3.5),
        Bar("G13b", "card: requests per CPU second against django-ninja", OURS, NINJA, "at least", 1.3, 2.5),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start everything, and see to it that all give the same card."""
        urls = {
            DRF: ("benchmarks.peers.read_drf", {}),
            NINJA: ("benchmarks.peers.read_ninja", {}),
            LIMITED: ("benchmarks.peers.read_drf", {"BENCH_THROTTLE": "1"}),
        }
        with stand() as place, peers(place, **urls) as others:
            servers: dict[str, Peer | Absent] = {OURS: ours(place), **others}
            calls = [Call(PATH, f"Bearer {token}") for token in place.data["tokens"]]
            same_answers(servers, calls[:3], lambda answer: answer)
            load = [calls[number % len(calls)] for number in range(CALLS)]

            def contestant(where: Peer) -> Contestant:
                def run(_round: int) -> Reading:
                    return measured(place, where, load, lambda body: body.count(b'"member_no"') == 1)

                return run

            yield {
                name: server if isinstance(server, Absent) else contestant(server) for name, server in servers.items()
            }


SUITE = Card()
