"""Every push of the reference, as XML and as JSON, in three modes: read, kept, said in a sentence, handled again."""

import asyncio
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import orjson
import pytest
from django.core.management import call_command
from django.utils import timezone, translation

from accounts.models import Brand
from accounts.tenancy import brand_scope
from tests.sources import load_yaml
from tests.wechat_gateway import forge
from wechat_gateway import services
from wechat_gateway.codec import Accepted, judge_push
from wechat_gateway.events import EVENT_KINDS, MESSAGE_KINDS, make_push, read_push
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.registries import ANY, on_event
from wechat_gateway.sentences import SENTENCES, sentence_of

ROWS = load_yaml((Path(__file__).parent / "corpus" / "pushes.yaml").read_text())
NAMES = [f"{number}-{row['kind']}" for number, row in enumerate(ROWS)]
FORMATS = ("xml", "json", "json as text")


def everything(row, number):
    """All fields of a push, values as WeChat types them."""
    kind = {"MsgType": "event", "Event": row["event"]} if "event" in row else {"MsgType": row.get("type", row["kind"])}
    common = {
        "ToUserName": forge.ORIGINAL_ID,
        "FromUserName": forge.OPENID,
        "CreateTime": int(forge.NOW) - number,
    }
    return {**common, **kind, **row["fields"]}


def xml_of(value, row):
    """As WeChat writes XML: lists are repeated elements, subscribe notices stand in a wrapper."""
    if "list" in row:
        value = {**{key: each for key, each in value.items() if key != "List"}, row["list"]: {"List": value["List"]}}

    def element(name, inner):
        if isinstance(inner, list):
            return "".join(element(name, each) for each in inner)
        if isinstance(inner, dict):
            return f"<{name}>{''.join(element(key, each) for key, each in inner.items())}</{name}>"
        return f"<{name}>{inner}</{name}>" if isinstance(inner, int) else f"<{name}><![CDATA[{inner}]]></{name}>"

    return f"<xml>{''.join(element(key, each) for key, each in value.items())}</xml>"


def as_text(value):
    """Numbers as strings, as some JSON pushes have them."""
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return str(value)


def leaves(value):
    """Every text inside."""
    if isinstance(value, dict | list):
        return [leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in leaves(each)]
    return [str(value)] if not str(value).isascii() else []


def body_of(row, number, how):
    value = everything(row, number)
    if how == "xml":
        return xml_of(value, row)
    return orjson.dumps(value if how == "json" else as_text(value)).decode()


def push_of(body):
    return read_push(
        body.encode(), brand_id=1, account_id=2, appid="wx1", original_id=forge.ORIGINAL_ID,
        received_at=datetime.fromtimestamp(forge.NOW, UTC),
    )  # fmt: skip


def test_every_kind_of_the_reference_is_in_the_table():
    assert {row["kind"] for row in ROWS if not row["kind"].startswith("unknown:")} == MESSAGE_KINDS | set(EVENT_KINDS)
    assert set(SENTENCES) == MESSAGE_KINDS | set(EVENT_KINDS)


@pytest.mark.parametrize("mode", ["SAFE", "COMPATIBLE", "PLAIN"])
@pytest.mark.parametrize(("number", "row"), list(enumerate(ROWS)), ids=NAMES)
def test_push_is_read_alike_from_xml_and_json_in_every_mode(number, row, mode):
    seen = set()
    for how in FORMATS:
        body = body_of(row, number, how)
        if mode == "PLAIN":
            query, envelope = forge.plain_push(body)
        else:
            query, envelope = forge.push(body)
        judged = judge_push(forge.keys(mode), query, envelope, now=forge.NOW)
        assert isinstance(judged, Accepted), (how, judged)
        push = make_push(
            judged.fields, judged.head, brand_id=1, account_id=2, appid="wx1", original_id=forge.ORIGINAL_ID,
            received_at=datetime.fromtimestamp(forge.NOW, UTC),
        )  # fmt: skip
        assert push.kind == row["kind"]
        assert push.openid == row.get("person", forge.OPENID)
        with translation.override("zh-hans"), timezone.override("Asia/Shanghai"):
            assert sentence_of(push) == row["zh"]
        seen.add((push.key, push.scene, push.content, push.msgid, push.status, push.notices, push.latitude, push.label))
    assert len(seen) == 1


@pytest.mark.parametrize(("number", "row"), list(enumerate(ROWS)), ids=NAMES)
def test_sentence_is_complete_in_english(number, row):
    with translation.override("en"):
        said = sentence_of(push_of(body_of(row, number, "xml")))
    for value in leaves(row["fields"]):
        said = said.replace(value, "")
    said = said.replace("“", "").replace("”", "")
    assert said.strip()
    assert said.isascii(), said
    assert "%(" not in said


def test_kinds_have_sentences_of_their_own():
    with translation.override("zh-hans"):
        said = [str(sentence) for sentence in SENTENCES.values()]
    assert len(set(said)) == len(said)


def test_all_of_them_are_kept_acknowledged_and_handled_again(gateway, committed_account):
    """Through the door, encrypted; then every one fails once and is handled again by the command."""
    calls = []
    broken = [True]

    @on_event(ANY, key="test.every_kind")
    def note(push):
        if broken[0]:
            message = "not today"
            raise ValueError(message)
        calls.append(push.kind)

    async def send():
        async with gateway() as caller:
            return [
                (await caller.push(committed_account, body_of(row, number, "json" if number % 2 else "xml"))).body
                for number, row in enumerate(ROWS)
            ]

    assert set(asyncio.run(send())) == {b"success"}
    with brand_scope(committed_account.brand_id):
        assert sorted(InboundPush.objects.values_list("kind", flat=True)) == sorted(row["kind"] for row in ROWS)
        InboundPush.objects.update(attempts=services.inbox.MAX_ATTEMPTS - 1)
    lanes = {lane for _brand, lane in services.inbox._store.waiting_lanes()}
    for lane in lanes:
        services.handle_inbound(
            brand_id=committed_account.brand_id, lane=lane, at=datetime.fromtimestamp(forge.NOW, UTC)
        )
    with brand_scope(committed_account.brand_id):
        assert set(InboundPush.objects.values_list("state", flat=True)) <= {PushState.FAILED, PushState.NEW}
        InboundPush.objects.update(state=PushState.FAILED)

    broken[0] = False
    slug = Brand.objects.get(pk=committed_account.brand_id).slug
    call_command("replay_inbound", brand=slug, stdout=StringIO(), stderr=StringIO())
    for lane in lanes:
        services.handle_inbound(
            brand_id=committed_account.brand_id, lane=lane, at=datetime.fromtimestamp(forge.NOW, UTC)
        )

    with brand_scope(committed_account.brand_id):
        assert set(InboundPush.objects.values_list("state", flat=True)) == {PushState.HANDLED}
    assert sorted(calls) == sorted(row["kind"] for row in ROWS)
