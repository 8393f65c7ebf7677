"""Questions about stores: which are near, which are open, which a role reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.roles import DataScope
from accounts.tenancy import current_brand_id
from stores.models import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from accounts.viewer import Viewer

EARTH_METRES = 6_371_008.8
METRES_PER_DEGREE = 111_320.0
# Boxes round somebody: in a city the first holds enough; the last holds the earth.
BOX_METRES = (2_000.0, 8_000.0, 32_000.0, 128_000.0, 20_100_000.0)


@dataclass(frozen=True)
class Hours:
    """What a store's day looks like at a moment: open now, until when; or when it opens next (local times)."""

    is_open: bool
    closes: time | None
    opens: time | None
    opens_on: date | None
    today: tuple[tuple[time, time], ...]


@dataclass(frozen=True)
class NearbyStore:
    """A store with its distance in metres and its hours."""

    id: int
    code: str
    name: str
    address: str
    telephone: str
    lat: float
    lng: float
    distance: float
    hours: Hours


# UNION, not UNION ALL: a tree that somebody closed to a ring still ends.
_LONGEST_CLOSED: Final = 62  # days that are looked at for the next opening
_REACHED_SQL = """
WITH RECURSIVE below AS (
  SELECT g.region_id AS id FROM stores_regiongrant g WHERE g.brand_id = %(brand)s AND g.grant_id = %(grant)s
  UNION
  SELECT r.id FROM stores_region r JOIN below b ON r.parent_id = b.id WHERE r.brand_id = %(brand)s
)
SELECT g.store_id FROM stores_storegrant g WHERE g.brand_id = %(brand)s AND g.grant_id = %(grant)s
UNION
SELECT s.id FROM stores_store s JOIN below b ON s.region_id = b.id WHERE s.brand_id = %(brand)s
ORDER BY 1
"""


def store_ids_of_grant(grant_id: int | None) -> list[int]:
    """Give the stores a role with the scope “own stores” reaches: those named, and all below its regions."""
    if grant_id is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_REACHED_SQL, {"brand": current_brand_id(), "grant": grant_id})
        return [row[0] for row in cursor.fetchall()]


_BELOW_SQL = """
WITH RECURSIVE below AS (
  SELECT %(top)s::bigint AS id
  UNION
  SELECT r.id FROM stores_region r JOIN below b ON r.parent_id = b.id WHERE r.brand_id = %(brand)s
)
SELECT EXISTS (SELECT 1 FROM below b WHERE b.id = %(region)s)
"""


def region_is_below(region_id: int, top_id: int) -> bool:
    """Say whether a region is another one or lies below it."""
    with connection.cursor() as cursor:
        cursor.execute(_BELOW_SQL, {"brand": current_brand_id(), "region": region_id, "top": top_id})
        row = cursor.fetchone()
    return bool(row and row[0])


def visible_stores(viewer: Viewer) -> QuerySet[Store]:
    """Give the stores a viewer may see."""
    stores = Store.objects.all()
    if viewer.scope == DataScope.BRAND:
        return stores
    return stores.filter(pk__in=store_ids_of_grant(viewer.grant_id))


def stores_in_operation(*, city: str | None = None) -> QuerySet[Store]:
    """Give the stores in operation, by code, optionally those of one city."""
    stores = Store.objects.filter(is_active=True).order_by("code")
    return stores if city is None else stores.filter(city=city)


# Somebody stands in the street and waits, so both questions are plain SQL: which stores are nearest (exactly, by the
# haversine, which grows with the distance), and their hours.
_BOX_SQL = """
SELECT s.id, s.code, s.name, s.address, s.telephone, s.lat, s.lng,
       power(sin(radians(s.lat - %(lat)s) / 2), 2)
       + %(cos)s * cos(radians(s.lat)) * power(sin(radians(s.lng - %(lng)s) / 2), 2) AS bow,
       (SELECT b.timezone FROM accounts_brand b WHERE b.id = %(brand)s)
FROM stores_store s
WHERE s.brand_id = %(brand)s AND s.is_active
  AND s.lat BETWEEN %(lat)s - %(north)s AND %(lat)s + %(north)s
  AND s.lng BETWEEN %(lng)s - %(east)s AND %(lng)s + %(east)s{open}
ORDER BY bow, s.id LIMIT %(limit)s
"""
# No shop that is open is left out; of those left, `hours_at` decides (a day may have hours of its own).
_MAYBE_OPEN = """
  AND (EXISTS (
    SELECT 1 FROM stores_openinghours h WHERE h.brand_id = %(brand)s AND h.store_id = s.id AND (
      h.weekday = %(weekday)s AND h.opens <= %(time)s AND (h.closes > %(time)s OR h.closes <= h.opens)
      OR h.weekday = (%(weekday)s + 6) %% 7 AND h.closes <= h.opens AND h.closes > %(time)s)
  ) OR EXISTS (
    SELECT 1 FROM stores_dayexception e WHERE e.brand_id = %(brand)s AND e.store_id = s.id
      AND e.day IN (%(day)s, %(day)s - 1) AND e.opens IS NOT NULL
  ))"""
