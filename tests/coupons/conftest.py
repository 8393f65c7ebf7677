"""Templates and members, and short words for what is done with coupons."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from coupons import services
from coupons.invariants import breaches
from coupons.models import Coupon, Template
from coupons.rules import Cart, Line
from loyalty import services as loyalty
from loyalty.invariants import breaches as points_breaches
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
from tests.factories import AT, make_account, make_member, make_store

_keys = itertools.count(1)
AMOUNT = {"kind": "AMOUNT", "amount": 3_000, "threshold": 20_000, "days": 30}


def once(key=None, actor="test"):
    """An operation nobody has asked for before, unless it has a key."""
    return Operation(actor, key or f"key-{next(_keys)}")


def make_template(name=None, at=AT, rule=None, active=True, **more):
    """A template that coupons are given from."""
    settings = {"claimable": True, "by_guides": True} | more
    row = services.save_template(
        template=Template(name=name or f"券 {next(_keys)}", draft=dict(rule or AMOUNT), **settings), at=at
    )
    if active:
        services.activate_template(template_id=row.pk, at=at)
    return Template.objects.get(pk=row.pk)


def claim(template, member, at=AT, key=None):
    return services.claim_coupon(operation=once(key), template=template, member_id=member.pk, at=at)


def cart(*amounts, store=None):
    """Goods a, b, c … for the amounts given."""
    lines = tuple(Line(sku, "", amount) for sku, amount in zip("abcdef", amounts, strict=False))
    return Cart(lines, store.pk if store else None)


def hold(coupon, order="SO1", at=AT, goods=None, **more):
    return services.hold_coupon(
        operation=once(), coupon_id=coupon.pk, order=order, cart=goods or cart(20_000), at=at, **more
    )


def redeem(coupon, order="SO1", at=AT, goods=None, key=None):
    return services.redeem_coupon(operation=once(key), coupon_id=coupon.pk, order=order, at=at, cart=goods)


def give_back(coupon, order="SO1", at=AT, whole=True):
    return services.return_coupon(operation=once(), coupon_id=coupon.pk, order=order, at=at, whole=whole)


def states(*members):
    """How the coupons of members stand, oldest first."""
    rows = Coupon.objects.filter(member__in=members).order_by("pk")
    return list(rows.values_list("state", flat=True))


def earn(member, points, at=AT):
    return loyalty.earn_points(operation=once(), member_id=member.pk, points=points, source="test", at=at)


@pytest.fixture
def sound():
    """What must hold, holds when the test is over."""
    yield
    assert (breaches(), points_breaches()) == ([], [])


@pytest.fixture
def people(in_brand, sound):
    """Two members and two stores of the brand in scope."""
    account = make_account()
    return SimpleNamespace(
        ann=make_member(account, name="安"),
        ben=make_member(account, name="本"),
        store=make_store(),
        far=make_store("BJ001", "北京三里屯店"),
        account=account,
    )
