"""Pushes to the callback URL (reference: service account 1.2, 2, 3, 4)."""

import asyncio
import json
import threading
import xml.etree.ElementTree as ET

import pytest

from tests.wechat_simulator.conftest import AES_KEY, APPID, MINI, wait_until
from wechat_simulator import pushes
from wechat_simulator.crypto import MessageCipher, signature
from wechat_simulator.pushes import FAILURE_TEXT

TOKEN = "brandCrmToken2024"
CIPHER = MessageCipher(AES_KEY, APPID)


def change(simulator, **fields):
    simulator.control("/world", {"accounts": [{"appid": APPID, **fields}]})


def inner(request):
    """Fields of a safe-mode XML push, after its signatures were checked."""
    query = request["query"]
    assert query["signature"] == signature(TOKEN, query["timestamp"], query["nonce"])
    text = ET.fromstring(request["body"]).findtext("Encrypt")
    assert query["msg_signature"] == signature(TOKEN, query["timestamp"], query["nonce"], text)
    return {item.tag: item.text or "" for item in ET.fromstring(CIPHER.decrypt(text))}


def text_reply(request, content="欢迎", **changed):
    fields = inner(request)
    values = {"ToUserName": fields["FromUserName"], "FromUserName": fields["ToUserName"], "CreateTime": "1", **changed}
    parts = "".join(f"<{key}>{value}</{key}>" for key, value in values.items())
    return f"<xml>{parts}<MsgType>text</MsgType><Content><![CDATA[{content}]]></Content></xml>".encode()


def seal(plain, stamp="1714036505", nonce="15147", token=TOKEN, cipher=CIPHER):
    encrypted = cipher.encrypt(plain)
    return (
        f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt><MsgSignature>{signature(token, stamp, nonce, encrypted)}"
        f"</MsgSignature><TimeStamp>{stamp}</TimeStamp><Nonce>{nonce}</Nonce></xml>"
    ).encode()


def test_safe_mode_hides_everything_but_the_receiver(simulator, callback):
    before = simulator.look("/clock")["now"]
    openid = simulator.follow("小雨")
    request = callback.requests[0]
    assert [item.tag for item in ET.fromstring(request["body"])] == ["ToUserName", "Encrypt"]
    assert request["query"]["encrypt_type"] == "aes"
    fields = inner(request)
    assert fields == {
        "ToUserName": fields["ToUserName"],
        "FromUserName": openid,
        "CreateTime": fields["CreateTime"],
        "MsgType": "event",
        "Event": "subscribe",
        "EventKey": "",
    }
    assert int(before) <= int(fields["CreateTime"]) <= simulator.look("/clock")["now"]


def test_plain_mode_and_compatible_mode(simulator, callback):
    change(simulator, mode="plain")
    openid = simulator.follow("小雨")
    plain = callback.requests[0]
    assert "msg_signature" not in plain["query"]
    assert ET.fromstring(plain["body"]).findtext("FromUserName") == openid
    change(simulator, mode="compatible")
    simulator.act("小雨", "text", content="你好")
    both = ET.fromstring(callback.requests[1]["body"])
    assert both.findtext("Content") == "你好"
    assert inner(callback.requests[1])["Content"] == "你好"


def test_json_format_in_safe_and_plain_mode(simulator, callback):
    change(simulator, format="json")
    simulator.follow("小雨")
    outer = json.loads(callback.requests[0]["body"])
    assert set(outer) == {"ToUserName", "Encrypt"}
    fields = json.loads(CIPHER.decrypt(outer["Encrypt"]))
    assert (fields["Event"], type(fields["CreateTime"])) == ("subscribe", int)
    change(simulator, mode="plain")
    simulator.switch(push_json_numbers_as_text=True)
    simulator.act("小雨", "text", content="你好")
    assert type(json.loads(callback.requests[1]["body"])["CreateTime"]) is str


def test_previous_key_can_still_be_used_after_a_change(simulator, callback):
    new = "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba"
    change(simulator, aes_key=new, previous_aes_key=AES_KEY, push_with_previous_key=True)
    simulator.follow("小雨")
    assert inner(callback.requests[0])["Event"] == "subscribe"
    change(simulator, push_with_previous_key=False)
    simulator.act("小雨", "text", content="你好")
    text = ET.fromstring(callback.requests[1]["body"]).findtext("Encrypt")
    assert "你好".encode() in MessageCipher(new, APPID).decrypt(text)


