"""G13: the ten nearest stores and their hours, with the member's token, brand scope and rate limits, over HTTP."""

from __future__ import annotations

import random
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
PATH = "/api/v1/stores/nearby/"
CALLS = 800


class NearbyApi:
    """A brand with 200 shops round a city: few enough that a peer without any index of places is not slow by that."""

    key = "nearby_api"
    title = "ten nearest stores with a member's token, 200 shops (granian, one process)"
    unit = "req/CPU-s"
    rounds = 5
    bars = (
        Bar("G13e", "nearby stores: requests per CPU second against DRF", OURS, DRF, "at least", 2.0, 3.5),
        Bar("G13f", "nearby stores: requests per CPU second against django-ninja", OURS, NINJA, "at least", 1.3, 2.5),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start everything, and see to it that all give the same stores."""
        urls = {
            DRF: ("benchmarks.peers.read_drf", {}),
            NINJA: ("benchmarks.peers.read_ninja", {}),
            LIMITED: ("benchmarks.peers.read_drf", {"BENCH_THROTTLE": "1"}),
        }
        with stand() as place, peers(place, **urls) as others:
            servers: dict[str, Peer | Absent] = {OURS: ours(place), **others}
            chance = random.Random(5)
            tokens = place.data["tokens"]
            calls = [
                Call(
                    f"{PATH}?lat={31.1 + chance.random() * 0.4:.5f}&lng={121.2 + chance.random() * 0.4:.5f}",
                    f"Bearer {tokens[number % len(tokens)]}",
                )
                for number in range(CALLS)
            ]
            same_answers(servers, calls[:20], lambda answer: answer)

            def contestant(where: Peer) -> Contestant:
                def run(_round: int) -> Reading:
                    return measured(place, where, calls, lambda body: body.count(b'"distance"') == 10)

                return run

            yield {
                name: server if isinstance(server, Absent) else contestant(server) for name, server in servers.items()
            }


SUITE = NearbyApi()
