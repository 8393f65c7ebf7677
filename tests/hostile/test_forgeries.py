"""Nothing but WeChat gets in: forgeries, replays, other brands' pushes, the echo of the set-up page (S1, S2, S3, S14)."""

import asyncio
from collections import Counter

import pytest

from accounts.tenancy import brand_scope
from tests.hostile.conftest import running
from tests.hostile.forgery import REFUSED, moved_digit, mutants, right_request
from tests.hostile.sizes import figure, size
from tests.wechat_gateway import forge
from wechat_gateway.events import LANES
from wechat_gateway.models import InboundPush
from wechat_gateway.registries import on_event
from wechat_gateway.services import handle_inbound

pytestmark = pytest.mark.timeout(900)  # sizes are chosen from outside

MESSAGES = [forge.text_message(content=f"第 {n} 句", msgid=str(10**16 + n)) for n in range(8)] + [
    forge.event(name, EventKey=f"key{n}") for n, name in enumerate(["subscribe", "unsubscribe", "CLICK", "SCAN"])
]


def rights_of(brands, count):
    pairs = [(brand, message) for message in MESSAGES for brand in brands]
    return [right_request(*pairs[n % len(pairs)], nonce=str(1_000_000_000 + n)) for n in range(count)]


def stored(brands):
    found = []
    for account in brands:
        with brand_scope(account.brand_id):
            found += InboundPush.objects.all()
    return found


def test_right_requests_are_right(brands, own_registries, at):
    """Without this, every other test here would pass with a gateway that refuses everything."""

    async def story():
        async with running() as caller:
            return [
                (await caller.request("POST", f"/wx/{right.path_token}", right.query_string, right.body)).body
                for right in rights_of(brands, 36)
            ]

    assert asyncio.run(story()) == [b"success"] * 36
    assert len(stored(brands)) == 36


def test_no_forgery_is_accepted(brands, own_registries, at):
    rights = rights_of(brands, 50)
    wrong, kinds, places = [], Counter(), set()

    async def story():
        async with running() as caller:
            for what, path, query, body in mutants(rights, size("mutants")):
                kinds[what.partition("[")[0]] += 1
                places.add(what)
                answer = await caller.request("POST", path, query, body)
                if answer != REFUSED:
                    wrong.append((what, answer))
            return caller.application.counters

    counters = asyncio.run(story())
    assert wrong == []
    assert sum(kinds.values()) >= size("mutants")
    assert len(kinds) >= 15
    assert {f"cipher[{position}]" for position in range(len(rights[0].encrypted))} <= places
    assert stored(brands) == []
    assert {name.partition(" ")[0] for name in counters} == {"refused"}
    figure("S1", "forgeries accepted", f"0 of {sum(kinds.values())}", "0")


def test_replays_have_no_second_effect(brands, own_registries, at):
    effects = Counter()

    @on_event("text", "subscribe", "unsubscribe", "CLICK", "SCAN", key="test.count")
    def count(push):
        effects[push.account_id, push.msgid or push.key, push.kind] += 1

    # Ten distinct pushes of each of two brands, each captured five times with fresh nonces.
    rights = [
        right_request(brand, message, nonce=f"{n}9")
        for brand in (brands[0], brands[2])
        for message in MESSAGES[:10]
        for n in range(5)
    ]
    distinct = {(right.path_token, right.inner) for right in rights}

    async def story():
        answers = Counter()
        async with running() as caller:

            async def replay(moment, times, change=lambda right: right, path_token=None):
                at(moment)
                changed = [change(right) for right in rights]
                for _ in range(times):
                    found = await asyncio.gather(
                        *(
                            caller.request(
                                "POST", f"/wx/{path_token or right.path_token}", right.query_string, right.body
                            )
                            for right in changed
                        )
                    )
                    for answer in found:
                        answers[moment, answer.status, answer.body] += 1

            await replay(0, 20)
            await replay(240, 20)
            await replay(360, 20)
            await replay(86_400, 20)
            await replay(1, 10, moved_digit)
            await replay(2, 10, path_token=brands[1].path_token)
        return answers

    answers = asyncio.run(story())
    each = len(rights)
    assert each == 100
    assert answers == {
        (0, 200, b"success"): each * 20,
        (240, 200, b"success"): each * 20,
        (360, 403, b""): each * 20,
        (86_400, 403, b""): each * 20,
        (1, 403, b""): each * 10,
        (2, 403, b""): each * 10,
    }
    for account in brands:
        for lane in range(LANES):
            handle_inbound(brand_id=account.brand_id, lane=lane, at=account.connected_at)
    assert len(stored(brands)) == len(distinct) == len(effects)
    assert set(effects.values()) == {1}
    figure("S2", "extra effects of replays", f"0 of {sum(answers.values())}", "0")


