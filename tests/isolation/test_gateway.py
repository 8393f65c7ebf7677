"""Callbacks on one brand's path that name what is another's: its people, scenes, messages, keys, ids. No effect on it.

Each push names something of B and, in the same place, something nobody has: A answers alike and keeps alike, and B's
rows stay as they are. The gateway is the real application, without a network before it.
"""

import asyncio
import os
import re
import time
import uuid
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from accounts.tenancy import brand_scope
from campaigns.models import Delivery
from common import clock
from conversations.models import ButtonTap, ButtonUse
from members.models import Follower
from tests.isolation import layers
from tests.isolation import world as worlds
from tests.isolation.cells import Cells
from tests.isolation.matrix.console import MARKS
from tests.wechat_gateway import forge
from tests.wechat_gateway.conftest import Caller
from touchpoints.models import Touchpoint
from wechat_gateway import codec, services, tokens
from wechat_gateway.asgi import Gateway
from wechat_gateway.models import InboundPush, OfficialAccount

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

NOBODY = "oNobody000000000000000000001"
MSGID, NO_MSGID = 5_000_000_007, 5_000_000_008


class WeChat:
    """Sends pushes to a gateway and lets them be handled."""

    def __init__(self, runner, gateway):
        self._runner, self._caller = runner, Caller(gateway)

    def request(self, method, path_token, query, body=b""):
        return self._runner.run(self._caller.request(method, f"/wx/{path_token}", query, body))

    def push(self, account, message, **changes):
        """A push on an account's path in its keys, or in others where `changes` says so."""
        how = {
            "token": account.callback_token.reveal(),
            "aes_key": account.encoding_aes_key.reveal(),
            "appid": account.appid,
            "original_id": account.original_id,
        } | changes
        message = message.replace(forge.ORIGINAL_ID, how["original_id"])
        sealed = forge.encrypt(message, appid=how["appid"], aes_key=how["aes_key"])
        query = forge.query_of(sealed, timestamp=str(int(time.time())), nonce=uuid.uuid4().hex, token=how["token"])
        body = forge.envelope(sealed).replace(forge.ORIGINAL_ID, how["original_id"])
        return self.request("POST", how.get("path_token", account.path_token), forge.as_query(query), body.encode())

    def echo(self, account, token="", path_token=""):
        """The question that WeChat asks when an address is entered; it names nothing but the token."""
        values = forge.query_of(
            None,
            timestamp=str(int(time.time())),
            nonce=uuid.uuid4().hex,
            token=token or account.callback_token.reveal(),
        )
        return self.request("GET", path_token or account.path_token, forge.as_query(values | {"echostr": "12345"}))


def opened(answer, account):
    """What an answer says inside, whatever it is sealed with and in whatever second."""
    if b"<Encrypt>" not in answer.body:
        return f"{answer.status} {answer.body.decode()}"
    sealed = answer.body.split(b"<Encrypt><![CDATA[")[1].split(b"]]>")[0]
    keys = forge.keys(aes_key=account.encoding_aes_key.reveal(), appid=account.appid.encode())
    inside = codec._decrypt(keys, sealed, time.time())[0].decode()
    return f"{answer.status} {re.sub('<CreateTime>[0-9]+<', '<CreateTime>…<', inside)}"


@pytest.fixture
def stage(monkeypatch):
    """Two committed brands and a gateway that knows their accounts; one net may be taken away."""
    layer = os.environ.get("ZHIYIN_ISOLATION_PASS", "real")
    tokens.forget_cached()
    with ExitStack() as stack:
        if layer == "rls-off":
            stack.enter_context(layers.row_security_off())
        layers.spread_sequences(5_000_000)
        a, b = worlds.make_a(), worlds.make_b()
        with brand_scope(b.brand.pk):
            Delivery.objects.filter(pk=b.far[Delivery].pk).update(msgid=MSGID, state="ACCEPTED", final_at=None)
        if layer == "guard-open":
            stack.enter_context(layers.guard_open())
        runner = stack.enter_context(asyncio.Runner())
        gateway = Gateway(lambda lanes: None)
        runner.run(gateway.start())
        stack.callback(lambda: runner.run(gateway.stop()))
        stack.callback(tokens.forget_cached)

        async def connected():
            deadline = time.monotonic() + 30
            while not (gateway.intake.connected and gateway.directory.loaded) and time.monotonic() < deadline:
                await asyncio.sleep(0.01)

        runner.run(connected())
        yield SimpleNamespace(a=a, b=b, wechat=WeChat(runner, gateway), cells=Cells("gateway"))


