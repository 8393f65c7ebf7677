"""Where people buy: a purchase is where it was sent to, otherwise where its store is.

Of an address a purchase keeps the codes of province, city and district (`body["place"]`), or why it says no place
(`body["unplaced"]`). Where a store is follows from its city and address whenever somebody asks, so that a store that is
corrected corrects its purchases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import Sum

from accounts.tenancy import current_brand_id, reporting
from common.divisions import Place, Why, locate
from loyalty.models import Fact, FactKind
from loyalty.segment_conditions import bought
from members.figures import counted, figures
from members.left_out import left_out
from members.segments import days_back
from stores.models import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

WINDOW: Final = 365
ADDRESS, STORE = "ADDRESS", "STORE"
STORE_UNKNOWN, NOTHING = "STORE_UNKNOWN", "NOTHING"  # no place: what its store says is not understood; nothing was said
# Why purchases have no place, the commonest first.
UNPLACED: Final = (NOTHING, STORE_UNKNOWN, str(Why.AMBIGUOUS), str(Why.UNKNOWN), str(Why.ABROAD))
_MOST: Final = 1_000  # purchases of one person that are looked at


@dataclass(frozen=True)
class Where:
    """Where a purchase counts: codes from the province down (none: nowhere), and what says so or why not."""

    codes: tuple[str, ...]
    source: str


def place_of(fact: Fact) -> Where:
    """Say where a purchase counts; `store` should be read with it."""
    if fact.kind != FactKind.PURCHASE:
        return Where((), NOTHING)
    if "place" in fact.body:
        return Where(tuple(fact.body["place"]), ADDRESS)
    if "unplaced" in fact.body:
        return Where((), str(fact.body["unplaced"]))
    if fact.store is None:
        return Where((), NOTHING)
    place = place_of_store(fact.store.city, fact.store.address)
    return Where(place.codes, STORE) if place else Where((), STORE_UNKNOWN)


def place_of_store(city: str, address: str) -> Place | None:
    """Say where a store is: its city says it, its address which district; an address alone may say both."""
    by_city = locate(city).place
    whole = locate(f"{city} {address}" if city else address).place
    if by_city is None or (whole is not None and whole.codes[: len(by_city.codes)] == by_city.codes):
        return whole
    return by_city


def places_of_stores() -> dict[int, Place]:
    """Say where each store is whose city or address is understood."""
    rows = Store.objects.order_by("pk").values_list("pk", "city", "address")
    found = {pk: place_of_store(city, address) for pk, city, address in rows}
    return {pk: place for pk, place in found.items() if place is not None}


def stores_in(codes: Iterable[str]) -> list[int]:
    """Give the stores that lie in one of some places."""
    wanted = set(codes)
    return sorted(pk for pk, place in places_of_stores().items() if wanted & set(place.codes))


# --- purchases with their places, as SQL -----------------------------------------------------------------------------

_PLACED: Final = """
SELECT f.member_id, f.happened_at, f.amount - coalesce(b.back, 0) AS fen,
    CASE WHEN f.body ? 'place' THEN f.body #>> '{{place,0}}' WHEN NOT f.body ? 'unplaced' THEN s.province END province,
    CASE WHEN f.body ? 'place' THEN f.body #>> '{{place,1}}' WHEN NOT f.body ? 'unplaced' THEN s.city END city,
    CASE WHEN f.body ? 'place' THEN 'ADDRESS' WHEN f.body ? 'unplaced' THEN f.body ->> 'unplaced'
        WHEN s.id IS NOT NULL THEN 'STORE' WHEN f.store_id IS NOT NULL THEN 'STORE_UNKNOWN' ELSE 'NOTHING' END AS source
FROM ({bought}) f
LEFT JOIN unnest(%s::bigint[], %s::text[], %s::text[]) AS s(id, province, city) ON s.id = f.store_id
LEFT JOIN ({back}) b ON b.refers_id = f.id
"""


def placed(at: datetime, days: int) -> tuple[str, list[Any]]:
    """Give a statement of (member_id, happened_at, fen, province, city, source), one row a purchase of the window."""
    buys = bought(at, days).order_by().values("id", "member_id", "happened_at", "amount", "body", "store_id")
    first, values = buys.query.sql_with_params()
    back = Fact.objects.filter(kind=FactKind.REFUND, happened_at__gt=days_back(at, days), happened_at__lte=at)
    second, more = back.order_by().values("refers_id").annotate(back=Sum("amount")).query.sql_with_params()
    stores = places_of_stores()
    known: list[Any] = [
        list(stores),
        [place.province for place in stores.values()],
        [place.city or None for place in stores.values()],
    ]
    return _PLACED.format(bought=first, back=second), [*values, *known, *more]


# Everybody's cities, the one they buy in most first: by purchases, by what they paid, by the last one.
_BY_PERSON: Final = """
SELECT p.member_id, p.province, p.city, row_number() OVER (
    PARTITION BY p.member_id ORDER BY count(*) DESC, sum(p.fen) DESC, max(p.happened_at) DESC, p.city) AS place
