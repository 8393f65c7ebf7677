"""Questions about stores: which are near, which are open, which a role reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.db import connection

from accounts.roles import DataScope
from accounts.tenancy import current_brand_id
from stores.models import DayException, OpeningHours, Store, StoreGrant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from accounts.viewer import Viewer

EARTH_METRES = 6_371_008.8
METRES_PER_DEGREE = 111_320.0
FIRST_BOX_METRES = 5_000.0
WIDEST_BOX_METRES = 20_100_000.0


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


def store_ids_of_grant(grant_id: int | None) -> list[int]:
    """Give the stores a role with the scope “own stores” reaches."""
    return list(StoreGrant.objects.filter(grant_id=grant_id).order_by("store_id").values_list("store_id", flat=True))


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


def nearest_stores(
    *, lat: float, lng: float, at: datetime, limit: int = 3, only_open: bool = True
) -> list[NearbyStore]:
    """Give the nearest stores (GCJ-02 degrees), nearest first, at most `limit`.

    A bounding box on (brand, lat, lng) grows until it holds enough; distance is exact (haversine, metres).
    """
    zone = ZoneInfo(brand_zone())
    found: list[NearbyStore] = []
    size = FIRST_BOX_METRES
    seen = -1
    while True:
        rows = _in_box(lat, lng, size)
        if len(rows) != seen:
            seen = len(rows)
            hours = opening_hours([row[0] for row in rows], at=at, zone=zone)
            found = [
                NearbyStore(*row[:7], distance=metres(lat, lng, row[5], row[6]), hours=hours[row[0]])
                for row in rows
                if hours[row[0]].is_open or not only_open
            ]
            found.sort(key=lambda store: (store.distance, store.id))
        # Corners of the box are further away than its sides: only what lies within the radius is certainly nearest.
        within = [store for store in found if store.distance <= size]
        if len(within) >= limit:
            return within[:limit]
        if size >= WIDEST_BOX_METRES:
            return found[:limit]
        size *= 4


def brand_zone() -> str:
    """Give the time zone of the brand in scope."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT timezone FROM accounts_brand WHERE id = %s", [current_brand_id()])
        row = cursor.fetchone()
    return row[0] if row else "Asia/Shanghai"


def _in_box(lat: float, lng: float, size: float) -> list[tuple[int, str, str, str, str, float, float]]:
    north = size / METRES_PER_DEGREE
    shrink = max(math.cos(math.radians(min(abs(lat) + north, 89.9))), 0.002)
    east = min(north / shrink, 180.0)
    rows = (
        Store.objects.filter(is_active=True, lat__range=(lat - north, lat + north), lng__range=(lng - east, lng + east))
        .order_by("pk")
        .values_list("pk", "code", "name", "address", "telephone", "lat", "lng")
    )
    return list(rows)  # type: ignore[arg-type]


def metres(lat1: float, lng1: float, lat2: float, lng2: float) -> float:
    """Give the great-circle distance of two points in metres."""
    p1, p2 = math.radians(lat1), math.radians(lat2)
    dp, dl = p2 - p1, math.radians(lng2 - lng1)
    a = math.sin(dp / 2) ** 2 + math.cos(p1) * math.cos(p2) * math.sin(dl / 2) ** 2
    return 2 * EARTH_METRES * math.asin(math.sqrt(min(a, 1.0)))


def opening_hours(store_ids: Sequence[int], *, at: datetime, zone: ZoneInfo) -> dict[int, Hours]:
    """Give the hours of stores at a moment, in two queries whatever their number."""
    local = at.astimezone(zone)
    week: dict[int, dict[int, list[tuple[time, time]]]] = {pk: {} for pk in store_ids}
    for row in OpeningHours.objects.filter(store_id__in=store_ids).order_by("opens"):
        week[row.store_id].setdefault(row.weekday, []).append((row.opens, row.closes))
    days: dict[int, dict[date, list[tuple[time, time]]]] = {pk: {} for pk in store_ids}
    window = (local.date() - timedelta(days=1), local.date() + timedelta(days=8))
    for exception in DayException.objects.filter(store_id__in=store_ids, day__range=window):
        spans = [(exception.opens, exception.closes)] if exception.opens and exception.closes else []
        days[exception.store_id][exception.day] = spans
    return {pk: hours_at(local, week[pk], days[pk]) for pk in store_ids}


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
    for ahead in range(9):
        day = today + timedelta(days=ahead)
        for opens, _closes in sorted(spans(day)):
            if datetime.combine(day, opens, local.tzinfo) > local:
                return Hours(False, None, opens, day, tuple(spans(today)))
    return Hours(False, None, None, None, tuple(spans(today)))
