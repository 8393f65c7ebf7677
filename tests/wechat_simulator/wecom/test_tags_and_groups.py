"""Corp tags and group chats (reference: WeCom 2.8, 2.9, 2.10)."""

import pytest

from tests.wechat_simulator.wecom.conftest import CORP


def groups(wecom):
    return {group["group_name"]: group for group in wecom.good("/get_corp_tag_list", {})["tag_group"]}


def tag_id(wecom, name, group="会员等级"):
    return next(tag["id"] for tag in groups(wecom)[group]["tag"] if tag["name"] == name)


def test_same_group_name_is_the_same_group(wecom):
    first = wecom.good("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海", "order": 2}]})["tag_group"]
    second = wecom.good("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "北京", "order": 5}]})["tag_group"]
    assert first["group_id"] == second["group_id"]
    assert [tag["name"] for tag in groups(wecom)["城市"]["tag"]] == ["北京", "上海"]  # the higher order first
    third = {"group_id": first["group_id"], "tag": [{"name": "苏州"}]}
    assert wecom.good("/add_corp_tag", third)["tag_group"]["group_name"] == "城市"
    asked = wecom.good("/get_corp_tag_list", {"tag_id": [first["tag"][0]["id"]], "group_id": ["ignored"]})["tag_group"]
    assert [(group["group_name"], len(group["tag"])) for group in asked] == [("城市", 1)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"group_name": "城市", "tag": []}, 40063),
        ({"tag": [{"name": "上海"}]}, 40063),
        ({"group_name": "城市", "tag": [{"name": "字" * 30}]}, 0),
        ({"group_name": "城市", "tag": [{"name": "字" * 31}]}, 40058),
        ({"group_name": "会员等级", "tag": [{"name": "金卡"}]}, 301021),
        ({"group_name": "城市", "tag": [{"name": "上海"}, {"name": "上海"}]}, 301021),
        ({"group_id": "etnone", "tag": [{"name": "上海"}]}, 40068),
    ],
)
def test_adding(wecom, body, code):
    assert wecom.ec("/add_corp_tag", body)["errcode"] == code
    assert ("城市" in groups(wecom)) is (code == 0)  # no empty group stays behind


def test_an_application_changes_only_what_it_made(wecom):
    made = wecom.good("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海"}, {"name": "北京"}]})["tag_group"]
    mine, console = made["tag"][0]["id"], tag_id(wecom, "金卡")
    assert wecom.ec("/edit_corp_tag", {"id": console, "name": "黑卡"})["errcode"] == 301002
    assert wecom.ec("/del_corp_tag", {"tag_id": [mine, console]})["errcode"] == 301002
    assert wecom.ec("/edit_corp_tag", {"id": mine, "name": "苏州"}, agent=1000003)["errcode"] == 301002
    assert wecom.ec("/edit_corp_tag", {"id": mine, "name": "北京"})["errcode"] == 301021
    wecom.good("/edit_corp_tag", {"id": mine, "name": "苏州"})
    wecom.good("/edit_corp_tag", {"id": made["group_id"], "name": "所在城市"})
    assert {tag["name"] for tag in groups(wecom)["所在城市"]["tag"]} == {"苏州", "北京"}
    assert wecom.ec("/edit_corp_tag", {"id": "etnone", "name": "x"})["errcode"] == 40068


def test_a_group_goes_with_its_last_tag(wecom):
    made = wecom.good("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海"}, {"name": "北京"}]})["tag_group"]
    first, second = (tag["id"] for tag in made["tag"])
    external = wecom.add()
    wecom.good("/mark_tag", {"userid": "guide01", "external_userid": external, "add_tag": [first]})
    wecom.good("/del_corp_tag", {"tag_id": [first]})
    assert "城市" in groups(wecom)
    assert wecom.get("/externalcontact/get", external_userid=external)["follow_user"][0]["tags"] == []
    wecom.good("/del_corp_tag", {"tag_id": [second]})
    assert "城市" not in groups(wecom)
    assert wecom.ec("/del_corp_tag", {"tag_id": [second]})["errcode"] == 40068
    again = wecom.good("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海"}]})["tag_group"]
    assert again["group_id"] != made["group_id"]
    assert wecom.ec("/del_corp_tag", {})["errcode"] == 40063


