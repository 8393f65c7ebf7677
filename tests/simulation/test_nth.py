"""Fail at the Nth: make the first, the second, … call to PostgreSQL, WeChat or the broker fail until a workflow passes.

Ways to fail: an error, a time-out (of what may have been done), a kill that runs nothing further. Afterwards nothing may
be half done, and doing it again must come to the same end as an undisturbed run.
"""

import os

import pytest
from django.db import connection

from campaigns import invariants
from tests.simulation.workflows import WAYS, WORKFLOWS, Killed, Stage, Trap, trapped
from wechat_gateway import tokens

MOST = 200
FULL = bool(os.environ.get("SIMULATION_FULL"))  # `.ci/run` takes most calls
ALL = os.environ.get("SIMULATION_FULL") == "all"  # `make simulate` has every call fail in every way
# Each part takes every so many calls: no worker has much more than another when all are taken.
PARTS = {
    "erase_person": 6, "merge": 6, "keep_segment": 2, "sweep_and_replay": 2, "scan_pushed": 2, "push_coupon": 2, "send_step": 2,
    "tier_coupon": 2,
}  # fmt: skip
CASES = [
    pytest.param(workflow, part, parts, id=f"{workflow.__name__}{f'-{part}' if parts > 1 else ''}")
    for workflow in WORKFLOWS
    for parts in [PARTS.get(workflow.__name__, 1) if FULL else 1]
    for part in range(parts)
]


@pytest.fixture
def stage(transactional_db):
    return Stage()


@pytest.mark.long(10 if FULL else 1)
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("workflow", "part", "parts"), CASES)
def test_every_call_of_a_workflow_may_fail(workflow, part, parts, stage):
    every = every_way if FULL else one_way
    disturb(workflow, stage, 0, "")  # what is asked once in the life of a process is asked here
    undisturbed = disturb(workflow, stage, 0, "")
    assert 3 < undisturbed.count < MOST
    killed_at = -1
    for nth in taken(undisturbed.calls)[part::parts]:
        traps = list(every(workflow, stage, nth, killed_at))
        if not any(trap.where for trap in traps):
            break  # once in a while a call is not needed
        killed_at = traps[0].lasting_before
    last = undisturbed.count + 1
    while disturb(workflow, stage, last, "error").where:  # until it passes untouched
        last += 1
        assert last < MOST


def taken(calls):
    """The numbers of the calls that fail in this run.

    Of the statements of one transaction, all of which end it, `.ci/run` takes the first, the last and every third;
    `make simulate` takes each. Whatever is no statement is always taken.
    """
    numbers = range(1, len(calls) + 1)
    if ALL or not FULL:
        return numbers if ALL else numbers[::17]
    done = [-1, *(lasting for _what, lasting in calls), -1]  # before each call; there is none before and after all
    return [
        nth
        for nth in numbers
        if nth % 3 == 0 or not is_statement(calls[nth - 1][0]) or len({done[nth - 1], done[nth], done[nth + 1]}) > 1
    ]


def every_way(workflow, stage, nth, killed_at):
    """An error and a time-out of each call, of statements one of the two in turn: either ends their transaction. A kill
    of the first and the last of those that leave as much behind: what was not committed, sent or published dies with a
    process, wherever it stood.
    """
    ways = ("error", "time-out") if nth % 2 else ("time-out", "error")
    trap = disturb(workflow, stage, nth, ways[0])
    yield trap
    if ALL or not is_statement(trap.where):
        yield disturb(workflow, stage, nth, ways[1])
    is_another = trap.lasting_before != killed_at
    if is_another and nth > 1:
        yield disturb(workflow, stage, nth - 1, "kill")
    if is_another or ALL:
        yield disturb(workflow, stage, nth, "kill")


def is_statement(what):
    """Whether a call is a statement, neither what ends a transaction nor a call of somebody else."""
    return what not in {"COMMIT", "broker"} and not what.startswith("http")


def one_way(workflow, stage, nth, _killed_at):
    """One of the ways, in turn: for every day."""
    yield disturb(workflow, stage, nth, WAYS[nth % len(WAYS)])


def disturb(workflow, stage, nth, way):
    """Play a workflow whose nth call fails; then again, until it must be done. Gives the trap, sprung or not."""
    tokens.forget_cached()
    do, holds = workflow(stage)
    trap = Trap(nth, way)
    with trapped(trap, stage.wechat):
        try:
            do()
        except (Killed, Exception):
            if not trap.where:
                raise
    connection.close_if_unusable_or_obsolete()
    where = f"call {nth}, {way}: {trap.where}"
    with stage.scope:
        holds(finished=False)
        assert invariants.breaches() == [], where
    with trapped(Trap(), stage.wechat):
        do()
        do()
    with stage.scope:
        holds(finished=True)
        assert invariants.breaches() == [], where
    return trap
