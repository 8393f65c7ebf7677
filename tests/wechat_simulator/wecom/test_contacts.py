"""Customers, contact ways, ids (reference: WeCom 2.4, 2.5, 2.6)."""

import pytest

from tests.wechat_simulator.conftest import APPID, MINI
from tests.wechat_simulator.wecom.conftest import CORP, OTHER_CORP

WAY = {"type": 2, "scene": 2, "state": "store_8", "user": ["guide01", "guide02"]}
DAY = 86400


def test_member_without_customers_is_an_error_not_an_empty_list(wecom):
    assert wecom.get("/externalcontact/list", userid="guide01")["errcode"] == 84061
    assert wecom.ec("/batch/get_by_user", {"userid_list": ["guide01"]})["errcode"] == 84061
    external = wecom.add()
    assert wecom.get("/externalcontact/list", userid="guide01")["external_userid"] == [external]


@pytest.mark.parametrize(("userid", "code"), [("nobody", 40003), ("clerk", 84083), ("trainee", 40098), ("", 41035)])
def test_members_that_cannot_have_customers(wecom, userid, code):
    assert wecom.get("/externalcontact/list", userid=userid)["errcode"] == code


def test_detail_names_every_follower(wecom):
    external = wecom.add(add_way=3)
    wecom.act("小雨", "add", userid="guide02", customer_channel="window")
    wecom.staff("guide01", "edit", person="小雨", remark="小雨-VIP", tags=["金卡"])
    answer = wecom.get("/externalcontact/get", external_userid=external)
    contact = answer["external_contact"]
    assert (contact["name"], contact["type"], contact["external_userid"]) == ("小雨", 1, external)
    unionid = wecom.simulator.look("/people/小雨")["unionids"]["lanyu"]
    assert contact["unionid"] == unionid  # one person, one unionid per subject
    first, second = answer["follow_user"]
    assert (first["userid"], first["remark"], first["add_way"], "state" in first) == ("guide01", "小雨-VIP", 3, False)
    assert [(tag["group_name"], tag["tag_name"], tag["type"]) for tag in first["tags"]] == [("会员等级", "金卡", 1)]
    assert (second["userid"], second["state"], second["tags"]) == ("guide02", "window", [])
    assert "next_cursor" not in answer


def test_corp_without_a_subject_gives_no_unionid(wecom):
    wecom.act("小雨", "add", corp=OTHER_CORP, userid="guide01")
    external = wecom.get("/externalcontact/list", corp=OTHER_CORP, agent=1, userid="guide01")["external_userid"][0]
    assert (
        "unionid"
        not in wecom.get("/externalcontact/get", corp=OTHER_CORP, agent=1, external_userid=external)["external_contact"]
    )
    assert external != wecom.add()  # an id of its own in every corp


def test_external_id_of_another_corp_is_noticed(wecom):
    external = wecom.add()
    wecom.act("小雨", "add", corp=OTHER_CORP, userid="guide01")
    before = wecom.simulator.look("/health")["mix_ups"]
    assert wecom.get("/externalcontact/get", corp=OTHER_CORP, agent=1, external_userid=external)["errcode"] == 40096
    assert wecom.simulator.look("/health")["mix_ups"] == before + 1
    assert wecom.get("/externalcontact/get", external_userid="wmnobody")["errcode"] == 40096


def test_batch_pages_and_carries_tag_ids(wecom):
    for number in range(1, 8):
        wecom.add(f"guest{number}", "guide01" if number % 2 else "guide02")
    wecom.staff("guide01", "edit", person="guest1", tags=["银卡"])
    body = {"userid_list": ["guide01", "guide02"], "limit": 4}
    first = wecom.good("/batch/get_by_user", body)
    second = wecom.good("/batch/get_by_user", {**body, "cursor": first["next_cursor"]})
    rows = first["external_contact_list"] + second["external_contact_list"]
    assert (len(first["external_contact_list"]), len(rows), second["next_cursor"]) == (4, 7, "")
    info = rows[0]["follow_info"]
    assert (len(info["tag_id"]), "tags" in info) == (1, False)
    assert wecom.ec("/batch/get_by_user", {"userid_list": ["guide01"], "limit": 101})["errcode"] == 40058
    assert wecom.ec("/batch/get_by_user", {"userid_list": ["guide01"] * 101})["errcode"] == 40058
    assert wecom.ec("/batch/get_by_user", {})["errcode"] == 40063


