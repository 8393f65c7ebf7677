"""G13: the list of 20 members with a key of another system, the brand's scope and rate limits, over HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.reads.compare import same_answers
from benchmarks.reads.load import Call
from benchmarks.reads.stand import fetch, measured, ours, peers, stand
from benchmarks.rounds import Absent, Bar, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.reads.stand import Peer
    from benchmarks.rounds import Contestant

OURS, DRF, NINJA, LIMITED = "Zhiyin", "DRF", "django-ninja", "DRF with its rate limit"
PATH = "/api/v1/members/"
CALLS = 800
PAGES = 5


class MembersList:
    """Pages of 20 people with home store and tags, from the first on by cursor."""

    key = "members_list"
    title = "list of 20 members with an API key, first pages by cursor (granian, one process)"
    unit = "req/CPU-s"
    rounds = 5
    bars = (
        Bar("G13c", "list of 20: requests per CPU second against DRF's cursor", OURS, DRF, "at least", 2.0, 3.5),
        Bar("G13d", "list of 20: requests per CPU second against django-ninja", OURS, NINJA, "at least", 1.3, 2.5),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Start everything, and see to it that all give the same people."""
        urls = {
            DRF: ("benchmarks.peers.read_drf", {}),
            NINJA: ("benchmarks.peers.read_ninja", {}),
            LIMITED: ("benchmarks.peers.read_drf", {"BENCH_THROTTLE": "1"}),
        }
        with stand() as place, peers(place, **urls) as others:
            servers: dict[str, Peer | Absent] = {OURS: ours(place), **others}
            keys = [f"Key {key}" for key in place.data["keys"]]
            same_answers(servers, [Call(PATH, keys[0])], lambda answer: answer["results"])

            def contestant(where: Peer) -> Contestant:
                paths = _pages(where, keys[0])
                calls = [Call(paths[number % len(paths)], keys[number % len(keys)]) for number in range(CALLS)]

                def run(_round: int) -> Reading:
                    return measured(place, where, calls, lambda body: body.count(b'"member_no"') == 20)

                return run

            yield {
                name: server if isinstance(server, Absent) else contestant(server) for name, server in servers.items()
            }


def _pages(where: Peer, key: str) -> list[str]:
    """Walk the first pages as a caller would; give their paths."""
    paths = [PATH]
    while len(paths) < PAGES:
        following = str(fetch(where, Call(paths[-1], key))["next"])
        # Ours and ninja's may be a cursor, DRF's is a whole address.
        cursor = following.partition("cursor=")[2] or following
        paths.append(f"{PATH}?cursor={cursor}")
    return paths


SUITE = MembersList()
