"""Tokens, errors, frequency and faults of WeCom's calls (reference: WeCom 0, 2.2)."""

import pytest

from tests.wechat_simulator.conftest import APPID
from tests.wechat_simulator.wecom.conftest import CORP, OTHER_CORP

FOLLOW_USERS = "/externalcontact/get_follow_user_list"
PATH = "/qyapi/cgi-bin" + FOLLOW_USERS


def test_token_is_the_same_until_it_ends(wecom):
    wecom.stop_clock()
    first = wecom.gettoken()
    assert (first["errcode"], first["expires_in"]) == (0, 7200)
    wecom.advance(7000)
    second = wecom.gettoken()
    assert (second["access_token"], second["expires_in"]) == (first["access_token"], 200)
    wecom.advance(200)
    assert wecom.gettoken()["access_token"] != first["access_token"]


def test_every_application_has_its_own_token(wecom):
    assert wecom.token() != wecom.token(agent=1000003)
    assert wecom.get(FOLLOW_USERS, agent=1000003)["errcode"] == 0


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"corpid": CORP, "corpsecret": "wrong"}, 40001),
        ({"corpid": "ww-nobody", "corpsecret": "x"}, 40013),
        ({"corpid": CORP}, 41004),
        ({"corpsecret": "x"}, 41002),
    ],
)
def test_wrong_credentials(wecom, params, code):
    assert wecom.simulator.get("/qyapi/cgi-bin/gettoken", **params).json()["errcode"] == code


def test_tokens_that_are_none(wecom):
    ask = wecom.simulator.get
    assert ask(PATH).json()["errcode"] == 41001
    assert ask(PATH, access_token="nonsense").json()["errcode"] == 40014
    assert ask(PATH, access_token=wecom.simulator.token(APPID)).json()["errcode"] == 40014
    # and the other way round: a token of WeCom opens nothing of a service account
    assert ask("/cgi-bin/tags/get", access_token=wecom.token()).json()["errcode"] == 61014


def test_token_ends_after_two_hours_and_may_be_ended_early(wecom):
    token = wecom.token()
    wecom.advance(7201)
    assert wecom.get(FOLLOW_USERS)["errcode"] == 42001
    wecom.forget()
    assert wecom.token() != token
    wecom.simulator.control("/tokens/kill", {"appid": CORP})
    assert wecom.get(FOLLOW_USERS)["errcode"] == 40014
    wecom.forget()
    assert wecom.get(FOLLOW_USERS)["errcode"] == 0


def test_refusal_names_the_address_and_a_link(wecom):
    answer = wecom.get("/externalcontact/list", userid="nobody")
    assert answer["errcode"] == 40003
    assert "hint: [" in answer["errmsg"]
    assert "from ip: 127.0.0.1" in answer["errmsg"]
    assert answer["errmsg"].endswith("devtool/query?e=40003")
    assert "rid:" not in answer["errmsg"]


def test_unknown_path_and_wrong_method(wecom):
    assert wecom.get("/externalcontact/no_such_thing")["errcode"] == 48002
    assert wecom.ec("/list", {})["errcode"] == 43001
    assert wecom.get("/externalcontact/mark_tag")["errcode"] == 43002
    where = wecom.simulator.url + "/qyapi/cgi-bin/externalcontact/mark_tag"
    for body, code in ((b"", 44002), (b"{", 47001), (b"[]", 47001)):
        answer = wecom.simulator.http.post(where, params={"access_token": wecom.token()}, data=body, timeout=9)
        assert answer.json()["errcode"] == code


def test_only_listed_addresses_may_call(wecom):
    agents = [{"agentid": 1000002, "ip_allow": ["10.0.0.1"]}]
    token = wecom.token()
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "agents": agents}]})
    assert wecom.simulator.get(PATH, access_token=token).json()["errcode"] == 60020
    assert wecom.gettoken()["errcode"] == 60020


def test_application_without_customer_contact(wecom):
    agents = [{"agentid": 1000003, "contact": False}]
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "agents": agents}]})
    assert wecom.get(FOLLOW_USERS, agent=1000003)["errcode"] == 84074
    assert wecom.get("/user/get", agent=1000003, userid="guide01")["errcode"] == 0


def test_application_sees_only_its_range(wecom):
    agents = [{"agentid": 1000003, "visible": ["guide01"]}]
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "agents": agents}]})
    wecom.add(userid="guide02")
    assert wecom.get("/externalcontact/list", agent=1000003, userid="guide02")["errcode"] == 60011
    assert wecom.get(FOLLOW_USERS, agent=1000003)["follow_user"] == ["guide01"]


def test_minute_limit_closes_a_path_for_a_minute(wecom):
    wecom.stop_clock()
    wecom.simulator.control("/clock", {"set": "2025-06-01T10:00:30"})
    wecom.token()
    wecom.simulator.switch(wecom_calls_per_minute=3)
    codes = [wecom.get(FOLLOW_USERS)["errcode"] for _ in range(4)]
    assert codes == [0, 0, 0, 45009]
    assert wecom.get("/user/get", userid="guide01")["errcode"] == 0  # another path
    wecom.advance(45)  # another minute, but the block is not over
    assert wecom.get(FOLLOW_USERS)["errcode"] == 45009
    wecom.advance(15)
    assert wecom.get(FOLLOW_USERS)["errcode"] == 0
    refused = wecom.simulator.look("/truth/summary")["quota_refusals"]
    assert {"appid": CORP, "path": PATH, "errcode": 45009, "count": 2} in refused


