"""Customers change hands: 24 hours, refusals, limits (reference: WeCom 2.9)."""

import pytest

from tests.wechat_simulator.wecom.conftest import CORP

DAY = 86400
PAIR = {"handover_userid": "guide01", "takeover_userid": "guide02"}


@pytest.fixture
def external(wecom):
    wecom.stop_clock()
    return wecom.add()


def start(wecom, externals, resigned=False, **more):
    path = "/resigned/transfer_customer" if resigned else "/transfer_customer"
    answer = wecom.ec(path, {**PAIR, "external_userid": externals, **more})
    return [row["errcode"] for row in answer["customer"]] if answer["errcode"] == 0 else answer["errcode"]


def status(wecom, resigned=False, **pair):
    path = "/resigned/transfer_result" if resigned else "/transfer_result"
    return [row["status"] for row in wecom.good(path, {**PAIR, **pair})["customer"]]


def followers(wecom, external):
    return [row["userid"] for row in wecom.get("/externalcontact/get", external_userid=external).get("follow_user", [])]


def wait(wecom, seconds):
    wecom.advance(seconds)
    wecom.forget()


def test_begun_is_not_done_for_24_hours(wecom, ear, external):
    assert start(wecom, [external], transfer_success_msg="以后由我为你服务") == [0]
    assert (status(wecom), followers(wecom, external)) == ([2], ["guide01"])
    wait(wecom, DAY - 1)
    assert (status(wecom), ear.kinds()) == ([2], ["add_external_contact"])
    wait(wecom, 1)
    assert (status(wecom), followers(wecom, external)) == ([1], ["guide02"])
    gone = ear.last("del_external_contact")
    assert (gone["UserID"], gone["ExternalUserID"], gone["Source"]) == ("guide01", external, "DELETE_BY_TRANSFER")
    assert ear.kinds() == ["add_external_contact", "del_external_contact"]
    assert wecom.texts("小雨", "guide02") == ["以后由我为你服务"]
    assert wecom.get("/externalcontact/get", external_userid=external)["follow_user"][0]["add_way"] == 202


def test_the_customer_refuses(wecom, ear, external):
    start(wecom, [external])
    wait(wecom, 3600)
    wecom.act("小雨", "refuse_transfer")
    wecom.simulator.settle()
    failed = ear.last("transfer_fail")
    assert (failed["UserID"], failed["FailReason"]) == ("guide02", "customer_refused")
    wait(wecom, DAY)
    assert (status(wecom), followers(wecom, external)) == ([3], ["guide01"])
    assert "waiting" in wecom.refused("小雨", "refuse_transfer")
    assert start(wecom, [external]) == [0]  # a refused one does not count as a transfer


def test_the_taker_has_no_room_when_it_completes(wecom, ear, external):
    start(wecom, [external])
    limit = {"corps": [{"corpid": CORP, "staff": [{"userid": "guide02", "customer_limit": 1}]}]}
    wecom.simulator.control("/world", limit)
    wecom.add("老周", "guide02")
    wait(wecom, DAY)
    assert (status(wecom), followers(wecom, external)) == ([4], ["guide01"])
    assert ear.last("transfer_fail")["FailReason"] == "customer_limit_exceed"
    assert start(wecom, [external]) == [40099]


def test_what_stands_against_a_single_customer(wecom, external):
    stranger = wecom.add("老周", "guide03")
    assert start(wecom, [external, stranger, "wmnobody"]) == [0, 84061, 40096]
    assert start(wecom, [external]) == [40100]


def test_at_most_twice_in_90_days(wecom, external):
    back = {"handover_userid": "guide02", "takeover_userid": "guide01"}
    assert start(wecom, [external]) == [0]
    wait(wecom, DAY)
    assert start(wecom, [external], **back) == [0]
    wait(wecom, DAY)
    assert start(wecom, [external]) == [40128]
    wait(wecom, 88 * DAY)  # the first is 90 days old
    assert start(wecom, [external]) == [0]


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        ({"handover_userid": "nobody"}, 40003),
        ({"handover_userid": ""}, 41035),
        ({"takeover_userid": "nobody"}, 40003),
        ({"takeover_userid": "clerk"}, 84083),
        ({"takeover_userid": "trainee"}, 40098),
        ({"takeover_userid": "guide01"}, 40097),
    ],
)
def test_who_cannot_hand_over_or_take(wecom, external, pair, code):
    assert start(wecom, [external], **pair) == code


