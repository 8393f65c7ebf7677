"""The gateway from request to row: kept before it is answered, answered once, refused alike."""

import asyncio
import re
import threading
import time
from collections import Counter
from datetime import timedelta

import psycopg2
import pytest
from django.db import connection

from accounts.models import Brand
from accounts.tenancy import brand_scope
from tests.wechat_gateway import forge
from tests.wechat_gateway.conftest import NOW, Answered, make_account
from wechat_gateway import asgi, intake, services
from wechat_gateway.asgi import MAX_BODY
from wechat_gateway.checks import callback_finding
from wechat_gateway.models import InboundPush, OfficialAccount
from wechat_gateway.pulse import OWN_NONCE
from wechat_gateway.registries import compiles, on_event, reply_to
from wechat_gateway.replies import Text
from wechat_gateway.ringing import Ringer

REFUSED = Answered(403, [(b"content-length", b"0")], b"")
NOT_ALLOWED = 405


def rows(account):
    with brand_scope(account.brand_id):
        return list(InboundPush.objects.order_by("pk"))


def run(work):
    return asyncio.run(work)


def opened(answer):
    """The plain reply inside an encrypted answer."""
    encrypted = answer.body.split(b"<Encrypt><![CDATA[")[1].split(b"]]>")[0]
    from wechat_gateway import codec

    return codec._decrypt(forge.keys(), encrypted, forge.NOW)[0].decode()


def test_push_is_stored_before_it_is_acknowledged(gateway, committed_account):
    async def story():
        async with gateway() as caller:
            return await caller.push(committed_account, forge.text_message())

    answer = run(story())
    assert (answer.status, answer.body) == (200, b"success")
    (row,) = rows(committed_account)
    assert (row.kind, row.openid, row.state, row.body) == ("text", forge.OPENID, "NEW", forge.text_message())
    assert row.account_id == committed_account.pk


def test_push_tried_three_times_is_one_row_with_one_reply(gateway, committed_account):
    counts = iter(range(10))

    @reply_to("text", key="test.counts")
    def count(push, book):
        return Text(f"answer {next(counts)}")

    async def story():
        async with gateway() as caller:
            first = await caller.push(committed_account, forge.text_message())
            again = await asyncio.gather(
                *(caller.push(committed_account, forge.text_message(), nonce=f"1{n}") for n in range(2))
            )
            return first, *again

    answers = run(story())
    contents = [opened(answer) for answer in answers]
    assert "answer 0" in contents[0]
    assert contents[1:] == contents[:1] * 2
    assert len(rows(committed_account)) == 1


def test_copies_that_come_at_once_get_one_reply(gateway, committed_account):
    counts = iter(range(100))

    @reply_to("text", key="test.counts")
    def count(push, book):
        return Text(f"answer {next(counts)}")

    async def story():
        async with gateway() as caller:
            return await asyncio.gather(
                *(
                    caller.push(committed_account, forge.text_message(msgid=str(10**9 + n % 20)), nonce=str(n))
                    for n in range(60)
                ),
            )

    answers = run(story())
    assert len({opened(answer) for answer in answers}) == 20
    assert len(rows(committed_account)) == 20


def test_same_message_id_with_other_content_goes_to_quarantine(gateway, committed_account):
    async def story():
        async with gateway() as caller:
            await caller.push(committed_account, forge.text_message(content="a"))
            return await caller.push(committed_account, forge.text_message(content="b"))

    assert run(story()).body == b"success"
    assert [(row.state, row.reason) for row in rows(committed_account)] == [
        ("NEW", ""),
        ("QUARANTINED", "MSGID_REUSED"),
    ]


def test_two_brands_may_get_equal_message_ids(gateway, committed_account):
    other = make_account(appid="wxaaaaaaaaaaaaaaaa", original_id="gh_other")
    message = forge.text_message()
    other_message = message.replace(forge.ORIGINAL_ID, "gh_other")

    async def story():
        async with gateway() as caller:
            await caller.push(committed_account, message)
            await caller.push(other, other_message, appid="wxaaaaaaaaaaaaaaaa")

    run(story())
    assert [row.brand_id for row in rows(committed_account) + rows(other)] == [
        committed_account.brand_id,
        other.brand_id,
    ]