def test_encrypted_reply_is_shown_to_the_person(simulator, callback):
    callback.reply = lambda request: (200, seal(text_reply(request, "欢迎来到静安店")))
    saw = simulator.act("小雨", "follow")["saw"]
    assert [(entry["from"], entry["content"]) for entry in saw] == [
        ("system", "你已关注「澜屿 LANYU」"),
        ("account", "欢迎来到静安店"),
    ]
    assert [row["kind"] for row in simulator.rows()] == ["passive"]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (text_reply, "plain reply in safe mode"),
        (lambda request: seal(text_reply(request), token="other"), "wrong MsgSignature"),
        (
            lambda request: seal(text_reply(request), cipher=MessageCipher(AES_KEY, "wxelse")),
            "cannot decrypt: another appid",
        ),
        (lambda request: b'{"errcode":0}', "not XML"),
        (lambda request: seal(text_reply(request, ToUserName="o")), "ToUserName or FromUserName wrong"),
        (lambda request: seal(text_reply(request, CreateTime="now")), "CreateTime is not a number"),
        (lambda request: seal(text_reply(request, "字" * 700)), "text too long"),
        (lambda request: b'<!DOCTYPE x [<!ENTITY a "b">]><xml/>', "DTD in XML"),
    ],
)
def test_wrong_reply_shows_the_failure_text(simulator, callback, make, problem):
    simulator.follow("小雨")
    callback.reply = lambda request: (200, make(request))
    result = simulator.act("小雨", "text", content="你好")
    assert result["pushes"][0]["problem"] == problem
    assert [entry.get("content") for entry in result["saw"]] == ["你好", FAILURE_TEXT]
    assert len(result["pushes"][0]["tries"]) == 1


def test_two_articles_are_too_many_for_a_message_and_fine_for_a_click(simulator, callback):
    def news(request):
        fields = inner(request)
        item = "<item><Title>会员日</Title><Description>d</Description><PicUrl>p</PicUrl><Url>u</Url></item>"
        return seal(
            f"<xml><ToUserName>{fields['FromUserName']}</ToUserName><FromUserName>{fields['ToUserName']}</FromUserName>"
            f"<CreateTime>1</CreateTime><MsgType>news</MsgType><ArticleCount>2</ArticleCount><Articles>{item * 2}</Articles></xml>".encode()
        )

    simulator.api("/cgi-bin/menu/create", {"button": [{"type": "click", "name": "会员日", "key": "DAY"}]})
    simulator.follow("小雨")
    callback.reply = lambda request: (200, news(request))
    assert simulator.act("小雨", "text", content="你好")["pushes"][0]["problem"] == "more than one article"
    saw = simulator.act("小雨", "tap", name="会员日")["saw"]
    assert [len(entry["articles"]) for entry in saw] == [2]


def test_failed_push_is_tried_three_times_with_the_same_content(simulator, callback):
    simulator.follow("小雨")
    callback.reply = lambda _request: (500, b"")
    result = simulator.act("小雨", "text", content="你好")
    tries = [inner(request) for request in callback.requests[1:]]
    assert len(tries) == 3
    assert tries[0] == tries[1] == tries[2]
    assert len({request["query"]["nonce"] for request in callback.requests[1:]}) == 3
    assert [attempt["outcome"] for attempt in result["pushes"][0]["tries"]] == ["http 500"] * 3
    assert result["saw"][-1]["content"] == FAILURE_TEXT


def test_tries_can_repeat_the_same_signature_by_switch(simulator, callback):
    simulator.follow("小雨")
    simulator.switch(push_fresh_signature_per_try=False)
    callback.reply = lambda _request: (500, b"")
    simulator.act("小雨", "text", content="你好")
    bodies = {(request["query"]["nonce"], request["body"]) for request in callback.requests[1:]}
    assert (len(callback.requests), len(bodies)) == (4, 1)


def test_slow_answer_is_cut_at_the_deadline_and_a_later_try_may_win(simulator, callback):
    simulator.follow("小雨")
    simulator.switch(push_timeout_seconds=0.6)
    calls = []
    second = threading.Event()

    def reply(request):
        calls.append(1)
        if len(calls) > 1:
            second.set()
        second.wait(30)
        return 200, b"success"

    callback.reply = reply
    push = simulator.act("小雨", "text", content="你好")["pushes"][0]
    assert [attempt["outcome"] for attempt in push["tries"]] == ["timeout", "acknowledged"]
    assert push["outcome"] == "acknowledged"


