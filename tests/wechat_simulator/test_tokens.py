"""Access tokens (reference: service account 5.1)."""

import pytest

from tests.wechat_simulator.conftest import APPID, OTHER
from wechat_simulator.errors import WeChatError
from wechat_simulator.switches import Switches
from wechat_simulator.tokens import Tokens

NOW = 1_748_736_000.0


def make(**switches):
    return Tokens("seed", Switches(**switches))


def code_of(tokens, text, at):
    with pytest.raises(WeChatError) as raised:
        tokens.check(text, at)
    return raised.value.code


def test_normal_token_is_new_each_time_and_the_old_one_lives_five_minutes():
    tokens = make()
    first = tokens.normal("a", NOW).text
    second = tokens.normal("a", NOW + 10).text
    assert first != second
    assert tokens.check(first, NOW + 309) == "a"
    assert code_of(tokens, first, NOW + 310) == 40001
    assert tokens.check(second, NOW + 7209) == "a"
    assert code_of(tokens, second, NOW + 7210) == 42001


def test_stable_token_is_the_same_until_its_last_five_minutes():
    tokens = make()
    first = tokens.stable("a", NOW, force=False)
    assert tokens.stable("a", NOW + 6899, force=False) is first
    second = tokens.stable("a", NOW + 6900, force=False)
    assert second.text != first.text
    assert tokens.check(first.text, NOW + 7199) == "a"
    assert code_of(tokens, first.text, NOW + 7200) == 42001


def test_forced_refresh_ends_the_old_token_at_once():
    tokens = make()
    first = tokens.stable("a", NOW, force=False).text
    second = tokens.stable("a", NOW + 1, force=True).text
    assert code_of(tokens, first, NOW + 1) == 40001
    assert tokens.check(second, NOW + 1) == "a"


def test_forced_refresh_needs_thirty_seconds_and_is_given_twenty_times_a_day():
    tokens = make()
    tokens.stable("a", NOW, force=True)
    with pytest.raises(WeChatError) as raised:
        tokens.stable("a", NOW + 29, force=True)
    assert raised.value.code == 45011
    for number in range(1, 20):
        tokens.stable("a", NOW + 30 * number, force=True)
    with pytest.raises(WeChatError) as raised:
        tokens.stable("a", NOW + 600, force=True)
    assert raised.value.code == 45009
    tokens.stable("a", NOW + 86400, force=True)


def test_forced_refresh_too_soon_can_give_the_same_token_by_switch():
    tokens = make(force_refresh_too_soon="same")
    first = tokens.stable("a", NOW, force=True)
    assert tokens.stable("a", NOW + 5, force=True) is first


def test_the_two_families_and_two_accounts_do_not_touch_each_other():
    tokens = make()
    normal = tokens.normal("a", NOW).text
    stable = tokens.stable("a", NOW, force=False).text
    other = tokens.normal("b", NOW).text
    tokens.stable("a", NOW + 60, force=True)
    tokens.normal("b", NOW + 60)
    assert tokens.check(normal, NOW + 400) == "a"
    assert code_of(tokens, stable, NOW + 60) == 40001
    assert code_of(tokens, other, NOW + 400) == 40001


def test_unknown_tokens_are_told_apart():
    tokens = make()
    text = tokens.normal("a", NOW).text
    assert code_of(tokens, None, NOW) == 41001
    assert code_of(tokens, "nonsense", NOW) == 40014
    assert code_of(tokens, "70_" + "x" * 120, NOW) == 40001
    assert tokens.check(text, NOW) == "a"


def test_token_endpoint_answers_as_wechat_does(simulator):
    secret = simulator.secret()
    asked = {"grant_type": "client_credential", "appid": APPID, "secret": secret}
    answer = simulator.get("/cgi-bin/token", **asked).json()
    assert answer["expires_in"] == 7200
    assert set(answer) == {"access_token", "expires_in"}

    def code(**changed):
        wanted = {key: value for key, value in {**asked, **changed}.items() if value is not None}
        return simulator.get("/cgi-bin/token", **wanted).json()["errcode"]

    assert code(grant_type="other") == 40002
    assert code(appid=None) == 41002
    assert code(secret=None) == 41004
    assert code(appid="wxnobody") == 40013
    assert code(secret="wrong") == 40125
    simulator.switch(wrong_secret_code=40001)
    assert code(secret="wrong") == 40001


def test_errors_come_with_http_200_and_a_rid_that_can_be_asked_for(simulator):
    simulator.token()
    answer = simulator.get("/cgi-bin/user/info", access_token=simulator.token(), openid="nobody")
    assert answer.status_code == 200
    assert answer.json()["errcode"] == 40003
    text, _, rid = answer.json()["errmsg"].partition(" rid: ")
    assert text == "invalid openid"
    request = simulator.api("/cgi-bin/openapi/rid/get", {"rid": rid})["request"]
    assert request["request_url"] == "/cgi-bin/user/info"
    assert simulator.api("/cgi-bin/openapi/rid/get", {"rid": rid}, appid=OTHER)["errcode"] == 40035


def test_address_outside_the_list_is_refused_on_every_path(simulator):
    token = simulator.token()
    simulator.control("/world", {"accounts": [{"appid": APPID, "ip_allow": ["203.0.113.0/24"]}]})
    answer = simulator.get("/cgi-bin/tags/get", access_token=token).json()
    assert answer["errcode"] == 40164
    assert "127.0.0.1" in answer["errmsg"]
    assert simulator.api("/cgi-bin/stable_token", simulator.grant(), token=None)["errcode"] == 40164
    simulator.switch(ip_check_every_call=False)
    assert "tags" in simulator.get("/cgi-bin/tags/get", access_token=token).json()
    simulator.control("/world", {"accounts": [{"appid": APPID, "ip_allow": ["127.0.0.1"]}]})
    assert "access_token" in simulator.api("/cgi-bin/stable_token", simulator.grant(), token=None)


def test_wrong_method_and_unknown_path_have_codes(simulator):
    assert simulator.get("/cgi-bin/stable_token").json()["errcode"] == 43002
    assert simulator.api("/cgi-bin/tags/get")["errcode"] == 43001
    assert simulator.api("/cgi-bin/nothing")["errcode"] == 40066


def test_tokens_can_be_killed_from_outside(simulator):
    token = simulator.token()
    assert simulator.control("/tokens/kill", {"appid": APPID}) == {"killed": 1}
    assert simulator.get("/cgi-bin/tags/get", access_token=token).json()["errcode"] == 40001


def test_ticket_for_pages_is_the_same_until_it_ends_and_differs_by_account(simulator):
    def ticket(appid=APPID, kind="jsapi"):
        return simulator.ask("/cgi-bin/ticket/getticket", appid, type=kind)

    first, again, other = ticket(), ticket(), ticket(OTHER)
    assert first["ticket"] == again["ticket"] != other["ticket"]
    assert 0 < first["expires_in"] <= 7200
    assert ticket(kind="wx_card")["ticket"] != first["ticket"]
    assert ticket(kind="")["errcode"] == 40097
