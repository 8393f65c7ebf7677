"""Mass messages that staff confirms (reference: WeCom 2.11)."""

import pytest

from tests.wechat_simulator.wecom.conftest import CORP

NEWS = {"text": {"content": "新品到店"}}
DAY = 86400


@pytest.fixture
def customers(wecom):
    wecom.stop_clock()
    wecom.simulator.control("/clock", {"set": "2025-06-10T10:00"})
    return [wecom.add(f"guest{number}") for number in (1, 2, 3)]


def send(wecom, **body):
    return wecom.good("/add_msg_template", {**NEWS, **body})


def confirm(wecom, msgid, userid="guide01", **more):
    return wecom.staff(userid, "confirm_mass", msgid=msgid, **more)["counts"]


def results(wecom, msgid, userid="guide01"):
    rows = wecom.good("/get_groupmsg_send_result", {"msgid": msgid, "userid": userid})["send_list"]
    return [row["status"] for row in rows]


def test_nothing_is_sent_before_staff_confirms(wecom, customers):
    made = send(wecom, external_userid=customers, sender="guide01")
    assert made["fail_list"] == []
    msgid = made["msgid"]
    assert wecom.texts("guest1") == []
    assert wecom.good("/get_groupmsg_task", {"msgid": msgid})["task_list"] == [{"userid": "guide01", "status": 0}]
    assert results(wecom, msgid) == [0, 0, 0]
    assert confirm(wecom, msgid) == {"1": 3}
    assert wecom.texts("guest1") == ["新品到店"]
    task = wecom.good("/get_groupmsg_task", {"msgid": msgid})["task_list"][0]
    assert (task["status"], task["send_time"]) == (2, int(wecom.now()))
    rows = wecom.good("/get_groupmsg_send_result", {"msgid": msgid, "userid": "guide01", "limit": 2})
    assert [row["external_userid"] for row in rows["send_list"]] == customers[:2]
    assert all(row["send_time"] for row in rows["send_list"])
    rest = wecom.good(
        "/get_groupmsg_send_result", {"msgid": msgid, "userid": "guide01", "limit": 2, "cursor": rows["next_cursor"]}
    )
    assert [row["external_userid"] for row in rest["send_list"]] == customers[2:]
    truth = wecom.simulator.rows(kind="wecom_mass")
    assert [(row["openid"], row["template_id"], row["received"]) for row in truth] == [
        (item, msgid, True) for item in customers
    ]


def test_no_event_tells_of_a_confirmation(wecom, ear):
    external = wecom.add()
    msgid = send(wecom, external_userid=[external], sender="guide01")["msgid"]
    confirm(wecom, msgid)
    assert ear.kinds() == ["add_external_contact"]


def test_who_went_away_meanwhile_is_no_friend_any_more(wecom, customers):
    msgid = send(wecom, external_userid=customers, sender="guide01")["msgid"]
    wecom.act("guest2", "delete", userid="guide01")
    assert confirm(wecom, msgid) == {"1": 2, "2": 1}
    assert results(wecom, msgid) == [1, 2, 1]


@pytest.mark.parametrize(("day", "most"), [("2025-06-10", 30), ("2025-02-10", 28)])
def test_a_customer_gets_as_many_as_the_month_has_days(wecom, customers, day, most):
    wecom.simulator.control("/clock", {"set": f"{day}T10:00"})
    wecom.forget()
    for _ in range(most):
        assert confirm(wecom, send(wecom, external_userid=customers[:1], sender="guide01")["msgid"]) == {"1": 1}
    msgid = send(wecom, external_userid=customers, sender="guide01")["msgid"]
    assert confirm(wecom, msgid) == {"3": 1, "1": 2}
    assert len(wecom.texts("guest1")) == most
    wecom.advance(25 * DAY)
    wecom.forget()
    assert confirm(wecom, send(wecom, external_userid=customers[:1], sender="guide01")["msgid"]) == {"1": 1}


