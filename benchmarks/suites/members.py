"""People of a large brand: lists, every way of finding somebody, and the page of one person, over HTTP.

`BENCH_MEMBERS` says how many people the brand has: 100,000 when left out; the bars speak of 1000000. Four small brands
stand beside it. What the REST API is asked for is asked of DRF as well, what the console is asked for of Django's own
admin.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from benchmarks.reads.load import Call, latencies
from benchmarks.reads.stand import fetch, ours, peers, stand, tree_seconds
from benchmarks.rounds import Absent, Bar, InvalidRunError, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.reads.stand import Peer
    from benchmarks.rounds import Contestant

OURS, USUAL = "Zhiyin", "DRF and Django's admin"
MEMBERS: Final = int(os.environ.get("BENCH_MEMBERS", "100000"))
CALLS, SECONDS = 100, 6.0  # of each thing asked for in a round; at least five calls, however long they take
PAGES = 5
LAST = min(200, MEMBERS // 100)  # the last page of a list of fifty
API, LIST, ONE = "API", "list", "person"
# What is asked for: who answers it, and whether somebody else answers the same.
ASKED: Final = {
    "API list of 20": API,
    "API by member number": API,
    "API by whole phone": API,
    "API card": API,
    "list, first page": LIST,
    "list, last page": LIST,
    "list, a name": LIST,
    "list, a surname": LIST,
    "list, phone tail": LIST,
    "list, member number": LIST,
    "list, card": LIST,
    "list, end of an OpenID": LIST,
    "page of a person": ONE,
}
ALONE: Final = (
    *("search box, a name", "search box, phone tail", "search box, end of an OpenID"),
    *("list, joined lately", "list, silent", "list, not following", "list, a tag", "list, a store"),
    *("followers", "inbox, a name", "home"),
)
# A page of everything may take longer than a list (ms).
LONGER: Final = {"page of a person": 250, "home": 300}


@dataclass(frozen=True)
class Question:
    """Calls that ask for one thing, and what every answer to the same call must hold."""

    calls: tuple[Call, ...]
    holds: tuple[bytes, ...]


class Members:
    """Every call is timed alone; p95 is what an operator waits for, the ratio is that of the medians.

    Beside each stands what a call costs the web process and PostgreSQL, in ms of processor time: on a machine that has
    other work, waiting says more of that work than of us.
    """

    key = "members"
    title = f"people of a brand of {MEMBERS:,} (granian, one process, one connection)"
    unit = "ms, list"
    rounds = 5
    bars = (
        *(
            Bar("C4", f"{name}, p95 (ms)", OURS, "", "at most", LONGER.get(name, 150), 60, f"{name} p95")
            for name in (*ASKED, *ALONE)
        ),
        *(
            Bar("C4r", f"{name} against the usual way", OURS, USUAL, "at most", 0.5 if kind == API else 1.0, None, name)
            for name, kind in ASKED.items()
        ),
    )

    @contextmanager
    def prepare(self, rounds: int) -> Iterator[Mapping[str, Contestant | Absent]]:
        """Fill the brands and start the peers."""
        data = ("--brands", "5", "--members", f"{MEMBERS}", "--small", "2000", "--stores", "50", "--known")
        with stand(*data, "--sessions", "400", "--keys", "100") as place:
            urls = {
                "drf": ("benchmarks.peers.read_drf", {}),
                "admin": ("benchmarks.peers.read_admin", {"BENCH_BRAND": f"{place.data['brand']}"}),
            }
            with peers(place, **urls) as others:
                us = ours(place)
                database = place.launched.pids["postgres"]
                found: dict[str, Contestant | Absent] = {
                    OURS: _contestant({API: us, LIST: us, ONE: us}, database, _our_questions(us, place.data))
                }
                drf, stock = others["drf"], others["admin"]
                if isinstance(drf, Absent) or isinstance(stock, Absent):
                    found[USUAL] = next(each for each in others.values() if isinstance(each, Absent))
                else:
                    servers = {API: drf, LIST: stock, ONE: stock}
                    found[USUAL] = _contestant(servers, database, _usual_questions(drf, place.data))
                yield found


def _contestant(servers: Mapping[str, Peer], database: int, questions: Mapping[str, Question]) -> Contestant:
    def run(number: int) -> Reading:
        found: dict[str, float] = {}
        for name, question in questions.items():
            where = servers[ASKED.get(name, LIST)]
            if not question.calls:
                raise InvalidRunError(f"{name}: there is nobody to ask for")
            shift = number * 37 % len(question.calls)  # other people every round
            order = [*range(shift, len(question.calls)), *range(shift)]
            calls = [question.calls[each % len(question.calls)] for each in order]
            holds = iter([question.holds[each] for each in order])
            warm = latencies(where.port, calls[:2], lambda _body: True, seconds=SECONDS)
            before = tree_seconds(where.pid) + tree_seconds(database)
            taken = sorted(latencies(where.port, calls[:CALLS], _proof(name, holds), seconds=SECONDS))
            spent = tree_seconds(where.pid) + tree_seconds(database) - before
            if not warm or not taken:
                raise InvalidRunError(f"{name}: nothing was asked")
            found[name] = taken[len(taken) // 2]
            found[f"{name} cpu"] = spent * 1000 / len(taken)
            found[f"{name} p95"] = taken[min(len(taken) - 1, len(taken) * 95 // 100)]
        return Reading(found["list, first page"], found)

    return run


def _proof(name: str, holds: Iterator[bytes]) -> Callable[[bytes], bool]:
    def proof(body: bytes) -> bool:
        return next(holds) in body

    return proof


def _our_questions(us: Peer, data: Mapping[str, Any]) -> dict[str, Question]:
    people: Sequence[dict[str, Any]] = data["asked"]
    cookie, keys = data["cookie"], [f"Key {key}" for key in data["keys"]]

    def page(path: str, rows: Sequence[dict[str, Any]] = people[:CALLS], holds: str = "") -> Question:
        return Question(
            tuple(Call(f"/b/bench0/{path}".format(**_quoted(row)), cookie=cookie) for row in rows),
            tuple(str(row[holds]).encode() if holds else b"</html>" for row in rows),
        )

    with_card = [row for row in people if row["card"]][:CALLS]
    with_openid = [row for row in people if row["openid"] and any(map(str.isalpha, row["openid"][-8:]))][:CALLS]
    lists = "members/member/"
    return {
        **_api(us, data, "phone={phone}", keys),
        "list, first page": page(lists),
        "list, last page": page(f"{lists}?p={LAST}"),
        "list, a name": page(f"{lists}?q={{name}}", holds="name"),
        "list, a surname": page(f"{lists}?q={{surname}}", holds="surname"),
        "list, phone tail": page(f"{lists}?q={{tail}}", holds="tail"),
        "list, member number": page(f"{lists}?q={{no}}", holds="no"),
        "list, card": page(f"{lists}?q={{card}}", with_card, holds="no"),
        "list, end of an OpenID": page(f"{lists}?q={{end}}", with_openid, holds="no"),
        "page of a person": page(f"{lists}{{id}}/change/", holds="no"),
        "search box, a name": page("search/?s={name}", holds="name"),
        "search box, phone tail": page("search/?s={tail}", holds="tail"),
        "search box, end of an OpenID": page("search/?s={end}", with_openid, holds="name"),
        "list, joined lately": page(f"{lists}?view=joined"),
        "list, silent": page(f"{lists}?view=silent"),
        "list, not following": page(f"{lists}?following=no"),
        "list, a tag": page(f"{lists}?tag={data['tag']}"),
        "list, a store": page(f"{lists}?store={data['store']}"),
        "followers": page("members/follower/"),
        "inbox, a name": page("inbox/?q={surname}"),
        "home": page(""),
    }


def _usual_questions(drf: Peer, data: Mapping[str, Any]) -> dict[str, Question]:
    people: Sequence[dict[str, Any]] = data["asked"]

    def page(path: str, rows: Sequence[dict[str, Any]] = people[:CALLS], holds: str = "") -> Question:
        return Question(
            tuple(Call(f"/admin/peers/member/{path}".format(**_quoted(row))) for row in rows),
            tuple(str(row[holds]).encode() if holds else b"</html>" for row in rows),
        )

    with_card = [row for row in people if row["card"]][:CALLS]
    with_openid = [row for row in people if row["openid"] and any(map(str.isalpha, row["openid"][-8:]))][:CALLS]
    return {
        **_api(drf, data, "phone_index={index}", [f"Key {key}" for key in data["keys"]]),
        "list, first page": page(""),
        "list, last page": page(f"?p={LAST}"),
        "list, a name": page("?q={name}", holds="name"),
        "list, a surname": page("?q={surname}", holds="surname"),
        "list, phone tail": page("?q={tail}", holds="tail"),
        "list, member number": page("?q={no}", holds="no"),
        "list, card": page("?q={card}", with_card, holds="no"),
        "list, end of an OpenID": page("?q={end}", with_openid, holds="no"),
        "page of a person": page("{id}/change/", holds="no"),
    }


def _api(where: Peer, data: Mapping[str, Any], by_phone: str, keys: Sequence[str]) -> dict[str, Question]:
    people: Sequence[dict[str, Any]] = data["asked"][:CALLS]
    members = "/api/v1/members/"
    paths = [members]
    while len(paths) < PAGES:
        following = str(fetch(where, Call(paths[-1], keys[0]))["next"])
        paths.append(f"{members}?cursor={following.partition('cursor=')[2] or following}")

    def asked(path: str) -> Question:
        calls = (Call(path.format(**_quoted(row)), keys[n % len(keys)]) for n, row in enumerate(people))
        return Question(tuple(calls), tuple(row["no"].encode() for row in people))

    return {
        "API list of 20": Question(
            tuple(Call(paths[n % PAGES], keys[n % len(keys)]) for n in range(CALLS)), (b'"member_no"',) * CALLS
        ),
        "API by member number": asked(f"{members}?member_no={{no}}"),
        "API by whole phone": asked(f"{members}?{by_phone}"),
        "API card": Question(
            tuple(Call("/api/v1/me/", f"Bearer {token}") for token in data["tokens"][:CALLS]),
            (b'"member_no"',) * min(CALLS, len(data["tokens"])),
        ),
    }


def _quoted(row: dict[str, Any]) -> dict[str, str]:
    more = {"end": row["openid"][-8:]}
    return {name: quote(str(value), safe="") for name, value in {**row, **more}.items()}


SUITE = Members()