def test_remark_overwrites_what_is_given_and_checks_lengths(wecom):
    external = wecom.add()
    body = {"userid": "guide01", "external_userid": external}
    wecom.good("/remark", {**body, "remark": "李女士", "description": "偏好香水", "remark_mobiles": ["13800000000"]})
    wecom.good("/remark", {**body, "remark": "李女士-VIP"})
    follow = wecom.get("/externalcontact/get", external_userid=external)["follow_user"][0]
    assert (follow["remark"], follow["description"], follow["remark_mobiles"]) == (
        "李女士-VIP",
        "偏好香水",
        ["13800000000"],
    )
    wecom.good("/remark", {**body, "remark_mobiles": [""]})
    assert wecom.get("/externalcontact/get", external_userid=external)["follow_user"][0]["remark_mobiles"] == []
    for field, most in (("remark", 20), ("description", 150), ("remark_company", 20)):
        assert wecom.ec("/remark", {**body, field: "字" * most})["errcode"] == 0
        assert wecom.ec("/remark", {**body, field: "字" * (most + 1)})["errcode"] == 40058
    assert wecom.ec("/remark", {**body, "userid": "guide02", "remark": "x"})["errcode"] == 84061


@pytest.mark.parametrize("act", ["delete", "drop_customer"])
def test_ended_relations_are_gone_and_may_begin_again(wecom, act):
    external = wecom.add()
    if act == "delete":
        wecom.act("小雨", act, userid="guide01")
    else:
        wecom.staff("guide01", act, person="小雨")
    assert wecom.get("/externalcontact/get", external_userid=external)["errcode"] == 84061
    assert "no contact" in wecom.refused("小雨", "delete", userid="guide01")
    assert wecom.add() == external
    assert wecom.get("/externalcontact/get", external_userid=external)["errcode"] == 0


def test_served_people_include_those_of_groups(wecom):
    wecom.add()
    chat = wecom.staff("guide01", "create_group", name="老客群", people=["小雨", "老周"])["chat_id"]
    rows = wecom.good("/contact_list", {})["info_list"]
    assert [row["is_customer"] for row in rows] == [True, False]
    assert (rows[0]["follow_userid"], rows[1]["chat_id"], rows[1]["chat_name"]) == ("guide01", chat, "老客群")
    assert "tmp_openid" in rows[1]


# --- contact ways ----------------------------------------------------------------------------------------------------


def test_way_gives_its_state_and_takes_staff_in_turn(wecom, ear):
    made = wecom.good("/add_contact_way", WAY)
    took = [wecom.act(f"guest{number}", "add", config_id=made["config_id"])["userid"] for number in (1, 2, 3)]
    assert took == ["guide01", "guide02", "guide01"]
    assert [event["State"] for event in ear.events] == ["store_8"] * 3
    external = ear.events[0]["ExternalUserID"]
    follow = wecom.get("/externalcontact/get", external_userid=external)["follow_user"][0]
    assert (follow["state"], follow["add_way"], follow["oper_userid"]) == ("store_8", 1, external)


def test_picture_of_a_way_leads_to_it(wecom):
    made = wecom.good("/add_contact_way", WAY)
    picture = wecom.simulator.http.get(made["qr_code"], timeout=9)
    assert picture.headers["content-type"] == "image/png"
    where = wecom.simulator.url + "/_sim/codes/read"
    texts = wecom.simulator.http.post(where, data=picture.content, timeout=9).json()["texts"]
    assert texts[0].startswith("https://work.weixin.qq.com/ca/")
    assert wecom.act("小雨", "add", qr_code=texts[0])["userid"] == "guide01"
    assert "qr_code" not in wecom.good("/add_contact_way", {**WAY, "scene": 1})