def test_a_thousand_interleaved_pushes_of_two_brands_never_cross(gateway, committed_account):
    """Equal people, equal message ids, at once: each brand keeps, answers and handles its own five hundred only."""
    other = make_account(appid="wxaaaaaaaaaaaaaaaa", original_id="gh_other")
    brand_ids = {committed_account.brand_id: "甲", other.brand_id: "乙"}
    crossed, handled = [], []

    @reply_to("text", key="test.whose")
    def whose(push, book):
        return Text(f"{brand_ids[push.brand_id]} {push.content}")

    @on_event("text", key="test.handled")
    def note(push):
        seen = set(InboundPush.objects.values_list("brand_id", flat=True))
        handled.append((push.brand_id, push.content))
        if seen != {push.brand_id} or not push.content.startswith(brand_ids[push.brand_id]):
            crossed.append((push.brand_id, push.content, seen))

    def message(mark, number):
        return forge.text_message(f"{mark}{number}", msgid=str(1000 + number), openid=f"oPerson{number % 50:021d}")

    async def story():
        async with gateway() as caller:
            pushes = []
            for number in range(500):
                pushes.append(caller.push(committed_account, message("甲", number)))
                text = message("乙", number).replace(forge.ORIGINAL_ID, "gh_other")
                pushes.append(caller.push(other, text, appid="wxaaaaaaaaaaaaaaaa"))
            return await asyncio.gather(*pushes)

    answers = run(story())
    assert {answer.status for answer in answers} == {200}
    for account, mark in ((committed_account, "甲"), (other, "乙")):
        kept = rows(account)
        assert len(kept) == 500
        assert all(f"<![CDATA[{mark}" in row.body for row in kept)
        assert all(f"<![CDATA[{mark} {mark}" in row.reply for row in kept)
    for brand_id, lane in {(row.brand_id, row.lane) for row in (*rows(committed_account), *rows(other))}:
        services.handle_inbound(brand_id=brand_id, lane=lane, at=NOW)
    assert crossed == []
    assert sorted(Counter(brand_id for brand_id, _content in handled).values()) == [500, 500]


def test_authentic_but_unreadable_push_is_kept_and_acknowledged(gateway, committed_account):
    insides = [b"\x00\xff", "<xml><MsgType>文".encode("gbk"), b"<!DOCTYPE x><xml/>", b"{", b"<xml/>"]

    async def story():
        async with gateway() as caller:
            return [await caller.push(committed_account, inside) for inside in insides for _ in range(2)]

    assert {(answer.status, answer.body) for answer in run(story())} == {(200, b"success")}
    found = rows(committed_account)
    assert [row.state for row in found] == ["QUARANTINED"] * len(insides)
    assert [row.reason for row in found] == ["FORMAT", "XML", "DOCTYPE", "JSON", "TO_USER"]
    assert [row.is_binary for row in found] == [True, True, False, False, False]


def test_every_refusal_has_the_same_bytes_and_leaves_nothing(gateway, committed_account):
    other = make_account(appid="wxaaaaaaaaaaaaaaaa", original_id="gh_other", callback_token="otherToken")
    right_query, right_body = forge.push(forge.text_message())
    path = f"/wx/{committed_account.path_token}"

    async def story():
        async with gateway() as caller:
            attempts = [
                (path, b"", b""),
                (path, right_query.replace(b"msg_signature=", b"msg_signature=0"), right_body),
                (path, right_query, right_body.replace(b"<Encrypt>", b"<encrypt>")),
                (path, *forge.plain_push(forge.text_message())),
                (path, *forge.push(forge.text_message(), appid="wxffffffffffffffff")),
                (path, *forge.push(forge.text_message().replace(forge.ORIGINAL_ID, "gh_other"))),
                (f"/wx/{other.path_token}", right_query, right_body),
                ("/wx/" + "A" * 32, right_query, right_body),
                (path + "/", right_query, right_body),
                (f"/wx/{committed_account.path_token.swapcase()}", right_query, right_body),
                (path.upper(), right_query, right_body),
                ("/wx/", right_query, right_body),
            ]
            return [await caller.request("POST", where, query, body) for where, query, body in attempts]

    answers = run(story())
    assert answers[:-2] == [REFUSED] * (len(answers) - 2)
    assert answers[-1] == REFUSED
    assert answers[-2].status == 404  # another path altogether, without a word about accounts
    assert rows(committed_account) == rows(other) == []


