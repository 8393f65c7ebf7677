"""What rules ask about people, kept in the gateway's memory: nobody is looked up whose facts are there.

Only accounts with rules that tags, scans, tiers or returns decide about are kept, and of their people only those of
whom one of these is so; everybody else has no entry. Triggers write down of whom such a fact has changed (`KnownDue`);
a thread reads those people again several times a second. What is kept is used only while it is known to be `LASTS` old
at most; before an account's people are there, or where they are too many, each person is looked up as if there were no
memory.
"""

from __future__ import annotations

import logging
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import close_old_connections, connection

from accounts.tenancy import every_brand
from conversations.audiences import Audience, Person, audience_kinds
from conversations.engine import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from conversations.engine import Rules

logger = logging.getLogger(__name__)

LASTS: Final = 2.0  # seconds since the last look at what changed; older facts are not used
AWAY: Final = 1800.0  # seconds without a look after which everybody is read anew: changes are written down for an hour
MOST_PEOPLE: Final = 500_000  # of all accounts together, 24 to 48 bytes each
MOST_CHANGES: Final = 5_000  # at once; beyond that reading everybody anew costs less
TRY_AGAIN: Final = 600.0  # seconds until an account that was too large is counted again
_AT_ONCE: Final = 2_000  # rows taken before other threads get their turn
_LOADING_SECONDS: Final = 0.5  # of one look; more accounts wait for the next

_SNAPSHOT: Final = "SELECT s::text, pg_snapshot_xmin(s)::text::bigint FROM pg_current_snapshot() s"
# Each holds a lock on its own number from before its first write until its end. Other databases' do not matter.
_WRITING: Final = (
    "SELECT l.transactionid::text FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted "
    "AND l.pid IS DISTINCT FROM pg_backend_pid() AND coalesce(a.datname = current_database(), true)"
)
_CHANGED: Final = (
    "SELECT DISTINCT account_id, openid FROM conversations_knowndue "
    "WHERE xact >= %s AND NOT pg_visible_in_snapshot(xact::text::xid8, %s::pg_snapshot) LIMIT %s"
)
_FACTS: Final = (
    "SELECT f.account_id, f.openid, f.unfollowed_at IS NOT NULL, m.tag_ids, {touches}, {tier} "
    "FROM {those} JOIN members_member m ON m.brand_id = f.brand_id AND m.id = f.member_id"
)
_TOUCHES: Final = (
    "ARRAY(SELECT DISTINCT t.touchpoint_id FROM touchpoints_touch t "
    "WHERE t.brand_id = f.brand_id AND t.member_id = m.id AND t.touchpoint_id IS NOT NULL)"
)
# Members whom no decision names yet stand in the lowest tier (`loyalty.selectors.tiers.newcomers`).
_TIER: Final = (
    "coalesce((SELECT s.tier_id FROM loyalty_standing s WHERE s.brand_id = f.brand_id AND s.member_id = m.id), "
    "CASE WHEN m.joined_at IS NOT NULL THEN (SELECT t.id FROM loyalty_tier t WHERE t.brand_id = f.brand_id "
    "ORDER BY t.threshold, t.id LIMIT 1) END)"
)
_OF_CHANGED: Final = _FACTS.format(
    touches=f"CASE WHEN k.touches THEN {_TOUCHES} END",
    tier=f"CASE WHEN k.tiers THEN {_TIER} END",
    those="unnest(%s::bigint[], %s::bigint[], %s::text[], %s::boolean[], %s::boolean[]) "
    "AS k(brand_id, account_id, openid, touches, tiers) "
    "JOIN members_follower f ON f.brand_id = k.brand_id AND f.account_id = k.account_id AND f.openid = k.openid",
)
_OF_ACCOUNT: Final = _FACTS.format(
    touches=f"CASE WHEN %(touches)s THEN {_TOUCHES} END",
    tier=f"CASE WHEN %(with_tiers)s THEN {_TIER} END",
    those="(SELECT * FROM members_follower WHERE brand_id = %(brand)s AND account_id = %(account)s) AS f",
)
_IN_TIER: Final = "CASE WHEN %(with_tiers)s THEN " + _TIER + " = ANY (%(tiers)s::bigint[]) ELSE false END"
_OF_WHOM: Final = (
    " WHERE (%(returns)s AND f.unfollowed_at IS NOT NULL) OR m.tag_ids && %(tags)s::bigint[] OR (%(touches)s AND "
    "EXISTS (SELECT 1 FROM touchpoints_touch t WHERE t.brand_id = f.brand_id AND t.member_id = m.id "
    "AND t.touchpoint_id = ANY (%(places)s::bigint[]))) OR @tier LIMIT %(room)s"
).replace("@tier", _IN_TIER)
_EMPTY: Final = 0


