"""Welcome codes: 20 seconds, once (reference: WeCom 2.7)."""

import pytest

from tests.wechat_simulator.wecom.conftest import CORP

HELLO = {"text": {"content": "您好，我是顾问小王"}}


@pytest.fixture
def code(wecom, ear):
    wecom.stop_clock()
    wecom.add()
    return ear.last("add_external_contact")["WelcomeCode"]


def welcome(wecom, code, body=HELLO, **more):
    return wecom.ec("/send_welcome_msg", {"welcome_code": code, **body}, **more)["errcode"]


def test_welcome_arrives_and_the_code_is_spent(wecom, code):
    assert welcome(wecom, code) == 0
    assert wecom.texts("小雨") == ["您好，我是顾问小王"]
    assert welcome(wecom, code) == 41051
    assert wecom.texts("小雨") == ["您好，我是顾问小王"]
    row = wecom.simulator.rows(kind="wecom_welcome")[0]
    assert (row["appid"], row["template_id"], row["received"]) == (CORP, code, True)


@pytest.mark.parametrize(("seconds", "answer"), [(20, 0), (20.5, 41051)])
def test_code_lives_for_20_seconds(wecom, code, seconds, answer):
    wecom.advance(seconds)
    assert welcome(wecom, code) == answer


@pytest.mark.parametrize(("who", "act"), [("小雨", "write"), ("guide01", "say")])
def test_code_dies_when_the_chat_has_started(wecom, code, who, act):
    if act == "write":
        wecom.act(who, act, userid="guide01", content="你好")
    else:
        wecom.staff(who, act, person="小雨", content="你好")
    assert welcome(wecom, code) == 41051


@pytest.mark.parametrize(("seconds", "answer"), [(0, 41096), (0.5, 41096), (1, 41051)])
def test_another_application_at_the_same_time_is_told_to_wait(wecom, code, seconds, answer):
    assert welcome(wecom, code) == 0
    wecom.advance(seconds)
    assert welcome(wecom, code, agent=1000003) == answer


def test_unknown_code(wecom, code):
    assert welcome(wecom, "WELCOME-NOT-THERE") == 40058
    wecom.simulator.switch(wecom_welcome_unknown_code=41051)
    assert welcome(wecom, "WELCOME-NOT-THERE") == 41051


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({}, 40063),
        ({"text": {"content": ""}}, 40063),
        ({"text": {"content": "字" * 1333}}, 0),
        ({"text": {"content": "字" * 1334}}, 40058),
        ({"attachments": [{"msgtype": "link", "link": {"title": "权益", "url": "https://m.example.com/vip"}}]}, 0),
        (
            {"attachments": [{"msgtype": "link", "link": {"title": "权" * 43, "url": "https://m.example.com/vip"}}]},
            40058,
        ),
        ({"attachments": [{"msgtype": "link", "link": {"title": "权益"}}]}, 40063),
        ({"attachments": [{"msgtype": "link", "link": {"title": "a", "url": "https://m.example.com"}}] * 9}, 0),
        ({"attachments": [{"msgtype": "link", "link": {"title": "a", "url": "https://m.example.com"}}] * 10}, 40058),
        ({"attachments": [{"msgtype": "image", "image": {"media_id": "never-uploaded"}}]}, 40007),
        ({"attachments": [{"msgtype": "voice", "voice": {"media_id": "x"}}]}, 40058),
        (
            {
                "attachments": [
                    {"msgtype": "miniprogram", "miniprogram": {"title": "商城", "page": "p", "appid": "wxforeign"}}
                ]
            },
            40058,
        ),
    ],
)
def test_contents(wecom, code, body, answer):
    assert welcome(wecom, code, body) == answer