def test_hour_limit_closes_a_path_for_an_hour(wecom):
    wecom.stop_clock()
    wecom.simulator.control("/clock", {"set": "2025-06-01T10:59:00"})
    wecom.simulator.switch(wecom_calls_per_hour=2)
    assert [wecom.get(FOLLOW_USERS)["errcode"] for _ in range(3)] == [0, 0, 45009]
    wecom.advance(3599)
    assert wecom.get(FOLLOW_USERS)["errcode"] == 45009
    wecom.advance(1)
    assert wecom.get(FOLLOW_USERS)["errcode"] == 0


def test_address_limit_counts_all_corps_and_paths(wecom):
    wecom.token()
    wecom.token(OTHER_CORP, 1)
    wecom.stop_clock()
    wecom.advance(120)
    wecom.simulator.switch(wecom_ip_per_minute=2)
    assert wecom.get(FOLLOW_USERS)["errcode"] == 0
    assert wecom.get("/user/get", corp=OTHER_CORP, agent=1, userid="guide01")["errcode"] == 0
    assert wecom.get("/user/get", userid="guide01")["errcode"] == 45009


def test_tokens_are_counted_by_corp(wecom):
    wecom.stop_clock()
    wecom.simulator.switch(wecom_calls_per_minute=2)
    assert [wecom.gettoken()["errcode"] for _ in range(3)] == [0, 0, 45009]
    assert wecom.gettoken(OTHER_CORP, 1)["errcode"] == 0


ODD = [
    ("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海", "order": "a"}]}),
    ("/add_corp_tag", {"group_name": "城市", "order": "a", "tag": [{"name": "上海"}]}),
    ("/list_contact_way", {"start_time": "2025-06-01"}),
    ("/list_contact_way", {"end_time": []}),
    ("/list_contact_way", {"limit": True}),
    ("/list_contact_way", {"cursor": "CURSOR-1"}),
    ("/add_contact_way", {"type": 2, "scene": 2, "user": ["guide01"], "party": [[1]]}),
    ("/groupchat/list", {"owner_filter": ["guide01"]}),
    ("/groupchat/add_join_way", {"scene": 2, "chat_id_list": ["x"], "room_base_id": "one"}),
    ("/add_msg_template", {"text": {"content": "新品"}, "tag_filter": {"group_list": ["x"]}}),
    ("/add_msg_template", {"text": {"content": "新品"}, "tag_filter": {"group_list": {"a": 1}}}),
    ("/add_msg_template", {"text": {"content": "新品"}, "tag_filter": {"group_list": [{"tag_list": [[]]}]}}),
    ("/add_msg_template", {"attachments": [{"msgtype": ["image"]}]}),
]


@pytest.mark.parametrize(("path", "body"), ODD)
def test_odd_arguments_are_refused_by_name(wecom, path, body):
    assert wecom.ec(path, body)["errcode"] == 40058
    assert len(wecom.ec("/get_corp_tag_list", {})["tag_group"]) == 1


def test_odd_arguments_of_addresses_tags_and_customers(wecom):
    for path in ("/department/list?id=x", "/department/simplelist?id=²", "/user/list?department_id=x"):
        where, _, query = path.partition("?")
        assert wecom.get(where, **dict([query.split("=")]))["errcode"] == 40058
    assert wecom.get("/user/list")["errcode"] == 40063
    made = wecom.ec("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海"}]})["tag_group"]["tag"][0]["id"]
    assert wecom.ec("/edit_corp_tag", {"id": made, "name": "北京", "order": "a"})["errcode"] == 40058
    assert wecom.ec("/edit_corp_tag", {"id": made, "order": 7})["errcode"] == 0
    assert wecom.ec("/get_corp_tag_list", {"tag_id": [made]})["tag_group"][0]["tag"][0]["name"] == "上海"
    assert wecom.ec("/mark_tag", {"userid": "guide01", "external_userid": ["x"]})["errcode"] == 40096


# --- faults: the same ones as of every other call ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "more", "code"),
    [
        ("busy", {}, -1),
        ("errcode", {"errcode": 45009}, 45009),
        ("errcode", {"errcode": 45033}, 45033),
        ("kill_token", {}, 40014),
        ("kill_token", {"expire": True}, 42001),
    ],
)
def test_answer_instead_of_handling(wecom, kind, more, code):
    path = "/qyapi/cgi-bin/externalcontact/add_corp_tag"
    body = {"group_name": "城市", "tag": [{"name": "上海"}]}
    wecom.token()
    wecom.simulator.control("/faults", {"kind": kind, "path": path, "appid": CORP, "count": 1, **more})
    answer = wecom.ec("/add_corp_tag", body)
    assert answer["errcode"] == code
    assert "devtool/query" in answer["errmsg"]
    wecom.forget()
    assert wecom.ec("/get_corp_tag_list", {})["tag_group"][0]["group_name"] == "会员等级"
    assert len(wecom.ec("/get_corp_tag_list", {})["tag_group"]) == 1
    assert wecom.ec("/add_corp_tag", body)["errcode"] == 0