def test_tags_are_of_one_member_and_one_customer(wecom):
    external = wecom.add()
    wecom.add(userid="guide02")
    gold, silver = tag_id(wecom, "金卡"), tag_id(wecom, "银卡")
    body = {"userid": "guide01", "external_userid": external}
    wecom.good("/mark_tag", {**body, "add_tag": [gold, silver]})
    wecom.good("/mark_tag", {**body, "add_tag": [gold], "remove_tag": [silver]})
    follow = wecom.get("/externalcontact/get", external_userid=external)["follow_user"]
    assert [[tag["tag_name"] for tag in row["tags"]] for row in follow] == [["金卡"], []]
    assert wecom.ec("/mark_tag", {**body, "add_tag": ["etnone"]})["errcode"] == 40068
    assert wecom.ec("/mark_tag", body)["errcode"] == 40063
    assert wecom.ec("/mark_tag", {**body, "userid": "guide03", "add_tag": [gold]})["errcode"] == 84061
    wecom.simulator.switch(wecom_tags_per_customer=1)
    assert wecom.ec("/mark_tag", {**body, "add_tag": [silver]})["errcode"] == 40058


def test_corp_has_so_many_tags(wecom):
    wecom.simulator.switch(wecom_tags=3)
    assert wecom.ec("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "a"}, {"name": "b"}]})["errcode"] == 40058
    assert wecom.ec("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "a"}]})["errcode"] == 0


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def chat(wecom):
    return wecom.staff("guide01", "create_group", name="老客群", people=["小雨"])["chat_id"]


def test_members_of_a_group(wecom, chat):
    wecom.act("老周", "join_group", chat_id=chat, scene=2)
    group = wecom.good("/groupchat/get", {"chat_id": chat, "need_name": 1})["group_chat"]
    assert (group["name"], group["owner"]) == ("老客群", "guide01")
    rows = group["member_list"]
    assert [(row["type"], row["name"], row["join_scene"]) for row in rows] == [
        (1, "顾问小王", 1),
        (2, "小雨", 1),
        (2, "老周", 2),
    ]
    assert rows[1]["unionid"] == wecom.simulator.look("/people/小雨")["unionids"]["lanyu"]
    assert "unionid" not in rows[0]
    plain = wecom.good("/groupchat/get", {"chat_id": chat})["group_chat"]["member_list"]
    assert all("name" not in row for row in plain)
    assert wecom.ec("/groupchat/get", {"chat_id": "wrnone"})["errcode"] == 90501


def test_events_of_a_group_hang_together_by_their_version(wecom, ear):
    chat = wecom.staff("guide01", "create_group", name="老客群", people=["小雨"])["chat_id"]
    before = wecom.good("/groupchat/get", {"chat_id": chat})["group_chat"]["member_version"]
    wecom.act("老周", "join_group", chat_id=chat)
    wecom.act("小雨", "leave_group", chat_id=chat)
    wecom.staff("guide01", "change_group", chat_id=chat, remove="老周", name="新老客群")
    wecom.staff("guide01", "dismiss_group", chat_id=chat)
    assert ear.kinds() == ["create", "update", "update", "update", "update", "dismiss"]
    joined, left, renamed, removed = ear.events[1:5]
    assert (joined["UpdateDetail"], joined["JoinScene"], joined["MemChangeCnt"], joined["LastMemVer"]) == (
        "add_member",
        "1",
        "1",
        before,
    )
    assert (left["UpdateDetail"], left["QuitScene"], left["LastMemVer"]) == ("del_member", "0", joined["CurMemVer"])
    assert renamed["UpdateDetail"] == "change_name"
    assert (removed["QuitScene"], removed["MemChangeList"], removed["LastMemVer"]) == (
        "1",
        joined["MemChangeList"],
        left["CurMemVer"],
    )
    assert wecom.ec("/groupchat/get", {"chat_id": chat})["errcode"] == 90501


def test_quit_scene_follows_either_source(wecom, ear):
    wecom.simulator.switch(wecom_quit_scene_self=1)
    chat = wecom.staff("guide01", "create_group", name="群", people=["小雨", "老周"])["chat_id"]
    wecom.act("小雨", "leave_group", chat_id=chat)
    wecom.staff("guide01", "change_group", chat_id=chat, remove="老周")
    assert [event["QuitScene"] for event in ear.events[1:]] == ["1", "2"]


def test_full_group_leads_to_the_next_and_to_a_new_one(wecom, ear):
    wecom.simulator.switch(wecom_group_size=2)
    first = wecom.staff("guide01", "create_group", name="一群")["chat_id"]
    second = wecom.staff("guide01", "create_group", name="二群")["chat_id"]
    settings = {
        "scene": 2,
        "chat_id_list": [first, second],
        "state": "door",
        "room_base_name": "新客群",
        "room_base_id": 3,
    }
    way = wecom.good("/groupchat/add_join_way", settings)["config_id"]
    where = [wecom.act(f"guest{number}", "join_group", config_id=way)["chat_id"] for number in (1, 2, 3, 4)]
    assert where[:2] == [first, second]
    assert ear.kinds()[-4:] == ["create", "update", "create", "update"]
    names = [wecom.good("/groupchat/get", {"chat_id": item})["group_chat"]["name"] for item in where[2:]]
    assert names == ["新客群3", "新客群4"]
    member = wecom.good("/groupchat/get", {"chat_id": first})["group_chat"]["member_list"][1]
    assert (member["join_scene"], member["state"]) == (3, "door")
    assert "invitor" not in member
    wecom.good("/groupchat/update_join_way", {"config_id": way, "chat_id_list": [first], "auto_create_room": 0})
    assert "full" in wecom.refused("guest5", "join_group", config_id=way)
    shown = wecom.good("/groupchat/get_join_way", {"config_id": way})["join_way"]
    assert wecom.simulator.http.get(shown["qr_code"], timeout=9).headers["content-type"] == "image/png"
    wecom.good("/groupchat/del_join_way", {"config_id": way})
    assert wecom.ec("/groupchat/get_join_way", {"config_id": way})["errcode"] == 40058
    assert wecom.ec("/groupchat/add_join_way", {"scene": 2, "chat_id_list": [first] * 6})["errcode"] == 40058
    assert "full" in wecom.refused("guest6", "join_group", chat_id=first)


def test_list_of_groups(wecom, chat):
    other = wecom.staff("guide02", "create_group", name="二群")["chat_id"]
    wecom.staff("guide02", "resign")
    every = wecom.good("/groupchat/list", {"limit": 1})
    assert every["group_chat_list"] == [{"chat_id": chat, "status": 0}]
    rest = wecom.good("/groupchat/list", {"limit": 1, "cursor": every["next_cursor"]})
    assert rest["group_chat_list"] == [{"chat_id": other, "status": 1}]
    assert "next_cursor" not in rest
    assert wecom.good("/groupchat/list", {"status_filter": 1})["group_chat_list"] == rest["group_chat_list"]
    owned = wecom.good("/groupchat/list", {"owner_filter": {"userid_list": ["guide01"]}})
    assert [row["chat_id"] for row in owned["group_chat_list"]] == [chat]
    assert wecom.ec("/groupchat/list", {"limit": 1001})["errcode"] == 40058


def test_more_than_a_thousand_owners_need_a_filter(wecom):
    staff = [{"userid": f"owner{number}"} for number in range(1001)]
    rooms = [{"name": f"群{number}", "owner": f"owner{number}"} for number in range(1001)]
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "staff": staff, "groups": rooms}]})
    assert wecom.ec("/groupchat/list", {})["errcode"] == 81017
    assert wecom.ec("/groupchat/list", {"owner_filter": {"userid_list": ["owner7"]}})["errcode"] == 0


