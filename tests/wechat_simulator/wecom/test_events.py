"""What WeCom pushes, how it is sealed, and what it does not push (reference: WeCom 2.3, 2.14, 6)."""

from xml.etree import ElementTree as ET

import pytest

from tests.wechat_simulator.wecom.conftest import AES_KEY, CORP, TOKEN, Ear, fields_of, opened, signed
from wechat_simulator.crypto import CipherError, MessageCipher, signature
from wechat_simulator.wire import to_xml

ECHO = "B4PcXgtThYsrOQnzxvXRUBGjDsrWU8qDUhqvW4W9EO+XwNsgo3kHdSTZvSJrv48qxUB//UkFvMTqYt59RO7N+A=="
ENCRYPT = "lBicGWU1ttZ+wXe8g6QUc2VMjU0tgoJHxvGv3vG1U7Q7q3Se30PbivYADfuvQMZbPnC/T0ioQeEMz/iKa6tEzODs1Bel1eUxwrIXLSoM6alh0T6nd8L2UzKC9UqWAL3tV9uSm86idc2csyou6nHxJoqMzhRRd+AU/Q01S2gKb2SEGQWpIV28zzEZ+jlYBzteyxABd7zX2rtg1/R0XL8bDNsDReh2Ry/9xDzvYbvoJQahaUEK+4bMo2wnXVmi6pOKkuqbsa1K6nLWpddr309+RSHGEU5Pz73vuH3+iur3vl/9dMTZu9PT4yX62HGNmCPJlCjuQCSX5LXg1JHt0pgduOWmvDw5YRnZauh96ZX9DB3Nom3SQ093WMToIFYJDDEInPp3wfzpU42FVXlBNQ4+i4xLyV6yMII2gDCbI+EKMth/Ttar3a7A7UpEF4i5JEtqhy3pUi9wuVwbok7mjPGBRBKIpCXq5Cms1aJ9TPmE+IajmNCE7IsCdS/KkMsxzT6hPwDNVtECTxtv5aEiiZ5UuAfbV+MgqL6QZTU339Nq0xaUm+HWiddLQrnTRNJaMZ0uktQCUgv78WVE443bfswruKLl3dGqNlH3UvRwl+RW7buVt7Ymi2gyDYMen1JIxpz+Ed7kvUzFD9OVbeN4N18urdiEsQRq23mHRT9lbjqzhzk="
PLAIN = "<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>1767225600</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[add_external_contact]]></ChangeType><UserID><![CDATA[guide01]]></UserID><ExternalUserID><![CDATA[wmTEST0001]]></ExternalUserID><State><![CDATA[store_8]]></State><WelcomeCode><![CDATA[WELCOME01]]></WelcomeCode></xml>"
FIELDS = {
    "ToUserName": CORP, "FromUserName": "sys", "CreateTime": 1767225600, "MsgType": "event", "Event": "change_external_contact",
    "ChangeType": "add_external_contact", "UserID": "guide01", "ExternalUserID": "wmTEST0001", "State": "store_8", "WelcomeCode": "WELCOME01",
}  # fmt: skip


def test_vector_of_the_echo():
    cipher = MessageCipher(AES_KEY, CORP)
    assert cipher.encrypt(b"5927782489442352469", b"0123456789abcdef") == ECHO
    assert signature(TOKEN, "1767225600", "1372623149", ECHO) == "8045dc459a07ba4a6e0fe4811490879757ff53f3"


def test_vector_of_an_event():
    assert to_xml(FIELDS).decode() == PLAIN
    cipher = MessageCipher(AES_KEY, CORP)
    assert cipher.encrypt(PLAIN.encode(), b"fedcba9876543210") == ENCRYPT
    assert signature(TOKEN, "1767225600", "1372623149", ENCRYPT) == "87c5dd00e91c10caf5f7aec3d9ca6d9fb86d165f"
    assert opened(ENCRYPT) == (PLAIN.encode(), CORP)
    with pytest.raises(CipherError):
        MessageCipher(AES_KEY, "ww00000000000other").decrypt(ENCRYPT)


def test_envelope_and_fields_of_a_new_customer(wecom, ear):
    external = wecom.add()
    request = ear.requests[0]
    outer = fields_of(ET.fromstring(request["body"]))
    assert set(outer) == {"ToUserName", "AgentID", "Encrypt"}
    assert (outer["ToUserName"], outer["AgentID"]) == (CORP, "1000002")
    event = ear.last("add_external_contact")
    assert list(event) == [
        "ToUserName",
        "FromUserName",
        "CreateTime",
        "MsgType",
        "Event",
        "ChangeType",
        "UserID",
        "ExternalUserID",
        "State",
        "WelcomeCode",
    ]
    assert (event["UserID"], event["ExternalUserID"], event["FromUserName"]) == ("guide01", external, "sys")