def test_encoded_slash_in_the_path_is_refused(gateway, committed_account):
    query, body = forge.push(forge.text_message())
    path = f"/wx/{committed_account.path_token}"

    async def story():
        async with gateway() as caller:
            return await caller.request("POST", path + "/", query, body, raw_path=f"{path}%2f".encode())

    assert run(story()) == REFUSED


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_not_allowed(gateway, committed_account, method):
    async def story():
        async with gateway() as caller:
            return await caller.request(
                method, f"/wx/{committed_account.path_token}", *forge.push(forge.text_message())
            )

    assert run(story()).status == NOT_ALLOWED


def test_large_bodies_are_cut_before_they_are_read(gateway, committed_account):
    path = f"/wx/{committed_account.path_token}"

    async def story():
        async with gateway() as caller:
            declared = await caller.request(
                "POST", path, body=b"x", headers=[(b"content-length", str(MAX_BODY + 1).encode())]
            )
            read_of_declared = caller.taken
            chunked = await caller.request("POST", path, chunks=[b"x" * 16_384] * 100)
            read_of_chunked = caller.taken
            just = await caller.request("POST", path, chunks=[b"x" * 32_768] * 2)
            compressed = await caller.request("POST", path, body=b"x", headers=[(b"content-encoding", b"gzip")])
            return declared, read_of_declared, chunked, read_of_chunked, just, compressed

    declared, read_of_declared, chunked, read_of_chunked, just, compressed = run(story())
    assert (declared.status, read_of_declared) == (413, 0)
    assert (chunked.status, read_of_chunked) == (413, 5)
    assert just.status == 403
    assert compressed.status == 413


def test_slow_body_is_given_up(gateway, committed_account, monkeypatch):
    monkeypatch.setattr("wechat_gateway.asgi.BODY_SECONDS", 0.05)

    async def story():
        async with gateway() as caller:
            return await caller.request("POST", f"/wx/{committed_account.path_token}", chunks=[])

    assert run(story()).status == 408


def test_body_that_comes_late_and_in_pieces_is_read(gateway, committed_account):
    query, body = forge.push(forge.text_message())
    pieces = [body[:100], body[100:200], body[200:]]

    async def story():
        async with gateway() as caller:
            sent = []

            async def receive():
                await asyncio.sleep(0.01)
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

            async def send(message):
                sent.append(message)

            path = f"/wx/{committed_account.path_token}"
            scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": query}
            scope |= {"headers": [(b"host", b"127.0.0.1")], "client": ("10.0.0.1", 1)}
            await caller.application(scope, receive, send)
            return sent

    start, end = run(story())
    assert (start["status"], end["body"]) == (200, b"success")
    assert len(rows(committed_account)) == 1


def test_wrong_host_is_a_bad_request(gateway, committed_account):
    query, body = forge.push(forge.text_message())

    async def story():
        async with gateway() as caller:
            return [
                (await caller.application_call(host, committed_account, query, body)).status
                for host in (b"evil.example", b"", b"127.0.0.1:80")
            ]

    async def application_call(self, host, account, query, body):
        sent = {}

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.setdefault("status", message.get("status"))

        await self.application(
            {"type": "http", "method": "POST", "path": f"/wx/{account.path_token}", "query_string": query,
             "raw_path": f"/wx/{account.path_token}".encode(), "headers": [(b"host", host)]},
            receive, send,
        )  # fmt: skip
        return Answered(sent["status"], [], b"")

    from tests.wechat_gateway.conftest import Caller

    Caller.application_call = application_call
    assert run(story()) == [400, 400, 200]


