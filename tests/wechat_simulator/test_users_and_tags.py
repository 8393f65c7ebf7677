"""Fans and tags (reference: service account 5.2, 5.3; mini-program 1.5)."""

import pytest

from tests.wechat_simulator.conftest import APPID, MINI, OTHER


def create_tag(simulator, name):
    return simulator.api("/cgi-bin/tags/create", {"tag": {"name": name}})


def batch(simulator, tag, openids, act="batchtagging"):
    return simulator.api(f"/cgi-bin/tags/members/{act}", {"openid_list": openids, "tagid": tag})["errcode"]


def test_user_info_has_no_nickname_and_a_unionid_only_with_a_subject(simulator):
    openid = simulator.follow("小雨", scene="ADD_SCENE_PROFILE_CARD")
    info = simulator.ask("/cgi-bin/user/info", openid=openid)
    assert (info["subscribe"], info["openid"], info["nickname"]) == (1, openid, "")
    assert (info["subscribe_scene"], info["tagid_list"]) == ("ADD_SCENE_PROFILE_CARD", [])
    assert info["unionid"] == simulator.look("/people/xiaoyu")["unionids"]["lanyu"]
    other = simulator.follow("小雨", OTHER)
    assert "unionid" not in simulator.ask("/cgi-bin/user/info", appid=OTHER, openid=other)
    assert len({openid, other}) == 2
    assert len(openid) == 28


def test_user_info_of_people_who_left_is_bare(simulator):
    openid = simulator.follow("小雨")
    simulator.act("小雨", "unfollow")
    assert simulator.ask("/cgi-bin/user/info", openid=openid) == {"subscribe": 0, "openid": openid}


def test_batch_info_takes_one_hundred(simulator):
    openid = simulator.follow("小雨")
    wanted = [{"openid": openid, "lang": "zh_CN"}] * 100
    answer = simulator.api("/cgi-bin/user/info/batchget", {"user_list": wanted})
    assert len(answer["user_info_list"]) == 100
    assert simulator.api("/cgi-bin/user/info/batchget", {"user_list": wanted * 2})["errcode"] == 40032
    assert simulator.api("/cgi-bin/user/info/batchget", {"user_list": [{"openid": "x"}]})["errcode"] == 40003


def test_followers_come_in_pages_of_ten_thousand(simulator):
    assert simulator.ask("/cgi-bin/user/get") == {"total": 0, "count": 0, "next_openid": ""}
    simulator.control("/world", {"crowds": [{"prefix": "fan", "count": 10_001, "follows": [APPID]}]})
    first = simulator.ask("/cgi-bin/user/get")
    assert (first["total"], first["count"], len(first["data"]["openid"])) == (10_001, 10_000, 10_000)
    second = simulator.ask("/cgi-bin/user/get", next_openid=first["next_openid"])
    assert (second["count"], len(second["data"]["openid"])) == (1, 1)
    third = simulator.ask("/cgi-bin/user/get", next_openid=second["next_openid"])
    assert third == {"total": 10_001, "count": 0, "next_openid": ""}
    assert len({*first["data"]["openid"], *second["data"]["openid"]}) == 10_001


def test_remark_is_short(simulator):
    openid = simulator.follow("小雨")
    path = "/cgi-bin/user/info/updateremark"
    assert simulator.api(path, {"openid": openid, "remark": "常客"})["errcode"] == 0
    assert simulator.ask("/cgi-bin/user/info", openid=openid)["remark"] == "常客"
    assert simulator.api(path, {"openid": openid, "remark": "长" * 30})["errcode"] == 40035


def test_tags_are_made_renamed_counted_and_deleted(simulator):
    made = create_tag(simulator, "金卡")["tag"]
    assert made == {"id": 100, "name": "金卡"}
    openid = simulator.follow("小雨")
    assert batch(simulator, 100, [openid]) == 0
    assert simulator.api("/cgi-bin/tags/update", {"tag": {"id": 100, "name": "黑卡"}})["errcode"] == 0
    assert simulator.ask("/cgi-bin/tags/get")["tags"][1:] == [{"id": 100, "name": "黑卡", "count": 1}]
    assert simulator.api("/cgi-bin/tags/getidlist", {"openid": openid}) == {"tagid_list": [100]}
    assert simulator.api("/cgi-bin/user/tag/get", {"tagid": 100})["data"]["openid"] == [openid]
    assert batch(simulator, 100, [openid], "batchuntagging") == 0
    assert simulator.api("/cgi-bin/tags/getidlist", {"openid": openid}) == {"tagid_list": []}
    assert simulator.api("/cgi-bin/tags/delete", {"tag": {"id": 100}})["errcode"] == 0
    assert simulator.api("/cgi-bin/tags/delete", {"tag": {"id": 100}})["errcode"] == 45159