def test_checking_the_address_sends_the_echo_encrypted(wecom, ear):
    def answer(request):
        query = request["query"]
        assert query["msg_signature"] == signed(TOKEN, query["timestamp"], query["nonce"], query["echostr"])
        message, receiver = opened(query["echostr"])
        assert receiver == CORP
        return 200, message

    ear.reply = answer
    verify = f"/wecom/{CORP}/agents/1000002/verify"
    assert wecom.simulator.control(verify) == {"ok": True, "problem": ""}
    ear.reply = lambda request: (200, request["query"]["echostr"].encode())
    assert wecom.simulator.control(verify)["ok"] is False


def test_every_application_that_may_hears_it(wecom, ear):
    second = Ear()
    try:
        agent = {"agentid": 1000003, "callback_url": second.url, "token": TOKEN, "aes_key": AES_KEY}
        wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "agents": [agent]}]})
        wecom.add()
        assert (ear.kinds(), second.kinds()) == (["add_external_contact"], ["add_external_contact"])
        assert ear.events[0]["WelcomeCode"] == second.events[0]["WelcomeCode"]
        wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "agents": [{**agent, "contact": False}]}]})
        wecom.add("老周")
        assert (len(ear.events), len(second.events)) == (2, 1)
        wecom.simulator.control(
            "/world", {"corps": [{"corpid": CORP, "agents": [{**agent, "contact": True, "visible": ["guide02"]}]}]}
        )
        wecom.add("阿玲")
        assert (len(ear.events), len(second.events)) == (3, 1)
    finally:
        second.close()


def test_what_staff_and_customers_do_is_pushed(wecom, ear):
    wecom.add()
    wecom.staff("guide01", "edit", person="小雨", remark="小雨-VIP")
    wecom.staff("guide01", "edit", person="小雨", tags=["金卡"])
    wecom.staff("guide01", "edit", person="小雨", mobiles=["13800000000"])  # phones alone push nothing
    wecom.act("小雨", "delete", userid="guide01")
    wecom.add("老周")
    wecom.staff("guide01", "drop_customer", person="老周")
    assert ear.kinds() == [
        "add_external_contact",
        "edit_external_contact",
        "edit_external_contact",
        "del_follow_user",
        "add_external_contact",
        "del_external_contact",
    ]
    assert "Source" not in ear.last("del_external_contact")


def test_what_comes_by_the_api_is_not_pushed(wecom, ear):
    external = wecom.add()
    tag = wecom.ec("/get_corp_tag_list", {})["tag_group"][0]["tag"][0]["id"]
    wecom.good("/remark", {"userid": "guide01", "external_userid": external, "remark": "小雨-VIP"})
    wecom.good("/mark_tag", {"userid": "guide01", "external_userid": external, "add_tag": [tag]})
    made = wecom.good("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海"}]})
    wecom.good("/edit_corp_tag", {"id": made["tag_group"]["tag"][0]["id"], "name": "北京"})
    wecom.good("/del_corp_tag", {"group_id": [made["tag_group"]["group_id"]]})
    assert ear.kinds() == ["add_external_contact"]


def test_tags_of_the_console(wecom, ear):
    def tags(**data):
        return wecom.simulator.control(f"/wecom/{CORP}/tags", data)

    made = tags(group="城市", names=["上海", "北京"])
    assert [(event["ChangeType"], event["TagType"]) for event in ear.events] == [
        ("create", "tag_group"),
        ("create", "tag"),
        ("create", "tag"),
    ]
    assert {event["Id"] for event in ear.events} == {made["group_id"], *made["tags"].values()}
    tags(id=made["tags"]["上海"], name="苏州")
    tags(shuffle=True)
    tags(id=made["group_id"], delete=True)  # one event for the group, none for its tags
    assert [(event["ChangeType"], event["TagType"]) for event in ear.events[3:]] == [
        ("update", "tag"),
        ("shuffle", "tag"),
        ("delete", "tag_group"),
    ]
    assert len(wecom.ec("/get_corp_tag_list", {})["tag_group"]) == 1


