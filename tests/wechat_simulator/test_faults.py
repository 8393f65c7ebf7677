"""Answers that WeChat, or something in between, may give."""

import http.client
import json
import select
from contextlib import closing

import pytest
import requests

from tests.wechat_simulator.conftest import APPID, GOOD, OTHER, TEMPLATE, wait_until

SEND = "/cgi-bin/message/template/send"


def fault(simulator, kind, **more):
    return simulator.control("/faults", {"kind": kind, "path": SEND, **more})


def left(simulator):
    """How often the fault will still strike."""
    return simulator.look("/faults")["faults"][0]["count_left"]


def message_to(openid):
    return json.dumps({"touser": openid, "template_id": TEMPLATE, "data": GOOD}, ensure_ascii=False).encode()


def send_raw(simulator, openid, **options):
    body = message_to(openid)
    return requests.post(
        simulator.url + SEND, params={"access_token": simulator.token()}, data=body, **{"timeout": 10, **options}
    )


@pytest.fixture
def openid(simulator):
    return simulator.follow("小雨")


@pytest.mark.parametrize(
    ("kind", "more", "check"),
    [
        ("html_200", {}, lambda answer: answer.content.startswith(b"<!DOCTYPE html>")),
        ("empty_200", {}, lambda answer: answer.content == b""),
        ("truncated_json", {"keep": 10}, lambda answer: answer.content == b'{"errcode"'),
        ("bom", {}, lambda answer: answer.content.startswith(b"\xef\xbb\xbf{")),
        ("trailing_bytes", {}, lambda answer: answer.content.endswith(b"}\x00garbage")),
        ("invalid_utf8", {}, lambda answer: b"\xff\xfe" in answer.content),
        ("json_array", {}, lambda answer: isinstance(answer.json(), list)),
        ("duplicate_keys", {}, lambda answer: answer.content.count(b'"errcode"') == 2),
        ("patch", {"remove": ["msgid"]}, lambda answer: answer.json() == {"errcode": 0, "errmsg": "ok"}),
        ("patch", {"set": {"errcode": "0"}}, lambda answer: answer.json()["errcode"] == "0"),
        ("patch", {"status": 500}, lambda answer: (answer.status_code, answer.json()["errcode"]) == (500, 0)),
        ("body", {"body": [1]}, lambda answer: answer.json() == [1]),
        ("date_header", {"seconds": -86400}, lambda answer: "msgid" in answer.json()),
        ("slow_bytes", {"bytes_per_second": 500}, lambda answer: answer.elapsed.total_seconds() < 5),
    ],
)
def test_answer_is_spoilt_after_the_message_was_accepted(simulator, openid, kind, more, check):
    fault(simulator, kind, count=1, **more)
    assert check(send_raw(simulator, openid))
    assert len(simulator.rows(kind="template")) == 1
    assert send_raw(simulator, openid).json()["errmsg"] == "ok"


@pytest.mark.parametrize(
    ("kind", "more", "check"),
    [
        ("busy", {}, lambda answer: answer.json()["errcode"] == -1),
        ("errcode", {"errcode": 45011}, lambda answer: answer.json()["errcode"] == 45011),
        ("errcode", {"errcode": 45011, "errmsg": "太快"}, lambda answer: answer.json()["errmsg"] == "太快"),
        ("http_status", {"status": 503}, lambda answer: answer.status_code == 503),
        ("http_status", {"status": 429, "headers": {"retry-after": "7"}}, lambda a: a.headers["retry-after"] == "7"),
        ("redirect", {"status": 301}, lambda answer: answer.status_code == 301),
        ("html", {"effect": "before"}, lambda answer: answer.content.startswith(b"<!DOCTYPE")),
    ],
)
def test_answer_instead_of_handling_the_message(simulator, openid, kind, more, check):
    fault(simulator, kind, count=1, **more)
    assert check(send_raw(simulator, openid, allow_redirects=False))
    assert simulator.rows(kind="template") == []


@pytest.mark.parametrize(
    ("kind", "accepted"), [("reset_before", 0), ("reset_after", 1), ("accept_then_cut", 1), ("close_after", 1)]
)
def test_connection_is_cut(simulator, openid, kind, accepted):
    fault(simulator, kind, count=1)
    with pytest.raises(requests.ConnectionError):
        send_raw(simulator, openid)
    assert len(simulator.rows(kind="template")) == accepted


