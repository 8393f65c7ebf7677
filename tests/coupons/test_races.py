"""Many at once, on connections of their own: budgets, limits, codes and checkouts are exact, and losers are told why."""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from common.errors import AppError
from coupons import services
from coupons.invariants import breaches
from coupons.models import Coupon, Move, Template
from loyalty.services import Operation
from tests.coupons.conftest import cart, claim, make_template
from tests.factories import AT, make_account, make_member

pytestmark = pytest.mark.django_db(transaction=True)
CLAIMS = int(os.environ.get("ZHIYIN_CLAIMS", "80"))
THREADS = 8


def at_once(brand, work, numbers):
    """Do work(number) in the brand for every number on eight connections; gives what came of each, by code."""
    gate = threading.Barrier(THREADS)

    def one(number):
        try:
            with brand_scope(brand.pk):
                return work(number) or "done"
        except AppError as refused:
            return refused.code

    def share(mine):
        try:
            gate.wait(timeout=30)
            return [one(number) for number in mine]
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(share, [numbers[at::THREADS] for at in range(THREADS)])
        return Counter(each for part in parts for each in part)


@pytest.fixture
def people(brand):
    with brand_scope(brand.pk):
        account = make_account()
        return [make_member(account) for _number in range(10)]


def test_of_claims_at_once_exactly_the_budget_wins_and_nobody_has_more_than_one_may(brand, people):
    with brand_scope(brand.pk):
        template = make_template(total=CLAIMS // 4, per_member=3)

    def take(number):
        member = people[number % len(people)]
        services.claim_coupon(operation=Operation("t", f"c{number}"), template=template, member_id=member.pk, at=AT)

    heard = at_once(brand, take, range(CLAIMS))
    assert heard["done"] == CLAIMS // 4
    assert set(heard) <= {"done", "budget_gone", "member_limit"}
    with brand_scope(brand.pk):
        had = Counter(Coupon.objects.order_by("pk").values_list("member_id", flat=True))
        assert (Template.objects.get().taken, sum(had.values()), max(had.values()) <= 3) == (
            CLAIMS // 4,
            CLAIMS // 4,
            True,
        )
        assert breaches() == []


def test_one_person_on_many_phones_gets_what_one_may_have(brand, people):
    with brand_scope(brand.pk):
        template = make_template(per_member=2)

    def take(number):
        services.claim_coupon(
            operation=Operation("t", f"c{number % 20}"), template=template, member_id=people[0].pk, at=AT
        )

    heard = at_once(brand, take, range(40))
    assert set(heard) <= {"done", "member_limit", "operation_running"}
    with brand_scope(brand.pk):
        assert (Coupon.objects.count(), Template.objects.get().taken, breaches()) == (2, 2, [])


def test_of_checkouts_at_once_exactly_one_order_has_the_coupon(brand, people):
    with brand_scope(brand.pk):
        coupon = claim(make_template(), people[0]).coupon

    def check_out(number):
        goods, order = cart(20_000), f"SO{number}"
        services.hold_coupon(operation=Operation("t", f"h{order}"), coupon_id=coupon.pk, order=order, cart=goods, at=AT)
        services.redeem_coupon(operation=Operation("t", f"r{order}"), coupon_id=coupon.pk, order=order, at=AT)

    heard = at_once(brand, check_out, range(24))
    assert (heard["done"], set(heard) <= {"done", "coupon_held", "coupon_used"}) == (1, True)
    with brand_scope(brand.pk):
        assert (Move.objects.filter(kind="REDEEM").count(), breaches()) == (1, [])


def test_a_code_and_a_counter_code_are_worth_one_coupon_and_one_redemption(brand, people):
    with brand_scope(brand.pk):
        template = make_template(per_member=None, total=1, rule={"kind": "GIFT", "gift": "咖啡"})
        batch = services.create_batch(template=template, label="x", count=1, at=AT)
        services.make_portion(batch_id=batch.pk, at=AT)
        batch.refresh_from_db()
        ((printed, _used),) = services.read_codes(batch=batch)

    def enter(number):
        member = people[number % len(people)]
        services.redeem_code(operation=Operation("t", f"e{number}"), code=printed, member_id=member.pk, at=AT)

    heard = at_once(brand, enter, range(24))
    assert (heard["done"], heard["code_over"]) == (1, 23)
    with brand_scope(brand.pk):
        shown, _until = services.show_code(coupon_id=Coupon.objects.get().pk, at=AT)

    def scan(number):
        key = f"s{number % 12}"  # every till repeats itself
        services.redeem_at_counter(operation=Operation("t", key), code=shown, cart=cart(), at=AT)

    heard = at_once(brand, scan, range(24))
    assert set(heard) <= {"done", "coupon_used", "operation_running"}
    again = at_once(brand, scan, range(12))  # every till once more: one has redeemed it and hears so again
    assert again == {"done": 1, "coupon_used": 11}
    with brand_scope(brand.pk):
        assert (Move.objects.filter(kind="REDEEM").count(), breaches()) == (1, [])
