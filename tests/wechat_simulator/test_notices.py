"""Subscribe notifications of the simulated WeChat: consent, one message for each, long-term ones, their events."""

import json

import pytest

from tests.wechat_simulator.conftest import APPID, OTHER, WORLD, wait_until
from wechat_simulator import wire
from wechat_simulator.crypto import MessageCipher
from wechat_simulator.simulation import Simulation

PICK_UP, NEWS, PROGRESS = "ntc-pick-up", "ntc-news", "ntc-progress"
SEND = "/cgi-bin/message/subscribe/bizsend"
KEYS = [{"key": "thing1", "label": "商品"}, {"key": "time2", "label": "取货时间"}]
GOOD = {"thing1": {"value": "亚麻衬衫"}, "time2": {"value": "2025-06-02 15:30"}}


@pytest.fixture
def notices(simulator):
    simulator.control(
        "/world",
        {
            "accounts": [
                {
                    "appid": APPID,
                    "notices": [
                        {"template_id": PICK_UP, "title": "取货提醒", "keys": KEYS},
                        {"template_id": NEWS, "title": "新品到店通知", "keys": KEYS},
                        {"template_id": PROGRESS, "title": "办理进度通知", "kind": 3, "keys": KEYS},
                    ],
                }
            ]
        },
    )
    return simulator


def send(simulator, openid, template_id=PICK_UP, appid=APPID, **more):
    body = {"touser": openid, "template_id": template_id, "data": GOOD, **more}
    return simulator.api(SEND, body, appid)


def test_one_accept_is_one_message_and_accepts_add_up(notices):
    openid = notices.follow("小雨")
    assert send(notices, openid)["errcode"] == 43101

    notices.act("小雨", "allow_notices", template_ids=[PICK_UP, NEWS])
    notices.act("小雨", "allow_notices", titles=["取货提醒"])
    codes = [send(notices, openid)["errcode"] for _ in range(3)]

    assert codes == [0, 0, 43101]
    assert send(notices, openid, NEWS)["errcode"] == 0
    rows = notices.rows(kind="subscribe")
    assert [(row["template_id"], row["visible_duplicate"]) for row in rows] == [
        (PICK_UP, False),
        (PICK_UP, True),
        (NEWS, False),
    ]


def test_a_long_term_consent_is_not_used_up_until_it_is_turned_off(notices):
    openid = notices.follow("小雨")
    notices.act("小雨", "allow_notices", template_ids=[PROGRESS])
    assert [send(notices, openid, PROGRESS)["errcode"] for _ in range(3)] == [0, 0, 0]

    notices.act("小雨", "turn_off_notices", template_ids=[PROGRESS])

    assert send(notices, openid, PROGRESS)["errcode"] == 43101
    assert notices.look("/people/小雨")["accounts"][APPID]["consents"] == {PROGRESS: 0}


def test_who_left_still_gets_what_they_agreed_to(notices):
    openid = notices.follow("小雨")
    notices.act("小雨", "allow_notices", template_ids=[PICK_UP])
    notices.act("小雨", "unfollow")
    assert send(notices, openid)["errcode"] == 0
    notices.settle()
    entry = notices.entries("小雨")[-1]
    assert (entry["kind"], entry["via"], entry["title"]) == ("template", "subscribe", "取货提醒")
    assert entry["rows"][0] == {"key": "thing1", "label": "商品", "value": "亚麻衬衫"}


def test_a_refusal_of_all_messages_and_a_refused_popup_give_nothing(notices):
    openid = notices.follow("小雨")
    notices.act("小雨", "allow_notices", template_ids=[PICK_UP, NEWS], refused=[NEWS])
    assert send(notices, openid, NEWS)["errcode"] == 43101
    notices.act("小雨", "block")
    assert send(notices, openid)["errcode"] == 43101
    notices.act("小雨", "unblock")
    assert send(notices, openid)["errcode"] == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"touser": "oNobody"}, 40003),
        ({"template_id": "tpl-booking-0001"}, 40037),  # a template message's id is of another family
        ({"data": {"thing1": {"value": "亚麻衬衫"}}}, 47003),
        ({"data": {**GOOD, "time2": {"value": "明天下午"}}}, 47003),
        ({"miniprogram": {"appid": "wxunknown"}}, 40166),
    ],
)
def test_what_wechat_refuses_uses_nothing_up(notices, body, code):
    openid = notices.follow("小雨")
    notices.act("小雨", "allow_notices", template_ids=[PICK_UP])
    assert send(notices, openid, **body)["errcode"] == code
    assert send(notices, openid)["errcode"] == 0


def test_a_template_message_does_not_take_a_notices_id(notices):
    openid = notices.follow("小雨")
    assert notices.send(openid, template_id=PICK_UP)["errcode"] == 40037


def test_consent_to_one_account_is_none_to_another(notices):
    notices.control("/world", {"accounts": [{"appid": OTHER, "notices": [{"template_id": PICK_UP, "title": "取货提醒", "keys": KEYS}]}]})  # fmt: skip
    notices.follow("小雨")
    other = notices.follow("小雨", OTHER)
    notices.act("小雨", "allow_notices", template_ids=[PICK_UP])
    assert send(notices, other, appid=OTHER)["errcode"] == 43101


