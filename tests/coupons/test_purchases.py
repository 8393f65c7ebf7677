"""A purchase of enough brings its coupon once; a refund takes an unused one back."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from accounts.tenancy import brand_scope
from common import failpoints
from coupons import services
from coupons.errors import GiftInvalid, TemplateClosed
from coupons.invariants import breaches
from coupons.models import Coupon, PurchaseGift, PurchaseGrant
from loyalty.services import record_fact
from loyalty.services.facts import Report
from members.services import set_flag
from tests.coupons.conftest import cart, make_template, redeem, states
from tests.factories import AT, make_member

DAY = timedelta(days=1)
GIFTS = "/b/lanyu/coupons/purchasegift/"


def gift(at_least=30_000, first=AT, last=None, template=None, **more):
    row = PurchaseGift(
        template=template or make_template(per_member=None, claimable=False),
        at_least=at_least,
        first_day=first.date(),
        last_day=last.date() if last else None,
        **more,
    )
    return services.save_purchase_gift(gift=row, at=AT)


def bought(member, number="SO1", amount=30_000, at=AT):
    return record_fact(report=Report("pos", "PURCHASE", number, at, member.pk, amount), at=at).fact


def refunded(purchase, number, amount, at=AT):
    record_fact(report=Report("pos", "REFUND", number, at, None, amount, refers=purchase.number), at=at)


def a_sweep(at=AT):
    while services.give_after_purchases(at=at):
        pass


def outcomes():
    return list(PurchaseGrant.objects.order_by("pk").values_list("fact__number", "outcome"))


def test_each_purchase_of_enough_brings_one_within_the_days(people):
    gift(first=AT, last=AT + 2 * DAY)
    gift(at_least=100_000)
    bought(people.ann, "SO1", 29_999)
    bought(people.ann, "SO2", 30_000)
    bought(people.ann, "SO2", 30_000)  # reported again
    bought(people.ann, "SO3", 40_000, at=AT + 2 * DAY)
    bought(people.ann, "SO4", 40_000, at=AT + 3 * DAY)
    record_fact(report=Report("pos", "VISIT", "V1", AT, people.ben.pk), at=AT)
    assert states(people.ann) == []  # a worker gives them
    for _round in range(2):
        a_sweep(AT + 3 * DAY)

    assert outcomes() == [("SO2", "GIVEN"), ("SO3", "GIVEN")]
    assert states(people.ann, people.ben) == ["UNUSED", "UNUSED"]
    assert set(Coupon.objects.values_list("way", flat=True)) == {"PURCHASE"}
    assert breaches() == []


def test_limits_budget_and_who_is_left_out_count(people):
    gift(template=make_template(per_member=1, total=2, claimable=False))
    flagged = make_member(people.account)
    set_flag(member_id=flagged.pk, kind="STAFF", since=None, reason="店员", by="林澄", at=AT)
    for number, member in enumerate((flagged, people.ann, people.ann, people.ben, make_member(people.account))):
        bought(member, f"SO{number}")
    a_sweep()

    assert [outcome for _number, outcome in outcomes()] == ["FLAGGED", "GIVEN", "HAD_IT", "GIVEN", "NONE_LEFT"]


def test_refund_below_the_amount_takes_an_unused_one_back(people):
    gift(at_least=30_000)
    gift(at_least=30_000, takes_back=False)
    kept, part, whole, used, early = (bought(people.ann, f"SO{number}", 50_000) for number in range(5))
    a_sweep()
    early = bought(people.ben, "SO9", 50_000)
    redeem(
        Coupon.objects.get(pk=PurchaseGrant.objects.filter(fact=used).earliest("pk").coupon_id),
        order="SO77",
        goods=cart(20_000),
    )
    refunded(kept, "R1", 20_000)
    refunded(part, "R2", 20_001)
    refunded(whole, "R3", 50_000)
    refunded(used, "R4", 50_000)
    refunded(early, "R5", 50_000)
    a_sweep()

    first = PurchaseGrant.objects.filter(gift=PurchaseGift.objects.earliest("pk")).order_by("pk")
    assert [row.outcome for row in first if row.fact_id != early.pk][:4] == [
        "GIVEN",
        "TAKEN_BACK",
        "TAKEN_BACK",
        "GIVEN",
    ]
    assert first.get(fact=early).outcome == "REFUNDED"
    others = PurchaseGrant.objects.exclude(pk__in=first)
    assert set(others.values_list("outcome", flat=True)) == {"GIVEN"}
    assert breaches() == []


def test_worker_that_dies_gives_nobody_two(people, monkeypatch):
    gift()
    bought(people.ann)

    def die():
        monkeypatch.delitem(failpoints.armed, "coupons after purchases: given, not committed")
        raise KeyboardInterrupt

    monkeypatch.setitem(failpoints.armed, "coupons after purchases: given, not committed", die)
    with pytest.raises(KeyboardInterrupt):
        services.give_after_purchases(at=AT)
    a_sweep()
    assert states(people.ann) == ["UNUSED"]


@pytest.mark.parametrize(("more", "error"), [({"at_least": 0}, GiftInvalid), ({"last": AT - DAY}, GiftInvalid)])
def test_rule_that_cannot_be_is_refused(in_brand, more, error):
    with pytest.raises(error):
        gift(**more)
    with pytest.raises(TemplateClosed):
        gift(template=make_template(active=False))


def test_form_saves_refuses_and_shows_what_was_given(as_owner, ours):
    with brand_scope(ours.brand.pk):
        template = make_template("满额礼", per_member=None)
    fields = {"template": template.pk, "yuan": "300", "first_day": "2025-06-01", "last_day": "", "is_on": "on"}
    for wrong in ({"yuan": "0"}, {"last_day": "2025-05-31"}, {"yuan": "-3"}, {"template": "999"}):
        assert as_owner.post(f"{GIFTS}add/", fields | wrong).status_code == 200
    assert as_owner.post(f"{GIFTS}add/", fields | {"takes_back": "on"}).status_code == 302

    with brand_scope(ours.brand.pk):
        row = PurchaseGift.objects.get()
        assert (row.at_least, row.last_day, row.takes_back, row.is_on) == (30_000, None, True, True)
        bought(SimpleNamespace(pk=ours.member.pk), at=AT)
        a_sweep()
    page = as_owner.get(GIFTS).content.decode()
    assert "满额礼" in page
    assert "¥300.00" in page
    assert as_owner.get(f"{GIFTS}{row.pk}/change/").status_code == 200
    assert as_owner.post(f"{GIFTS}{row.pk}/change/", fields | {"yuan": "400.50"}).status_code == 302
    with brand_scope(ours.brand.pk):
        assert PurchaseGift.objects.get().at_least == 40_050


def test_rules_of_one_brand_give_nothing_in_another(in_brand, people, other_brand):
    gift()
    mine = people.ann
    # Another brand's purchase, in its own scope, is none of this rule's.
    assert PurchaseGift.objects.count() == 1
    bought(mine)
    assert PurchaseGrant.objects.count() == 1