def test_staff_of_the_console(wecom, ear):
    wecom.simulator.control(f"/wecom/{CORP}/staff", {"userid": "guide09", "name": "新人"})
    wecom.simulator.control(f"/wecom/{CORP}/staff", {"userid": "guide09", "name": "小新"})
    wecom.staff("guide09", "resign")
    assert [(event["Event"], event["ChangeType"], event["UserID"]) for event in ear.events] == [
        ("change_contact", "create_user", "guide09"),
        ("change_contact", "update_user", "guide09"),
        ("change_contact", "delete_user", "guide09"),
    ]


@pytest.mark.parametrize(
    ("answer", "outcome", "tries"),
    [((200, b""), "acknowledged", 1), ((200, b"success"), "acknowledged", 1), ((500, b""), "failed", 3)],
)
def test_an_answer_that_is_not_200_is_tried_again(wecom, ear, answer, outcome, tries):
    ear.reply = lambda _request: answer
    push = wecom.act("小雨", "add", userid="guide01")["pushes"][0]
    assert (push["outcome"], len(push["tries"])) == (outcome, tries)
    assert len(ear.requests) == tries


def test_faults_of_pushes_reach_wecom_too(wecom, ear):
    def fault(kind, **more):
        wecom.simulator.control("/faults", {"kind": kind, "appid": CORP, "count": 1, **more})

    fault("push_drop", event="add_external_contact")
    wecom.add()
    assert ear.events == []
    fault("push_duplicate")
    wecom.add("老周")
    assert len(ear.events) == 2
    fault("push_bad_signature")
    wecom.add("阿玲")
    query = ear.requests[-1]["query"]
    outer = fields_of(ET.fromstring(ear.requests[-1]["body"]))
    assert query["msg_signature"] != signed(TOKEN, query["timestamp"], query["nonce"], outer["Encrypt"])
    pushes = wecom.simulator.look("/pushes", appid=CORP)["pushes"]
    assert [push["outcome"] for push in pushes if push["outcome"] != "no_callback"] == [
        "dropped",
        "acknowledged",
        "acknowledged",
    ]


# --- shapes that the reference prints (2.4, 2.10) ----------------------------------------------------------------------

CHAT_SAMPLE = """<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName><CreateTime>1767225600</CreateTime><MsgType><![CDATA[event]]></MsgType>
<Event><![CDATA[change_external_chat]]></Event><ChatId><![CDATA[wrTEST0001]]></ChatId><ChangeType><![CDATA[update]]></ChangeType><UpdateDetail><![CDATA[add_member]]></UpdateDetail>
<JoinScene>3</JoinScene><QuitScene>0</QuitScene><MemChangeCnt>1</MemChangeCnt><MemChangeList><Item>wmTEST0001</Item></MemChangeList><LastMemVer>9c3f…e1</LastMemVer><CurMemVer>7121…b4</CurMemVer></xml>"""
DETAIL_SAMPLE = {
    "errcode": 0,
    "errmsg": "ok",
    "external_contact": {
        "external_userid": "wmTEST0001",
        "name": "李女士",
        "avatar": "https://wx.qlogo.cn/…/0",
        "type": 1,
        "gender": 2,
        "unionid": "uTEST0001",
    },
    "follow_user": [
        {
            "userid": "guide01",
            "remark": "李女士-VIP",
            "description": "偏好香水",
            "createtime": 1767225600,
            "tags": [{"group_name": "会员等级", "tag_name": "金卡", "tag_id": "etTEST0001", "type": 1}],
            "remark_mobiles": ["13800000000"],
            "add_way": 1,
            "oper_userid": "wmTEST0001",
            "state": "store_8",
        }
    ],
}


def shape(value):
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value)


def test_shape_of_a_customer_is_the_references(wecom):
    config_id = wecom.good("/add_contact_way", {"type": 2, "scene": 2, "state": "store_8", "user": ["guide01"]})[
        "config_id"
    ]
    external = wecom.act("小雨", "add", config_id=config_id)["external_userid"]
    wecom.staff("guide01", "edit", person="小雨", tags=["金卡"], mobiles=["13800000000"])
    assert shape(wecom.get("/externalcontact/get", external_userid=external)) == shape(DETAIL_SAMPLE)


def test_shape_of_a_group_event_is_the_references(wecom, ear):
    chat = wecom.staff("guide01", "create_group", name="群", people=["小雨"])["chat_id"]
    wecom.act("老周", "join_group", chat_id=chat, scene=3)
    assert shape(ear.last("update")) == shape(fields_of(ET.fromstring(CHAT_SAMPLE)))
