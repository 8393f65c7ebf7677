"""What was called and received, the live stream, and the world's own endpoints."""

import json
import threading

import pytest
import requests

from tests.wechat_simulator.conftest import APPID, MINI, OTHER, TEMPLATE, WORLD, wait_until


def test_calls_are_logged_with_digest_and_result(simulator):
    openid = simulator.follow("小雨")
    simulator.send(openid)
    simulator.send("nobody")
    path = "/cgi-bin/message/template/send"
    calls = simulator.look("/calls", path=path)["calls"]
    assert [(row["appid"], row["method"], row["result"]) for row in calls] == [
        (APPID, "POST", "0"),
        (APPID, "POST", "40003"),
    ]
    assert len({row["digest"] for row in calls}) == 2
    assert simulator.look("/calls", path=path, result="40003")["calls"] == calls[1:]
    assert simulator.look("/calls", path=path, since=calls[0]["n"])["calls"] == calls[1:]


def test_truth_is_read_in_pages(simulator):
    simulator.control("/world", {"crowds": [{"prefix": "fan", "count": 25, "follows": [APPID]}]})
    for openid in simulator.ask("/cgi-bin/user/get")["data"]["openid"]:
        simulator.send(openid)
    simulator.settle()
    first = simulator.look("/truth", appid=APPID, kind="template", limit=20)
    second = simulator.look("/truth", appid=APPID, kind="template", limit=20, since=first["next"])
    assert (len(first["rows"]), len(second["rows"]), second["next"]) == (20, 5, None)
    assert first["counts"][APPID]["template"]["received"] == 25
    assert simulator.look("/truth", appid=OTHER)["rows"] == []


def test_visible_duplicates_are_counted_per_person(simulator):
    openid = simulator.follow("小雨")
    other = simulator.follow("老周")
    for target in (openid, other, openid):
        simulator.send(target)
    wait_until(lambda: len(simulator.rows(received=1)) == 3)
    assert [row["visible_duplicate"] for row in simulator.rows(openid=openid)] == [False, True]
    person = simulator.look("/truth/summary", person="小雨")["person"]
    assert (person["received"], person["visible_duplicates"]) == (2, 1)
    assert simulator.look("/truth/summary", person="老周")["person"]["visible_duplicates"] == 0


def test_report_is_set_against_the_truth(simulator):
    openid = simulator.follow("小雨")
    sent = [str(simulator.send(openid, client_msg_id=f"c{n}")["msgid"]) for n in range(3)]
    wait_until(lambda: len(simulator.rows(received=1)) == 3)
    rows = [{"msgid": sent[0], "status": "success"}, {"msgid": sent[1], "status": "failed"}, {"msgid": "7"}]
    answer = simulator.control("/truth/compare", {"appid": APPID, "rows": rows})
    assert answer == {
        "report": 2,
        "truth": 3,
        "only_in_report": ["7"],
        "only_in_truth": sorted(sent[1:]),
        "difference": 3,
    }
    good = [{"client_msg_id": f"c{n}", "status": "success"} for n in range(3)]
    same = simulator.control("/truth/compare", {"appid": APPID, "key": "client_msg_id", "rows": good})
    assert same["difference"] == 0


def test_stream_tells_of_changes(simulator):
    lines = []

    def listen():
        with requests.get(simulator.url + "/_sim/events?person=小雨", stream=True, timeout=20) as answer:
            for line in answer.iter_lines(decode_unicode=True):
                lines.append(line)
                if '"conversation"' in line:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    wait_until(lambda: "event: hello" in lines)
    simulator.act("老周", "follow")
    simulator.act("小雨", "follow")
    thread.join(10)
    data = json.loads(lines[-1].removeprefix("data: "))
    assert data["appids"] == [APPID]
    assert "conversation" in data["kinds"]
    wait_until(lambda: simulator.sim.bus.view()["subscribers"] == 0)


def test_world_is_merged_and_deterministic(simulator):
    before = simulator.look("/world", secrets=1)
    simulator.control("/world", WORLD)
    assert simulator.look("/world", secrets=1) == before
    account = next(item for item in before["accounts"] if item["appid"] == APPID)
    assert (account["original_id"][:3], len(account["secret"]), account["mini_programs"]) == ("gh_", 32, [MINI])


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"planets": []}, "unknown world keys"),
        ({"accounts": [{"appid": "wx1", "colour": "red"}]}, "unknown keys"),
        ({"accounts": [{"appid": "wx1", "mode": "secret"}]}, "mode"),
        ({"accounts": [{"appid": "wx1", "aes_key": "short"}]}, "43 characters"),
        ({"people": [{"id": "a", "follows": ["wxnobody"]}]}, "no account wxnobody"),
    ],
)
def test_wrong_world_is_refused(simulator, spec, problem):
    answer = requests.post(simulator.url + "/_sim/world", json=spec, timeout=5)
    assert answer.status_code == 400
    assert problem in answer.json()["error"]


def test_people_can_be_added_found_and_sent_to_places(simulator):
    made = simulator.control("/people", {"nickname": "新人小林"})
    assert simulator.look("/people", q="小林")["people"][0]["id"] == made["id"]
    simulator.act(made["id"], "move", place="静安寺")
    assert simulator.look(f"/people/{made['id']}")["location"] == "jingansi"
    names = {place["name"] for place in simulator.look("/places")["places"]}
    assert {"人民广场", "静安寺", "徐家汇"} <= names
    assert {"小雨", "老周", "阿玲"} <= {item["nickname"] for item in simulator.look("/people")["people"]}


def test_impossible_acts_are_refused(simulator):
    def refused(**body):
        return requests.post(simulator.url + "/_sim/people/xiaoyu/act", json={"appid": APPID, **body}, timeout=5)

    assert refused(act="fly").status_code == 400
    assert refused(act="text", content="a").json()["error"] == "this person does not follow the account"
    assert refused(act="login").status_code == 400
    assert refused(act="scan", scene="none").json()["error"] == "no such code"
    assert requests.get(simulator.url + "/_sim/people/nobody", timeout=5).status_code == 400


def test_switches_are_typed(simulator):
    assert simulator.switch(windows_add_up=True)["windows_add_up"] is True
    for bad in ({"nothing": 1}, {"windows_add_up": 1}, {"push_tries": "3"}):
        assert requests.post(simulator.url + "/_sim/switches", json=bad, timeout=5).status_code == 400


def test_template_of_another_account_is_unknown(simulator):
    openid = simulator.follow("小雨", OTHER)
    assert simulator.send(openid, appid=OTHER, template_id=TEMPLATE)["errcode"] == 40037
