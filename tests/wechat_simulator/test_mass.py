"""Mass sends of the simulated WeChat: audiences, four a month, repeats, the event with its counts, links taken away."""

import json

import pytest

from tests.wechat_simulator.conftest import AES_KEY, APPID, OTHER, wait_until
from wechat_simulator import wire
from wechat_simulator.clock import Clock
from wechat_simulator.crypto import MessageCipher
from wechat_simulator.simulation import Simulation

TO_TAG, TO_LIST = "/cgi-bin/message/mass/sendall", "/cgi-bin/message/mass/send"
MONTH = 31 * 86_400
PEOPLE = ("小雨", "老周", "阿玲", "陈晨")


@pytest.fixture
def fans(simulator):
    """Four followers by name; three carry the tag 金卡."""
    simulator.control("/world", {"accounts": [{"appid": APPID, "tags": ["金卡"]}]})
    openids = {name: simulator.follow(name) for name in PEOPLE}
    simulator.tag = simulator.api("/cgi-bin/tags/create", {"tag": {"name": "银卡"}})["tag"]["id"]
    body = {"openid_list": [openids[name] for name in PEOPLE[:3]], "tagid": simulator.tag}
    assert simulator.api("/cgi-bin/tags/members/batchtagging", body)["errcode"] == 0
    return openids


def text(content="周末上新", **more):
    return {"msgtype": "text", "text": {"content": content}, **more}


def to_tag(simulator, content="周末上新", **more):
    return simulator.api(TO_TAG, text(content, filter={"is_to_all": False, "tag_id": simulator.tag}, **more))


def to_all(simulator, content="周末上新", **more):
    return simulator.api(TO_TAG, text(content, filter={"is_to_all": True}, **more))


def to_list(simulator, openids, content="周末上新", **more):
    return simulator.api(TO_LIST, text(content, touser=list(openids), **more))


def job(simulator, msg_id):
    simulator.settle()
    (row,) = [each for each in simulator.look("/mass")["jobs"] if each["msg_id"] == msg_id]
    return row


def counts(simulator, msg_id):
    wait_until(lambda: job(simulator, msg_id)["state"] != "SENDING")
    return tuple(
        job(simulator, msg_id)["counts"][name] for name in ("TotalCount", "FilterCount", "SentCount", "ErrorCount")
    )


def later(simulator, seconds):
    """Time passes; the token of before is over."""
    simulator.control("/clock", {"advance": seconds})
    simulator._tokens.clear()


def events(callback):
    """The finish events that came."""
    cipher = MessageCipher(AES_KEY, APPID)
    pushed = [
        wire.parse(cipher.decrypt(wire.parse(each["body"], "xml")["Encrypt"]), "xml") for each in callback.requests
    ]
    return [each for each in pushed if each.get("Event") == "MASSSENDJOBFINISH"]


def test_a_tag_gets_it_and_the_event_says_to_how_many(simulator, fans, callback):
    answer = to_tag(simulator)
    assert (answer["errcode"], answer["errmsg"]) == (0, "send job submission success")
    assert "msg_data_id" not in answer
    assert counts(simulator, answer["msg_id"]) == (3, 3, 3, 0)
    assert simulator.api("/cgi-bin/message/mass/get", {"msg_id": answer["msg_id"]}) == {
        "msg_id": answer["msg_id"], "msg_status": "SEND_SUCCESS",
    }  # fmt: skip
    assert [row["openid"] for row in simulator.rows(kind="mass")] == [fans[name] for name in PEOPLE[:3]]
    entry = simulator.entries("小雨")[-1]
    assert (entry["kind"], entry["via"], entry["content"]) == ("text", "mass", "周末上新")
    wait_until(lambda: events(callback))
    (event,) = events(callback)
    assert (event["MsgID"], event["Status"]) == (str(answer["msg_id"]), "send success")
    assert [event[name] for name in ("TotalCount", "FilterCount", "SentCount", "ErrorCount")] == ["3", "3", "3", "0"]
    assert event["FromUserName"] not in fans.values()


def test_who_left_blocked_or_was_blacklisted_is_filtered_without_an_error(simulator, fans):
    simulator.act("小雨", "block")
    simulator.act("老周", "unfollow")
    body = {"openid_list": [fans["阿玲"]]}
    assert simulator.api("/cgi-bin/tags/members/batchblacklist", body)["errcode"] == 0
    answer = to_list(simulator, fans.values())
    assert counts(simulator, answer["msg_id"]) == (4, 1, 1, 0)
    assert [row["openid"] for row in simulator.rows(kind="mass")] == [fans["陈晨"]]


