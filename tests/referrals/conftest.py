"""A programme, people who come by invitations, and what must hold afterwards."""

from __future__ import annotations

import itertools
from datetime import timedelta
from types import SimpleNamespace

import pytest

from coupons.invariants import breaches
from loyalty.invariants import breaches as points_breaches
from loyalty.selectors.points import balance_of
from loyalty.services import record_fact
from loyalty.services.facts import Report
from members.models import Member
from members.services import bind_phone, record_mini_program_user
from referrals import services
from referrals.models import Programme, Referral
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

DAY = timedelta(days=1)
_numbers = itertools.count(1)


def make_programme(at=AT, **more):
    fields = {
        "name": f"邀请有礼 {next(_numbers)}",
        "first_day": at.date(),
        "act": "JOIN",
        "wait_days": 1,
        "inviter_points": 200,
        "invited_points": 100,
    }
    return services.save_programme(programme=Programme(**(fields | more)), at=at)


def newcomer(at=AT):
    """Somebody who opens the mini program for the first time."""
    number = next(_numbers)
    return record_mini_program_user(appid="wxmini", openid=f"oMini{number:024d}", unionid="", subject="subject", at=at)


def code_of(member, at=AT):
    return services.own_invitation(member_id=member.pk, at=at).code


def come(member, inviter, at=AT, device=""):
    """Somebody says by whose invitation they came."""
    return services.accept(member_id=member.pk, code=code_of(inviter, at), at=at, signs={"DEVICE": device})[0]


def join(member, at=AT, number=None):
    return bind_phone(
        member=Member.objects.get(pk=member.pk),
        number=number or f"138{next(_numbers):08d}",
        source="mini program",
        at=at,
    )


def bring(inviter, at=AT, device=""):
    """Somebody new comes by an invitation and joins."""
    member = newcomer(at)
    come(member, inviter, at, device)
    return join(member, at)


def bought(member, number, amount, at=AT):
    return record_fact(report=Report("pos", "PURCHASE", number, at, member.pk, amount), at=at).fact


def sent_back(purchase, number, amount, at=AT):
    record_fact(report=Report("pos", "REFUND", number, at, None, amount, refers=purchase.number), at=at)


def settle(at):
    """What the sweep does."""
    for work in (services.look_at_open, services.pay_due, services.take_back_next):
        while work(at=at):
            pass


def states():
    return list(Referral.objects.order_by("pk").values_list("state", flat=True))


def keys():
    """Why each is held or refused."""
    return [[each["key"] for each in row.reasons] for row in Referral.objects.order_by("pk")]


def points(*members):
    return [balance_of(member.pk).available for member in members]


@pytest.fixture
def sound():
    yield
    assert (breaches(), points_breaches()) == ([], [])


@pytest.fixture
def people(in_brand, sound):
    account = make_account()
    long_ago = AT - 90 * DAY
    ann, ben = (make_member(account, name=name, joined_at=long_ago, created_at=long_ago) for name in ("安", "本"))
    return SimpleNamespace(ann=ann, ben=ben, account=account)