def handle(furnished):
    """Let a brand's waiting pushes be handled, as its worker would."""
    with brand_scope(furnished.brand.pk):
        lanes = set(InboundPush.objects.filter(state="NEW").values_list("lane", flat=True))
    for lane in lanes:
        services.handle_inbound(brand_id=furnished.brand.pk, lane=lane, at=clock.now())


def kept(furnished):
    """How many rows of each kind a brand has, and the digest of all of them."""
    with transaction.atomic():
        found = worlds.everything_of(furnished.brand)
    assert found["wechat_gateway.InboundPush"][0] > 0  # or nothing was looked at
    return found


def counts(found):
    return {label: count for label, (count, _digest) in found.items()}


def grown(before, after):
    return {label: count - before[label] for label, count in after.items() if count != before[label]}


def event(name, openid, **fields):
    return forge.event(name, openid=openid, created=int(time.time()), **fields)


def text(openid, msgid, content="几点"):
    return forge.text_message(content, msgid=msgid, openid=openid, created=int(time.time()))


def about_people(stage):
    """Everything a follower can do, by somebody who follows B and by nobody anybody knows."""
    theirs = stage.b.far[Follower].openid
    for name, fields in {
        "subscribe": {},
        "SCAN": {"EventKey": "s-none", "Ticket": "x"},
        "CLICK": {"EventKey": "menu"},
        "VIEW": {"EventKey": "https://example.com/"},
        "LOCATION": {"Latitude": "31.2", "Longitude": "121.4", "Precision": "1"},
        "user_authorization_revoke": {"OpenID": "{}", "RevokeInfo": "101"},
        "user_authorization_cancellation": {"OpenID": "{}"},
        "unsubscribe": {},
    }.items():
        yield (
            f"{name} of a person of B",
            *(
                event(name, who, **{key: value.replace("{}", who) for key, value in fields.items()})
                for who in (theirs, NOBODY)
            ),
        )
    yield "text of a person of B", text(theirs, "77001"), text(NOBODY, "77002")


def about_things(stage):
    """Scenes, tickets, messages that are B's, by somebody new to A."""
    theirs = stage.b.far[Touchpoint]
    for number, (name, prefix) in enumerate((("subscribe", "qrscene_"), ("SCAN", ""))):
        who, like = f"oScanner{number}0000000000000000001", f"oScanner{number}0000000000000000002"
        yield (
            f"{name} by a code of B",
            event(name, who, EventKey=f"{prefix}{theirs.scene}", Ticket=theirs.ticket),
            event(name, like, EventKey=f"{prefix}{theirs.scene[:-1]}Q", Ticket=f"{theirs.ticket[:-1]}Q"),
        )
    openid = stage.b.far[Delivery].openid
    yield (
        "result of a message of B",
        event("TEMPLATESENDJOBFINISH", openid, MsgID=str(MSGID), Status="failed:user block"),
        event("TEMPLATESENDJOBFINISH", openid, MsgID=str(NO_MSGID), Status="failed:user block"),
    )


