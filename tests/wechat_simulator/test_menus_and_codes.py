"""Menus, codes and short keys (reference: service account 5.4, 5.5)."""

import pytest

from tests.wechat_simulator.conftest import APPID, MINI, OTHER
from wechat_simulator.api.codes import picture

CLICK = {"type": "click", "name": "会员中心", "key": "MEMBER"}


def create(simulator, *buttons):
    return simulator.api("/cgi-bin/menu/create", {"button": list(buttons)})["errcode"]


def add(simulator, name, rule):
    button = {**CLICK, "name": name}
    return simulator.api("/cgi-bin/menu/addconditional", {"button": [button], "matchrule": rule})


def view(url):
    return {"type": "view", "name": "网页", "url": url}


@pytest.mark.parametrize(
    ("buttons", "code"),
    [
        ([], 40016),
        ([CLICK] * 4, 40016),
        ([{**CLICK, "name": "六个汉字的名"}], 40018),
        ([{**CLICK, "type": "dance"}], 40017),
        ([{**CLICK, "key": "k" * 129}], 40019),
        ([view("https://e.com/" + "x" * 1024)], 40020),
        ([view("ftp://e.com")], 65317),
        ([{"name": "服务", "sub_button": [CLICK] * 6}], 40023),
        ([{"name": "服务", "sub_button": [{**CLICK, "type": ""}]}], 40024),
        ([{"name": "服务", "sub_button": [{**CLICK, "name": "字" * 21}]}], 40025),
        ([{"name": "服务", "sub_button": [{**CLICK, "key": ""}]}], 40026),
        ([{"name": "服务", "sub_button": [{"name": "更深", "sub_button": [CLICK]}]}], 40022),
        ([{"name": "服务", "sub_button": [view(f"https://e{number}.com") for number in range(4)]}], 65316),
        ([{"type": "miniprogram", "name": "商城", "url": "https://e.com", "appid": "wxelse", "pagepath": "a"}], 45064),
        ([{"type": "miniprogram", "name": "商城", "url": "https://e.com", "appid": MINI, "pagepath": "a"}], 0),
        ([CLICK, {"name": "服务", "sub_button": [{**CLICK, "name": "字" * 20}, view("https://e.com")]}], 0),
    ],
)
def test_menu_rules_have_codes(simulator, buttons, code):
    assert create(simulator, *buttons) == code


def test_menu_is_read_and_deleted(simulator):
    assert simulator.ask("/cgi-bin/menu/get")["errcode"] == 46003
    create(simulator, CLICK)
    assert simulator.ask("/cgi-bin/menu/get") == {"menu": {"button": [CLICK]}}
    assert simulator.ask("/cgi-bin/get_current_selfmenu_info")["is_menu_open"] == 1
    assert simulator.ask("/cgi-bin/menu/delete")["errcode"] == 0
    assert simulator.ask("/cgi-bin/get_current_selfmenu_info")["is_menu_open"] == 0


def test_conditional_menu_matches_the_last_tag_and_the_newest_rule(simulator):
    gold, black = (
        simulator.api("/cgi-bin/tags/create", {"tag": {"name": name}})["tag"]["id"] for name in ("金卡", "黑卡")
    )
    assert add(simulator, "金", {"tag_id": str(gold)})["errcode"] == 65303
    create(simulator, CLICK)
    add(simulator, "金一", {"tag_id": str(gold)})
    newest = add(simulator, "金二", {"tag_id": gold})["menuid"]
    add(simulator, "黑", {"tag_id": black})
    openid = simulator.follow("小雨")

    def matched():
        return simulator.api("/cgi-bin/menu/trymatch", {"user_id": openid})["button"][0]["name"]

    def tag(number):
        body = {"openid_list": [openid], "tagid": number}
        assert simulator.api("/cgi-bin/tags/members/batchtagging", body)["errcode"] == 0

    assert matched() == "会员中心"
    tag(gold)
    assert matched() == "金二"
    tag(black)
    assert matched() == "黑"
    tag(gold)
    assert matched() == "金二"
    assert simulator.api("/cgi-bin/menu/delconditional", {"menuid": newest})["errcode"] == 0
    assert matched() == "金一"
    assert simulator.api("/cgi-bin/menu/trymatch", {"user_id": "nobody"})["errcode"] == 65302


def test_match_rule_takes_tags_only(simulator):
    create(simulator, CLICK)
    assert add(simulator, "男", {"sex": "1"})["errcode"] == 65320
    assert add(simulator, "空", {})["errcode"] == 65304
    assert add(simulator, "错", {"tag_id": "999"})["errcode"] == 45159
    assert add(simulator, "苹果", {"client_platform_type": "1"})["errcode"] == 65304
    simulator.switch(match_client_platform=True)
    assert "menuid" in add(simulator, "苹果", {"client_platform_type": "1"})