def test_url_verification_echoes_as_plain_text(gateway, committed_account):
    query = forge.as_query(forge.query_of(None), "&echostr=%3Cb%3E")

    async def story():
        async with gateway() as caller:
            path = f"/wx/{committed_account.path_token}"
            return (
                await caller.request("GET", path, query),
                await caller.request("GET", path, query, b"body"),
                await caller.request("GET", path, query.replace(b"nonce=1", b"nonce=2")),
            )

    echo, with_body, wrong = run(story())
    assert (echo.status, echo.body, dict(echo.headers)[b"content-type"]) == (200, b"<b>", b"text/plain; charset=utf-8")
    assert with_body == wrong == REFUSED


def test_json_push_gets_a_json_reply(gateway, committed_account):
    import orjson

    @reply_to("CLICK", key="test.click")
    def click(push, book):
        return Text(f"key {push.key}")

    message = {"ToUserName": forge.ORIGINAL_ID, "FromUserName": forge.OPENID, "CreateTime": int(forge.NOW),
               "MsgType": "event", "Event": "CLICK", "EventKey": "V1"}  # fmt: skip
    encrypted = forge.encrypt(orjson.dumps(message))
    body = orjson.dumps({"ToUserName": forge.ORIGINAL_ID, "Encrypt": encrypted})

    async def story():
        async with gateway() as caller:
            query = forge.as_query(forge.query_of(encrypted))
            return await caller.request("POST", f"/wx/{committed_account.path_token}", query, body)

    sealed = orjson.loads(run(story()).body)
    from wechat_gateway import codec

    inner = orjson.loads(codec._decrypt(forge.keys(), sealed["Encrypt"].encode(), forge.NOW)[0])
    assert inner["Content"] == "key V1"
    assert sealed["MsgSignature"] == forge.sign(
        forge.TOKEN, str(sealed["TimeStamp"]), sealed["Nonce"], sealed["Encrypt"]
    )


# -- passive replies --------------------------------------------------------------------------------------------------


def test_first_replier_that_answers_wins_and_a_broken_one_does_no_harm(gateway, committed_account):
    @reply_to("text", key="test.broken", rank=1)
    def broken(push, book):
        raise RuntimeError

    @reply_to("text", key="test.silent", rank=2)
    def silent(push, book):
        return None

    @reply_to("*", key="test.any", rank=4)
    def anything(push, book):
        return Text("any")

    @reply_to("TEXT", "text", key="test.words", rank=3)
    def words(push, book):
        return Text(f"you said {push.content}")

    async def story():
        async with gateway() as caller:
            return await caller.push(committed_account, forge.text_message(content="hi"))

    assert "you said hi" in opened(run(story()))


def test_reading_replier_sees_its_brand_only_and_may_not_write(gateway, committed_account):
    make_account(appid="wxaaaaaaaaaaaaaaaa")

    @reply_to("text", key="test.writes", rank=1, reads=True)
    def writes(push, book):
        services.bump_replies_version(account_id=push.account_id)
        return Text("written")

    @reply_to("text", key="test.reads", rank=2, reads=True)
    def reads(push, book):
        return Text(f"{OfficialAccount.objects.count()} account")

    async def story():
        async with gateway() as caller:
            return await caller.push(committed_account, forge.text_message())

    assert "1 account" in opened(run(story()))


def test_late_replier_is_not_waited_for(gateway, committed_account):
    answered = threading.Event()

    @reply_to("text", key="test.late", reads=True)
    def late(push, book):
        answered.wait(60)  # whoever waits for this replier waits for itself
        return Text("late")

    async def story():
        async with gateway() as caller:
            answer = await caller.push(committed_account, forge.text_message())
            answered.set()
            return answer

    assert run(story()).body == b"success"


def counts_accounts(push, book):
    return lambda: ("SELECT count(*) AS accounts FROM wechat_gateway_officialaccount", ())


