"""What becomes of each message and event, and when two pushes are the same."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wechatpy import parse_message

from tests.examples import examples
from tests.wechat_gateway.forge import NOW, OPENID, ORIGINAL_ID, event, text_message
from wechat_gateway.events import EVENT_KINDS, MESSAGE_KINDS, Push, canonical_kind, lane_of, read_head, read_push
from wechat_gateway.wire import Unreadable, read_fields

WHO = {"brand_id": 1, "account_id": 2, "appid": "wx1", "original_id": ORIGINAL_ID}


def read(body):
    return read_push(
        body.encode() if isinstance(body, str) else body, received_at=datetime.fromtimestamp(NOW, UTC), **WHO
    )


def head(body):
    return read_head(read_fields(body.encode() if isinstance(body, str) else body), now=NOW)


def test_text_message_is_read():
    push = read(text_message(content=" 你好 👍 "))
    assert (push.kind, push.openid, push.content, push.msgid, push.is_event) == (
        "text", OPENID, " 你好 👍 ", "23456789012345678", False,
    )  # fmt: skip
    assert push.event_at == datetime(2024, 4, 25, 9, 15, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "scene"),
    [
        ("qrscene_store-021-guide-7", "store-021-guide-7"),
        ("qrscene_qrscene_1", "qrscene_1"),
        ("qrscene_", ""),
        ("", ""),
        ("scanbarcode|123", ""),
        ("last_trade_no_1", ""),
    ],
)
def test_scene_of_a_follow_loses_its_prefix_once(key, scene):
    push = read(event("subscribe", EventKey=key, Ticket="gQ"))
    assert (push.kind, push.scene, push.key, push.ticket) == ("subscribe", scene, key, "gQ")


@pytest.mark.parametrize("name", ["SCAN", "scan", "Scan"])
def test_event_names_are_read_in_any_case(name):
    assert (read(event(name, EventKey="7")).kind, read(event(name, EventKey="7")).scene) == ("SCAN", "7")


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_known_event_has_its_canonical_kind(kind):
    assert read(event(kind.upper())).kind == kind
    assert canonical_kind(kind.lower()) == (kind if kind != "LOCATION" else "location")


def test_location_message_and_location_event_are_two_kinds():
    message = (
        text_message()
        .replace("[text]", "[location]")
        .replace(
            "<Content><![CDATA[你好]]></Content>",
            "<Location_X>31.230416</Location_X><Location_Y>121.473701</Location_Y><Scale>16</Scale><Label>人民广场</Label>",
        )
    )
    sent, told = read(message), read(event("LOCATION", Latitude="31.2", Longitude="121.4", Precision="119"))
    assert (sent.kind, sent.latitude, sent.longitude, sent.label) == ("location", 31.230416, 121.473701, "人民广场")
    assert (told.kind, told.latitude, told.longitude) == ("LOCATION", 31.2, 121.4)


@pytest.mark.parametrize("latitude", ["91", "NaN", "1e308", "inf", "x", "-90.1"])
def test_impossible_place_is_no_place(latitude):
    push = read(event("LOCATION", Latitude=latitude, Longitude="121"))
    assert (push.latitude, push.longitude) == (None, None)


@pytest.mark.parametrize("status", ["failed:user block", "failed: user block", " failed:  user block "])
def test_status_of_a_sending_is_normalised(status):
    push = read(event("TEMPLATESENDJOBFINISH", MsgID="200163836", Status=status))
    assert (push.status, push.msgid) == ("failed: user block", "200163836")


def test_person_of_a_withdrawal_is_the_openid_inside():
    body = event("user_authorization_revoke", openid="oSystem", OpenID="oReal", AppID="wx1", RevokeInfo="205")
    assert (read(body).openid, read(body).fields["RevokeInfo"]) == ("oReal", "205")


def test_notices_are_read_from_xml_and_json_alike():
    xml = event("subscribe_msg_popup_event").replace(
        "</xml>",
        "<SubscribeMsgPopupEvent><List><TemplateId>tplA</TemplateId><SubscribeStatusString>accept</SubscribeStatusString>"
        "<PopupScene>2</PopupScene></List><List><TemplateId>tplB</TemplateId>"
        "<SubscribeStatusString>reject</SubscribeStatusString></List></SubscribeMsgPopupEvent></xml>",
    )
    assert [(n.template_id, n.status) for n in read(xml).notices] == [("tplA", "accept"), ("tplB", "reject")]
    json = {
        "ToUserName": ORIGINAL_ID, "FromUserName": OPENID, "CreateTime": "1714036801", "MsgType": "event",
        "Event": "subscribe_msg_sent_event",
        "List": {"TemplateId": "tplA", "MsgID": 1864323726461255681, "ErrorCode": "0", "ErrorStatus": "success"},
    }  # fmt: skip
    (notice,) = read(orjson.dumps(json)).notices
    assert (notice.template_id, notice.msgid, notice.error_code, notice.error_status) == (
        "tplA", "1864323726461255681", "0", "success",
    )  # fmt: skip


def test_unknown_event_keeps_its_name():
    assert read(event("Moon_Phase")).kind == "unknown:moon_phase"


def test_names_of_the_reference_implementation_are_read_alike():
    body = event("pic_photo_or_album", EventKey="UPLOAD").replace(
        "</xml>",
        "<SendPicsInfo><Count>2</Count><PicList><item><PicMd5Sum>a</PicMd5Sum></item><item><PicMd5Sum>b</PicMd5Sum></item>"
        "</PicList></SendPicsInfo></xml>",
    )
    theirs, ours = parse_message(body), read(body)
    assert (theirs.event, theirs.key, theirs.source) == (ours.kind, ours.key, ours.openid)
    assert ours.fields["SendPicsInfo"]["PicList"]["item"] == [{"PicMd5Sum": "a"}, {"PicMd5Sum": "b"}]


# -- the same push, or another one ------------------------------------------------------------------------------------

ALIKE = {
    "other key in the same second": (event("CLICK", EventKey="A"), event("CLICK", EventKey="B")),
    "other event in the same second": (event("subscribe"), event("SCAN", EventKey="")),
    "follow and unfollow in the same second": (event("subscribe"), event("unsubscribe")),
    "other person": (event("CLICK", EventKey="A"), event("CLICK", openid="oOther", EventKey="A")),
    "other second": (event("CLICK", EventKey="A"), event("CLICK", created=int(NOW) + 1, EventKey="A")),
    "other job": (
        event("TEMPLATESENDJOBFINISH", MsgID="1", Status="success"),
        event("TEMPLATESENDJOBFINISH", MsgID="2", Status="success"),
    ),
    "other end of one job": (
        event("TEMPLATESENDJOBFINISH", MsgID="1", Status="success"),
        event("TEMPLATESENDJOBFINISH", MsgID="1", Status="failed:user block"),
    ),
    "other place in the same second": (
        event("LOCATION", Latitude="1", Longitude="2"), event("LOCATION", Latitude="1", Longitude="3"),
    ),
    "equal message id of two people": (text_message(), text_message(openid="oOther")),
    "message without id": (text_message(msgid="0", content="a"), text_message(msgid="0", content="b")),
    "digit moved between fields": (
        event("CLICK", openid="oA1", EventKey="2"), event("CLICK", openid="oA", EventKey="12"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_pushes_that_look_alike_have_two_keys(pair):
    first, second = (head(body) for body in pair)
    assert first.dedupe_key != second.dedupe_key


SAME = {
    "the same bytes": (text_message(), text_message()),
    "blanks around values": (
        event("CLICK", EventKey="A"), event("CLICK", EventKey="A").replace("<![CDATA[A]]>", " A "),
    ),
    "leading zeros of a message id": (text_message(msgid="12"), text_message(msgid="0012")),
    "JSON and XML of one event": (
        event("CLICK", EventKey="A"),
        orjson.dumps(
            {"ToUserName": ORIGINAL_ID, "FromUserName": OPENID, "CreateTime": int(NOW), "MsgType": "event",
             "Event": "CLICK", "EventKey": "A"},
        ).decode(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_retries_of_one_push_have_one_key(pair):
    first, second = (head(body) for body in pair)
    assert first.dedupe_key == second.dedupe_key


def test_same_message_id_with_other_content_has_another_digest():
    first, second = head(text_message(content="a")), head(text_message(content="b"))
    assert first.dedupe_key == second.dedupe_key
    assert first.digest != second.digest


@settings(max_examples=examples(60))
@given(st.text(max_size=40), st.sampled_from(sorted(MESSAGE_KINDS) + list(EVENT_KINDS)), st.text(max_size=20))
def test_any_text_in_any_field_is_read_or_called_unreadable(value, kind, key):
    fields = {
        "ToUserName": ORIGINAL_ID, "FromUserName": OPENID, "CreateTime": value, "EventKey": key, "MsgId": value,
        "MsgType": kind if kind in MESSAGE_KINDS else "event", "Event": kind, "Latitude": value, "Longitude": key,
        "Status": value, "MediaId": value or "m", "List": value,
    }  # fmt: skip
    try:
        push = read(orjson.dumps(fields))
    except Unreadable:
        return
    assert isinstance(push, Push)
    assert push.kind == kind


def test_lane_is_stable_over_versions():
    assert [lane_of(f"o{number}") for number in range(6)] == [3, 5, 7, 1, 2, 4]
    assert lane_of("") == 0
