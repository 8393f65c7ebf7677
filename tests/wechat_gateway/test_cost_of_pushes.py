"""How often handling a push asks PostgreSQL: the statements of one alone, and of sixteen that are handled together."""

from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from conversations.models import ReplyRule
from tests.factories import AT, make_account, make_follower, make_tag, make_touchpoint
from touchpoints.services import replies_changed
from wechat_gateway import services
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.replies import Text, render

pytestmark = pytest.mark.django_db
LANE = 3
TOGETHER = 16
LONG_AGO = AT - timedelta(days=30)
EVENT = {"MsgType": "event"}
# Of each kind: what is pushed, what WeChat heard, and the most statements of one push alone and of each of sixteen
# (savepoints are statements, too; three pairs of them are the scopes, which are transactions in a process).
KINDS = {
    "a text that a rule answers": ("text", {"MsgType": "text", "Content": "门店"}, "在南京路", 29, 7.5),
    "a text that nothing answers": ("text", {"MsgType": "text", "Content": "今天天气真好"}, "", 29, 7.5),
    "a scan of a code": ("SCAN", EVENT | {"Event": "SCAN"}, "欢迎再来", 32, 9.75),
    "a tap on a button": ("CLICK", EVENT | {"Event": "CLICK", "EventKey": "stores"}, "", 25, 7.25),
    "a link of the menu": ("VIEW", EVENT | {"Event": "VIEW", "EventKey": "https://a.example/"}, "", 22, 6.25),
    "a template message that arrived": ("TEMPLATESENDJOBFINISH", EVENT | {"Event": "TEMPLATESENDJOBFINISH"}, "", 17, 2),
    "somebody new": ("subscribe", EVENT | {"Event": "subscribe"}, "", 31, 8.25),
}


@pytest.fixture
def account(brand):
    with brand_scope(brand.pk):
        account = make_account()
        ReplyRule.objects.create(
            account=account, name="门店", trigger="KEYWORD", keywords=["门店"], text="在南京路", updated_at=AT
        )
        make_touchpoint(account, name="门口", welcome="欢迎再来", tags=[make_tag()])
        replies_changed(account_id=account.pk)
    return account


def store(account, name, openids, at):
    """Pushes as the gateway stores them, one of each person, all in one lane."""
    kind, says, heard, *_ = KINDS[name]
    scene = account_scene(account) if kind == "SCAN" else ""
    more = {"EventKey": scene, "Ticket": "t"} if scene else {}
    with brand_scope(account.brand_id):
        for number, openid in enumerate(openids):
            body = {"ToUserName": "gh", "FromUserName": openid, "CreateTime": int(at.timestamp()), **says, **more}
            body |= {"MsgId" if kind == "text" else "MsgID": 1000 * int(at.timestamp()) + number}
            reply = (
                render(Text(heard), openid=openid, original_id=account.original_id, at=at.timestamp()) if heard else ""
            )
            InboundPush.objects.create(
                account=account, dedupe_key=uuid4(), digest=uuid4(), kind=kind, openid=openid, lane=LANE,
                event_at=at, received_at=at, body=orjson.dumps(body).decode(), reply=reply,
            )  # fmt: skip


def account_scene(account):
    from touchpoints.models import Touchpoint

    with brand_scope(account.brand_id):
        return Touchpoint.objects.get(account=account).scene


def statements(account, at):
    with CaptureQueriesContext(connection) as asked:
        settled = services.handle_inbound(brand_id=account.brand_id, lane=LANE, at=at)
    return settled, [query["sql"] for query in asked.captured_queries]


def people(account, name, count, of):
    """Who pushes: somebody who has followed and talked for long, or strangers."""
    openids = [f"o{of}{number:026d}" for number in range(count)]
    if name != "somebody new":
        with brand_scope(account.brand_id):
            for openid in openids:
                make_follower(account, openid=openid, at=LONG_AGO)
        for earlier in ("a text that nothing answers", name):
            store(account, earlier, openids, LONG_AGO + timedelta(days=1))
            statements(account, AT)
    return openids


@pytest.mark.parametrize("name", KINDS)
def test_a_push_asks_postgresql_no_more_often_than_this(account, name):
    *_, alone, each = KINDS[name]
    store(account, name, people(account, name, 1, "A"), AT)
    settled, one = statements(account, AT)
    assert settled == 1
    store(account, name, people(account, name, TOGETHER, "B"), AT)
    settled, many = statements(account, AT)
    assert settled == TOGETHER

    assert len(one) <= alone, "\n".join(one)
    assert len(many) <= each * TOGETHER, "\n".join(many)
    with brand_scope(account.brand_id):
        assert not InboundPush.objects.exclude(state=PushState.HANDLED).exists()
