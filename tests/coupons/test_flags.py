"""Staff, test and blocked people: no coupons by any way, none used by the blocked, and figures without them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from coupons import errors, services
from coupons.models import Coupon, Template, Way
from coupons.selectors.coupons import check_cart
from coupons.selectors.figures import figures_of
from loyalty.models import Benefit, Standing, Tier
from loyalty.selectors.points import balance_of
from loyalty.selectors.tiers import applied
from members.services import clear_flag, set_flag
from tests.coupons.conftest import cart, claim, earn, hold, make_template, once, redeem
from tests.factories import AT

DAY = timedelta(days=1)
SAY = {"reason": "门店店员", "by": "林澄"}


@pytest.mark.parametrize("kind", ["STAFF", "TEST", "BLOCKED"])
def test_whoever_is_left_out_gets_no_coupon_by_any_way_and_whoever_is_not_does(people, kind):
    plain = make_template(per_member=None)
    dear = make_template(points_price=10, rule={"kind": "GIFT", "gift": "咖啡"})
    earn(people.ann, 10)
    batch = services.create_batch(template=plain, label="码", count=2, at=AT)
    services.make_portion(batch_id=batch.pk, at=AT)
    batch.refresh_from_db()
    code = next(services.read_codes(batch=batch))[0]
    set_flag(member_id=people.ann.pk, kind=kind, since=AT, at=AT, **SAY)
    who = {"member_id": people.ann.pk, "at": AT}
    for way in (
        lambda: claim(plain, people.ann),
        lambda: services.exchange_points(operation=once(), template=dear, **who),
        lambda: services.issue_coupon(operation=once(), template=plain, way=Way.SYSTEM, **who),
        lambda: services.hand_out(operation=once(), template=plain, reason="老顾客", **who),
        lambda: services.redeem_code(operation=once(), code=code, **who),
    ):
        with pytest.raises(errors.LeftOut):
            way()
    pushed = services.push_coupons(
        key="k", template=plain, member_ids=[people.ann.pk, people.ben.pk], reason="春季回馈", at=AT
    )
    assert (pushed.given, pushed.left_out) == (1, 1)
    assert list(Coupon.objects.values_list("member_id", flat=True)) == [people.ben.pk]
    assert (balance_of(people.ann.pk).available, Template.objects.get(pk=dear.pk).taken) == (10, 0)
    clear_flag(member_id=people.ann.pk, kind=kind, at=AT, **SAY)
    services.redeem_code(operation=once(), code=code, **who)
    assert Coupon.objects.filter(member=people.ann).count() == 1


def test_a_flag_that_begins_later_leaves_out_from_then_on(people):
    template = make_template(per_member=None)
    set_flag(member_id=people.ann.pk, kind="TEST", since=AT, at=AT + DAY, **SAY)
    claim(template, people.ann, at=AT - timedelta(seconds=1))
    with pytest.raises(errors.LeftOut):
        claim(template, people.ann, at=AT)


def test_the_blocked_use_nothing_and_no_tier_gives_them_anything_while_staff_may(people):
    template = make_template(per_member=None)
    first, second = (claim(template, people.ann).coupon for _number in range(2))
    tier = Tier.objects.create(name="知音", threshold=0)
    Benefit.objects.create(tier=tier, kind="PRICE", value=10)
    Standing.objects.create(member=people.ann, tier=tier, since=AT)
    set_flag(member_id=people.ann.pk, kind="STAFF", since=None, at=AT, **SAY)
    hold(first)
    assert len(applied(people.ann.pk, amount=100, at=AT)) == 1
    set_flag(member_id=people.ann.pk, kind="BLOCKED", since=AT, at=AT, **SAY)
    with pytest.raises(errors.Unusable) as refused:
        redeem(second, goods=cart(20_000))
    assert refused.value.code == "coupon_blocked"
    assert {each.verdict.refusal.code for each in check_cart(people.ann.pk, cart(20_000), at=AT)} == {
        "held", "blocked",
    }  # fmt: skip
    assert applied(people.ann.pk, amount=100, at=AT) == []
    redeem(first)  # paid before anybody knew: the order keeps what it was promised


def test_figures_are_restated_from_the_day_of_the_flag_and_back(people):
    template = make_template(per_member=None)
    for at in (AT, AT + DAY):
        redeem(claim(template, people.ann, at=at).coupon, order=f"SO{at}"[:19], at=at, goods=cart(20_000))
    claim(template, people.ben)

    def figures():
        found = figures_of([template.pk], at=AT + 2 * DAY)[template.pk]
        return (found.given, found.used, found.saved)

    assert figures() == (3, 2, 6_000)
    set_flag(member_id=people.ann.pk, kind="STAFF", since=AT + DAY, at=AT + 2 * DAY, **SAY)
    assert figures() == (2, 1, 3_000)
    set_flag(member_id=people.ann.pk, kind="STAFF", since=None, at=AT + 2 * DAY, **SAY)
    assert figures() == (1, 0, 0)
    clear_flag(member_id=people.ann.pk, kind="STAFF", at=AT + 2 * DAY, **SAY)
    assert figures() == (3, 2, 6_000)