def test_inactive_taker_and_too_many_at_once(wecom, external):
    assert start(wecom, [external] * 101) == 40058
    assert start(wecom, [external], transfer_success_msg="字" * 201) == 40058
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "staff": [{"userid": "guide02", "status": 4}]}]})
    assert start(wecom, [external]) == 40058
    wecom.simulator.switch(wecom_inactive_taker_code=40003)
    assert start(wecom, [external]) == 40003


def test_who_left_hands_over_by_another_call(wecom, ear, external):
    assert start(wecom, [external], resigned=True) == 40097
    wecom.staff("guide01", "resign")
    assert ear.last("delete_user")["UserID"] == "guide01"
    assert start(wecom, [external]) == 40097
    info = wecom.good("/get_unassigned_list", {})
    assert (info["is_last"], [row["external_userid"] for row in info["info"]]) == (True, [external])
    assert info["info"][0]["dimission_time"] == int(wecom.now())
    assert start(wecom, [external], resigned=True) == [0]
    assert status(wecom, resigned=True) == [2]
    assert status(wecom) == []  # each kind has its own result
    wait(wecom, DAY)
    assert (status(wecom, resigned=True), followers(wecom, external)) == ([1], ["guide02"])
    assert wecom.good("/get_unassigned_list", {})["info"] == []


def test_customers_of_who_left_wait_for_a_year(wecom, external):
    wecom.staff("guide01", "resign")
    wait(wecom, 365 * DAY + 1)
    assert wecom.good("/get_unassigned_list", {})["info"] == []
    assert start(wecom, [external], resigned=True) == [84061]


def test_unassigned_come_in_pages(wecom, external):
    for number in range(1, 5):
        wecom.add(f"guest{number}")
    wecom.staff("guide01", "resign")
    first = wecom.good("/get_unassigned_list", {"page_size": 3})
    second = wecom.good("/get_unassigned_list", {"page_size": 3, "cursor": first["next_cursor"]})
    assert [len(page["info"]) for page in (first, second)] == [3, 2]
    assert (first["is_last"], second["is_last"]) == (False, True)


@pytest.mark.parametrize("follow", [True, False])
def test_remarks_and_the_event_for_the_taker_are_configurable(wecom, ear, external, follow):
    wecom.simulator.switch(wecom_transfer_remarks_follow=follow, wecom_transfer_add_event=follow)
    wecom.staff("guide01", "edit", person="小雨", remark="小雨-VIP", tags=["金卡"])
    start(wecom, [external])
    wait(wecom, DAY)
    row = wecom.get("/externalcontact/get", external_userid=external)["follow_user"][0]
    assert (row["remark"], len(row["tags"])) == (("小雨-VIP", 1) if follow else ("小雨", 0))
    added = [event["UserID"] for event in ear.events if event["ChangeType"] == "add_external_contact"]
    assert added == (["guide01", "guide02"] if follow else ["guide01"])


def test_who_goes_meanwhile_is_not_handed_over(wecom, ear, external):
    start(wecom, [external])
    wecom.act("小雨", "delete", userid="guide01")
    wait(wecom, DAY)
    assert status(wecom) == [3]
    assert wecom.get("/externalcontact/get", external_userid=external)["errcode"] == 84061
    assert ear.kinds() == ["add_external_contact", "del_follow_user"]


def test_the_clock_says_what_comes_due(wecom, external):
    start(wecom, [external])
    due = wecom.simulator.look("/clock", within=2 * DAY)["due"]
    assert due["kinds"]["wecom_transfer"] == 1