def test_question_of_a_replier_sees_its_brand_only(gateway, committed_account):
    make_account(appid="wxaaaaaaaaaaaaaaaa")

    @reply_to("text", key="test.asks_nothing", rank=1, asks=lambda push, book: None)
    def unasked(push, book, rows):
        return Text("must not be called")

    @reply_to("text", key="test.asks", rank=2, asks=counts_accounts)
    def asked(push, book, rows):
        return Text(f"{rows[0]['accounts']} account")

    async def story():
        async with gateway() as caller:
            return await caller.push(committed_account, forge.text_message())

    assert "1 account" in opened(run(story()))


def test_question_that_fails_takes_no_other_answer_with_it(gateway, committed_account, monkeypatch):
    monkeypatch.setattr(asgi, "READING_REPLIER_SECONDS", 20)  # however busy the machine is
    statements = {"good": "SELECT 1 AS one", "wrong": "SELECT 1 / 0 AS one", "slow": "SELECT pg_sleep(30) AS one"}

    @reply_to("text", key="test.asks", asks=lambda push, book: lambda: (statements[push.content], ()))
    def asked(push, book, rows):
        return Text(f"{rows[0]['one']} read")

    async def story():
        async with gateway() as caller:
            words = ["good", "wrong", "good", "slow", "good"]
            pushes = (
                caller.push(committed_account, forge.text_message(content=word, msgid=str(1000 + number)))
                for number, word in enumerate(words)
            )
            return list(zip(words, await asyncio.gather(*pushes), strict=True))

    for word, answer in run(story()):
        assert ("1 read" in opened(answer)) if word == "good" else (answer.body == b"success")


def test_reply_book_is_compiled_anew_when_the_rules_change(gateway, committed_account):
    compiled = []

    @compiles("test.rules")
    def compile_rules(account_id):
        compiled.append(OfficialAccount.objects.get(pk=account_id).replies_version)
        return f"rules {compiled[-1]}"

    @reply_to("text", key="test.book")
    def from_book(push, book):
        return Text(book.get("test.rules"))

    def change():
        with brand_scope(committed_account.brand_id):
            services.bump_replies_version(account_id=committed_account.pk)

    async def story():
        async with gateway() as caller:
            first = opened(await caller.push(committed_account, forge.text_message(msgid="1")))
            await asyncio.to_thread(change)
            deadline = time.monotonic() + 30
            number = 1
            while time.monotonic() < deadline:
                number += 1
                answer = opened(await caller.push(committed_account, forge.text_message(msgid=str(number))))
                if "rules 2" in answer:
                    return first, answer
                await asyncio.sleep(0.05)
            return first, answer

    first, second = run(story())
    assert "rules 1" in first
    assert "rules 2" in second
    assert compiled == [1, 2]


# -- the account directory --------------------------------------------------------------------------------------------


def test_new_account_is_found_within_moments_and_a_closed_one_forgotten(gateway, committed_account):
    def close():
        with brand_scope(committed_account.brand_id):
            services.set_active(account=committed_account, is_active=False)

    async def story():
        async with gateway() as caller:
            new = await asyncio.to_thread(make_account, appid="wxbbbbbbbbbbbbbbbb")
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                fresh = await caller.push(new, forge.text_message(), appid="wxbbbbbbbbbbbbbbbb")
                if fresh.status != 403:
                    break
                await asyncio.sleep(0.05)
            await asyncio.to_thread(close)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                closed = await caller.push(committed_account, forge.text_message())
                if closed.status == 403:
                    break
                await asyncio.sleep(0.05)
            return fresh, closed

    fresh, closed = run(story())
    assert fresh.status == 200
    assert closed == REFUSED


def test_unknown_address_is_refused_without_waiting_for_anything(gateway, committed_account):
    """Whoever waited for PostgreSQL would tell by the time which addresses there are; the look comes afterwards."""

    async def story():
        async with gateway() as caller:
            looks = []
            caller.application.directory._try_refresh = lambda: looks.append(1)
            refusal = caller.request("POST", "/wx/" + "A" * 32, *forge.push(forge.text_message()))
            with pytest.raises(StopIteration) as ended:
                refusal.send(None)  # a request that waits for anything gives that back instead of ending
            deadline = time.monotonic() + 30
            while not looks and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            return ended.value.value, looks

    answer, looks = run(story())
    assert answer == REFUSED
    assert looks