def test_the_cap_counts_over_all_members_and_applications(wecom, customers):
    wecom.simulator.switch(wecom_mass_per_month=1)
    wecom.add("guest1", "guide02")
    confirm(wecom, send(wecom, external_userid=customers[:1], sender="guide01")["msgid"])
    other = wecom.good(
        "/add_msg_template", {**NEWS, "external_userid": customers[:1], "sender": "guide02"}, agent=1000003
    )
    assert confirm(wecom, other["msgid"], "guide02") == {"3": 1}


def test_who_cannot_be_reached_is_named(wecom, customers):
    stranger = wecom.add("guest4", "guide02")
    made = send(wecom, external_userid=[*customers, stranger, "wmnobody"], sender="guide01")
    assert made["fail_list"] == [stranger, "wmnobody"]
    assert wecom.ec("/add_msg_template", {**NEWS, "external_userid": ["wmnobody"]})["errcode"] == 41048


def test_without_a_sender_everybody_gets_it_of_one_member(wecom, customers):
    wecom.advance(10)
    wecom.add("guest1", "guide02")
    msgid = send(wecom, external_userid=customers)["msgid"]
    tasks = wecom.good("/get_groupmsg_task", {"msgid": msgid})["task_list"]
    assert [row["userid"] for row in tasks] == ["guide02", "guide01"]
    assert (confirm(wecom, msgid), confirm(wecom, msgid, "guide02")) == ({"1": 2}, {"1": 1})
    wecom.staff("guide02", "resign")
    assert wecom.good("/get_groupmsg_task", {"msgid": send(wecom, external_userid=customers)["msgid"]})[
        "task_list"
    ] == [{"userid": "guide01", "status": 0}]


def test_sender_alone_means_all_customers(wecom, customers):
    assert confirm(wecom, send(wecom, sender="guide01")["msgid"]) == {"1": 3}
    assert wecom.ec("/add_msg_template", NEWS)["errcode"] == 40063
    assert wecom.ec("/add_msg_template", {**NEWS, "sender": "guide02"})["errcode"] == 41048


@pytest.mark.parametrize(("every", "reached"), [(True, 1), (False, 2)])
def test_tags_choose_customers(wecom, customers, every, reached):
    wecom.simulator.switch(wecom_tag_filter_all_groups=every)
    city = wecom.good("/add_corp_tag", {"group_name": "城市", "tag": [{"name": "上海"}]})["tag_group"]["tag"][0]["id"]
    level = {
        tag["name"]: tag["id"] for group in wecom.good("/get_corp_tag_list", {})["tag_group"] for tag in group["tag"]
    }

    def mark(external, *tags):
        wecom.good("/mark_tag", {"userid": "guide01", "external_userid": external, "add_tag": list(tags)})

    mark(customers[0], level["金卡"], city)
    mark(customers[1], level["银卡"])
    wanted = {"group_list": [{"tag_list": [level["金卡"], level["银卡"]]}, {"tag_list": [city]}]}
    assert confirm(wecom, send(wecom, sender="guide01", tag_filter=wanted)["msgid"]) == {"1": reached}


def test_staff_may_leave_customers_out_when_the_task_allows_it(wecom, customers):
    msgid = send(wecom, external_userid=customers, sender="guide01", allow_select=True)["msgid"]
    assert confirm(wecom, msgid, chosen=customers[1:]) == {"0": 1, "1": 2}
    assert results(wecom, msgid) == [0, 1, 1]
    msgid = send(wecom, external_userid=customers, sender="guide01")["msgid"]
    where = f"{wecom.simulator.url}/_sim/wecom/{CORP}/staff/guide01/act"
    body = {"act": "confirm_mass", "msgid": msgid, "chosen": customers[1:]}
    assert wecom.simulator.http.post(where, json=body, timeout=9).status_code == 400


