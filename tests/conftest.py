"""What every test can ask for: two brands, one of them in scope."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from tests.factories import make_brand


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
