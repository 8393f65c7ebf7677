"""Keys over HTTP: many posts at once, another body, another caller and brand, days later, and a crash at any call."""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from accounts.rest import throttling
from accounts.tenancy import brand_scope
from common import clock
from loyalty.invariants import breaches
from loyalty.models import Journal
from loyalty.selectors import points as selectors
from tests.api import contract
from tests.api.conftest import Caller, make_side
from tests.factories import AT
from tests.loyalty.conftest import earn

POSTS = int(os.environ.get("ZHIYIN_POSTS", "48"))
THREADS = 8

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sides(db):
    found = [make_side("lanyu", "澜屿", "上海"), make_side("zaoshang", "灶上", "成都")]
    for side in found:
        with brand_scope(side.brand.pk):
            earn(side.member, 1_000, at=AT)
    return found


def burn(side, caller=None, *, points=10, key="order-1"):
    path = f"/members/{side.member.member_no}/points/burn/"
    return (caller or side.system).post(path, {"key": key, "points": points})


def stands(side):
    with brand_scope(side.brand.pk):
        assert breaches() == []
        return Journal.objects.filter(kind="BURN").count(), selectors.balance_of(side.member.pk).available


def test_many_posts_with_one_key_are_one_act_and_one_answer(sides, monkeypatch):
    monkeypatch.setattr(throttling.Throttle, "allow_request", lambda *_asked: True)
    side, other = sides
    header = side.system._headers
    contract.description()  # made once, before many want it at once
    gate = threading.Barrier(THREADS)

    def share(mine):
        caller = Caller(**header)
        try:
            gate.wait(timeout=30)
            return [(answer.status_code, answer.content) for answer in (burn(side, caller) for _post in mine)]
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        heard = [
            each for part in pool.map(share, [range(POSTS)[at::THREADS] for at in range(THREADS)]) for each in part
        ]

    statuses = Counter(status for status, _body in heard)
    assert set(statuses) <= {201, 409}
    assert len({body for status, body in heard if status == 201}) == 1
    assert stands(side) == (1, 990)
    first = next(body for status, body in heard if status == 201)

    refused = burn(side, points=11)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "key_reused")
    assert burn(side, side.key("points.write")).status_code == 201  # keys are the caller's own
    assert burn(other).status_code == 201  # and the brand's
    assert (stands(side), stands(other)) == ((2, 980), (1, 990))

    tomorrow = clock.now() + timedelta(hours=25)
    monkeypatch.setattr(clock, "now", lambda: tomorrow)
    again = burn(side)
    assert (again.status_code, again.content, stands(side)) == (201, first, (2, 980))


class Crash:
    """The database is gone from the nth statement of a request on."""

    def __init__(self, after):
        self.left, self.fired = after, False

    def __call__(self, execute, sql, params, many, context):
        if self.left == 0:
            self.fired = True
            raise OperationalError("the connection was cut")
        self.left -= 1
        return execute(sql, params, many, context)


@pytest.mark.long(10)
def test_a_post_that_dies_at_any_statement_is_done_once_when_it_is_sent_again(sides):
    side = sides[0]
    side.system._http.raise_request_exception = False
    crashed, number = 0, 0
    while True:
        key, crash = f"order-{number}", Crash(number)
        with connection.execute_wrapper(crash):
            answer = side.system._http.generic(
                "POST",
                f"/api/v1/members/{side.member.member_no}/points/burn/",
                f'{{"key": "{key}", "points": 1}}',
                content_type="application/json",
                headers=side.system._headers,
            )
        if not crash.fired:
            assert answer.status_code == 201
            break
        assert answer.status_code in (500, 503), number
        assert stands(side) == (crashed, 1_000 - crashed)  # what failed had no effect
        assert burn(side, points=1, key=key).status_code == 201
        assert burn(side, points=1, key=key).status_code == 201
        crashed, number = crashed + 1, number + 1
        assert stands(side) == (crashed, 1_000 - crashed)
    assert crashed >= 12