def test_groups_get_it_of_their_owner(wecom):
    chat = wecom.staff("guide01", "create_group", name="老客群", people=["小雨"])["chat_id"]
    foreign = wecom.staff("guide02", "create_group", name="别人的群")["chat_id"]
    body = {**NEWS, "chat_type": "group"}
    assert wecom.ec("/add_msg_template", body)["errcode"] == 41035
    made = wecom.good("/add_msg_template", {**body, "sender": "guide01", "chat_id_list": [chat, foreign]})
    assert made["fail_list"] == [foreign]
    assert confirm(wecom, made["msgid"]) == {"1": 1}
    rows = wecom.good("/get_groupmsg_send_result", {"msgid": made["msgid"], "userid": "guide01"})["send_list"]
    assert [(row["chat_id"], row["status"]) for row in rows] == [(chat, 1)]
    assert [row["content"] for row in wecom.chat("小雨", chat_id=chat)["entries"]] == ["新品到店"]


def test_a_cancelled_task_cannot_be_confirmed(wecom, customers):
    msgid = send(wecom, external_userid=customers, sender="guide01")["msgid"]
    wecom.good("/cancel_groupmsg_send", {"msgid": msgid})
    where = f"{wecom.simulator.url}/_sim/wecom/{CORP}/staff/guide01/act"
    assert wecom.simulator.http.post(where, json={"act": "confirm_mass", "msgid": msgid}, timeout=9).status_code == 400
    assert wecom.texts("guest1") == []


def test_staff_is_reminded_three_times_a_day(wecom, customers):
    msgid = send(wecom, external_userid=customers, sender="guide01")["msgid"]

    def remind():
        return wecom.ec("/remind_groupmsg_send", {"msgid": msgid})["errcode"]

    assert [remind() for _ in range(4)] == [0, 0, 0, 45009]
    wecom.advance(DAY + 1)
    wecom.forget()
    assert remind() == 0


def test_list_of_tasks(wecom, customers):
    start = int(wecom.now())
    msgid = send(wecom, external_userid=customers, sender="guide01")["msgid"]
    asked = {"chat_type": "single", "start_time": start, "end_time": start + DAY}
    rows = wecom.good("/get_groupmsg_list_v2", asked)["group_msg_list"]
    assert [(row["msgid"], row["text"]["content"], "creator" in row) for row in rows] == [(msgid, "新品到店", False)]
    assert wecom.good("/get_groupmsg_list_v2", {**asked, "chat_type": "group"})["group_msg_list"] == []
    assert wecom.good("/get_groupmsg_list_v2", {**asked, "filter_type": 1})["group_msg_list"] == []
    assert wecom.ec("/get_groupmsg_list_v2", {**asked, "end_time": start + 32 * DAY})["errcode"] == 40058


def test_tasks_are_of_the_application_that_made_them(wecom, customers):
    msgid = send(wecom, external_userid=customers, sender="guide01")["msgid"]
    assert wecom.ec("/get_groupmsg_task", {"msgid": msgid}, agent=1000003)["errcode"] == 40058
    assert wecom.ec("/get_groupmsg_send_result", {"msgid": msgid, "userid": "guide02"})["errcode"] == 40003


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": {}}, 40063),
        ({"text": {"content": "字" * 1334}}, 40058),
        ({**NEWS, "chat_type": "both"}, 40058),
        ({**NEWS, "external_userid": ["wm"] * 10_001}, 40058),
    ],
)
def test_contents_are_checked(wecom, customers, body, code):
    assert wecom.ec("/add_msg_template", {"sender": "guide01", **body})["errcode"] == code


def test_the_page_is_told_of_the_newest_tasks_only(wecom, customers):
    made = [send(wecom, external_userid=customers, sender="guide01")["msgid"] for _ in range(52)]
    tasks = wecom.simulator.look(f"/wecom/{CORP}")["tasks"]
    assert [task["msgid"] for task in tasks] == made[:1:-1]
    assert tasks[0]["staff"][0]["count"] == 3