def test_books_are_there_before_the_first_push_and_for_new_accounts(gateway, committed_account):
    compiled = []

    @compiles("test.rules")
    def compile_rules(account_id):
        compiled.append(account_id)
        return "rules"

    async def story():
        async with gateway() as caller:
            early = list(compiled)
            new = await asyncio.to_thread(make_account, appid="wxbbbbbbbbbbbbbbbb")
            deadline = time.monotonic() + 30
            while len(compiled) < 2 and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            await caller.push(new, forge.text_message(), appid="wxbbbbbbbbbbbbbbbb")
            return early, new

    early, new = run(story())
    assert early == [committed_account.pk]
    assert compiled == [committed_account.pk, new.pk]


def test_brand_that_is_switched_off_is_refused(gateway, committed_account):
    Brand.objects.filter(pk=committed_account.brand_id).update(is_active=False)

    async def story():
        async with gateway() as caller:
            return await caller.push(committed_account, forge.text_message())

    assert run(story()) == REFUSED


def test_reply_is_sealed_with_the_old_key_during_a_rotation(gateway, committed_account):
    @reply_to("text", key="test.hi")
    def hello(push, book):
        return Text("hi")

    with brand_scope(committed_account.brand_id):
        services.change_callback_keys(
            account=committed_account,
            callback_token=forge.TOKEN,
            encoding_aes_key=forge.OLD_AES_KEY,
            at=committed_account.connected_at,
        )

    async def story():
        async with gateway() as caller:
            return (
                await caller.push(committed_account, forge.text_message(msgid="1")),
                await caller.push(committed_account, forge.text_message(msgid="2"), aes_key=forge.OLD_AES_KEY),
            )

    under_old, under_new = run(story())
    assert "hi" in opened(under_old)
    assert under_new.status == 200


def test_both_tokens_hold_during_a_rotation_and_the_old_one_no_longer_than_that(gateway, committed_account):
    @reply_to("text", key="test.hi")
    def hello(push, book):
        return Text("hi")

    def rotate(ago):
        with brand_scope(committed_account.brand_id):
            services.change_callback_keys(
                account=OfficialAccount.objects.get(),
                callback_token="NewToken2026",
                encoding_aes_key=forge.OLD_AES_KEY,
                at=NOW - ago,
            )

    old, new = {}, {"token": "NewToken2026", "aes_key": forge.OLD_AES_KEY}

    async def story():
        async with gateway() as caller:
            return [
                await caller.push(committed_account, forge.text_message(msgid=str(number)), **how)
                for number, how in enumerate((old, new, {"token": "NeitherOfThem"}))
            ]

    rotate(timedelta(minutes=59))
    under_old, under_new, under_none = run(story())
    # Whoever still has the old token checks the reply with it.
    assert signed_with(under_old, forge.TOKEN)
    assert signed_with(under_new, "NewToken2026")
    assert under_none == REFUSED

    with brand_scope(committed_account.brand_id):
        OfficialAccount.objects.update(previous_key_until=NOW)
    under_old, under_new, _ = run(story())
    assert under_old == REFUSED
    assert signed_with(under_new, "NewToken2026")


def signed_with(answer, token):
    """Whether a sealed reply carries the signature of a token."""
    parts = dict(re.findall(r"<(\w+)>(?:<!\[CDATA\[)?([^<\]]+)", answer.body.decode().removeprefix("<xml>")))
    return parts["MsgSignature"] == forge.sign(token, parts["TimeStamp"], parts["Nonce"], parts["Encrypt"])