def test_a_person_gets_four_a_month_whatever_the_tag(simulator, fans):
    sent = [to_list(simulator, fans.values(), f"第 {number} 次")["msg_id"] for number in range(4)]
    assert [counts(simulator, msg_id)[2] for msg_id in sent] == [4, 4, 4, 4]
    fifth = to_tag(simulator, "第 5 次")
    assert (fifth["errcode"], counts(simulator, fifth["msg_id"])) == (0, (3, 0, 0, 0))
    later(simulator, MONTH)
    assert counts(simulator, to_tag(simulator, "下个月")["msg_id"]) == (3, 3, 3, 0)


def test_everybody_is_reached_four_times_a_month(simulator, fans):
    for number in range(4):
        assert to_all(simulator, f"{number}")["errcode"] == 0
    assert to_all(simulator, "第 5 次")["errcode"] == 45028
    assert to_tag(simulator, "给标签的")["errcode"] == 0


@pytest.mark.parametrize("own", ["camp-2024-04-001-p3", None])
def test_the_same_job_again_names_the_first_one(simulator, fans, own):
    more = {"clientmsgid": own} if own else {}  # left out, the digest of audience and content is the id
    first = to_tag(simulator, **more)
    assert to_tag(simulator, **more)["errcode"] == 45066
    simulator.control("/clock", {"advance": 61})
    again = to_tag(simulator, **more)
    assert (again["errcode"], again["msg_id"]) == (45065, first["msg_id"])
    assert counts(simulator, first["msg_id"])[2] == len(simulator.rows(kind="mass")) == 3
    later(simulator, 86_400)
    assert to_tag(simulator, **more)["errcode"] == 0
    assert to_tag(simulator, "别的内容")["errcode"] == 0


def test_what_wechat_refuses(simulator, fans):
    openids = list(fans.values())
    assert to_list(simulator, openids[:1])["errcode"] == 40130
    assert to_list(simulator, openids * 2_501)["errcode"] == 40032
    assert to_list(simulator, [*openids, "oNobody"])["errcode"] == 40003
    assert to_tag(simulator, clientmsgid="x" * 65)["errcode"] == 45067
    assert to_tag(simulator, clientmsgid="x" * 64)["errcode"] == 0
    assert simulator.api(TO_TAG, text(filter={"is_to_all": False, "tag_id": 9_999}))["errcode"] == 45159
    assert simulator.api(TO_TAG, text())["errcode"] == 47001
    assert simulator.api(TO_TAG, {"filter": {"is_to_all": True}, "msgtype": "none"})["errcode"] == 40008
    assert to_all(simulator, "")["errcode"] == 44004
    picture = {"filter": {"is_to_all": True}, "msgtype": "image", "images": {"media_ids": ["unknown"]}}
    assert simulator.api(TO_TAG, picture)["errcode"] == 40007
    other = simulator.api(TO_LIST, text(touser=openids), appid=OTHER)
    assert (other["errcode"], simulator.look("/health")["mix_ups"]) == (40003, 1)


@pytest.mark.parametrize(
    ("change", "code"), [({"mass_agreed": False}, 48003), ({"verified": False}, 48001), ({"banned": True}, 48004)]
)
def test_an_account_that_may_not_send_is_told_so(simulator, fans, change, code):
    simulator.control("/world", {"accounts": [{"appid": APPID, **change}]})
    assert to_all(simulator)["errcode"] == code


def test_calls_are_counted_for_both_together(simulator, fans):
    assert [to_list(simulator, fans.values(), f"{number}")["errcode"] for number in range(60)] == [0] * 60
    assert to_tag(simulator, "x")["errcode"] == 45011
    simulator.control("/clock", {"advance": 60})
    assert [to_tag(simulator, f"t{number}")["errcode"] for number in range(41)] == [0] * 40 + [45009]


@pytest.mark.parametrize(
    ("yes", "status", "sent"), [(True, "send success", 4), (False, "err(40001)", 0), (None, "err(40002)", 0)]
)
def test_a_protected_account_asks_its_administrator(simulator, fans, callback, yes, status, sent):
    simulator.control("/world", {"accounts": [{"appid": APPID, "mass_protected": True}]})
    msg_id = to_all(simulator)["msg_id"]
    assert simulator.api("/cgi-bin/message/mass/get", {"msg_id": msg_id})["msg_status"] == "SENDING"
    if yes is None:
        simulator.control("/clock", {"advance": 1_801})
    else:
        simulator.control(f"/mass/{msg_id}/confirm", {"yes": yes})
    wait_until(lambda: job(simulator, msg_id)["status"] == status)
    assert counts(simulator, msg_id)[2] == len(simulator.rows(kind="mass")) == sent
    assert simulator.api("/cgi-bin/message/mass/get", {"msg_id": msg_id})["msg_status"] == (
        "SEND_SUCCESS" if sent else "SEND_FAIL"
    )