class Waits:
    """asyncio as the pushes see it: what they want to wait is written down instead."""

    def __init__(self):
        self.seconds = []

    async def sleep(self, seconds):
        self.seconds.append(seconds)

    def __getattr__(self, name):
        return getattr(asyncio, name)


def test_early_failure_waits_for_its_deadline_before_the_next_try(simulator, callback, monkeypatch):
    simulator.follow("小雨")
    simulator.switch(push_retry_spacing_seconds=1000.0)
    callback.reply = lambda _request: (502, b"")
    waits = Waits()
    monkeypatch.setattr(pushes, "asyncio", waits)
    push = simulator.act("小雨", "text", content="你好")["pushes"][0]
    assert [attempt["outcome"] for attempt in push["tries"]] == ["http 502"] * 3
    assert len(waits.seconds) == 2
    assert all(900 < seconds <= 1000 for seconds in waits.seconds)  # what the failed try took is part of the wait


def test_background_events_show_no_failure_text(simulator, callback):
    simulator.follow("小雨")
    callback.reply = lambda _request: (500, b"")
    saw = simulator.act("小雨", "unfollow")["saw"]
    assert [entry["content"] for entry in saw] == ["你已取消关注"]


def test_nobody_listening_counts_as_failure(simulator):
    change(simulator, callback_url="http://127.0.0.1:9/wx")
    push = simulator.act("小雨", "follow")["pushes"][0]
    assert (push["outcome"], len(push["tries"])) == ("failed", 3)


def test_only_loopback_is_ever_called(simulator):
    change(simulator, callback_url="http://192.0.2.1/wx")
    push = simulator.act("小雨", "follow")["pushes"][0]
    assert push["tries"][0]["outcome"] == "callback is not http on loopback"


def test_every_message_and_event_has_its_fields(simulator, callback):
    change(
        simulator,
        location_report="enter",
        codes=[{"scene": "store-021", "name": "静安店门口"}],
        menu=[
            {"type": "click", "name": "会员中心", "key": "MEMBER"},
            {
                "name": "服务",
                "sub_button": [
                    {"type": "view", "name": "门店", "url": "https://crm.example.com/stores"},
                    {
                        "type": "miniprogram",
                        "name": "商城",
                        "url": "https://m.example.com",
                        "appid": MINI,
                        "pagepath": "pages/home",
                    },
                    {"type": "scancode_waitmsg", "name": "验券", "key": "SCAN"},
                    {"type": "pic_photo_or_album", "name": "传票", "key": "PIC"},
                    {"type": "location_select", "name": "附近", "key": "NEAR"},
                ],
            },
        ],
    )
    simulator.act("小雨", "follow", code_name="静安店门口")
    simulator.act("小雨", "scan", scene="store-021")
    simulator.act("小雨", "text", content="在吗 ]]> <b>")
    simulator.act("小雨", "image")
    simulator.act("小雨", "voice")
    simulator.act("小雨", "video")
    simulator.act("小雨", "location", place="人民广场")
    simulator.act("小雨", "link", url="https://example.com", title="看")
    simulator.act("小雨", "enter", consent=True)
    simulator.act("小雨", "tap", name="会员中心")
    assert simulator.act("小雨", "tap", path=[1, 0])["open"]["url"] == "https://crm.example.com/stores"
    assert simulator.act("小雨", "tap", name="商城")["open"]["pagepath"] == "pages/home"
    simulator.act("小雨", "tap", name="验券", scan_result="1234")
    simulator.act("小雨", "tap", name="传票", pictures=2)
    simulator.act("小雨", "tap", name="附近", place="静安寺")
    simulator.act("小雨", "unfollow")
    seen = [inner(request) for request in callback.requests]
    kinds = [item.get("Event", item["MsgType"]) for item in seen]
    assert kinds == [
        "subscribe", "SCAN", "text", "image", "voice", "video", "location", "link", "LOCATION", "CLICK", "VIEW",
        "view_miniprogram", "scancode_waitmsg", "pic_photo_or_album", "image", "image", "location_select", "location",
        "unsubscribe",
    ]  # fmt: skip
    by_kind = dict(zip(kinds, seen, strict=True))
    assert by_kind["subscribe"]["EventKey"] == "qrscene_store-021"
    assert by_kind["SCAN"]["EventKey"] == "store-021"
    assert by_kind["SCAN"]["Ticket"] == by_kind["subscribe"]["Ticket"]
    assert by_kind["text"]["Content"] == "在吗 ]]> <b>"
    assert by_kind["LOCATION"]["Latitude"] == "31.223421"
    assert by_kind["CLICK"]["EventKey"] == "MEMBER"
    assert by_kind["view_miniprogram"]["EventKey"] == "pages/home"
    message_ids = [item["MsgId"] for item in seen if "MsgId" in item]
    assert len(set(message_ids)) == 9
    assert all(int(item) > 2**53 for item in message_ids)
    pictures = next(request for request in callback.requests if inner(request).get("Event") == "pic_photo_or_album")
    tree = ET.fromstring(CIPHER.decrypt(ET.fromstring(pictures["body"]).findtext("Encrypt")))
    assert tree.findtext("SendPicsInfo/Count") == "2"
    assert len(tree.findall("SendPicsInfo/PicList/item/PicMd5Sum")) == 2