def test_groups_change_hands(wecom, chat, ear):
    def hand(path, **body):
        return wecom.good(f"/groupchat/{path}", body)["failed_chat_list"]

    assert [row["errcode"] for row in hand("transfer", chat_id_list=[chat, "wrnone"], new_owner="guide02")] == [
        90500,
        90501,
    ]
    assert hand("onjob_transfer", chat_id_list=[chat], new_owner="guide02") == []
    wecom.staff("guide02", "resign")
    assert [row["errcode"] for row in hand("onjob_transfer", chat_id_list=[chat], new_owner="guide03")] == [90502]
    assert wecom.ec("/groupchat/transfer", {"chat_id_list": [chat], "new_owner": "clerk"})["errcode"] == 90507
    assert hand("transfer", chat_id_list=[chat], new_owner="guide03") == []
    group = wecom.good("/groupchat/get", {"chat_id": chat})["group_chat"]
    assert (group["owner"], [row["userid"] for row in group["member_list"] if row["type"] == 1]) == (
        "guide03",
        ["guide01", "guide02", "guide03"],
    )
    assert wecom.good("/groupchat/list", {})["group_chat_list"] == [{"chat_id": chat, "status": 3}]
    assert ear.kinds() == ["delete_user"]


def test_so_many_groups_of_a_person_change_hands_in_a_day(wecom):
    wecom.stop_clock()
    wecom.simulator.control("/clock", {"set": "2025-06-01T23:00"})
    wecom.simulator.switch(wecom_group_transfers_per_day=1)
    chats = [wecom.staff("guide01", "create_group", name=f"群{number}")["chat_id"] for number in range(3)]

    def hand(chat):
        body = {"chat_id_list": [chat], "new_owner": "guide02"}
        return wecom.good("/groupchat/onjob_transfer", body)["failed_chat_list"]

    assert hand(chats[0]) == []
    assert [row["errcode"] for row in hand(chats[1])] == [90508]
    wecom.advance(3600)  # the next day in Shanghai
    assert hand(chats[1]) == []


def test_mini_program_opened_in_a_group_learns_which(wecom, chat):
    opengid = wecom.act("小雨", "open_from_group", chat_id=chat)["opengid"]
    assert wecom.good("/opengid_to_chatid", {"opengid": opengid})["chat_id"] == chat
    assert wecom.ec("/opengid_to_chatid", {"opengid": "tGnone"})["errcode"] == 40058
