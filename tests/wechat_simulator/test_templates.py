"""Template messages (reference: service account 3.4, 5.6)."""

import json
import xml.etree.ElementTree as ET

import pytest

from tests.wechat_simulator.conftest import AES_KEY, APPID, GOOD, MINI, OTHER, TEMPLATE, wait_until
from wechat_simulator import typed_keys
from wechat_simulator.crypto import MessageCipher
from wechat_simulator.errors import WeChatError


def finish_events(callback):
    events = []
    for request in callback.requests:
        outer = ET.fromstring(request["body"])
        inner = ET.fromstring(MessageCipher(AES_KEY, APPID).decrypt(outer.findtext("Encrypt")))
        if inner.findtext("Event") == "TEMPLATESENDJOBFINISH":
            events.append((inner.findtext("MsgID"), inner.findtext("Status")))
    return events


def test_accepted_send_reaches_the_person_and_ends_with_a_finish_event(simulator, callback):
    openid = simulator.follow("小雨")
    answer = simulator.send(openid, client_msg_id="c-1", url="https://crm.example.com/h5/o/88")
    assert answer["errcode"] == 0
    assert answer["msgid"] > 2**53
    wait_until(lambda: finish_events(callback))
    assert finish_events(callback) == [(str(answer["msgid"]), "success")]
    shown = simulator.entries("小雨")[-1]
    assert shown["title"] == "预约提醒"
    assert shown["rows"] == [
        {"key": "thing1", "label": "门店", "value": "上海静安店"},
        {"key": "time2", "label": "时间", "value": "2025-06-02 15:30"},
    ]
    assert shown["url"] == "https://crm.example.com/h5/o/88"
    row = simulator.rows(kind="template")[0]
    assert (row["client_msg_id"], row["msgid"], row["status"], row["received"]) == (
        "c-1",
        str(answer["msgid"]),
        "success",
        True,
    )


def test_same_client_msg_id_is_sent_once_within_its_window(simulator):
    openid = simulator.follow("小雨")
    first = simulator.send(openid, client_msg_id="c-1")
    assert simulator.send(openid, client_msg_id="c-1") == first
    simulator.control("/clock", {"advance": 599})
    assert simulator.send(openid, client_msg_id="c-1") == first
    simulator.control("/clock", {"advance": 2})
    assert simulator.send(openid, client_msg_id="c-1")["msgid"] != first["msgid"]
    simulator.settle()
    calls = simulator.look("/calls", path="/cgi-bin/message/template/send")["calls"]
    assert {call["digest"] for call in calls} == {row["digest"] for row in simulator.rows(kind="template")}
    counts = simulator.look("/truth", kind="template")["counts"][APPID]["template"]
    assert counts["received"] == 2
    assert counts["visible_duplicates"] == 1
    assert counts["same_client_msg_id"] == 1


def test_window_of_client_msg_id_is_a_switch(simulator):
    openid = simulator.follow("小雨")
    simulator.switch(client_msg_id_seconds=0)
    first = simulator.send(openid, client_msg_id="c-1")
    assert simulator.send(openid, client_msg_id="c-1")["msgid"] != first["msgid"]


def test_refused_send_does_not_use_up_its_client_msg_id(simulator):
    openid = simulator.follow("小雨")
    simulator.act("小雨", "unfollow")
    assert simulator.send(openid, client_msg_id="c-1")["errcode"] == 43004
    simulator.act("小雨", "follow")
    assert simulator.send(openid, client_msg_id="c-1")["errcode"] == 0
    assert len(simulator.rows(kind="template")) == 1


