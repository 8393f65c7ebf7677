"""Every row of the bad-input list is run by a test that exists, or says why not."""

import socket
from pathlib import Path

import pytest

from tests.hostile.rows import COUNTS, DATA, expected, is_run, present, register
from tests.sources import load_yaml
from tests.wechat_gateway import forge
from tests.wechat_gateway.test_answers import exchange
from tests.wechat_gateway.test_codec import outcome
from wechat_gateway.answers import classify
from wechat_gateway.codec import judge_push

CORPUS = Path(__file__).parent / "corpus"
CALLBACKS = load_yaml((CORPUS / "callbacks.yaml").read_text())
ANSWERS = load_yaml((CORPUS / "answers.yaml").read_text())


def test_no_row_is_forgotten():
    assert list(register()) == expected()
    assert {name: sum(row.startswith(name) for row in register()) for name in COUNTS} == COUNTS


# What the list asks for and the product does not do. Whoever closes one takes it out here and names its test.
OPEN = {"IM18", "IM19", "FU04"}


@pytest.mark.parametrize("name", expected())
def test_row_is_run_or_says_why_not(name):
    where = register()[name]
    if not isinstance(where, dict):
        assert is_run(name, where), f"{name}: {where} is no test"
    elif "absent" in where:
        assert len(where["why"]) > 15
        assert where["absent"]
        assert {rule: present(rule) for rule in where["absent"] if present(rule)} == {}
    else:
        assert name in OPEN
        assert len(where["open"]) > 30


def test_what_is_open_is_no_more_than_is_known():
    assert {name for name, where in register().items() if isinstance(where, dict) and "open" in where} == OPEN


def test_register_sees_a_test_that_is_gone():
    assert not is_run("CB01", "tests/hostile/test_rows.py::test_that_nobody_wrote")
    assert not is_run("CB01", "tests/hostile/nowhere.py::test_x")
    assert not is_run("CB01", ["corpus", "tests/hostile/nowhere.py::test_x"])
    assert not is_run("CB01", [])
    assert not is_run("IM01", "corpus")


def test_register_sees_a_surface_that_came():
    assert present("url ^/api/v1/members/<member_no>/tags/$")
    assert present("word members/ def is_public")
    assert not present("url ^/api/v9/")
    assert not present("word coupons/ def is_public")


@pytest.mark.parametrize("row", CALLBACKS, ids=lambda row: f"{row['id']}-{row['case'].replace(' ', '_')}")
def test_callback_of_the_corpus_gets_its_answer(row):
    account, query, body = forge.from_row(row)
    assert outcome(judge_push(account, query, body, now=forge.NOW)) == row["expect"]


ELSEWHERE = [row for row in [*load_yaml(DATA[0].read_text()), *CALLBACKS] if "127.0.0.1:1/" in str(row)]


def test_nothing_that_a_push_names_is_connected_to():
    """CB35: entities, DTDs and style sheets at an address of ours where somebody listens."""
    assert {row["id"] for row in ELSEWHERE} == {"CB35"}
    assert len(ELSEWHERE) >= 3
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = f"127.0.0.1:{listener.getsockname()[1]}/"
        for row in ELSEWHERE:
            named = {
                key: value.replace("127.0.0.1:1/", here) if isinstance(value, str) else value
                for key, value in row.items()
            }
            assert named != row
            account, query, body = forge.from_row(named)
            assert outcome(judge_push(account, query, body, now=forge.NOW)) == row["expect"]
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: f"{row['id']}-{row['case'].replace(' ', '_')}")
def test_answer_of_the_corpus_gets_its_class(row):
    answer = classify(exchange(row), id_field="msgid", sends=True)
    assert f"{answer.outcome} {answer.reaction}" == row["expect"]
