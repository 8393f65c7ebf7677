"""Which stores are near and open."""

import math
import random
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.tenancy import brand_scope
from stores.models import DayException, OpeningHours, Store
from stores.selectors import hours_at, metres, nearest_stores
from tests.factories import AT, make_store

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2025, 6, 2, 12, tzinfo=SHANGHAI)  # a Monday
WEEK = {day: [(time(10), time(22))] for day in range(7)}
LATE = {day: [(time(11), time(2))] for day in range(7)}


@pytest.mark.parametrize(
    ("week", "exceptions", "at", "is_open", "opens", "day"),
    [
        (WEEK, {}, NOON, True, None, None),
        (WEEK, {}, NOON.replace(hour=10), True, None, None),
        (WEEK, {}, NOON.replace(hour=22), False, time(10), date(2025, 6, 3)),
        (WEEK, {}, NOON.replace(hour=9, minute=59), False, time(10), date(2025, 6, 2)),
        (LATE, {}, NOON.replace(hour=1, minute=59), True, None, None),
        (LATE, {}, NOON.replace(hour=2), False, time(11), date(2025, 6, 2)),
        (WEEK, {date(2025, 6, 2): []}, NOON, False, time(10), date(2025, 6, 3)),
        (LATE, {date(2025, 6, 1): []}, NOON.replace(hour=1), False, time(11), date(2025, 6, 2)),
        (WEEK, {date(2025, 6, 2): [(time(14), time(18))]}, NOON, False, time(14), date(2025, 6, 2)),
        ({}, {}, NOON, False, None, None),
        ({0: [(time(9), time(11)), (time(13), time(15))]}, {}, NOON, False, time(13), date(2025, 6, 2)),
        ({0: [(time(0), time(0))]}, {}, NOON.replace(hour=23), True, None, None),
    ],
)
def test_hours_at_a_moment(week, exceptions, at, is_open, opens, day):
    hours = hours_at(at, week, exceptions)

    assert (hours.is_open, hours.opens, hours.opens_on) == (is_open, opens, day)


def test_nearest_equals_brute_force(in_brand):
    chance = random.Random(7)
    stores = Store.objects.bulk_create(
        Store(code=f"S{n}", name=f"S{n}", lat=chance.uniform(18, 53), lng=chance.uniform(74, 134)) for n in range(300)
    )
    OpeningHours.objects.bulk_create(
        OpeningHours(store=store, weekday=day, opens=time(10), closes=time(22)) for store in stores for day in range(7)
    )
    for _ in range(20):
        lat, lng = chance.uniform(18, 53), chance.uniform(74, 134)
        expected = sorted(stores, key=lambda store: metres(lat, lng, store.lat, store.lng))[:3]

        assert [near.code for near in nearest_stores(lat=lat, lng=lng, at=NOON)] == [store.code for store in expected]


def test_the_only_open_store_is_found_behind_many_closed_ones(in_brand):
    Store.objects.bulk_create(
        Store(code=f"C{n}", name="关", lat=31.2239 + n / 100_000, lng=121.4471) for n in range(120)
    )
    make_store("OPEN", lat=31.24)

    assert [store.code for store in nearest_stores(lat=31.2239, lng=121.4471, at=NOON, limit=2)] == ["OPEN"]


def test_closed_stores_are_passed_over(in_brand):
    near, far = make_store("A", "近"), make_store("B", "远", lat=31.3)
    DayException.objects.create(store=near, day=date(2025, 6, 2), reason="装修")

    assert [store.code for store in nearest_stores(lat=near.lat, lng=near.lng, at=NOON)] == ["B"]
    assert [store.code for store in nearest_stores(lat=near.lat, lng=near.lng, at=NOON, only_open=False)] == ["A", "B"]
    assert far.pk


@pytest.mark.parametrize("hour", [1, 3, 6, 9, 13, 23])
def test_far_away_open_stores_are_those_whose_hours_say_so(in_brand, hour):
    chance, at = random.Random(hour), NOON.replace(hour=hour)
    stores = Store.objects.bulk_create(
        Store(code=f"S{n}", name=f"S{n}", lat=chance.uniform(31, 33), lng=chance.uniform(121, 123)) for n in range(80)
    )
    span = (time(7), time(12), time(18), time(0), time(2), time(5))
    weeks = {store.pk: {day: [tuple(chance.sample(span, 2))] for day in range(7)} for store in stores}
    days = {
        store.pk: {at.date() - timedelta(days=n): chance.choice([[], [tuple(chance.sample(span, 2))]]) for n in (0, 1)}
        for store in stores[::3]
    }
    OpeningHours.objects.bulk_create(
        OpeningHours(store_id=pk, weekday=day, opens=opens, closes=closes)
        for pk, week in weeks.items()
        for day, [(opens, closes)] in week.items()
    )
    DayException.objects.bulk_create(
        DayException(
            store_id=pk, day=day, reason="", **dict(zip(("opens", "closes"), *spans, strict=True) if spans else ())
        )
        for pk, found in days.items()
        for day, spans in found.items()
    )
    expected = [
        store.code
        for store in sorted(stores, key=lambda store: metres(32, 122, store.lat, store.lng))
        if hours_at(at, weeks[store.pk], days.get(store.pk, {})).is_open
    ]
    assert 3 < len(expected) < 80

    assert [near.code for near in nearest_stores(lat=32, lng=122, at=at, limit=80)] == expected
    assert [near.code for near in nearest_stores(lat=32, lng=122, at=at, limit=3)] == expected[:3]


def test_number_of_stores_does_not_change_the_number_of_queries(in_brand, django_assert_num_queries):
    make_store("A")
    with django_assert_num_queries(2):
        nearest_stores(lat=31.2239, lng=121.4471, at=NOON, limit=1)
    for number in range(5):
        make_store(f"N{number}")
    with django_assert_num_queries(2):
        nearest_stores(lat=31.2239, lng=121.4471, at=NOON, limit=1)


def test_another_brands_stores_are_not_near(brand, other_brand):
    with brand_scope(other_brand.pk):
        make_store()
    with brand_scope(brand.pk):
        assert nearest_stores(lat=31.2239, lng=121.4471, at=NOON) == []


def test_distance_is_the_great_circle():
    assert math.isclose(metres(0, 0, 0, 1), 111_195, rel_tol=1e-4)
    assert metres(31.2, 121.4, 31.2, 121.4) == 0
    assert AT + timedelta(hours=4) == NOON - timedelta(days=1)