def test_way_is_read_changed_and_deleted(wecom):
    config_id = wecom.good("/add_contact_way", WAY)["config_id"]
    wecom.good("/update_contact_way", {"config_id": config_id, "user": ["guide03"], "remark": "新门店"})
    way = wecom.good("/get_contact_way", {"config_id": config_id})["contact_way"]
    assert (way["user"], way["state"], way["remark"], way["type"]) == (["guide03"], "store_8", "新门店", 2)
    assert (way["skip_verify"], way["mark_source"], way["is_exclusive"]) == (True, True, False)
    assert wecom.act("小雨", "add", config_id=config_id)["userid"] == "guide03"
    assert wecom.good("/list_contact_way", {})["contact_way"] == [{"config_id": config_id}]
    wecom.good("/del_contact_way", {"config_id": config_id})
    assert wecom.ec("/get_contact_way", {"config_id": config_id})["errcode"] == 40058
    assert wecom.refused("老周", "add", config_id=config_id) == "no such contact way"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"type": 3}, 40058),
        ({"scene": 9}, 40058),
        ({"type": 1}, 40058),
        ({"type": 1, "user": ["guide01"]}, 0),
        ({"state": "s" * 30}, 0),
        ({"state": "s" * 31}, 40058),
        ({"user": []}, 40063),
        ({"user": ["guide01", "nobody"]}, 40003),
        ({"user": ["guide01", "trainee"]}, 40098),
        ({"user": ["guide01", "clerk"]}, 84083),
        ({"user": ["guide01"] * 101}, 40058),
        ({"user": [], "party": [2]}, 0),
        ({"user": [], "party": [7]}, 60123),
        ({"skip_verify": "yes"}, 40058),
        ({"is_temp": True}, 48002),
    ],
)
def test_way_settings(wecom, change, code):
    assert wecom.ec("/add_contact_way", {**WAY, **change})["errcode"] == code


def test_way_of_a_department_gives_its_staff(wecom):
    config_id = wecom.good("/add_contact_way", {**WAY, "user": [], "party": [2]})["config_id"]
    took = {wecom.act(f"guest{number}", "add", config_id=config_id)["userid"] for number in (1, 2, 3)}
    assert took == {"guide01", "guide02"}


def test_way_that_does_not_skip_verification_waits_for_staff(wecom, ear):
    config_id = wecom.good("/add_contact_way", {**WAY, "skip_verify": False})["config_id"]
    assert wecom.act("小雨", "add", config_id=config_id)["half"] is True
    assert ear.kinds() == ["add_half_external_contact"]
    wecom.staff("guide01", "accept", person="小雨")
    assert ear.kinds() == ["add_half_external_contact", "add_external_contact"]


def test_exclusive_way_keeps_a_customer_with_one_member(wecom):
    config_id = wecom.good("/add_contact_way", {**WAY, "is_exclusive": True})["config_id"]
    assert [wecom.act("小雨", "add", config_id=config_id)["added"] for _ in range(2)] == [True, False]
    free = wecom.good("/add_contact_way", {**WAY, "state": "open"})["config_id"]
    wecom.act("老周", "add", config_id=free)
    assert wecom.act("老周", "add", config_id=free)["userid"] == "guide02"


def test_corp_has_so_many_ways(wecom):
    wecom.simulator.switch(wecom_contact_ways=1)
    wecom.good("/add_contact_way", WAY)
    assert wecom.ec("/add_contact_way", WAY)["errcode"] == 40058


def test_who_left_or_is_full_takes_nobody(wecom):
    config_id = wecom.good("/add_contact_way", WAY)["config_id"]
    wecom.staff("guide01", "resign")
    assert {wecom.act(f"guest{number}", "add", config_id=config_id)["userid"] for number in (1, 2)} == {"guide02"}
    wecom.simulator.control(
        "/world", {"corps": [{"corpid": CORP, "staff": [{"userid": "guide02", "customer_limit": 2}]}]}
    )
    assert "nobody" in wecom.refused("guest3", "add", config_id=config_id)


def test_state_of_a_second_code_is_configurable(wecom, ear):
    one = wecom.good("/add_contact_way", {**WAY, "user": ["guide01"]})["config_id"]
    two = wecom.good("/add_contact_way", {**WAY, "user": ["guide01"], "state": "store_9"})["config_id"]
    for person, keeps, state in (("小雨", False, "store_9"), ("老周", True, "store_8")):
        wecom.simulator.switch(wecom_readd_keeps_state=keeps)
        wecom.act(person, "add", config_id=one)
        wecom.act(person, "delete", userid="guide01")
        wecom.act(person, "add", config_id=two)
        assert ear.last("add_external_contact")["State"] == state


# --- ids -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(wecom):
    openid = wecom.simulator.follow("小雨")
    return {"unionid": wecom.simulator.look("/people/小雨")["unionids"]["lanyu"], "openid": openid, "subject_type": 0}


def convert(wecom, pair, **more):
    return wecom.post("/idconvert/unionid_to_external_userid", {**pair, **more})


def test_pending_id_matches_the_customer_who_comes_later(wecom, pair):
    pending = convert(wecom, pair)
    assert "external_userid" not in pending
    assert convert(wecom, pair)["pending_id"] == pending["pending_id"]
    external = wecom.add()
    answer = wecom.post("/idconvert/batch/external_userid_to_pending_id", {"external_userid": [external]})
    assert answer["result"] == [{"external_userid": external, "pending_id": pending["pending_id"]}]
    assert convert(wecom, pair)["external_userid"] == external
    assert wecom.ec("/unionid_to_external_userid", pair)["external_userid"] == external


