"""Invitations of the demo: honest friends are rewarded, five accounts on one phone wait, known people are left alone."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from demo.referrals import HONEST, MADE_UP, invite_friends
from referrals.models import Referral
from tests.factories import make_account, make_member

pytestmark = pytest.mark.django_db


def test_demo_has_honest_friends_and_one_phone_with_five_accounts(brand):
    at = now()
    with brand_scope(brand.pk):
        account = make_account()
        for _each in range(30):
            make_member(account, created_at=at - timedelta(days=90), joined_at=at - timedelta(days=90))
        for number in range(HONEST + MADE_UP + 2):
            came = at - timedelta(days=5, hours=2 * number)
            # The newest two had a card before they were first met here.
            joined = came - timedelta(days=400) if number < 2 else came
            make_member(account, created_at=came, joined_at=joined)
    for _round in range(2):
        invite_friends(brand.pk)
    with brand_scope(brand.pk):
        assert Counter(Referral.objects.values_list("state", flat=True)) == {"PAID": HONEST, "HELD": MADE_UP}
