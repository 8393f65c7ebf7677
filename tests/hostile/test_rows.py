"""Every row of the bad-input list is run by a test that exists, or says why not."""

from pathlib import Path

import pytest

from tests.hostile.rows import COUNTS, expected, is_run, register
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


@pytest.mark.parametrize("name", expected())
def test_row_is_run_or_says_why_not(name):
    where = register()[name]
    if where.startswith("- "):
        assert "does not exist yet: " in where
        assert len(where) > 30
    else:
        assert is_run(name, where), f"{name}: {where} is no test"


def test_register_sees_a_test_that_is_gone():
    assert not is_run("CB01", "tests/hostile/test_rows.py::test_that_nobody_wrote")
    assert not is_run("CB01", "tests/hostile/nowhere.py::test_x")
    assert not is_run("RA01", "corpus")


@pytest.mark.parametrize("row", CALLBACKS, ids=lambda row: f"{row['id']}-{row['case'].replace(' ', '_')}")
def test_callback_of_the_corpus_gets_its_answer(row):
    account, query, body = forge.from_row(row)
    assert outcome(judge_push(account, query, body, now=forge.NOW)) == row["expect"]


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: f"{row['id']}-{row['case'].replace(' ', '_')}")
def test_answer_of_the_corpus_gets_its_class(row):
    answer = classify(exchange(row), id_field="msgid", sends=True)
    assert f"{answer.outcome} {answer.reaction}" == row["expect"]