def test_uploaded_picture_and_mini_program(wecom, code):
    where = wecom.simulator.url + "/qyapi/cgi-bin/media/upload"
    files = {"media": ("cover.png", b"\x89PNG....", "image/png")}
    params = {"access_token": wecom.token(), "type": "image"}
    media = wecom.simulator.http.post(where, params=params, files=files, timeout=30).json()
    assert media["errcode"] == 0
    mini = {"title": "商城", "pic_media_id": media["media_id"], "appid": "wxlanyumini000001", "page": "pages/index"}
    body = {
        "attachments": [
            {"msgtype": "image", "image": {"media_id": media["media_id"]}},
            {"msgtype": "miniprogram", "miniprogram": mini},
        ]
    }
    assert welcome(wecom, code, body) == 0
    kinds = [entry["kind"] for entry in wecom.chat("小雨", userid="guide01")["entries"]]
    assert kinds == ["notice", "image", "miniprogrampage"]
    assert wecom.simulator.get(f"/_sim/media/{media['media_id']}").content == b"\x89PNG...."


def test_media_ends_after_three_days(wecom, ear):
    where = wecom.simulator.url + "/qyapi/cgi-bin/media/upload"
    params = {"access_token": wecom.token(), "type": "file"}
    files = {"media": ("price.pdf", b"%PDF", "application/pdf")}
    media = wecom.simulator.http.post(where, params=params, files=files, timeout=30).json()["media_id"]
    body = {"attachments": [{"msgtype": "file", "file": {"media_id": media}}]}
    wecom.advance(3 * 86400 + 1)
    wecom.forget()
    wecom.add()
    assert welcome(wecom, ear.last("add_external_contact")["WelcomeCode"], body) == 40007


def test_no_code_when_the_console_welcomes(wecom, ear):
    wecom.simulator.control("/world", {"corps": [{"corpid": CORP, "console_welcome": True}]})
    wecom.add()
    assert "WelcomeCode" not in ear.last("add_external_contact")


def test_no_code_for_somebody_of_another_corp(wecom, ear):
    external = wecom.add(business=True)
    assert external.startswith("wo")
    assert "WelcomeCode" not in ear.last("add_external_contact")
    assert wecom.get("/externalcontact/get", external_userid=external)["external_contact"]["type"] == 2


@pytest.mark.parametrize("greets", [True, False])
def test_half_contact_gives_a_code_and_the_whole_one_only_when_it_was_not_used(wecom, ear, greets):
    wecom.act("小雨", "add", userid="guide01", half=True)
    half = ear.last("add_half_external_contact")["WelcomeCode"]
    if greets:
        assert welcome(wecom, half) == 0
    assert wecom.get("/externalcontact/list", userid="guide01")["errcode"] == 84061
    wecom.staff("guide01", "accept", person="小雨")
    assert ("WelcomeCode" in ear.last("add_external_contact")) is not greets
    assert len(wecom.get("/externalcontact/list", userid="guide01")["external_userid"]) == 1


def test_one_greeting_whichever_of_two_codes_brings_it(wecom, ear):
    wecom.act("小雨", "add", userid="guide01", half=True)
    wecom.staff("guide01", "accept", person="小雨")
    half, whole = (event["WelcomeCode"] for event in ear.events)
    assert [welcome(wecom, half), welcome(wecom, whole)] == [0, 41051]
    assert len(wecom.texts("小雨")) == 1


def test_no_greeting_for_who_has_deleted_the_member(wecom, ear, code):
    wecom.act("小雨", "delete", userid="guide01")
    assert welcome(wecom, code) == 41051
    wecom.add()
    assert welcome(wecom, ear.last("add_external_contact")["WelcomeCode"]) == 0


def test_nickname_is_filled_in_only_when_switched_on(wecom, ear):
    wecom.add("小雨")
    body = {"text": {"content": "%NICKNAME%，你好"}}
    assert welcome(wecom, ear.last("add_external_contact")["WelcomeCode"], body) == 0
    wecom.simulator.switch(wecom_welcome_fills_nickname=True)
    wecom.add("老周")
    assert welcome(wecom, ear.last("add_external_contact")["WelcomeCode"], body) == 0
    assert (wecom.texts("小雨"), wecom.texts("老周")) == (["%NICKNAME%，你好"], ["老周，你好"])