def test_pushes_can_be_dropped_doubled_forged_and_swapped(simulator, callback):
    simulator.follow("小雨")
    simulator.control("/faults", {"kind": "drop_push", "event": "text", "count": 1})
    assert simulator.act("小雨", "text", content="一")["pushes"][0]["outcome"] == "dropped"
    simulator.control("/faults", {"kind": "duplicate_push", "count": 1})
    simulator.act("小雨", "text", content="二")
    simulator.control("/faults", {"kind": "out_of_order_push", "count": 1})
    simulator.act("小雨", "text", content="三")
    simulator.act("小雨", "text", content="四")
    assert [inner(request).get("Content") for request in callback.requests[1:]] == ["二", "二", "四", "三"]
    simulator.control("/faults", {"kind": "push_bad_signature", "count": 1})
    simulator.act("小雨", "text", content="五")
    query = callback.requests[-1]["query"]
    assert query["signature"] != signature(TOKEN, query["timestamp"], query["nonce"])


def test_push_can_be_replayed(simulator, callback):
    push = simulator.act("小雨", "follow")["pushes"][0]
    simulator.control("/pushes/replay", {"n": push["n"]})
    assert inner(callback.requests[0]) == inner(callback.requests[1])


def test_url_verification_wants_the_echo_exactly(simulator, callback):
    callback.reply = lambda request: (200, request["query"]["echostr"].encode())
    assert simulator.control(f"/accounts/{APPID}/verify") == {"ok": True, "problem": ""}
    query = callback.requests[0]["query"]
    assert query["signature"] == signature(TOKEN, query["timestamp"], query["nonce"])
    callback.reply = lambda request: (200, b'"' + request["query"]["echostr"].encode() + b'"')
    assert simulator.control(f"/accounts/{APPID}/verify")["ok"] is False


def test_any_other_event_can_be_pushed_raw(simulator, callback):
    simulator.follow("小雨")
    item = {"TemplateId": "tplA", "SubscribeStatusString": "accept", "PopupScene": "2"}
    fields = {
        "MsgType": "event",
        "Event": "subscribe_msg_popup_event",
        "SubscribeMsgPopupEvent": {"List": [item, item]},
    }
    simulator.act("小雨", "push_raw", fields=fields)
    tree = ET.fromstring(CIPHER.decrypt(ET.fromstring(callback.requests[1]["body"]).findtext("Encrypt")))
    assert len(tree.findall("SubscribeMsgPopupEvent/List")) == 2


def test_many_finish_events_arrive_once_each(simulator, callback):
    simulator.control("/world", {"crowds": [{"prefix": "fan", "count": 200, "follows": [APPID]}]})
    openids = simulator.ask("/cgi-bin/user/get")["data"]["openid"]
    msgids = {str(simulator.send(openid)["msgid"]) for openid in openids}
    wait_until(lambda: len(callback.requests) >= 200)
    simulator.settle()
    assert {inner(request)["MsgID"] for request in callback.requests} == msgids
    assert len(callback.requests) == 200


def test_held_push_goes_out_by_itself_in_the_end(simulator, callback):
    simulator.follow("小雨")
    simulator.control("/faults", {"kind": "out_of_order_push", "count": 1, "seconds": 0.2})
    assert simulator.act("小雨", "text", content="一")["pushes"][0]["outcome"] == "held"
    simulator.settle()
    assert [inner(request).get("Content") for request in callback.requests[1:]] == ["一"]


def test_opening_the_chat_of_an_account_that_was_just_left_is_no_mistake(simulator, callback):
    change(simulator, location_report="enter")
    simulator.act("小雨", "follow")
    simulator.act("小雨", "unfollow")
    assert simulator.act("小雨", "enter", consent=True)["pushes"] == []