class Table:
    """OpenIDs to small numbers in two flat arrays, a tenth of what a dictionary of texts takes. One thread writes.

    The key is Python's own keyed hash of 64 bits: nobody outside can make two OpenIDs meet, and by chance two of a
    million people do once in 30 million gateways. A number of 0 is the same as not being there.
    """

    __slots__ = ("_cells", "_used")

    def __init__(self) -> None:
        self._cells = _cells(8)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def get(self, openid: str) -> int:
        """Give the number of an OpenID, 0 for none."""
        keys, numbers, most = self._cells
        key = hash(openid) or 1
        place = key & most
        while (found := keys[place]) != _EMPTY:
            if found == key:
                return numbers[place]
            place = (place + 1) & most
        return 0

    def put(self, openid: str, number: int) -> None:
        """Set the number of an OpenID; whoever reads meanwhile finds the old or the new one."""
        key = hash(openid) or 1
        place = _place(self._cells, key)
        keys, numbers, most = self._cells
        if keys[place] == _EMPTY:
            if not number:
                return
            if self._used * 3 > most * 2:
                self._cells = _grown(self._cells)
                keys, numbers, most = self._cells
                place = _place(self._cells, key)
            self._used += 1
        numbers[place] = number  # before the key, so that nobody finds the key without its number
        keys[place] = key


_Cells = tuple["array[int]", "array[int]", int]


def _cells(size: int) -> _Cells:
    return array("q", bytes(8 * size)), array("I", bytes(4 * size)), size - 1


def _place(cells: _Cells, key: int) -> int:
    keys, _numbers, most = cells
    place = key & most
    while keys[place] not in (_EMPTY, key):
        place = (place + 1) & most
    return place


def _grown(cells: _Cells) -> _Cells:
    """Twice the room. Now and then it lets other threads go on."""
    keys, numbers, most = cells
    larger = _cells((most + 1) * 2)
    for number, key in enumerate(keys):
        if key != _EMPTY:
            place = _place(larger, key)
            larger[0][place], larger[1][place] = key, numbers[number]
        if number % _AT_ONCE == _AT_ONCE - 1:
            time.sleep(0)
    return larger


@dataclass(slots=True)
class Wanted:
    """What rules of an account ask about people, as far as memory can hold it."""

    audiences: Mapping[Audience, Any]
    returns: bool
    unknown: frozenset[Audience] = frozenset()
    tags: frozenset[int] = frozenset()
    places: frozenset[int] = frozenset()
    tiers: frozenset[int] = frozenset()

    @classmethod
    def of(cls, rules: Rules) -> Wanted:
        """Sort what the rules ask into what tags, scans and tiers settle, and what is looked up all the same."""
        unknown: set[Audience] = set()
        tags: set[int] = set()
        places: set[int] = set()
        tiers: set[int] = set()
        for audience, prepared in rules.audiences.items():
            by = audience_kinds.get(audience.kind).settled_by(prepared)
            if by is None:
                unknown.add(audience)
            else:
                tags |= by.tag_ids
                places |= by.touchpoint_ids
                tiers |= by.tier_ids
        returns = bool(rules.refollow)
        kept = (frozenset(tags), frozenset(places), frozenset(tiers))
        return cls(dict(rules.audiences), returns, frozenset(unknown), *kept)

    @property
    def anything(self) -> bool:
        """Whether memory can answer anything at all."""
        return self.returns or bool(self.tags) or bool(self.places) or bool(self.tiers)