def crossed(a, b):
    """Pushes that somebody with real keys sends to the wrong place (S3)."""
    message = forge.text_message()
    of_a = right_request(a, message)
    keys_a = {"appid": a.appid, "aes_key": a.encoding_aes_key.reveal()}
    signed = {"token": a.callback_token.reveal()}

    def made(inner, **changes):
        encrypted = forge.encrypt(inner, **{**keys_a, **changes})
        return forge.as_query(forge.query_of(encrypted, **signed)), forge.envelope(encrypted).encode()

    return {
        "a's push at b's address": (b, of_a.query_string, of_a.body),
        "a's keys, b's original id": (a, *made(message.replace(forge.ORIGINAL_ID, b.original_id))),
        "b's appid": (a, *made(of_a.inner, appid=b.appid)),
        "no appid": (a, *made(of_a.inner, appid="")),
        "longer appid": (a, *made(of_a.inner, appid=a.appid + "0")),
        "shorter appid": (a, *made(of_a.inner, appid=a.appid[:-1])),
        "appid in capitals": (a, *made(of_a.inner, appid=a.appid.upper())),
        "appid and a zero byte": (a, *made(of_a.inner, appid=a.appid + "\x00")),
        "b's message key": (a, *made(of_a.inner, aes_key=b.encoding_aes_key.reveal())),
    }


def test_push_is_bound_to_its_brand(brands, own_registries, at):
    a, b, _ = brands

    async def story():
        async with running() as caller:
            return {
                what: await caller.request("POST", f"/wx/{account.path_token}", query, body)
                for what, (account, query, body) in crossed(a, b).items()
            }

    answers = asyncio.run(story())
    assert answers == dict.fromkeys(answers, REFUSED)
    assert stored(brands) == []
    assert all(len(account.path_token) * 6 >= 128 and str(account.pk) != account.path_token for account in brands)
    figure("S3", "pushes of other brands accepted", f"0 of {len(answers)}", "0")


RIGHT_ECHO = forge.query_of(None)
ECHOES = {
    "right": (RIGHT_ECHO | {"echostr": "3871938471"}, "", b"3871938471"),
    "markup": (RIGHT_ECHO | {"echostr": "<script>alert(1)</script>"}, "", b"<script>alert(1)</script>"),
    "1 KB": (RIGHT_ECHO | {"echostr": "e" * 1024}, "", b"e" * 1024),
    "line break": (RIGHT_ECHO | {"echostr": "a\r\nSet-Cookie: x=1"}, "", b"a\r\nSet-Cookie: x=1"),
    "1 KB and 1 byte": (RIGHT_ECHO | {"echostr": "e" * 1025}, "", None),
    "10 KB": (RIGHT_ECHO | {"echostr": "e" * 10_240}, "", None),
    "none": (RIGHT_ECHO, "", None),
    "empty": (RIGHT_ECHO | {"echostr": ""}, "", None),
    "twice": (RIGHT_ECHO | {"echostr": "1"}, "&echostr=2", None),
    "list": (RIGHT_ECHO | {"echostr": "1"}, "&echostr[]=2", None),
    "wrong signature": (RIGHT_ECHO | {"echostr": "1", "signature": "0" * 40}, "", None),
    "no signature": ({"timestamp": RIGHT_ECHO["timestamp"], "nonce": forge.NONCE, "echostr": "1"}, "", None),
    "stale": (forge.query_of(None, timestamp=str(int(forge.NOW) - 301)) | {"echostr": "1"}, "", None),
    "signature of a push": (forge.query_of("x") | {"echostr": "1"}, "&signature=1", None),
}


@pytest.mark.parametrize("what", ECHOES)
def test_echo_of_the_set_up_page(brands, own_registries, at, what):
    values, extra, expected = ECHOES[what]

    async def story():
        async with running() as caller:
            path = f"/wx/{brands[0].path_token}"
            return (
                await caller.request("GET", path, forge.as_query(values, extra)),
                await caller.request("GET", path, forge.as_query(values, extra), body=b"x"),
                await caller.request("GET", "/wx/" + "A" * 32, forge.as_query(values, extra)),
            )

    answer, with_body, unknown = asyncio.run(story())
    assert with_body == unknown == REFUSED
    if expected is None:
        assert answer == REFUSED
    else:
        assert (answer.status, answer.body) == (200, expected)
        assert dict(answer.headers)[b"content-type"] == b"text/plain; charset=utf-8"
        assert dict(answer.headers)[b"x-content-type-options"] == b"nosniff"