def test_one_popup_asks_for_one_kind_and_for_five_at_most(notices):
    notices.follow("小雨")
    for wrong in ({"template_ids": [PICK_UP, PROGRESS]}, {"template_ids": [PICK_UP] * 6}, {"template_ids": ["x"]}, {}):
        answer = notices.http.post(
            f"{notices.url}/_sim/people/小雨/act", json={"act": "allow_notices", "appid": APPID, **wrong}, timeout=30
        )
        assert answer.status_code == 400, wrong


def pushed(callback, simulator, as_json):
    account = simulator.look(f"/accounts/{APPID}", secrets=1)
    cipher = MessageCipher(account["aes_key"], APPID)
    found = []
    for request in callback.requests:
        if request["method"] != "POST":
            continue
        how = "json" if as_json else "xml"
        fields = wire.parse(cipher.decrypt(wire.parse(request["body"], how)["Encrypt"]), how)
        if str(fields.get("Event", "")).startswith("subscribe_msg"):
            found.append(fields)
    return found


@pytest.mark.parametrize("how", ["xml", "json"])
def test_events_carry_the_list_as_each_format_does(notices, callback, how):
    notices.control("/world", {"accounts": [{**WORLD["accounts"][0], "callback_url": callback.url, "format": how}]})
    openid = notices.follow("小雨")
    notices.act("小雨", "allow_notices", template_ids=[PICK_UP, NEWS], refused=[NEWS], scene="2")
    msgid = send(notices, openid)["msgid"]
    notices.settle()
    notices.act("小雨", "turn_off_notices", template_ids=[PICK_UP])

    wait_until(lambda: len(pushed(callback, notices, how == "json")) == 3)
    popup, sent, change = pushed(callback, notices, how == "json")
    chosen = popup["List"] if how == "json" else popup["SubscribeMsgPopupEvent"]["List"]
    assert [(each["TemplateId"], each["SubscribeStatusString"], each["PopupScene"]) for each in chosen] == [
        (PICK_UP, "accept", "2"),
        (NEWS, "reject", "2"),
    ]
    reported = sent["List"] if how == "json" else sent["SubscribeMsgSentEvent"]["List"]
    assert (reported["MsgID"], reported["ErrorCode"], reported["ErrorStatus"]) == (str(msgid), "0", "success")
    off = change["List"] if how == "json" else change["SubscribeMsgChangeEvent"]["List"]
    assert off == {"TemplateId": PICK_UP, "SubscribeStatusString": "reject"}


def test_templates_are_added_listed_and_deleted_within_the_limits(notices):
    found = notices.ask("/wxaapi/newtmpl/getcategory")["data"]
    titles = notices.ask("/wxaapi/newtmpl/getpubtemplatetitles", ids=str(found[0]["id"]), start="0", limit="30")
    tid = titles["data"][0]["tid"]
    kids = [each["kid"] for each in notices.ask("/wxaapi/newtmpl/getpubtemplatekeywords", tid=str(tid))["data"]]
    add = "/wxaapi/newtmpl/addtemplate"
    assert notices.api(add, {"tid": 1, "kidList": kids})["errcode"] == 200014
    assert notices.api(add, {"tid": tid, "kidList": kids[:1]})["errcode"] == 200020
    assert notices.api(add, {"tid": tid, "kidList": kids[:2], "sceneDesc": "字" * 16})["errcode"] == 200021
    notices.switch(max_private_templates=4)
    made = notices.api(add, {"tid": tid, "kidList": [kids[1], kids[0]], "sceneDesc": "取货"})["priTmplId"]
    assert notices.api(add, {"tid": tid, "kidList": kids[:2]})["errcode"] == 200012

    listed = {each["priTmplId"]: each for each in notices.ask("/wxaapi/newtmpl/gettemplate")["data"]}
    assert [listed[name]["type"] for name in (PICK_UP, PROGRESS, made)] == [2, 3, 2]
    assert listed[made]["content"].splitlines() == ["取货时间:{{time2.DATA}}", "商品:{{thing1.DATA}}"]
    assert notices.api("/wxaapi/newtmpl/deltemplate", {"priTmplId": made})["errcode"] == 0
    assert notices.api("/wxaapi/newtmpl/deltemplate", {"priTmplId": made})["errcode"] == 200014


def test_consents_and_templates_survive_a_restart(notices, tmp_path):
    notices.follow("小雨")
    notices.act("小雨", "allow_notices", template_ids=[PICK_UP])
    notices.sim.save(tmp_path)
    again = Simulation()
    assert again.restore(tmp_path)
    fan = again.world.fan(again.world.account(APPID), again.world.person("小雨"))
    assert fan.consents == {PICK_UP: 1}
    assert again.world.account(APPID).notices[PROGRESS].kind == 3
    assert json.loads((tmp_path / "simulator.json").read_text())["world"]["accounts"][0]["notices"]