@dataclass(slots=True)
class People:
    """Those of one account of whom something is so that its rules ask about."""

    brand_id: int
    rules: Rules
    wanted: Wanted
    before: frozenset[str]  # transactions that were writing when these rules were first seen
    loaded: bool = False
    not_before: float = 0.0
    kept: tuple[Table, list[Facts]] = field(default_factory=lambda: (Table(), []))  # replaced together only
    numbers: dict[tuple[bool, frozenset[int], frozenset[int], frozenset[int]], int] = field(default_factory=dict)

    def empty(self) -> None:
        """Forget everybody; number 0 is of those of whom nothing is so."""
        self.loaded = False
        self.kept = Table(), [Facts(unknown=self.wanted.unknown)]
        self.numbers = {(False, frozenset(), frozenset(), frozenset()): 0}

    def keep(
        self, openid: str, left: bool, tag_ids: Iterable[int], places: Iterable[int] | None, tier: int | None
    ) -> None:
        """Take what PostgreSQL says of somebody."""
        wanted, (table, facts) = self.wanted, self.kept
        key = (
            left and wanted.returns,
            wanted.tags.intersection(tag_ids),
            wanted.places.intersection(places or ()),
            wanted.tiers.intersection(() if tier is None else (tier,)),
        )
        number = self.numbers.get(key)
        if number is None:
            person = Person(*key[1:])
            held = (
                audience
                for audience, prepared in wanted.audiences.items()
                if audience not in wanted.unknown
                and audience_kinds.get(audience.kind).holds(prepared, person, found=False)
            )
            number = len(facts)
            facts.append(Facts(came_back=key[0], holds=frozenset(held), unknown=wanted.unknown))
            self.numbers[key] = number
        table.put(openid, number)


