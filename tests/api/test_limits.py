"""How often somebody may call: exact limits, per brand, and no limit at all while Redis is away."""

import threading

import pytest

from accounts.rest.throttling import Buckets, Rate, caller_address
from tests.api.conftest import Caller

SLOW = 0.001  # a second: nothing comes back while a test runs
NOBODY = {"appid": "wx0000000000000000", "code": "x"}


def statuses(call, times):
    return [call().status_code for _ in range(times)]


def test_member_limit_is_exact_and_says_how_long_to_wait(a, settings):
    settings.API_RATES = settings.API_RATES | {"member": (3, 0.05)}

    assert statuses(lambda: a.me.get("/me/guide/"), 4) == [200, 200, 200, 429]

    answer = a.me.get("/me/guide/")
    assert (answer.json()["error"]["code"], 15 <= int(answer.headers["Retry-After"]) <= 20) == ("throttled", True)


def test_limits_are_each_members_and_each_keys_own(a, b, settings):
    settings.API_RATES = settings.API_RATES | {"member": (2, SLOW), "key": (1, SLOW)}
    assert statuses(lambda: a.me.get("/me/guide/"), 3) == [200, 200, 429]

    assert a.session()[1].get("/me/guide/").status_code == 429  # the same person on another phone
    assert b.me.get("/me/guide/").status_code == 200
    assert statuses(lambda: a.system.get("/tags/"), 2) == [200, 429]
    assert a.key("segments.read").get("/tags/").status_code == 200
    assert b.system.get("/tags/").status_code == 200


def test_errors_do_not_reset_a_limit(a, settings):
    settings.API_RATES = settings.API_RATES | {"member": (3, SLOW)}

    calls = [
        a.me.get("/me/guide/"),
        a.me.patch("/me/", {"x": 1}),
        a.me.send("PATCH", "/me/", b"{"),
        a.me.get("/me/guide/"),
    ]

    assert [answer.status_code for answer in calls] == [200, 422, 400, 429]


def test_log_in_limit_is_per_address_and_forged_headers_change_nothing(db, settings):
    settings.API_RATES = settings.API_RATES | {"log-in": (2, SLOW)}
    caller = Caller()

    def log_in(**more):
        return caller.send("POST", "/session/", '{"appid": "wx0000000000000000", "code": "x"}', **more)

    assert [log_in(HTTP_X_FORWARDED_FOR=f"10.0.0.{n}").status_code for n in range(3)] == [401, 401, 429]
    assert log_in(REMOTE_ADDR="192.0.2.7").status_code == 401


def test_phone_limit_is_per_member(a, settings):
    settings.API_RATES = settings.API_RATES | {"phone": (1, SLOW)}

    answers = [a.me.post("/me/phone/", {"code": ""}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [422, 429]
    assert a.me.get("/me/").status_code == 200


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, "1.1.1.1", "127.0.0.1"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "9.9.9.9, 1.1.1.1", "1.1.1.1"),
        (2, "9.9.9.9, 1.1.1.1, 10.0.0.1", "1.1.1.1"),
        (2, "1.1.1.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
    ],
)
def test_address_is_what_our_own_proxies_say(rf, settings, hops, forwarded, address):
    settings.TRUSTED_PROXY_HOPS = hops

    assert caller_address(rf.get("/", HTTP_X_FORWARDED_FOR=forwarded)) == address


def test_burst_of_many_at_once_is_exact(settings):
    buckets = Buckets(settings.CACHES["default"]["LOCATION"])
    waits = []

    def run():
        waits.extend(buckets.take("zhiyin:global:bucket:test", Rate(100, SLOW)) for _ in range(125))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(waits), sum(wait == 0 for wait in waits)) == (1000, 100)


def test_nobody_is_refused_while_redis_is_away(a, settings, caplog):
    settings.API_RATES = settings.API_RATES | {"member": (1, SLOW)}
    settings.CACHES = {
        **settings.CACHES,
        "default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/1"},
    }

    assert statuses(lambda: a.me.get("/me/guide/"), 3) == [200, 200, 200]
    assert [record.message for record in caplog.records if "rate limits" in record.message] == [
        "rate limits are off for 5 s: ConnectionError"
    ]