def test_send_is_refused_with_the_right_code(simulator):
    openid = simulator.follow("小雨")
    foreign = simulator.follow("小雨", OTHER)
    assert simulator.send("nobody")["errcode"] == 40003
    assert simulator.send(foreign)["errcode"] == 40003
    assert simulator.look("/health")["mix_ups"] == 1
    assert simulator.send(openid, template_id="none")["errcode"] == 40037
    assert simulator.send(openid, data={"thing1": {"value": "x"}})["errcode"] == 47003
    assert simulator.send(openid, miniprogram={"appid": "wxelse", "pagepath": "a"})["errcode"] == 40166
    assert simulator.send(openid, miniprogram={"appid": MINI, "pagepath": "pages/a"})["errcode"] == 0
    assert simulator.raw("/cgi-bin/message/template/send", b"{broken").json()["errcode"] == 47001
    assert simulator.raw("/cgi-bin/message/template/send", b"").json()["errcode"] == 44002


def test_error_47003_names_the_field(simulator):
    openid = simulator.follow("小雨")
    bad = {**GOOD, "thing1": {"value": "二十一个字的门店名字二十一个字的门店名字超"}}
    answer = simulator.send(openid, data=bad)
    assert answer["errcode"] == 47003
    assert answer["errmsg"].startswith("argument invalid! data.thing1.value invalid")


def test_account_and_template_states_refuse(simulator):
    openid = simulator.follow("小雨")
    simulator.control("/world", {"accounts": [{"appid": APPID, "banned": True}]})
    assert simulator.send(openid)["errcode"] == 48004
    simulator.control("/world", {"accounts": [{"appid": APPID, "banned": False, "verified": False}]})
    assert simulator.send(openid)["errcode"] == 48001
    template = {"template_id": TEMPLATE, "title": "预约提醒", "keys": [{"key": "thing1"}], "banned": True}
    simulator.control("/world", {"accounts": [{"appid": APPID, "verified": True, "templates": [template]}]})
    assert simulator.send(openid)["errcode"] == 43116


def test_blocking_person_ends_in_user_block_or_48002_by_switch(simulator, callback):
    openid = simulator.follow("小雨")
    simulator.act("小雨", "block")
    assert simulator.send(openid)["errcode"] == 0
    wait_until(lambda: finish_events(callback))
    assert finish_events(callback)[0][1] == "failed:user block"
    assert simulator.rows(kind="template", received=1) == []
    simulator.switch(refusing_person="48002")
    assert simulator.send(openid)["errcode"] == 48002
    simulator.act("小雨", "unblock")
    assert simulator.send(openid)["errcode"] == 0


def test_blacklisted_person_is_43019(simulator):
    openid = simulator.follow("小雨")
    assert simulator.api("/cgi-bin/tags/members/batchblacklist", {"openid_list": [openid]})["errcode"] == 0
    assert simulator.send(openid)["errcode"] == 43019
    assert simulator.api("/cgi-bin/tags/members/getblacklist", {"begin_openid": ""})["data"]["openid"] == [openid]
    assert simulator.api("/cgi-bin/tags/members/batchunblacklist", {"openid_list": [openid]})["errcode"] == 0
    assert simulator.send(openid)["errcode"] == 0


def test_finish_waits_for_the_simulated_clock(simulator, callback):
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"pause": True})
    simulator.switch(finish_delay_seconds=60)
    simulator.send(openid)
    due = simulator.look("/clock", within=120)["due"]
    assert due["kinds"]["template_finish"] == 1
    assert simulator.rows(kind="template")[0]["status"] == "accepted"
    simulator.control("/clock", {"advance": 60})
    simulator.settle()
    assert simulator.rows(kind="template")[0]["status"] == "success"
    assert len(finish_events(callback)) == 1


def test_person_who_left_before_delivery_gets_system_failed(simulator):
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"pause": True})
    simulator.switch(finish_delay_seconds=60)
    simulator.send(openid)
    simulator.act("小雨", "unfollow")
    simulator.control("/clock", {"advance": 61})
    assert simulator.rows(kind="template")[0]["status"] == "failed: system failed"


