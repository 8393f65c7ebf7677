"""How PostgreSQL reads what is asked before a message leaves, and what explains decisions: few statements, by index."""

from __future__ import annotations

from datetime import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from members.decisions import deciders, decisions_about
from members.gate import gate_for, topics_refused
from members.models import Purpose
from members.services import Quiet, save_segment, save_topic, set_preferences, tag_members
from tests.factories import AT, make_account, make_follower, make_tag
from tests.plans.test_plans import watch
from tests.welcomes.test_running import make_sequence, run
from welcomes.plan import Step

__all__ = ["watch"]
SAID = {"channel": "MINI_PROGRAM", "source": "mini program", "at": AT}


def asked(work):
    """How many statements something takes."""
    with CaptureQueriesContext(connection) as seen:
        work()
    return len(seen)


@pytest.fixture
def people(in_brand):
    account = make_account()
    topic = save_topic(code="offers", name="优惠", at=AT)
    found = [make_follower(account).member for _ in range(30)]
    for number, member in enumerate(found):
        set_preferences(
            member=member,
            topics={"offers": number % 2 == 0},
            ways={"custom": number % 3 == 0},
            personal=number % 5 == 0,
            quiet=Quiet(time(22), time(8)),
            **SAID,
        )
    return account, topic, [member.pk for member in found]


def test_the_gate_asks_once_whoever_many_are_meant_and_reads_no_whole_table(people, watch):
    _account, topic, ids = people
    watch.seen.clear()

    def gate(count):
        return lambda: gate_for(ids[:count], purpose=Purpose.MARKETING, topic_id=topic.pk, carrier="custom")

    assert [asked(gate(1)), asked(gate(30))] == [1, 1]
    assert [asked(lambda: topics_refused(ids[:1], [topic.pk])), asked(lambda: topics_refused(ids, [topic.pk]))] == [
        1,
        1,
    ]
    assert asked(lambda: topics_refused(ids, [])) == 0
    assert gate(30)().refusing
    assert {table for _sql, table, _kind, _conditions in watch.scans()} == {"members_optout"}
    assert watch.faults() == []


def test_explaining_decisions_takes_as_many_statements_whatever_happened_and_reads_no_whole_table(in_brand, watch):
    account = make_account()
    tags = [make_tag(f"标{number}") for number in range(8)]
    make_sequence(account, Step("a", AT - AT, "欢迎"))
    save_segment(name="所有人", rule={"all": []}, at=AT)
    few, many = (make_follower(account).member for _ in range(2))
    tag_members(member_ids=[few.pk], tag_ids=[tags[0].pk], source="console", at=AT)
    tag_members(member_ids=[many.pk], tag_ids=[each.pk for each in tags], source="console", at=AT)
    run(AT)
    watch.seen.clear()

    counts = [asked(lambda member=member: decisions_about(member, at=AT)) for member in (few, many)]

    assert counts[0] == counts[1] <= 4 * len(list(deciders.items()))
    assert watch.faults() == []