def test_phone_keeps_its_menu_for_five_minutes(simulator):
    create(simulator, CLICK)
    simulator.follow("小雨")

    def seen():
        return simulator.look("/people/xiaoyu/menu", appid=APPID)["button"][0]["name"]

    assert seen() == "会员中心"
    create(simulator, {**CLICK, "name": "新菜单"})
    simulator.control("/clock", {"advance": 200})
    assert seen() == "会员中心"
    simulator.control("/clock", {"advance": 101})
    assert seen() == "新菜单"


def code(simulator, **body):
    return simulator.api("/cgi-bin/qrcode/create", body)


def scene(value):
    return {"scene": {"scene_id" if isinstance(value, int) else "scene_str": value}}


def test_temporary_code_expires_and_gets_a_new_ticket_each_time(simulator):
    body = {"expire_seconds": 600, "action_name": "QR_STR_SCENE", "action_info": scene("s:021:g7")}
    first, second = code(simulator, **body), code(simulator, **body)
    assert first["ticket"] != second["ticket"]
    assert (first["expire_seconds"], first["ticket"][-2:]) == (600, "==")
    simulator.follow("小雨")
    assert simulator.act("小雨", "scan", ticket=first["ticket"])["followed"] is True
    simulator.control("/clock", {"advance": 601})
    assert simulator.act("小雨", "scan", url=second["url"])["problem"] == "该二维码已过期"


def test_permanent_code_is_the_same_for_the_same_scene(simulator):
    body = {"action_name": "QR_LIMIT_STR_SCENE", "action_info": scene("store-1")}
    first = code(simulator, **body)
    assert code(simulator, **body) == first
    assert "expire_seconds" not in first
    simulator.switch(permanent_code_same_scene=False)
    assert code(simulator, **body) != first


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ({"action_name": "QR_OTHER", "action_info": scene("a")}, 40053),
        ({"action_name": "QR_STR_SCENE", "action_info": scene("a" * 65)}, 40053),
        ({"action_name": "QR_SCENE", "action_info": scene(0)}, 40053),
        ({"action_name": "QR_LIMIT_SCENE", "action_info": scene(100_001)}, 40053),
        ({"action_name": "QR_STR_SCENE", "action_info": scene("a"), "expire_seconds": 2_592_001}, 40035),
    ],
)
def test_bad_codes_are_refused(simulator, body, number):
    assert code(simulator, **body)["errcode"] == number


def test_permanent_codes_run_out(simulator):
    simulator.control("/world", {"accounts": [{"appid": APPID, "permanent_code_limit": 1}]})
    code(simulator, action_name="QR_LIMIT_SCENE", action_info=scene(7))
    assert code(simulator, action_name="QR_LIMIT_SCENE", action_info=scene(8))["errcode"] == 45029


def test_stranger_sees_the_account_card_first_and_follows_by_the_code(simulator):
    made = code(simulator, action_name="QR_SCENE", action_info=scene(7), expire_seconds=60)
    seen = simulator.act("小雨", "scan", ticket=made["ticket"])
    assert (seen["followed"], seen["card"]["name"]) == (False, "澜屿 LANYU")
    simulator.act("小雨", "follow", ticket=made["ticket"])
    info = simulator.ask("/cgi-bin/user/info", openid=simulator.openid("小雨"))
    assert (info["subscribe_scene"], info["qr_scene"], info["qr_scene_str"]) == ("ADD_SCENE_QR_CODE", 7, "")


def test_picture_is_a_png_and_a_bad_ticket_is_404(simulator):
    made = code(simulator, action_name="QR_STR_SCENE", action_info=scene("a"), expire_seconds=60)
    answer = simulator.get("/cgi-bin/showqrcode", ticket=made["ticket"])
    assert (answer.status_code, answer.content) == (200, picture(made["url"]))
    assert answer.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert simulator.get("/cgi-bin/showqrcode", ticket="none").status_code == 404


def test_codes_carry_names(simulator):
    made = code(simulator, action_name="QR_LIMIT_STR_SCENE", action_info=scene("door"))
    simulator.control("/codes/name", {"appid": APPID, "scene": "door", "name": "静安店门口"})
    listed = simulator.look("/codes", appid=APPID)["codes"]
    assert [(item["ticket"], item["name"]) for item in listed] == [(made["ticket"], "静安店门口")]


def test_short_key_is_kept_until_it_expires(simulator):
    made = simulator.api("/cgi-bin/shorten/gen", {"long_data": "长内容", "expire_seconds": 100})
    body = {"short_key": made["short_key"]}
    simulator.control("/clock", {"pause": True})
    fetched = simulator.api("/cgi-bin/shorten/fetch", body)
    assert fetched["long_data"] == "长内容"
    assert 95 <= fetched["expire_seconds"] <= 100
    assert simulator.api("/cgi-bin/shorten/fetch", body, appid=OTHER)["errcode"] == 40035
    simulator.control("/clock", {"advance": 100})
    assert simulator.api("/cgi-bin/shorten/fetch", body)["errcode"] == 40035
    assert simulator.api("/cgi-bin/shorten/gen", {"long_data": "x" * 4097})["errcode"] == 40035