@pytest.mark.parametrize(("days", "left"), [(89, 1), (90, 0)])
def test_pending_id_lives_for_90_days(wecom, pair, days, left):
    wecom.stop_clock()
    pending = convert(wecom, pair)["pending_id"]
    wecom.advance(days * DAY)
    wecom.forget()
    external = wecom.add()
    answer = wecom.post("/idconvert/batch/external_userid_to_pending_id", {"external_userid": [external]})
    assert len(answer["result"]) == left
    wecom.act("小雨", "delete", userid="guide01")
    assert (convert(wecom, pair)["pending_id"] == pending) is bool(left)


def test_pair_must_be_one_person_of_the_same_subject(wecom, pair):
    other = wecom.simulator.follow("老周")
    assert convert(wecom, pair, openid=other)["errcode"] == 40058
    assert convert(wecom, pair, unionid="oUwrong")["errcode"] == 40058
    assert convert(wecom, pair, subject_type=1)["errcode"] == 40058
    foreign = wecom.simulator.follow("小雨", "wxzaoshan00000001")
    assert convert(wecom, pair, openid=foreign)["errcode"] == 40058
    wecom.simulator.control("/world", {"accounts": [{"appid": "wxzaoshan00000001", "subject": "zaoshan"}]})
    theirs = wecom.simulator.look("/people/小雨")["unionids"]["zaoshan"]
    assert convert(wecom, pair, openid=foreign, unionid=theirs)["errcode"] == 40058  # a pair, but another subject's
    mini = wecom.simulator.sim.world.fan(wecom.sim.world.account(MINI), wecom.sim.world.person("小雨")).openid
    assert "pending_id" in convert(wecom, pair, openid=mini)  # a mini program of the same subject
    assert wecom.ec("/unionid_to_external_userid", pair)["errcode"] == 84061
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "verified": False}]})
    assert convert(wecom, pair)["errcode"] == 48002


@pytest.mark.parametrize(("switch", "seconds"), [("hour", 3600), ("day", DAY), ("month", 30 * DAY)])
def test_conversions_are_counted_by_hour_day_and_month(wecom, pair, switch, seconds):
    wecom.stop_clock()
    wecom.simulator.switch(**{f"wecom_conversions_per_{switch}": 3})
    external = wecom.add("老周")
    assert convert(wecom, pair)["errcode"] == 0
    batch = "/idconvert/batch/external_userid_to_pending_id"
    assert wecom.post(batch, {"external_userid": [external, external]})["errcode"] == 0  # two of them
    assert convert(wecom, pair)["errcode"] == 45009
    wecom.advance(seconds - 1)
    wecom.forget()
    assert convert(wecom, pair)["errcode"] == 45009
    wecom.advance(1)
    assert convert(wecom, pair)["errcode"] == 0


def test_every_id_of_a_batch_counts(wecom, pair):
    wecom.simulator.switch(wecom_conversions_per_hour=3)
    external = wecom.add("老周")
    assert convert(wecom, pair)["errcode"] == 0
    batch = "/idconvert/batch/external_userid_to_pending_id"
    assert wecom.post(batch, {"external_userid": [external] * 3})["errcode"] == 45009


def test_batch_of_pending_ids_takes_a_hundred(wecom):
    external = wecom.add()
    batch = "/idconvert/batch/external_userid_to_pending_id"
    assert wecom.post(batch, {"external_userid": [external] * 101})["errcode"] == 40058
    assert wecom.post(batch, {"external_userid": ["wmnobody"]})["errcode"] == 40096
    chat = wecom.staff("guide01", "create_group", name="群")["chat_id"]
    assert wecom.post(batch, {"external_userid": [external], "chat_id": chat})["result"] == []
    assert wecom.post(batch, {"external_userid": [external], "chat_id": "wrnone"})["errcode"] == 90501


def test_openid_of_a_customer(wecom):
    external = wecom.add()
    openid = wecom.good("/convert_to_openid", {"external_userid": external})["openid"]
    assert openid.startswith("o")
    assert openid != wecom.simulator.follow("小雨", APPID)
    assert wecom.ec("/convert_to_openid", {"external_userid": wecom.add("老周", business=True)})["errcode"] == 40096
