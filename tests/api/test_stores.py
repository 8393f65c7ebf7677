"""Stores: nearest first, page by page, one by its code."""

from datetime import UTC, datetime, time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from common import clock
from stores.models import OpeningHours, Store
from tests.factories import make_store

HERE = {"lat": "31.2239", "lng": "121.4471"}


@pytest.fixture
def noon(monkeypatch):
    """Twelve o'clock in Shanghai, for the product's clock."""
    at = datetime(2026, 11, 21, 4, 0, tzinfo=UTC).timestamp()
    monkeypatch.setattr(clock.time, "time", lambda: at)


def always_open(store):
    OpeningHours.objects.filter(store=store).update(opens=time(0), closes=time(0))


def test_nearest_stores_come_with_distance_and_hours(a, b):
    with brand_scope(a.brand.pk):
        far = make_store("S2", "远店", lat=31.3239, lng=121.4471)
        always_open(far)
        always_open(a.store)

    answer = a.me.get("/stores/nearby/", **HERE).json()["results"]

    assert [(row["code"], row["distance"]) for row in answer] == [("S1", 0), ("S2", 11120)]
    assert answer[0]["hours"] == {
        "is_open": True,
        "closes": "00:00",
        "opens": None,
        "opens_on": None,
        "today": [{"opens": "00:00", "closes": "00:00"}],
    }
    assert [row["name"] for row in b.me.get("/stores/nearby/", **HERE).json()["results"]] == ["灶山店"]


def test_only_open_stores_when_asked(a):
    with brand_scope(a.brand.pk):
        OpeningHours.objects.all().delete()
        always_open(make_store("S2", "远店", lat=31.3239, lng=121.4471))

    assert [row["code"] for row in a.me.get("/stores/nearby/", **HERE, open="true").json()["results"]] == ["S2"]
    closed = a.me.get("/stores/nearby/", **HERE, open="false", limit="1").json()["results"]
    assert [(row["code"], row["hours"]["is_open"], row["hours"]["opens"]) for row in closed] == [("S1", False, None)]


def test_nearest_is_capped(a):
    with brand_scope(a.brand.pk):
        Store.objects.bulk_create(Store(code=f"M{n}", name=f"{n}", lat=31.2, lng=121.4) for n in range(30))

    assert len(a.me.get("/stores/nearby/", **HERE).json()["results"]) == 10
    assert len(a.me.get("/stores/nearby/", **HERE, limit="20").json()["results"]) == 20
    refused = a.me.get("/stores/nearby/", **HERE, limit="21")
    assert (refused.status_code, "20" in refused.json()["error"]["fields"][0]["message"]) == (422, True)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"lat": "31.2"},
        {"lat": "121.4", "lng": "31.2"},
        {"lat": "0", "lng": "0"},
        {"lat": "NaN", "lng": "121"},
        {"lat": "inf", "lng": "121"},
        {"lat": "1e1", "lng": "121"},
        {"lat": "0x1f", "lng": "121"},
        {"lat": "31,2", "lng": "121"},
        {"lat": "31.2", "lng": "180.1"},
        {"lat": "31.2", "lng": "121.4", "limit": "0"},
        {"lat": "31.2", "lng": "121.4", "limit": "-1"},
        {"lat": "31.2", "lng": "121.4", "limit": "1.0"},
        {"lat": "31.2", "lng": "121.4", "limit": "9223372036854775808"},
        {"lat": "31.2", "lng": "121.4", "limit": "true"},
        {"lat": "31.2", "lng": "121.4", "open": "1"},
        {"lat": "31.2", "lng": "121.4", "radius": "1000000000"},
        {"lat": "31.2", "lng": "121.4", "brand": "zaoshan"},
        {"lat": ["31.2", "31.3"], "lng": "121.4"},
        {"lat": "31.2", "lng": "121.4", "ordering": "brand__data_key"},
    ],
)
def test_positions_that_are_refused(a, query):
    assert a.me.get("/stores/nearby/", **query).status_code == 422


def test_stores_are_listed_page_by_page_by_code(a, b):
    with brand_scope(a.brand.pk):
        for number in range(2, 6):
            make_store(f"S{number}", f"店{number}")
        Store.objects.filter(code="S4").update(is_active=False)

    pages, cursor = [], None
    while True:
        page = a.me.get("/stores/", page_size="2", **({"cursor": cursor} if cursor else {})).json()
        pages.append([row["code"] for row in page["results"]])
        cursor = page["next"]
        if cursor is None:
            break

    assert pages == [["S1", "S2"], ["S3", "S5"]]
    assert [row["code"] for row in a.system.get("/stores/", city="上海").json()["results"]] == ["S1", "S2", "S3", "S5"]
    assert a.me.get("/stores/", city="成都").json()["results"] == []
    assert [row["name"] for row in b.me.get("/stores/", city="成都").json()["results"]] == ["灶山店"]


def test_store_by_code(a, b):
    with brand_scope(b.brand.pk):
        make_store("ONLY-B", "灶山二店")

    assert a.me.get("/stores/S1/").json()["name"] == "澜屿店"
    answers = [
        a.me.get(f"/stores/{code}/")
        for code in ("ONLY-B", "missing", "%00", "0", "-1", "9" * 40, "a%20b", "%F0%9F%98%80")
    ]
    assert [answer.status_code for answer in answers] == [404] * 8
    assert len({answer.content for answer in answers}) == 1


def test_stores_need_a_scope_of_a_key(a):
    paths = ("/stores/", "/stores/S1/", "/stores/nearby/?lat=31&lng=121")

    assert [a.key("stores.read").send("GET", path).status_code for path in paths[:2]] == [200, 200]
    assert [a.key("members.read").send("GET", path).status_code for path in paths[:2]] == [403, 403]


@pytest.mark.parametrize("rows", [1, 3])
def test_list_takes_the_same_queries_whatever_its_length(a, rows):
    with brand_scope(a.brand.pk):
        for number in range(2, rows + 1):
            make_store(f"S{number}", f"店{number}")
    a.me.get("/stores/")

    with CaptureQueriesContext(connection) as queries:
        answer = a.me.get("/stores/")

    assert (len(answer.json()["results"]), len(queries)) == (rows, 6)
