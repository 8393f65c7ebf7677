"""Every answer has one class; only code 0 with an id counts as sent."""

from pathlib import Path

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.sources import load_yaml
from wechat_gateway.answers import Answer, Outcome, classify
from wechat_gateway.errcodes import ErrorClass, Reaction, explain, is_known, known_codes
from wechat_gateway.errors import WeChatRefused
from wechat_gateway.transport import Exchange, HttpRequest

CORPUS = load_yaml((Path(__file__).parent / "corpus" / "answers.yaml").read_text())
REQUEST = HttpRequest("http://wechat.test/?access_token=canary-token", b"{}")


def exchange(row):
    if "error" in row:
        return Exchange(REQUEST, error=row["error"], request_written=row["written"])
    body = bytes.fromhex(row["hex"]) if "hex" in row else row["body"].encode()
    return Exchange(REQUEST, row.get("status", 200), body, "", True, row.get("retry_after", 0))


@pytest.mark.parametrize("row", CORPUS, ids=lambda row: f"{row['id']}-{row['case'].replace(' ', '_')}")
def test_answer_of_the_corpus_gets_its_class(row):
    answer = classify(exchange(row), id_field="msgid", sends=True)
    assert f"{answer.outcome} {answer.reaction}" == row["expect"]
    assert answer.msgid == row.get("msgid", "")
    assert list(answer.flags) == row.get("flags", [])
    assert answer.retry_after == row.get("retry_after", 0)
    if "cause" in row:
        assert answer.cause == row["cause"]


@settings(max_examples=examples(100))
@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_other_answer_counts_as_sent(body, status):
    answer = classify(Exchange(REQUEST, status, body, "", True), id_field="msgid", sends=True)
    assert answer.outcome is not Outcome.ACCEPTED


def test_reading_call_without_code_is_accepted_and_a_sending_one_is_not():
    body = b'{"openid":"o1"}'
    assert classify(Exchange(REQUEST, 200, body, "", True)).ok
    assert not classify(Exchange(REQUEST, 200, body, "", True), sends=True).ok


def test_error_of_the_request_refuses_a_reading_call_and_parks_a_campaign():
    body = Exchange(REQUEST, 200, b'{"errcode":45157}', "", True)
    assert classify(body).outcome is Outcome.REFUSED
    sent = classify(body, sends=True)
    assert (sent.outcome, sent.reaction) == (Outcome.NOT_SENT, Reaction.PARK_CAMPAIGN)


def test_request_number_of_wechat_is_kept():
    body = b'{"errcode":40003,"errmsg":"invalid openid rid: 6618a1b2-0c3d4e5f-11223344"}'
    assert classify(Exchange(REQUEST, 200, body, "", True)).rid == "6618a1b2-0c3d4e5f-11223344"


def test_nothing_printed_holds_the_access_token():
    back = Exchange(REQUEST, 200, b'{"errcode":0}', "", True)
    assert "canary-token" not in f"{REQUEST!r} {back!r} {classify(back)!r}"


def test_refused_call_says_what_happened_and_what_to_do():
    with translation.override("en"), pytest.raises(WeChatRefused) as caught:
        classify(Exchange(REQUEST, 200, b'{"errcode":40164}', "", True)).require()
    assert caught.value.message == "This server's address is not on the account's IP allow-list. (40164)"
    assert caught.value.hint == "Add the address to the IP allow-list in the WeChat console."


def test_accepted_answer_requires_nothing():
    answer = Answer(Outcome.ACCEPTED)
    assert answer.require() is answer


@pytest.mark.parametrize(
    "code",
    [-1, 40001, 40003, 40007, 40013, 40037, 40125, 40164, 41030, 42001, 43004, 43101, 43116, 45009, 45011, 45015, 45047,
     45065, 45159, 46003, 47003, 48001, 48002, 48004, 49003, 50002, 61003, 65320, 89503, 200012],
)  # fmt: skip
def test_code_a_brand_meets_is_explained(code):
    explanation = explain(code)
    assert is_known(code)
    assert str(explanation.cause)
    assert str(explanation.action)
    assert explanation.error_class is not ErrorClass.UNKNOWN


def test_unknown_codes_are_explained_too():
    assert explain(99999).error_class is ErrorClass.UNKNOWN
    assert explain(-7).error_class is ErrorClass.RETRY


def test_every_code_about_a_person_has_a_reaction():
    silent = [
        code
        for code in known_codes()
        if explain(code).error_class is ErrorClass.PERSON and explain(code).reaction is Reaction.NONE
    ]
    assert silent == [40226]  # risk control at sign-in: no message is involved