@pytest.mark.parametrize(("name", "code"), [("金卡", 45157), ("", 45157), ("十一个汉字的标签名字啊", 45158)])
def test_bad_tag_names_have_codes(simulator, name, code):
    create_tag(simulator, "金卡")
    assert create_tag(simulator, name)["errcode"] == code


def test_one_hundred_tags_and_twenty_on_one_person(simulator):
    openid = simulator.follow("小雨")
    made = [create_tag(simulator, f"标签{number}") for number in range(101)]
    assert [item.get("errcode", 0) for item in made] == [0] * 100 + [45056]
    codes = [batch(simulator, item["tag"]["id"], [openid]) for item in made[:21]]
    assert codes == [0] * 20 + [45059]


def test_batch_limits_and_bad_openids(simulator):
    tag = create_tag(simulator, "金卡")["tag"]["id"]
    openid = simulator.follow("小雨")
    foreign = simulator.follow("小雨", OTHER)
    assert batch(simulator, tag, [openid] * 51) == 40032
    assert batch(simulator, tag, []) == 40031
    assert batch(simulator, tag, [openid, "nobody"]) == 40003
    assert batch(simulator, tag, [openid, foreign]) == 49003
    assert simulator.api("/cgi-bin/tags/getidlist", {"openid": openid}) == {"tagid_list": []}
    assert batch(simulator, 2, [openid]) == 45058
    assert batch(simulator, 999, [openid]) == 45159
    simulator.switch(batch_tagging_all_or_nothing=False)
    assert batch(simulator, tag, [openid, "nobody"]) == 0
    assert simulator.api("/cgi-bin/tags/getidlist", {"openid": openid}) == {"tagid_list": [tag]}


def test_unfollowing_takes_tags_away(simulator):
    tag = create_tag(simulator, "金卡")["tag"]["id"]
    openid = simulator.follow("小雨")
    batch(simulator, tag, [openid])
    simulator.act("小雨", "unfollow")
    assert simulator.ask("/cgi-bin/tags/get")["tags"][1]["count"] == 0


def test_login_code_is_used_once_within_five_minutes(simulator):
    asked = {"appid": MINI, "secret": simulator.secret(MINI), "grant_type": "authorization_code"}

    def session(code):
        return simulator.get("/sns/jscode2session", **asked, js_code=code).json()

    code = simulator.act("小雨", "login", MINI)["code"]
    answer = session(code)
    assert set(answer) == {"openid", "session_key", "unionid"}
    assert answer["unionid"] == simulator.look("/people/xiaoyu")["unionids"]["lanyu"]
    assert session(code)["errcode"] == 40029
    late = simulator.act("小雨", "login", MINI)["code"]
    simulator.control("/clock", {"advance": 300})
    assert session(late)["errcode"] == 40029
    phone = simulator.act("小雨", "phone", MINI)["code"]
    assert session(phone)["errcode"] == 40029


def test_phone_code_gives_the_number_once(simulator):
    code = simulator.act("小雨", "phone", MINI)["code"]
    path = "/wxa/business/getuserphonenumber"
    info = simulator.api(path, {"code": code}, appid=MINI)["phone_info"]
    assert (info["purePhoneNumber"], info["countryCode"], info["watermark"]["appid"]) == ("13800000001", "86", MINI)
    assert simulator.api(path, {"code": code}, appid=MINI)["errcode"] == 40029
    assert simulator.api(path, {"code": simulator.act("小雨", "phone", MINI)["code"]})["errcode"] == 40029
    assert simulator.act("小雨", "phone", MINI, allow=False) == {
        "refused": True,
        "saw": [],
        "pushes": [],
        "version": simulator.sim.bus.version,
    }


def test_flagged_person_cannot_log_in(simulator):
    simulator.control("/world", {"people": [{"id": "xiaoyu", "flagged": True}]})
    asked = {"appid": MINI, "secret": simulator.secret(MINI), "grant_type": "authorization_code"}
    code = simulator.act("小雨", "login", MINI)["code"]
    assert simulator.get("/sns/jscode2session", **asked, js_code=code).json()["errcode"] == 40226
