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
FULL = bool(os.environ.get("SIMULATION_FULL"))  # `.ci/run` takes every call
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
    nth, killed_at = 1 + part, -1
    while nth < MOST:
        traps = list(every(workflow, stage, nth, killed_at))
        if not any(trap.where for trap in traps):
            break
        killed_at = traps[0].lasting_before
        nth += parts if FULL else 17
    assert 3 < nth < MOST - 1, nth


def every_way(workflow, stage, nth, killed_at):
    """An error and a time-out of each call, of statements one of the two in turn: either ends their transaction. A kill
    of the first and the last of those that leave as much behind: what was not committed, sent or published dies with a
    process, wherever it stood.
    """
    ways = ("error", "time-out") if nth % 2 else ("time-out", "error")
    trap = disturb(workflow, stage, nth, ways[0])
    yield trap
    if ALL or trap.where in {"COMMIT", "broker"} or trap.where.startswith("http"):
        yield disturb(workflow, stage, nth, ways[1])
    is_another = trap.lasting_before != killed_at
    if is_another and nth > 1:
        yield disturb(workflow, stage, nth - 1, "kill")
    if is_another or ALL:
        yield disturb(workflow, stage, nth, "kill")


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