def test_finish_events_can_be_lost_late_or_bad(simulator, callback):
    openid = simulator.follow("小雨")
    simulator.control("/clock", {"pause": True})
    simulator.control("/faults", {"kind": "finish_drop", "count": 1})
    simulator.send(openid, client_msg_id="lost")
    simulator.control("/clock", {"advance": 1})
    simulator.control("/faults", {"kind": "finish_status", "status": "failed: system failed", "count": 1})
    simulator.send(openid, client_msg_id="bad")
    simulator.control("/clock", {"advance": 1})
    simulator.control("/faults", {"kind": "late_finish_event", "seconds": 7200, "count": 1})
    simulator.send(openid, client_msg_id="late")
    simulator.control("/clock", {"advance": 1})
    simulator.settle()
    status = {row["client_msg_id"]: row["status"] for row in simulator.rows(kind="template")}
    assert status == {"lost": "success", "bad": "failed: system failed", "late": "accepted"}
    assert [event[1] for event in finish_events(callback)] == ["failed: system failed"]
    simulator.control("/clock", {"advance": 7200})
    simulator.settle()
    assert [event[1] for event in finish_events(callback)] == ["failed: system failed", "success"]


def test_unicode_escapes_are_refused_unless_switched_off(simulator):
    openid = simulator.follow("小雨")
    body = json.dumps({"touser": openid, "template_id": TEMPLATE, "data": GOOD}).encode()
    assert b"\\u" in body
    assert simulator.raw("/cgi-bin/message/template/send", body).json()["errcode"] == 40033
    simulator.switch(refuse_unicode_escapes=False)
    assert simulator.raw("/cgi-bin/message/template/send", body).json()["errcode"] == 0


def test_private_templates_are_listed_added_up_to_25_and_deleted(simulator):
    listed = simulator.ask("/cgi-bin/template/get_all_private_template")["template_list"]
    assert [(item["template_id"], item["content"]) for item in listed] == [
        (TEMPLATE, "门店:{{thing1.DATA}}\n时间:{{time2.DATA}}")
    ]
    add = {"template_id_short": "43216", "keyword_name_list": ["门店", "时间"]}
    added = [simulator.api("/cgi-bin/template/api_add_template", add) for _ in range(25)]
    assert [item["errcode"] for item in added] == [0] * 24 + [45026]
    assert simulator.api("/cgi-bin/template/api_add_template", {"template_id_short": "0"})["errcode"] == 40037
    gone = {"template_id": added[0]["template_id"]}
    assert simulator.api("/cgi-bin/template/del_private_template", gone)["errcode"] == 0
    assert simulator.api("/cgi-bin/template/del_private_template", gone)["errcode"] == 40037


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("thing1", "二十个字" * 5, "二十个字" * 5 + "多"),
        ("number2", "1" * 32, "1a"),
        ("letter3", "abc", "ab1"),
        ("symbol4", "★★★", "★★★★★★"),
        ("character_string5", "SO2024-04/25", "订单1"),
        ("time6", "2019年10月1日 15:01", "下午三点"),
        ("time6", "15:01", "15点"),
        ("date7", "2019年10月1日", "10月1日"),
        ("amount8", "￥100.50", "一百元"),
        ("phone_number9", "+86-21-5555-0000", "电话5555"),
        ("car_number10", "沪A12345", "沪A1234567"),
        ("name11", "欧阳娜", "十一个汉字的名字不可以用"),
        ("phrase12", "已发货", "已发货了没有"),
    ],
)
def test_typed_keys_follow_their_rules(key, good, bad):
    typed_keys.check((key,), {}, {key: {"value": good}})
    with pytest.raises(WeChatError) as raised:
        typed_keys.check((key,), {}, {key: {"value": bad}})
    assert (raised.value.code, f"data.{key}.value" in raised.value.text) == (47003, True)


def test_const_takes_listed_values_only():
    typed_keys.check(("const1",), {"const1": ["甲", "乙"]}, {"const1": {"value": "甲"}})
    with pytest.raises(WeChatError):
        typed_keys.check(("const1",), {"const1": ["甲", "乙"]}, {"const1": {"value": "丙"}})