def test_a_second_rotation_does_not_bring_back_what_is_over(committed_account):
    at, account = NOW, committed_account
    first, second = forge.AES_KEY, forge.OLD_AES_KEY

    def change(token, key, hours):
        with brand_scope(account.brand_id):
            row = OfficialAccount.objects.get()
            services.change_callback_keys(
                account=row, callback_token=token, encoding_aes_key=key, at=at + timedelta(hours=hours)
            )
            found = row.previous_callback_token, row.previous_encoding_aes_key
            return tuple(secret.reveal() if secret else "" for secret in found)

    assert change(forge.TOKEN, second, 0) == ("", first)
    # Half an hour later the token is changed, too: WeChat may still use what stood there at first.
    assert change("NewToken2026", second, 0.5) == (forge.TOKEN, first)
    # A day later only the token is changed: the key of yesterday is over and stays so.
    assert change("NewToken2027", second, 24) == ("NewToken2026", "")


# -- PostgreSQL and Redis away ----------------------------------------------------------------------------------------


def test_push_without_postgresql_is_spilt_and_written_later(gateway, committed_account):
    async def story():
        async with gateway() as caller:
            intake = caller.application.intake
            real, intake._dsn = intake._dsn, "host=127.0.0.1 port=1"
            intake._lost(psycopg2.OperationalError("gone"))
            answers = await asyncio.gather(
                *(caller.push(committed_account, forge.text_message(msgid=str(n))) for n in range(1, 6))
            )
            assert await asyncio.to_thread(rows, committed_account) == []
            intake._dsn = real
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and len(await asyncio.to_thread(rows, committed_account)) < 5:
                await asyncio.sleep(0.05)
            return answers

    assert [(answer.status, answer.body) for answer in run(story())] == [(200, b"success")] * 5
    assert len(rows(committed_account)) == 5


def test_push_without_postgresql_and_redis_is_asked_for_again(gateway, committed_account):
    async def story():
        async with gateway() as caller:
            intake = caller.application.intake
            intake._dsn = "host=127.0.0.1 port=1"
            intake._spill = None
            intake._lost(psycopg2.OperationalError("gone"))
            return await caller.push(committed_account, forge.text_message())

    assert run(story()) == Answered(503, [(b"content-length", b"0"), (b"retry-after", b"1")], b"")
    assert rows(committed_account) == []


def test_gateway_stops_even_when_redis_swallows_being_told_to(gateway):
    """A client whose time is up in the same moment raises a timeout of its own."""

    async def oldest(_count):
        if reading.is_set():
            return []
        reading.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            raise TimeoutError from error

    async def story():
        async with gateway() as caller:
            caller.application.intake._spill.oldest = oldest
            await reading.wait()

    reading = asyncio.Event()
    run(asyncio.wait_for(story(), 10))
    assert reading.is_set()


def test_connection_that_was_ended_is_opened_again(gateway, committed_account):
    def end_it():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'zhiyin-gateway'")
            return [pid for (pid,) in cursor.fetchall()]

    async def story():
        async with gateway() as caller:
            await caller.push(committed_account, forge.text_message(msgid="1"))
            caller.application.intake._connection.close()
            caller.application.intake._lost(psycopg2.OperationalError("ended"))
            answer = await caller.push(committed_account, forge.text_message(msgid="2"))
            return answer, caller.application.intake.counters["spilt"]

    answer, spilt = run(story())
    assert (answer.status, spilt) == (200, 0)
    assert len(rows(committed_account)) == 2


def test_row_that_cannot_be_stored_spoils_nobody_else(gateway, committed_account):
    from wechat_gateway.intake import NotKept, Row

    def row(number, **changes):
        key = f"{number:032x}"
        values = {"brand_id": committed_account.brand_id, "account_id": committed_account.pk, "dedupe_key": key,
                  "digest": key, "kind": "text", "openid": "o", "lane": 0, "event_at": forge.NOW,
                  "received_at": forge.NOW, "body": "x"}  # fmt: skip
        return Row(**{**values, **changes})

    async def story():
        async with gateway() as caller:
            kept = [caller.application.intake.keep(row(number)) for number in range(9)]
            bad = caller.application.intake.keep(row(99, account_id=10**9))
            return await asyncio.gather(*kept, bad, return_exceptions=True)

    *kept, bad = run(story())
    assert [type(end).__name__ for end in kept] == ["Kept"] * 9
    assert isinstance(bad, NotKept)
    assert len(rows(committed_account)) == 9


