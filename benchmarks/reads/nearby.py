"""Asks for the nearest open stores in three ways, on demand: a line `<way> <number>` in, a line of JSON out.

Runs in the product's environment on a server that has PostGIS, with the same stores in both forms.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection  # noqa: E402 - Django must be set up first

from accounts.tenancy import brand_scope  # noqa: E402
from stores.selectors import brand_zone, nearest_stores, opening_hours  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 3
# Half past eleven: some shops are open and some not, whatever the hour of the run. At night all would be searched.
AT = datetime.now(ZoneInfo("Asia/Shanghai")).replace(hour=11, minute=30)
# The usual PostGIS form: the nearest by the GiST index on the geography, exact metres, as many as our own form takes.
_POSTGIS = """
SELECT id, code, name, address, telephone, lat, lng, ST_Distance(place, %(here)s::geography) FROM bench_stores
WHERE brand_id = %(brand)s AND is_active ORDER BY place <-> %(here)s::geography LIMIT %(limit)s
"""
_BARE = """
SELECT id, code, name, address, telephone, lat, lng FROM stores_store
WHERE brand_id = %(brand)s AND is_active AND lat BETWEEN %(lat)s - 0.045 AND %(lat)s + 0.045
  AND lng BETWEEN %(lng)s - 0.053 AND %(lng)s + 0.053
"""


def ours(_brand: int, lat: float, lng: float) -> list[str]:
    """The product's selector."""
    return [store.code for store in nearest_stores(lat=lat, lng=lng, at=AT, limit=LIMIT)]


def postgis(brand: int, lat: float, lng: float) -> list[str]:
    """Neighbours by PostGIS, hours by the product: more are asked for until enough are open."""
    zone, wanted = ZoneInfo(brand_zone()), 2 * LIMIT
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_POSTGIS, {"brand": brand, "here": f"SRID=4326;POINT({lng} {lat})", "limit": wanted})
            rows = cursor.fetchall()
        hours = opening_hours([row[0] for row in rows], at=AT, zone=zone)
        found = [row[1] for row in rows if hours[row[0]].is_open]
        if len(found) >= LIMIT or len(rows) < wanted:
            return found[:LIMIT]
        wanted *= 4


def bare(brand: int, lat: float, lng: float) -> list[str]:
    """The bounding box alone: neither distance nor hours; what our form cannot be faster than."""
    with connection.cursor() as cursor:
        cursor.execute(_BARE, {"brand": brand, "lat": lat, "lng": lng})
        return [row[1] for row in cursor.fetchall()]


WAYS: dict[str, Callable[[int, float, float], list[str]]] = {"ours": ours, "postgis": postgis, "bare": bare}


def _cpu(backend: int) -> float:
    spent = int(Path(f"/proc/{backend}/schedstat").read_text().split()[0]) / 1e9
    return time.process_time() + spent


def main() -> None:
    """Answer lines until there are no more."""
    brand = int(sys.argv[1])
    chance = random.Random(3)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend: Any = cursor.fetchone()
    for line in sys.stdin:
        name, number = line.split()
        places = [(31.1 + chance.random() * 0.4, 121.2 + chance.random() * 0.4) for _ in range(int(number))]
        before, started = _cpu(backend[0]), time.perf_counter()
        answers = []
        for lat, lng in places:
            with brand_scope(brand):
                answers.append(WAYS[name](brand, lat, lng))
        spent, lasted = _cpu(backend[0]) - before, time.perf_counter() - started
        differing = 0
        if name == "postgis":
            for (lat, lng), answer in zip(places, answers, strict=True):
                with brand_scope(brand):
                    differing += answer != ours(brand, lat, lng)
        print(
            json.dumps({"us": spent / len(places) * 1e6, "wall": lasted / len(places) * 1e6, "differing": differing}),
            flush=True,
        )


if __name__ == "__main__":
    main()
