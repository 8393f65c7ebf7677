"""Odd answers of the token endpoint (OB39), and codes in words nobody expects."""

import itertools
import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.wechat_gateway.conftest import NOW, _fresh_memory, account, make_account  # noqa: F401 - fixtures
from tests.wechat_gateway.test_client import refreshed_by, wechat  # noqa: F401 - fixture
from wechat_gateway import calls, tokens
from wechat_gateway.answers import Outcome, classify
from wechat_gateway.errors import CallsParked
from wechat_gateway.transport import Exchange, HttpRequest

REQUEST = HttpRequest("http://wechat.test/", b"{}")
TOKEN = "t" * 40


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": "", "expires_in": 7200},
        {"access_token": "a" * 2048, "expires_in": 7200},
        {"access_token": "abc\ndef", "expires_in": 7200},
        {"access_token": "abc def", "expires_in": 7200},
        {"access_token": "令牌", "expires_in": 7200},
        {"access_token": None, "expires_in": 7200},
        {"access_token": 5, "expires_in": 7200},
        {"access_token": ["x"], "expires_in": 7200},
        {"expires_in": 7200},
        {},
    ],
)
def test_odd_token_answers_are_refused_or_clamped(account, wechat, answer):  # noqa: F811
    wechat.token_answer = answer
    with pytest.raises(CallsParked):
        tokens.current(account, at=NOW)


@pytest.mark.parametrize("told", [None, 0, -1, 315_360_000, "7200", "soon", 1e400, True, [1], 7200.5])
def test_life_of_a_token_is_kept_within_reason_whatever_is_told(account, wechat, told):  # noqa: F811
    wechat.token_answer = {"access_token": TOKEN} | ({} if told is None else {"expires_in": told})
    try:
        token = tokens.current(account, at=NOW)
    except CallsParked:
        return
    assert timedelta(seconds=60) <= token.expires_at - NOW <= timedelta(seconds=7200)


def test_token_endpoint_that_hangs_is_given_up_and_asked_by_nobody_else_meanwhile(account, wechat, monkeypatch):  # noqa: F811
    """OB40. That the real patience is five seconds stands in the operations manual, which test_docs.py compares."""
    monkeypatch.setattr(tokens, "FETCH_SECONDS", 0.3)
    wechat.token_delay = 2.0  # a caller without a deadline would have its token then
    for _ in range(5):
        with pytest.raises(CallsParked):
            tokens.current(account, at=NOW)
        tokens.forget_cached()
    assert wechat.fetches == 1

    wechat.token_delay = 0.0
    assert tokens.current(account, at=NOW + timedelta(minutes=2)).secret.reveal() == "token-1"


def test_endpoint_with_another_token_for_each_asking_has_one_asker(transactional_db, wechat):  # noqa: F811
    """OB40: each new token ends the one before, so a second asker would leave forty-nine with a dead one."""
    asking = make_account()
    given = itertools.count(1)
    plain = wechat.answer

    def answer(path, payload, token):
        if path == "/cgi-bin/stable_token":
            wechat.valid = {f"token-{next(given)}"}
            wechat.token_answer = {"access_token": min(wechat.valid), "expires_in": 7200}
        return plain(path, payload, token)

    wechat.answer, wechat.token_delay = answer, 0.2
    found = refreshed_by(50, asking, NOW)

    assert (found, wechat.fetches) == (["token-1"] * 50, 1)
    assert calls.get_user(asking, "o", at=NOW).ok


@settings(max_examples=examples(300))
@given(st.text(max_size=30), st.integers(0, 10**40))
def test_no_code_in_words_breaks_anything(words, number):
    for code in (words, str(number), "9" * 5000, f"-{number}", f"--{number}"):
        for body in ({"errcode": code, "msgid": 1}, {"errcode": 0, "msgid": code}):
            exchange = Exchange(REQUEST, 200, json.dumps(body).encode(), "", True)
            assert classify(exchange, id_field="msgid", sends=True).outcome in Outcome
