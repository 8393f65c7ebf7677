"""Members with points, and short words for what is done to them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from loyalty import services
from loyalty.invariants import breaches
from loyalty.models import PointsPolicy
from loyalty.selectors import points as selectors
from loyalty.services import Operation
from tests.console.conftest import (  # noqa: F401 - fixtures
    as_guide,
    as_manager,
    as_marketer,
    as_owner,
    guide_user,
    manager,
    marketer,
    ours,
    owner,
    theirs,
)
from tests.factories import AT, make_account, make_member

_keys = itertools.count(1)


def once(key=None, actor="test"):
    """An operation nobody has asked for before, unless it has a key."""
    return Operation(actor, key or f"key-{next(_keys)}")


def earn(member, points, at=AT, **more):
    return services.earn_points(operation=once(), member_id=member.pk, points=points, source="test", at=at, **more)


def burn(member, points, at=AT, **more):
    return services.burn_points(operation=once(), member_id=member.pk, points=points, source="order", at=at, **more)


def freeze(member, points, at=AT, **more):
    return services.freeze_points(operation=once(), member_id=member.pk, points=points, source="order", at=at, **more)


def reverse(journal, points=None, at=AT):
    return services.reverse(operation=once(), journal=journal, points=points, at=at)


def balance(member):
    """(available, frozen, owed)"""
    found = selectors.balance_of(member.pk)
    return (found.available, found.held, found.owed)


def lots(member):
    """(left, frozen) of every lot with something in it, soonest ending first"""
    return [(lot.remaining, lot.held) for lot in selectors.lots_of(member.pk)]


def policy(**changes):
    row, _new = PointsPolicy.objects.get_or_create()
    PointsPolicy.objects.filter(pk=row.pk).update(**changes)


@pytest.fixture
def sound():
    """What must hold, holds when the test is over."""
    yield
    assert breaches() == []


@pytest.fixture
def people(in_brand, sound):
    """Two members of the brand in scope."""
    account = make_account()
    return SimpleNamespace(ann=make_member(account, name="安"), ben=make_member(account, name="本"), account=account)