def test_fault_aims_at_one_corp_before_it_has_a_token(wecom):
    wecom.simulator.control(
        "/faults", {"kind": "busy", "path": "/qyapi/cgi-bin/gettoken", "appid": OTHER_CORP, "count": 1}
    )
    assert wecom.gettoken()["errcode"] == 0
    assert wecom.gettoken(OTHER_CORP, 1)["errcode"] == -1
    assert wecom.gettoken(OTHER_CORP, 1)["errcode"] == 0


def test_answer_is_lost_after_the_tag_was_made(wecom):
    path = "/qyapi/cgi-bin/externalcontact/add_corp_tag"
    wecom.simulator.control("/faults", {"kind": "html_200", "path": path, "count": 1})
    params = {"access_token": wecom.token()}
    body = {"group_name": "城市", "tag": [{"name": "上海"}]}
    answer = wecom.simulator.http.post(wecom.simulator.url + path, params=params, json=body, timeout=9)
    assert answer.content.startswith(b"<!DOCTYPE html>")
    assert wecom.ec("/add_corp_tag", body)["errcode"] == 301021


def test_calls_are_logged_with_the_corp(wecom):
    wecom.get(FOLLOW_USERS)
    wecom.get("/externalcontact/list", userid="guide01")
    rows = wecom.simulator.look("/calls", appid=CORP)["calls"]
    assert [(row["path"].rpartition("/")[2], row["result"]) for row in rows[-2:]] == [
        ("get_follow_user_list", "0"),
        ("list", "84061"),
    ]


# --- staff (reference: WeCom 2.15) -----------------------------------------------------------------------------------


def test_departments_and_staff(wecom):
    assert [row["id"] for row in wecom.get("/department/list")["department"]] == [1, 2]
    assert wecom.get("/department/list", id=2)["department"][0]["name"] == "静安店"
    assert wecom.get("/department/simplelist")["department_id"][1] == {"id": 2, "parentid": 1, "order": 1}
    assert wecom.get("/department/list", id=9)["errcode"] == 60123
    direct = wecom.get("/user/simplelist", department_id=2)["userlist"]
    assert [row["userid"] for row in direct] == ["guide01", "guide02"]
    row = wecom.get("/user/list", department_id=2)["userlist"][1]
    assert row == {
        "userid": "guide02",
        "name": "顾问小李",
        "department": [2],
        "main_department": 2,
        "status": 1,
        "direct_leader": ["guide01"],
    }
    assert "mobile" not in row  # not for applications made after 2022-06-20 (2.1)
    assert wecom.post("/user/list_id", {"limit": 3})["errcode"] == 48002  # for the secret of contact sync
    agents = [{"agentid": 1000003, "sync": True}]
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "agents": agents}]})
    page = wecom.post("/user/list_id", {"limit": 3}, agent=1000003)
    rest = wecom.post("/user/list_id", {"limit": 3, "cursor": page["next_cursor"]}, agent=1000003)
    assert len(page["dept_user"]) + len(rest["dept_user"]) == 5
    assert rest["next_cursor"] == ""
    assert wecom.get("/user/get", userid="nobody")["errcode"] == 60111
    assert wecom.get("/user/get")["errcode"] == 41035
    assert wecom.post("/user/getuserid", {"mobile": "13800000001"})["userid"] == "guide01"
    assert wecom.post("/user/getuserid", {"mobile": "13899999999"})["errcode"] == 60111


def test_state_survives_a_restart(wecom, tmp_path):
    from wechat_simulator.simulation import Simulation

    wecom.add("老周", "guide03")
    wecom.add("阿玲", "guide01")
    theirs = wecom.add("老周", "guide01")
    external = wecom.add()
    wecom.good("/add_contact_way", {"type": 1, "scene": 2, "user": ["guide01"], "state": "store_8"})
    wecom.act("小雨", "add", userid="guide02", half=True)
    wecom.staff("guide01", "create_group", name="老客群", people=["小雨"])
    wecom.good("/add_msg_template", {"sender": "guide01", "text": {"content": "新品"}})
    wecom.good(
        "/transfer_customer",
        {"handover_userid": "guide01", "takeover_userid": "guide03", "external_userid": [external]},
    )
    token = wecom.token()
    wecom.sim.save(tmp_path)
    again = Simulation(seed="another")
    assert again.restore(tmp_path) is True
    assert again.wecom.dump() == wecom.sim.wecom.dump()
    assert [item.userid for item in again.wecom.corp(CORP).of_customer(theirs)] == [
        "guide03",
        "guide01",
    ]  # in their order
    assert again.tokens.find(token).family == "agent 1000002"
    again.clock.advance(86_401)
    again.wecom.tell_later = lambda *args, **fields: None
    again.timers.fire_some()
    assert again.wecom.corp(CORP).friend("guide03", external) is not None
