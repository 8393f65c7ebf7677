"""What every test can ask for: two brands, one of them in scope."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone, translation
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from accounts import sealing
from accounts.models import Brand
from accounts.tenancy import brand_scope
from tests.examples import THOROUGH
from tests.factories import make_brand
from tests.memory import FORGET
from tests.simulator import Simulator

# How long an example takes is the machine's affair, which may be busy with something else. Which examples are tried is
# chance in `make repeat` and where many are; elsewhere a red run is red again, and a green one green.
hypothesis_settings.register_profile(
    "zhiyin",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not (THOROUGH or os.environ.get("ZHIYIN_CHANCE") == "1"),
)
hypothesis_settings.load_profile("zhiyin")


# Whoever seals asks for newer keys now and then; a test that counts questions may not meet that by chance.
sealing.KEY_AGE = 3_600.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Let every worker begin with something long: otherwise all wait at the end for who has begun that last."""
    yield
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    if workers > 1:
        items[:] = dealt(items, workers)


def dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Put tests in an order of which each worker takes an equal piece, each with as much of the long ones in front."""
    units: dict[Any, list[pytest.Item]] = {}
    weights: dict[Any, int] = {}
    others = []
    for item in items:
        mark = item.get_closest_marker("long")
        if mark is None:
            others.append(item)
            continue
        unit = item.path if mark.kwargs.get("together") else item.nodeid
        units.setdefault(unit, []).append(item)
        weights[unit] = weights.get(unit, 0) + mark.args[0]
    first: list[list[pytest.Item]] = [[] for _ in range(workers)]
    heavy = [0] * workers
    for unit in sorted(units, key=lambda unit: -weights[unit]):
        lightest = heavy.index(min(heavy))
        first[lightest] += units[unit]
        heavy[lightest] += weights[unit]
    found: list[pytest.Item] = []
    for number, beginning in enumerate(first, 1):
        found += beginning
        size = max(0, number * len(items) // workers - len(found))
        found += others[:size]
        del others[:size]
    return found + others


@pytest.fixture(autouse=True)
def nothing_of_earlier_tests() -> None:
    """Begin as a new process would: whatever an earlier test made this one remember is forgotten.

    Django, too, leaves the language and the time zone of the last request on in this thread.
    """
    for forget in FORGET:
        forget()
    translation.deactivate()
    timezone.deactivate()


@pytest.fixture
def brand(db: None) -> Brand:
    """The brand a test is about."""
    return make_brand()


@pytest.fixture
def other_brand(db: None) -> Brand:
    """Another brand, whose rows must never show."""
    return make_brand("zaoshan", "灶山小馆")


@pytest.fixture
def in_brand(brand: Brand) -> Iterator[Brand]:
    """The brand, in scope for the length of the test."""
    with brand_scope(brand.pk):
        yield brand


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[Simulator]:
    """One simulated WeChat for all tests of a worker; each test brings accounts of its own."""
    simulator = Simulator()
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(simulator_process: Simulator, settings: Any) -> Iterator[Simulator]:
    """The simulated WeChat, which the product's calls go to; faults, clock and switches end with the test."""
    settings.WECHAT_BASE_URL = simulator_process.url
    yield simulator_process
    simulator_process.put_back()