def test_a_preview_reaches_one_person_and_counts_for_no_month(simulator, fans):
    for _number in range(5):
        answer = simulator.api("/cgi-bin/message/mass/preview", text("预览", touser=fans["老周"], towxname="小雨"))
        assert (answer["errcode"], answer["errmsg"]) == (0, "preview success")
    assert [entry["via"] for entry in simulator.entries("小雨") if entry.get("content") == "预览"] == ["preview"] * 5
    assert not [entry for entry in simulator.entries("老周") if entry.get("content") == "预览"]
    assert counts(simulator, to_tag(simulator)["msg_id"])[2] == 3
    assert simulator.api("/cgi-bin/message/mass/preview", text(towxname="谁也不是"))["errcode"] == 40003


def upload(simulator):
    body = b'--b\r\nContent-Disposition: form-data; name="media"; filename="a.png"\r\nContent-Type: image/png\r\n\r\npng\r\n--b--\r\n'
    answer = simulator.http.post(
        f"{simulator.url}/cgi-bin/material/add_material",
        params={"access_token": simulator.token(), "type": "image"}, data=body, timeout=30,
    )  # fmt: skip
    return answer.json()["media_id"]


def test_articles_go_from_a_draft_and_their_link_can_be_taken_away(simulator, fans, callback):
    article = {
        "title": "春季上新",
        "digest": "三家店同步",
        "content": "<p>到店看看</p>",
        "thumb_media_id": upload(simulator),
    }
    draft = simulator.api("/cgi-bin/draft/add", {"articles": [article]})["media_id"]
    assert simulator.api("/cgi-bin/draft/get", {"media_id": draft})["news_item"] == [article]
    body = {"filter": {"is_to_all": False, "tag_id": simulator.tag}, "msgtype": "mpnews", "mpnews": {"media_id": draft}}
    answer = simulator.api(TO_TAG, body)
    assert answer["msg_data_id"] > 0
    assert counts(simulator, answer["msg_id"])[2] == 3
    entry = simulator.entries("小雨")[-1]
    assert (entry["kind"], entry["articles"][0]["title"]) == ("news", "春季上新")
    assert simulator.api("/cgi-bin/draft/get", {"media_id": draft})["errcode"] == 40007  # it went with the send
    wait_until(lambda: any(each.get("ArticleUrlResult") for each in events(callback)))

    plain = to_tag(simulator)["msg_id"]
    assert simulator.api("/cgi-bin/message/mass/delete", {"msg_id": plain})["errcode"] == 40008
    assert simulator.api("/cgi-bin/message/mass/delete", {"msg_id": answer["msg_id"], "article_idx": 0})["errcode"] == 0
    state = simulator.api("/cgi-bin/message/mass/get", {"msg_id": answer["msg_id"]})["msg_status"]
    assert (state, simulator.entries("小雨")[-1]["kind"]) == ("DELETE", "text")


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"title": ""}, 40035), ({"title": "长" * 33}, 45002), ({"content": ""}, 44004), ({"thumb_media_id": "x"}, 40007)],
)
def test_odd_drafts_are_refused(simulator, changes, code):
    article = {"title": "春季上新", "content": "x", "thumb_media_id": upload(simulator)} | changes
    assert simulator.api("/cgi-bin/draft/add", {"articles": [article]})["errcode"] == code


def test_speed_is_set_and_slows_a_large_send(simulator, fans):
    assert simulator.api("/cgi-bin/message/mass/speed/get")["realspeed"] == 80
    assert simulator.api("/cgi-bin/message/mass/speed/set", {"speed": 4})["errcode"] == 0
    assert simulator.api("/cgi-bin/message/mass/speed/get") == {"speed": 4, "realspeed": 10}
    assert simulator.api("/cgi-bin/message/mass/speed/set", {"speed": 5})["errcode"] == 45083


def test_a_lost_event_leaves_the_state_to_be_asked_for(simulator, fans, callback):
    simulator.control("/faults", {"kind": "finish_drop", "event": "MASSSENDJOBFINISH", "count": 1})
    answer = to_tag(simulator)
    assert counts(simulator, answer["msg_id"])[2] == 3
    assert events(callback) == []
    assert simulator.api("/cgi-bin/message/mass/get", {"msg_id": answer["msg_id"]})["msg_status"] == "SEND_SUCCESS"


def test_months_jobs_and_drafts_survive_a_restart(simulator, fans, tmp_path):
    sent = [to_list(simulator, fans.values(), f"{number}")["msg_id"] for number in range(4)]
    assert counts(simulator, sent[-1])[2] == 4
    draft = simulator.api(
        "/cgi-bin/draft/add", {"articles": [{"title": "t", "content": "c", "thumb_media_id": upload(simulator)}]}
    )
    simulator.sim.save(tmp_path)
    later = Simulation(clock=Clock())
    assert later.restore(tmp_path)
    assert later.mass.jobs[sent[0]].state == "SEND_SUCCESS"
    assert {later.mass.received(openid, later.clock.now()) for openid in fans.values()} == {4}
    assert later.drafts[draft["media_id"]][0] == APPID
    assert json.dumps(later.mass.dump()) == json.dumps(simulator.sim.mass.dump())
