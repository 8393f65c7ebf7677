"""Many at once, on connections of their own: exactly what is affordable is spent, and a key counts once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from loyalty import services
from loyalty.errors import KeyReused, OperationRunning, PointsShort
from loyalty.invariants import breaches
from loyalty.models import BenefitUse, Journal
from loyalty.selectors import points as selectors
from loyalty.services import Operation
from tests.factories import AT, make_account, make_member
from tests.loyalty.conftest import earn

pytestmark = pytest.mark.django_db(transaction=True)
BURNS = int(os.environ.get("ZHIYIN_BURNS", "120"))
THREADS = 8


@pytest.fixture
def member(brand):
    with brand_scope(brand.pk):
        return make_member(make_account())


def at_once(work, numbers):
    """Do work(number) for every number on eight connections, all beginning together; gives what came of each."""
    gate = threading.Barrier(THREADS)

    def share(mine):
        try:
            gate.wait(timeout=30)
            return [work(number) for number in mine]
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return [each for part in pool.map(share, [numbers[at::THREADS] for at in range(THREADS)]) for each in part]


def test_of_burns_at_once_on_one_lot_exactly_the_affordable_number_wins(brand, member):
    affordable = BURNS // 3
    with brand_scope(brand.pk):
        earn(member, affordable)

    def burn(number):
        try:
            with brand_scope(brand.pk):
                services.burn_points(
                    operation=Operation("t", f"burn-{number}"), member_id=member.pk, points=1, source="order", at=AT
                )
        except PointsShort:
            return "short"
        return "spent"

    done = at_once(burn, range(BURNS))
    assert (done.count("spent"), done.count("short")) == (affordable, BURNS - affordable)
    with brand_scope(brand.pk):
        assert selectors.balance_of(member.pk).available == 0
        assert breaches() == []


def test_one_key_asked_for_at_once_is_one_act_and_whoever_is_too_early_is_told(brand, member):
    with brand_scope(brand.pk):
        earn(member, 1000)

    def burn(_number):
        try:
            with brand_scope(brand.pk):
                journal = services.burn_points(
                    operation=Operation("t", "the same"), member_id=member.pk, points=10, source="order", at=AT
                )
        except OperationRunning:
            return "running"
        return journal.pk

    done = set(at_once(burn, range(40))) - {"running"}
    assert len(done) == 1
    with brand_scope(brand.pk):
        assert selectors.balance_of(member.pk).available == 990
        assert Journal.objects.filter(kind="BURN").count() == 1
        assert breaches() == []


def test_opposite_gifts_and_burns_do_not_wait_for_each_other_for_ever(brand, member):
    with brand_scope(brand.pk):
        other = make_member(make_account())
        earn(member, 500)
        earn(other, 500)

    def act(number):
        giver, receiver = (member, other) if number % 2 else (other, member)
        try:
            with brand_scope(brand.pk):
                services.gift_points(
                    operation=Operation("t", f"gift-{number}"),
                    giver_id=giver.pk,
                    receiver_id=receiver.pk,
                    points=1,
                    at=AT,
                )
        except services_errors():
            return "refused"
        return "given"

    done = at_once(act, range(40))
    assert done.count("given") >= 1
    with brand_scope(brand.pk):
        total = selectors.balance_of(member.pk).available + selectors.balance_of(other.pk).available
        assert (total, breaches()) == (1000, [])


def test_one_key_for_the_benefits_of_two_orders_at_once_is_refused_not_broken(brand, member):
    def use(number):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")  # waiting for the other would be waiting for ever
        services.use_benefits(
            operation=Operation("till", "the same"), member_id=member.pk, number=number, amount=100, at=AT
        )

    def other():
        try:
            with brand_scope(brand.pk), pytest.raises(OperationRunning):
                use("SO2")
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, brand_scope(brand.pk):
        use("SO1")
        pool.submit(other).result()
    with brand_scope(brand.pk):
        assert BenefitUse.objects.count() == 1
        with pytest.raises(KeyReused):
            use("SO2")


def services_errors():
    from loyalty.errors import GiftRefused

    return (GiftRefused, OperationRunning)
