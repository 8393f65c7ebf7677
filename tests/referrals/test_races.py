"""Fifty of everything at once, on connections of their own: a person is bound once and both sides are paid once."""

from __future__ import annotations

import pytest

from accounts.tenancy import brand_scope
from loyalty.invariants import breaches as points_breaches
from loyalty.models import Journal
from loyalty.services import record_fact
from loyalty.services.facts import Report
from members.models import Member
from referrals import services
from referrals.models import Referral
from tests.coupons.test_races import at_once
from tests.factories import AT, make_account, make_member
from tests.referrals.conftest import DAY, code_of, make_programme, newcomer, points, settle

pytestmark = pytest.mark.django_db(transaction=True)
TIMES = 50


def test_an_invitation_is_paid_once_however_often_everything_happens_at_once(brand):
    with brand_scope(brand.pk):
        make_programme(act="ORDER", at_least=100)
        account = make_account()
        long_ago = AT - 90 * DAY
        inviters = [make_member(account, created_at=long_ago, joined_at=long_ago) for _each in range(2)]
        codes = [code_of(each) for each in inviters]
        friend = newcomer()

    def arrive(number):
        services.accept(member_id=friend.pk, code=codes[number % 2], at=AT)

    def buy(number):
        record_fact(report=Report("pos", "PURCHASE", f"SO{number % 3}", AT, friend.pk, 500), at=AT)

    def settled(number):
        (services.look_at_open, services.pay_due, services.take_back_next)[number % 3](at=AT + DAY)

    heard = at_once(brand, arrive, range(TIMES))
    assert heard["done"] == heard["invited_before"] == TIMES // 2
    at_once(brand, buy, range(TIMES))
    at_once(brand, settled, range(TIMES))
    with brand_scope(brand.pk):
        settle(AT + DAY)
        row = Referral.objects.get()
        assert row.state == "PAID"
        assert Journal.objects.filter(source="referral", kind="EARN").count() == 2
        assert points(Member.objects.get(pk=row.inviter_id), friend) == [200, 100]

    def send_back(number):
        report = Report("pos", "REFUND", "R", AT + DAY, None, 500, refers=row.order.number)
        record_fact(report=report, at=AT + DAY)
        services.take_back_next(at=AT + DAY)

    at_once(brand, send_back, range(TIMES))
    with brand_scope(brand.pk):
        settle(AT + DAY)
        assert Referral.objects.get().state == "RETURNED"
        assert points(*inviters, friend) == [0, 0, 0]
        assert points_breaches() == []
