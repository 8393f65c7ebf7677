"""The simulation in a process of its own (it replaces what the product reaches outside with): seeds that once failed."""

import subprocess
import sys

import pytest

from campaigns import invariants
from tests.simulation.delivery import CHECKS

# (scenario, seed): a heal that failed counted as one, a worker stopped between claim and send, a lane kept for ever,
# an account that a frozen process held for longer than whoever had its token waits.
ONCE_FAILED = [("tokens", [86, 164, 473, 9461]), ("zombies", [104, 272]), ("inbox", [29])]


def simulate(*arguments):
    command = [sys.executable, "-m", "tests.simulation", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.parametrize(("scenario", "seeds"), ONCE_FAILED)
def test_seeds_that_once_failed_hold(scenario, seeds):
    run = simulate("--scenario", scenario, "--seed", *seeds)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


def test_the_same_seed_is_the_same_run():
    first, second = (simulate("--scenario", "delivery", "--seed", 17).stdout for _ in range(2))
    assert first == second
    assert len(first.splitlines()) > 20


def test_a_broken_engine_makes_a_seed_fail():
    run = simulate("--scenario", "delivery", "--sabotage", "no sweeper", "--seed", 1)
    assert run.returncode == 1
    assert "a campaign comes to its end" in run.stdout


def test_the_simulation_promises_what_the_product_promises():
    assert CHECKS.keys() >= invariants.INVARIANTS.keys()
