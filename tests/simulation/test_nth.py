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


@pytest.fixture
def stage(transactional_db):
    return Stage()


def all_ways(nth):
    return WAYS


def one_way(nth):
    """One of the ways, in turn: for every day."""
    return (WAYS[nth % len(WAYS)],)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.__name__)
def test_every_call_of_a_workflow_may_fail(workflow, stage):
    full = bool(os.environ.get("SIMULATION_FULL"))
    ways, step = (all_ways, 1) if full else (one_way, 17)  # `make simulate` takes every call
    for nth in range(1, MOST, step):
        reached = [disturb(workflow, stage, nth, way) for way in ways(nth)]
        if not any(reached):
            break
    assert 3 < nth < MOST - 1, nth


def disturb(workflow, stage, nth, way):
    """Play a workflow whose nth call fails; then again, until it must be done. Gives whether there was an nth call."""
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
    return bool(trap.where)
