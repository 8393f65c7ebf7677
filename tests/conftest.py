"""What every test can ask for: two brands, one of them in scope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone, translation
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from accounts.models import Brand
from accounts.tenancy import brand_scope
from tests.factories import make_brand
from tests.memory import FORGET
from tests.simulator import Simulator

# How long an example takes is the machine's affair, which may be busy with something else.
hypothesis_settings.register_profile("zhiyin", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("zhiyin")


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