@pytest.mark.parametrize(("kind", "accepted"), [("timeout", 1), ("timeout_before", 0)])
def test_answer_never_comes(simulator, openid, kind, accepted):
    fault(simulator, kind, count=1)
    with pytest.raises(requests.Timeout):
        send_raw(simulator, openid, timeout=0.4)
    # On a busy machine the call may arrive when nobody waits for it any more.
    wait_until(lambda: (left(simulator), len(simulator.rows(kind="template"))) == (0, accepted))


def test_flood_sends_as_much_as_asked(simulator, openid):
    fault(simulator, "flood", count=1, megabytes=3)
    assert len(send_raw(simulator, openid).content) > 3_000_000


def test_stale_answer_is_the_one_of_the_call_before(simulator, openid):
    fault(simulator, "stale_answer", after_calls=1, count=1)
    first, second = send_raw(simulator, openid).json(), send_raw(simulator, openid).json()
    assert first == second
    assert len(simulator.rows(kind="template")) == 2


def test_latency_does_not_hold_up_other_calls(simulator, openid):
    fault(simulator, "latency", ms=600_000, count=1)
    address, port = simulator.url.removeprefix("http://").split(":")
    with closing(http.client.HTTPConnection(address, int(port), timeout=60)) as late:
        late.request("POST", f"{SEND}?access_token={simulator.token()}", message_to(openid))
        wait_until(lambda: left(simulator) == 0)
        assert "tags" in simulator.ask("/cgi-bin/tags/get")
        assert select.select([late.sock], [], [], 0) == ([], [], [])  # the first call still waits


def test_fault_is_aimed_by_account_path_and_call_number(simulator, openid):
    fault(simulator, "busy", appid=APPID, after_calls=1, count=2, name="busy-window")
    codes = [simulator.send(openid)["errcode"] for _ in range(5)]
    assert codes == [0, -1, -1, 0, 0]
    assert "tags" in simulator.ask("/cgi-bin/tags/get")
    other = simulator.follow("小雨", OTHER)
    assert simulator.send(other, appid=OTHER)["errcode"] == 40037
    assert simulator.look("/faults")["faults"][0]["hits"] == 2
    hit = [row["n"] for row in simulator.look("/calls", path=SEND)["calls"] if row["faults"] == ["busy-window"]]
    assert len(hit) == 2


def test_seeded_probability_repeats(simulator, openid):
    def pattern():
        simulator.control("/faults", method="DELETE")
        fault(simulator, "busy", probability=0.5, seed=7)
        return [simulator.send(openid)["errcode"] for _ in range(12)]

    first = pattern()
    assert first == pattern()
    assert set(first) == {0, -1}


def test_token_can_die_under_a_call(simulator, openid):
    fault(simulator, "kill_token", count=1)
    assert simulator.send(openid)["errcode"] == 40001
    simulator._tokens.clear()
    fault(simulator, "kill_token", count=1, expire=True)
    assert simulator.send(openid)["errcode"] == 42001
    simulator._tokens.clear()
    assert simulator.send(openid)["errcode"] == 0


def test_token_answer_can_be_strange(simulator):
    path = "/cgi-bin/stable_token"
    simulator.control("/faults", {"kind": "patch", "path": path, "appid": APPID, "set": {"expires_in": -1}})
    assert simulator.api(path, simulator.grant(), token=None)["expires_in"] == -1
    assert simulator.api(path, simulator.grant(OTHER), token=None)["expires_in"] > 6000


def test_faults_are_removed(simulator, openid):
    fault(simulator, "busy", name="one")
    fault(simulator, "busy", name="two")
    assert simulator.control("/faults/one", method="DELETE") == {"removed": 1}
    assert simulator.send(openid)["errcode"] == -1
    assert simulator.control("/faults", method="DELETE") == {"removed": 1}
    assert simulator.send(openid)["errcode"] == 0


def test_unknown_fault_is_refused(simulator):
    answer = requests.post(simulator.url + "/_sim/faults", json={"kind": "earthquake"}, timeout=5)
    assert (answer.status_code, "earthquake" in answer.json()["error"]) == (400, True)