def test_what_is_another_brands_is_like_nothing(stage):
    cells, account = stage.cells, stage.a.near[OfficialAccount]
    before_b = kept(stage.b)
    for what, named, unnamed in [*about_people(stage), *about_things(stage)]:
        said, left = [], []
        for message in (named, unnamed):
            with brand_scope(stage.a.brand.pk):
                ButtonUse.objects.all().delete()
                ButtonTap.objects.all().delete()  # one a day is kept, so the first of two would differ from the second
            before = counts(kept(stage.a))
            answer = stage.wechat.push(account, message)
            handle(stage.a)
            left.append(grown(before, counts(kept(stage.a))))
            said.append(opened(answer, account))
            cells.expect(not any(mark in said[-1] for mark in MARKS), what, "answer", saw=said[-1])
            cells.expect(answer.status == 200 and left[-1].get("wechat_gateway.InboundPush") == 1, what, "kept")
        people = (stage.b.far[Follower].openid, NOBODY, "000000000001]", "000000000002]")
        for who in people:
            said = [each.replace(who, "#") for each in said]
        cells.expect(said[0] == said[1], what, "answered like none", saw=said)
        cells.expect(left[0] == left[1], what, "kept like none", saw=left)
        cells.expect(kept(stage.b) == before_b, what, "rows of B")
    with brand_scope(stage.a.brand.pk):
        states = set(InboundPush.objects.filter(pk__gt=stage.a.far[InboundPush].pk).values_list("state", flat=True))
    cells.expect(states == {"HANDLED"}, "every push was handled", saw=states)
    cells.close()


def test_same_message_in_both_brands_is_two(stage):
    """The twins share an app, its keys, a person and a message number: only the path tells whose push it is."""
    cells, message = stage.cells, text(stage.a.near[Follower].openid, "77100")
    accounts = [side.near[OfficialAccount] for side in (stage.b, stage.a)]
    cells.expect(accounts[0].callback_token.reveal() == accounts[1].callback_token.reveal(), "the twins share keys")
    answers = []
    for furnished, account in zip((stage.b, stage.a), accounts, strict=True):
        before = counts(kept(furnished))
        answers.append(opened(stage.wechat.push(account, message), account))
        handle(furnished)
        cells.expect(
            grown(before, counts(kept(furnished))).get("wechat_gateway.InboundPush") == 1, "kept by", furnished.brand
        )
    cells.expect(worlds.CANARY in answers[0], "B answers with its own rule", saw=answers[0])
    cells.expect("十点开门" in answers[1], "A answers with its own rule", saw=answers[1])
    cells.close()


def test_keys_and_names_of_another_brand_open_nothing(stage):
    cells, own, theirs = stage.cells, stage.a.near[OfficialAccount], stage.b.far[OfficialAccount]
    none = {
        "token": "tokenNobodyHas",
        "aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
        "appid": "wx00000000000000ff",
        "original_id": "gh_0000000000ff",
        "path_token": "NobodyHasThisPathToken0",
    }
    of_b = {
        "token": theirs.callback_token.reveal(),
        "aes_key": theirs.encoding_aes_key.reveal(),
        "appid": theirs.appid,
        "original_id": theirs.original_id,
        "path_token": theirs.path_token,
    }
    cells.expect(stage.wechat.echo(own).body == b"12345", "own echo")
    before = [kept(stage.a), kept(stage.b)]
    message = text(NOBODY, "77200")
    asked = [
        (stage.wechat.push, (message,), what)
        for what in (
            ("token",), ("aes_key",), ("appid",), ("original_id",), ("path_token",), ("appid", "original_id"),
            ("token", "aes_key"), ("token", "aes_key", "appid"), ("token", "aes_key", "appid", "original_id"),
        )
    ]  # fmt: skip
    asked += [(stage.wechat.echo, (), what) for what in (("token",), ("path_token",))]
    for ask, arguments, what in asked:
        answers = [ask(own, *arguments, **{each: values[each] for each in what}) for values in (of_b, none)]
        cells.expect(answers[0] == answers[1], ask.__name__, *what, "like none", saw=answers)
        cells.expect(answers[0].status == 403 and not answers[0].body, ask.__name__, *what, "refused", saw=answers)
    cells.expect([kept(stage.a), kept(stage.b)] == before, "rows of both")
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SELECT count(*) FROM wechat_gateway_inboundpush")
        seen = cursor.fetchone()[0]
    if os.environ.get("ZHIYIN_ISOLATION_PASS") != "rls-off":
        cells.expect(seen == 0, "without a brand", saw=seen)
    cells.close()
