"""Every failpoint of the product is fired in every way over a workflow that passes it, and what it broke is mended.

Those of the gateway's event loop are fired by the simulation of the inbox (`python -m tests.simulation --points`).
"""

import os
import subprocess
import sys

import pytest
from django.db import OperationalError, connection

from campaigns import invariants
from common import failpoints
from tests.simulation.__main__ import ENVIRONMENT
from tests.simulation.points import (
    BY_HAND,
    DIED_AT_BY,
    ELSEWHERE,
    IN_THE_GATEWAY,
    SOMETHING_ELSE_MEANWHILE,
    declared,
)
from tests.simulation.workflows import WORKFLOWS, Killed, Stage, Trap, cut, trapped
from tests.sources import ROOT
from wechat_gateway import tokens
from wechat_gateway.models import AccessToken

WAYS = ("raise", "delay", "cut", "kill")
FULL = bool(os.environ.get("SIMULATION_FULL"))  # `make simulate`: all of them


@pytest.fixture
def nothing_known(transactional_db, monkeypatch):
    monkeypatch.setattr(failpoints, "armed", {})


def passed_points(stage, workflow, names):
    """Which points a workflow passes when nothing fails."""
    passed = set()
    tokens.forget_cached()
    do, holds = workflow(stage)
    failpoints.armed.update({name: lambda name=name: passed.add(name) for name in names})
    with trapped(Trap(), stage.wechat):
        do()
    failpoints.armed.clear()
    with trapped(Trap(), stage.wechat):
        do()
    with stage.scope:
        holds(finished=True)
    return passed


def fire(stage, workflow, name, way):
    """Gives whether the point was fired, and what came of it was mended by doing the work again."""
    tokens.forget_cached()
    do, holds = workflow(stage)
    with stage.scope:
        AccessToken.objects.all().delete()  # or nobody would ask for one
    trap, fired = Trap(), []

    def act():
        del failpoints.armed[name]
        fired.append(name)
        if way == "raise":
            raise OperationalError(f"raised at {name}")
        if way == "cut":
            cut()
        elif way == "delay":
            stage.pass_time_elsewhere()
        else:
            trap.die()

    failpoints.armed[name] = act
    with trapped(trap, stage.wechat):
        try:
            do()
        except (Killed, Exception):
            if not fired or way == "delay":
                raise
    connection.close_if_unusable_or_obsolete()
    failpoints.armed.clear()
    with stage.scope:
        holds(finished=False)
        assert invariants.breaches() == [], (name, way)
    with trapped(Trap(), stage.wechat):
        do()
        do()
    with stage.scope:
        holds(finished=True)
        assert invariants.breaches() == [], (name, way)
    return bool(fired)


@pytest.mark.long(30 if FULL else 8)
@pytest.mark.timeout(600)
def test_every_point_is_fired_and_what_it_broke_is_mended(nothing_known):
    names = {name for name in declared() if not name.startswith((IN_THE_GATEWAY, *BY_HAND))}
    fired, met, expected = set(), set(), set()
    for workflow in WORKFLOWS:
        stage = Stage()
        passed = passed_points(stage, workflow, names)
        for name in sorted(passed - met):
            ways = WAYS if FULL else (WAYS[len(met) % 4],)
            fired |= {(name, way) for way in ways if fire(stage, workflow, name, way)}
            expected |= {(name, way) for way in ways}
            met.add(name)
    assert names - met == set(), "no workflow passes these points"
    assert fired == expected


@pytest.mark.long(30)
@pytest.mark.timeout(300)
def test_every_point_of_other_apps_is_died_at_by_a_test_of_its_app(tmp_path):
    died = tmp_path / "died"
    own = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT and "PYTEST" not in name}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "tests.simulation.died", "-p", "no:randomly", *DIED_AT_BY)
    run = subprocess.run(
        command, cwd=ROOT, env={**own, "DIED": str(died)}, capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    points = {*declared(ELSEWHERE), *(name for name in declared() if name.startswith(BY_HAND))}
    assert points - set(died.read_text().splitlines()) == SOMETHING_ELSE_MEANWHILE


@pytest.mark.long(10)
def test_every_point_of_the_gateway_is_fired_and_mended():
    run = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--points"], capture_output=True, text=True, timeout=250, check=False
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


def test_nothing_is_armed_in_the_product():
    assert failpoints.armed == {}
    failpoints.point("a point that nobody has armed")