_HOURS_SQL = """
SELECT h.store_id, h.weekday, NULL::date, h.opens, h.closes FROM stores_openinghours h
WHERE h.brand_id = %(brand)s AND h.store_id = ANY (%(stores)s)
UNION ALL
SELECT e.store_id, NULL, e.day, e.opens, e.closes FROM stores_dayexception e
WHERE e.brand_id = %(brand)s AND e.store_id = ANY (%(stores)s) AND e.day BETWEEN %(first)s AND %(last)s
ORDER BY 4
"""


def nearest_stores(
    *, lat: float, lng: float, at: datetime, limit: int = 3, only_open: bool = True
) -> list[NearbyStore]:
    """Give the nearest stores (GCJ-02 degrees), nearest first, at most `limit`.

    A bounding box on (brand, lat, lng) grows until it holds enough; hours are only looked up for the nearest in it.
    """
    hours: dict[int, Hours] = {}
    found: list[NearbyStore] = []
    for size in BOX_METRES:
        # The first box has few shops; further out, at night, hours of thousands that are closed would be looked up.
        local = None
        if only_open and size > BOX_METRES[0]:
            local = at.astimezone(ZoneInfo(brand_zone()))
        wanted, full = 2 * limit, True
        while full:
            rows = _in_box(lat, lng, size, wanted, local)
            fresh = [row[0] for row in rows if row[0] not in hours]
            if fresh:
                hours |= opening_hours(fresh, at=at, zone=ZoneInfo(rows[0][8]))
            found = [
                NearbyStore(*row[:7], distance=_arc(row[7]), hours=hours[row[0]])
                for row in rows
                if hours[row[0]].is_open or not only_open
            ]
            # Corners of the box are further away than its sides: only what lies within the radius is certainly nearest.
            within = [store for store in found if store.distance <= size]
            if len(within) >= limit:
                return within[:limit]
            full, wanted = len(rows) == wanted, 4 * wanted  # the box may hold more
    return found[:limit]