FROM ({placed}) p WHERE p.city IS NOT NULL GROUP BY p.member_id, p.province, p.city
"""


def shopping_cities(at: datetime, days: int) -> tuple[str, list[Any]]:
    """Give a statement of (member_id, province, city, place): place 1 is somebody's shopping city."""
    text, params = placed(at, days)
    return _BY_PERSON.format(placed=text), params


# --- one person ------------------------------------------------------------------------------------------------------


@dataclass
class BoughtThere:
    """What somebody bought in one city."""

    codes: tuple[str, ...]
    orders: int = 0
    shipped: int = 0
    fen: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True)
class Places:
    """Where somebody buys, where they buy most first, and how many purchases are nowhere."""

    places: tuple[BoughtThere, ...]
    unplaced: int = field(default=0)

    @property
    def city(self) -> BoughtThere | None:
        """Give their shopping city."""
        return next((each for each in self.places if len(each.codes) > 1), None)


def bought_where(member_id: int, *, at: datetime, days: int = WINDOW) -> Places:
    """Say in which cities somebody bought within some days; what came back whole does not count."""
    rows = bought(at, days, member_id).select_related("store").order_by("-happened_at", "-pk")[:_MOST]
    facts = list(rows)
    partly = Fact.objects.filter(refers__in=[fact.pk for fact in facts], happened_at__lte=at) if facts else ()
    back: Counter[int | None] = Counter()
    for refund in partly:
        back[refund.refers_id] += refund.amount
    found: dict[tuple[str, ...], BoughtThere] = defaultdict(lambda: BoughtThere(()))
    nowhere = 0
    for fact in facts:
        where = place_of(fact)
        if not where.codes:
            nowhere += 1
            continue
        there = found[where.codes[:2]]
        there.codes = where.codes[:2]
        there.orders += 1
        there.shipped += where.source == ADDRESS
        there.fen += fact.amount - back[fact.pk]
        there.last_at = max(there.last_at or fact.happened_at, fact.happened_at)
    ranked = sorted(
        found.values(), key=lambda each: (-each.orders, -each.fen, -(each.last_at or at).timestamp(), each.codes)
    )
    return Places(tuple(ranked), nowhere)


# --- everybody -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """People, purchases, what was paid for them in fen, and how many of them were sent to an address."""

    people: int
    orders: int
    fen: int
    shipped: int = 0


@dataclass(frozen=True)
class Report:
    """Where a brand's people buy: by (province, city), by province, and by why a purchase is nowhere."""

    cities: Mapping[tuple[str, str], Added]
    provinces: Mapping[str, Added]
    unplaced: Mapping[str, Added]
    everywhere: Added


_ADDED_UP: Final = """
WITH placed AS MATERIALIZED (
    SELECT p.* FROM ({placed}) p
    JOIN members_member m ON m.brand_id = %s AND m.id = p.member_id AND m.merged_into_id IS NULL
        AND m.erased_at IS NULL{flags}
)
SELECT 'city', province, city, count(DISTINCT member_id), count(*), sum(fen)::bigint,
    count(*) FILTER (WHERE source = 'ADDRESS') FROM placed WHERE province IS NOT NULL GROUP BY province, city
UNION ALL
SELECT 'province', province, NULL, count(DISTINCT member_id), count(*), sum(fen)::bigint,
    count(*) FILTER (WHERE source = 'ADDRESS') FROM placed WHERE province IS NOT NULL GROUP BY province
UNION ALL
SELECT 'nowhere', source, NULL, count(DISTINCT member_id), count(*), sum(fen)::bigint, 0
FROM placed WHERE province IS NULL GROUP BY source
UNION ALL
SELECT 'all', NULL, NULL, count(DISTINCT member_id), count(*), coalesce(sum(fen), 0)::bigint,
    count(*) FILTER (WHERE source = 'ADDRESS') FROM placed
"""


def added_up(*, at: datetime, days: int, everybody: bool = False) -> list[list[Any]]:
    """Add purchases up by place, in one statement; staff, test people and blocked ones left out unless `everybody`."""
    text, params = placed(at, days)
    flags, more = ("", ()) if everybody else left_out(by=at).query.sql_with_params()
    where = f" WHERE p.member_id NOT IN ({flags})" if flags else ""
    with reporting(current_brand_id()), connection.cursor() as cursor:
        cursor.execute(_ADDED_UP.format(placed=text, flags=where), [*params, current_brand_id(), *more])
        return [list(row) for row in cursor.fetchall()]


def report_lately(*, at: datetime, days: int, everybody: bool = False) -> tuple[Report, datetime]:
    """Give the report as a page shows it, and as of when: see `members.figures`."""
    found = counted("loyalty.places", {"days": days, "everybody": everybody}, at=at)
    kept: dict[str, dict[Any, Added]] = {"city": {}, "province": {}, "nowhere": {}, "all": {}}
    for kind, one, other, *numbers in found.value:
        kept[kind][(one, other or "") if kind == "city" else one] = Added(*numbers)
    whole = kept["all"].get(None, Added(0, 0, 0))
    return Report(kept["city"], kept["province"], kept["nowhere"], whole), found.as_of


@figures.add("loyalty.places")
def _places_figure(params: dict[str, Any], at: datetime) -> list[list[Any]]:
    return added_up(at=at, days=params["days"], everybody=params["everybody"])