# -- operations -------------------------------------------------------------------------------------------------------


def test_health_and_metrics_say_little(gateway, committed_account, settings):
    settings.METRICS_TOKEN = "metrics-token"

    async def story():
        async with gateway() as caller:
            await caller.push(committed_account, forge.text_message())
            token = [(b"authorization", b"Bearer metrics-token")]
            return [
                await caller.request("GET", "/healthz"),
                await caller.request("GET", "/readyz"),
                await caller.request("GET", "/metrics"),
                await caller.request("GET", "/metrics", headers=token),
                await caller.request("GET", "/"),
            ]

    health, ready, hidden, metrics, nothing = run(story())
    assert (health.status, health.body, ready.status, hidden.status, nothing.status) == (200, b"ok", 200, 404, 404)
    assert b'zhiyin_gateway_total{what="accepted"} 1' in metrics.body
    assert forge.APPID.encode() not in metrics.body


def test_waking_the_workers_is_asked_for_once_per_lane(gateway, committed_account):
    rung = []

    async def story():
        async with gateway(rung.extend) as caller:
            await asyncio.gather(
                *(caller.push(committed_account, forge.text_message(msgid=str(n))) for n in range(1, 40))
            )

    run(story())
    (row, *_) = rows(committed_account)
    assert set(rung) == {(committed_account.brand_id, row.lane)}
    assert len(rung) <= 3


def test_broker_that_is_away_does_not_reach_the_callback(gateway, committed_account):
    def refuse(lanes):
        raise OSError

    async def story():
        async with gateway(refuse) as caller:
            return await caller.push(committed_account, forge.text_message())

    assert run(story()).status == 200


def test_many_lanes_are_rung_for_in_few_calls():
    calls = []
    ringer = Ringer(calls.append)
    due = {(brand, lane) for brand in range(1, 11) for lane in range(8)}
    ringer.ring(due)
    ringer.start()
    ringer.stop()
    assert sorted(pair for call in calls for pair in call) == sorted(due)
    assert len(calls) <= 4


def test_waiting_for_postgresql_and_then_for_redis_leaves_time_to_refuse_within_two_seconds():
    assert intake.PATIENCE_SECONDS + intake.TICK_SECONDS + intake.SPILL_SECONDS <= 1.6


def test_token_that_was_mistyped_is_named_within_moments(gateway, committed_account):
    """WeChat verifies the address with its own token: the page says so without anybody reading a log."""

    async def scenario():
        async with gateway() as caller:
            values = forge.query_of(None, token="anotherToken0123") | {"echostr": "123456"}
            answer = await caller.request("GET", f"/wx/{committed_account.path_token}", forge.as_query(values))
            await caller.application.pulse.flush()
            refused = await asyncio.to_thread(callback_finding, committed_account)
            values = forge.query_of(None) | {"echostr": "123456"}
            good = await caller.request("GET", f"/wx/{committed_account.path_token}", forge.as_query(values))
            await caller.application.pulse.flush()
            return answer.status, refused, good.status, await asyncio.to_thread(callback_finding, committed_account)

    refused_status, refused, status, verified = asyncio.run(scenario())

    assert (refused_status, refused.result, refused.reason) == (403, "FAILED", "SIGNATURE")
    assert (status, verified.result) == (200, "PASSED")


def test_our_own_question_proves_no_visit_of_wechat(gateway, committed_account):
    async def scenario():
        async with gateway() as caller:
            values = forge.query_of(None, nonce=f"{OWN_NONCE}123") | {"echostr": "123456"}
            answer = await caller.request("GET", f"/wx/{committed_account.path_token}", forge.as_query(values))
            await caller.application.pulse.flush()
            return answer.status, await asyncio.to_thread(callback_finding, committed_account)

    status, found = asyncio.run(scenario())

    assert (status, found.reason) == (200, "WAITING")