def brand_zone() -> str:
    """Give the time zone of the brand in scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT timezone FROM accounts_brand WHERE id = %s", [current_brand_id()])
        row = cursor.fetchone()
    return row[0] if row else "Asia/Shanghai"


def _in_box(
    lat: float, lng: float, size: float, limit: int, open_at: datetime | None
) -> list[tuple[int, str, str, str, str, float, float, float, str]]:
    north = size / METRES_PER_DEGREE
    shrink = max(math.cos(math.radians(min(abs(lat) + north, 89.9))), 0.002)
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "lat": lat,
        "lng": lng,
        "cos": math.cos(math.radians(lat)),
        "north": north,
        "east": min(north / shrink, 180.0),
        "limit": limit,
    }
    if open_at is not None:
        values |= {"weekday": open_at.weekday(), "time": open_at.time(), "day": open_at.date()}
    with connection.cursor() as cursor:
        cursor.execute(_BOX_SQL.format(open="" if open_at is None else _MAYBE_OPEN), values)
        rows: list[tuple[int, str, str, str, str, float, float, float, str]] = cursor.fetchall()
        return rows


def metres(lat1: float, lng1: float, lat2: float, lng2: float) -> float:
    """Give the great-circle distance of two points in metres."""
    p1, p2 = math.radians(lat1), math.radians(lat2)
    dp, dl = p2 - p1, math.radians(lng2 - lng1)
    return _arc(math.sin(dp / 2) ** 2 + math.cos(p1) * math.cos(p2) * math.sin(dl / 2) ** 2)


def _arc(bow: float) -> float:
    return 2 * EARTH_METRES * math.asin(math.sqrt(min(bow, 1.0)))


def opening_hours(store_ids: Sequence[int], *, at: datetime, zone: ZoneInfo) -> dict[int, Hours]:
    """Give the hours of stores at a moment, in one query whatever their number."""
    if not store_ids:
        return {}
    local = at.astimezone(zone)
    week: dict[int, dict[int, list[tuple[time, time]]]] = {pk: {} for pk in store_ids}
    days: dict[int, dict[date, list[tuple[time, time]]]] = {pk: {} for pk in store_ids}
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "stores": list(store_ids),
        "first": local.date() - timedelta(days=1),
        "last": local.date() + timedelta(days=8),
    }
    with connection.cursor() as cursor:
        cursor.execute(_HOURS_SQL, values)
        for store, weekday, day, opens, closes in cursor.fetchall():
            if day is None:
                week[store].setdefault(weekday, []).append((opens, closes))
            else:
                days[store][day] = [(opens, closes)] if opens and closes else []
    return {pk: hours_at(local, week[pk], days[pk]) for pk in store_ids}


def open_time(*, store_id: int, since: datetime, until: datetime, zone: ZoneInfo) -> timedelta | None:
    """Give how much of a span a store was open; None when nobody has said when it opens."""
    week: dict[int, list[tuple[time, time]]] = {}
    days: dict[date, list[tuple[time, time]]] = {}
    values: dict[str, Any] = {
        "brand": current_brand_id(),
        "stores": [store_id],
        "first": since.astimezone(zone).date() - timedelta(days=1),
        "last": until.astimezone(zone).date(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_HOURS_SQL, values)
        for _store, weekday, day, opens, closes in cursor.fetchall():
            if day is None:
                week.setdefault(weekday, []).append((opens, closes))
            else:
                days[day] = [(opens, closes)] if opens and closes else []
    return time_within(since, until, week, days, zone) if week or days else None


def time_within(
    since: datetime,
    until: datetime,
    week: dict[int, list[tuple[time, time]]],
    exceptions: dict[date, list[tuple[time, time]]],
    zone: ZoneInfo,
) -> timedelta:
    """Give how much of a span lies within the hours of a week and its exceptions; hours that overlap count once."""
    spans = []
    day, last = since.astimezone(zone).date() - timedelta(days=1), until.astimezone(zone).date()
    while day <= last:
        for opens, closes in exceptions.get(day, week.get(day.weekday(), [])):
            end = day if closes > opens else day + timedelta(days=1)
            spans.append((datetime.combine(day, opens, zone), datetime.combine(end, closes, zone)))
        day += timedelta(days=1)
    found, reached = timedelta(0), since.astimezone(UTC)
    for start, end in sorted((start.astimezone(UTC), end.astimezone(UTC)) for start, end in spans):
        start, end = max(start, reached), min(end, until.astimezone(UTC))  # noqa: PLW2901 - cut to the span
        if start < end:
            found, reached = found + (end - start), end
    return found


def hours_at(
    local: datetime,
    week: dict[int, list[tuple[time, time]]],
    exceptions: dict[date, list[tuple[time, time]]],
) -> Hours:
    """Give the hours at a local moment from the week and its exceptions.

    A span that closes not after it opens reaches into the next day.
    """

    def spans(day: date) -> Iterable[tuple[time, time]]:
        return exceptions.get(day, week.get(day.weekday(), []))

    today = local.date()
    for day in (today - timedelta(days=1), today):
        for opens, closes in spans(day):
            start = datetime.combine(day, opens, local.tzinfo)
            end = datetime.combine(day if closes > opens else day + timedelta(days=1), closes, local.tzinfo)
            if start <= local < end:
                return Hours(True, closes, None, None, tuple(spans(today)))
    for ahead in range(_LONGEST_CLOSED):
        day = today + timedelta(days=ahead)
        for opens, _closes in sorted(spans(day)):
            if datetime.combine(day, opens, local.tzinfo) > local:
                return Hours(False, None, opens, day, tuple(spans(today)))
    return Hours(False, None, None, None, tuple(spans(today)))