class Known:
    """The memory of one gateway process: `facts_of` on the event loop, `refresh` in one thread."""

    def __init__(self) -> None:
        self._people: dict[int, People] = {}
        self._snapshot: tuple[str, int] | None = None
        self._as_of = 0.0

    def facts_of(self, account_id: int, rules: Rules, openid: str) -> Facts | None:
        """Give what is known of a person; None when they have to be looked up."""
        people = self._people.get(account_id)
        if people is None or not people.loaded or people.rules is not rules:
            return None
        if time.monotonic() - self._as_of > LASTS:
            return None
        table, facts = people.kept
        return facts[table.get(openid)]

    def forget(self) -> None:
        """Begin anew."""
        self._people, self._snapshot, self._as_of = {}, None, 0.0

    def refresh(self, accounts: Sequence[tuple[int, int, Rules | None]]) -> None:
        """Bring everything up to date with (brand, account, its rules). Blocks; raises DatabaseError."""
        wanted = {
            account: (brand, rules) for brand, account, rules in accounts if rules is not None and _by_facts(rules)
        }
        for gone in self._people.keys() - wanted.keys():
            del self._people[gone]
        if not wanted:
            self._snapshot = None
            return
        close_old_connections()
        began = time.monotonic()
        with every_brand(reason="facts that reply rules ask about"), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '30s'")
            # Taken first: what is committed after it is seen by the next look, whatever this one has read of it.
            cursor.execute(_SNAPSHOT)
            snapshot, oldest = cursor.fetchone()
            self._follow(wanted, cursor)
            self._read_changed(cursor)
            self._snapshot, self._as_of = (snapshot, oldest), began
            waiting = [key for key, people in self._people.items() if not people.loaded and began >= people.not_before]
            writing = _writing(cursor) if waiting else frozenset()
            for account_id in waiting:
                if time.monotonic() - began > _LOADING_SECONDS:
                    break
                # Who changed something without seeing the rules wrote nothing down: wait until all of them are done.
                if writing.isdisjoint(self._people[account_id].before):
                    self._load(cursor, account_id, self._people[account_id])

    def _follow(self, wanted: Mapping[int, tuple[int, Rules]], cursor: Any) -> None:
        """Begin with new accounts, and anew with those whose rules ask something else."""
        writing: frozenset[str] | None = None
        for account_id, (brand_id, rules) in wanted.items():
            people = self._people.get(account_id)
            if people is not None and people.rules is rules:
                continue
            asks = Wanted.of(rules)
            if people is not None and people.wanted == asks:
                people.rules = rules
                continue
            if writing is None:
                writing = _writing(cursor)
            people = People(brand_id, rules, asks, before=writing)
            people.empty()
            if not asks.anything:
                people.not_before = float("inf")
            self._people[account_id] = people

    def _read_changed(self, cursor: Any) -> None:
        if self._snapshot is None or time.monotonic() - self._as_of > AWAY:
            for people in self._people.values():
                people.empty()
            return
        snapshot, oldest = self._snapshot
        cursor.execute(_CHANGED, (oldest, snapshot, MOST_CHANGES + 1))
        changed = [(account_id, openid) for account_id, openid in cursor.fetchall() if self._keeps(account_id)]
        if not changed:
            return
        if len(changed) > MOST_CHANGES:
            logger.info("facts of very many people have changed: everybody is read anew")
            for people in self._people.values():
                people.empty()
            return
        keys = [
            (people.brand_id, account_id, openid, bool(people.wanted.places), bool(people.wanted.tiers))
            for account_id, openid in changed
            for people in (self._people[account_id],)
        ]
        cursor.execute(_OF_CHANGED, [list(column) for column in zip(*keys, strict=True)])
        gone = set(changed)
        for account_id, openid, left, tag_ids, places, tier in cursor.fetchall():
            self._people[account_id].keep(openid, left, tag_ids, places, tier)
            gone.discard((account_id, openid))
        for account_id, openid in gone:
            self._people[account_id].kept[0].put(openid, 0)

    def _keeps(self, account_id: int) -> bool:
        people = self._people.get(account_id)
        return people is not None and people.loaded

    def _load(self, cursor: Any, account_id: int, people: People) -> None:
        people.empty()
        room = MOST_PEOPLE - sum(len(each.kept[0]) for each in self._people.values())
        wanted = people.wanted
        cursor.execute(
            _OF_ACCOUNT + _OF_WHOM,
            {
                "brand": people.brand_id,
                "account": account_id,
                "returns": wanted.returns,
                "tags": list(wanted.tags),
                "places": list(wanted.places),
                "touches": bool(wanted.places),
                "tiers": list(wanted.tiers),
                "with_tiers": bool(wanted.tiers),
                "room": room + 1,
            },
        )
        taken = 0
        while rows := cursor.fetchmany(_AT_ONCE):
            taken += len(rows)
            if taken > room:
                logger.info("account %s has too many people for the memory: they are looked up", account_id)
                people.empty()
                people.not_before = time.monotonic() + TRY_AGAIN
                return
            for _account, openid, left, tag_ids, places, tier in rows:
                people.keep(openid, left, tag_ids, places, tier)
            time.sleep(0)  # pushes are answered meanwhile
        people.loaded = True


def _writing(cursor: Any) -> frozenset[str]:
    cursor.execute(_WRITING)
    return frozenset(number for (number,) in cursor.fetchall())


def _by_facts(rules: Rules) -> bool:
    return bool(rules.refollow) or bool(rules.audiences)


known: Final = Known()
