"""Several coupons for one order: what may be combined, why not, and what each takes off what the others leave."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import translation

from accounts.tenancy import brand_scope
from common.errors import AppError
from coupons import errors, services
from coupons.invariants import breaches
from coupons.models import Coupon
from coupons.rules import Beside, Cart, Line, Rule, clash, faults, judge, left_after, read
from coupons.selectors.coupons import check_cart
from coupons.words import rule_sentence
from tests.coupons.conftest import cart, claim, give_back, hold, make_template, once, redeem
from tests.factories import AT, make_account, make_member

TEN = {"kind": "AMOUNT", "amount": 1_000, "days": 30}
TENTH = {"kind": "PERCENT", "percent": 10, "days": 30}


def beside(stacks, template=1, saved=0):
    return Beside(template, "别的券", Rule("AMOUNT", 1_000, stacks=stacks), saved)


@pytest.mark.parametrize(
    ("mine", "others", "code"),
    [
        ("ALONE", [], None),
        ("ALONE", [("OTHERS", 1)], "stands_alone"),
        ("OTHERS", [("ALONE", 1)], "other_stands_alone"),
        ("ANY", [("ALONE", 2)], "other_stands_alone"),
        ("OTHERS", [("OTHERS", 1)], None),
        ("OTHERS", [("OTHERS", 2)], "one_of_a_kind"),
        ("ANY", [("ANY", 2)], None),
        ("ANY", [("OTHERS", 1), ("ANY", 2), ("ANY", 2)], None),
        ("OTHERS", [("ANY", 1), ("OTHERS", 2)], "one_of_a_kind"),
    ],
)
def test_the_table_of_what_goes_together(mine, others, code):
    found = clash(Rule("AMOUNT", 1_000, stacks=mine), 2, [beside(*each) for each in others])
    assert (found and found.code) == code


def test_whatever_is_combined_takes_off_no_more_than_there_is_and_no_line_below_zero():
    chance = random.Random(7)
    for _number in range(300):
        lines = tuple(
            Line(chance.choice("ab"), chance.choice(("x", "")), chance.randrange(5_000)) for _line in range(4)
        )
        goods, taken = Cart(lines), []
        for _coupon in range(4):
            rule = Rule(
                chance.choice(("AMOUNT", "PERCENT")),
                amount=chance.randrange(1, 6_000),
                percent=chance.randrange(1, 99),
                products=("a",) if chance.random() < 0.5 else (),
                stacks="ANY",
            )
            found = judge(rule, goods, tier_id=None, beside=taken)
            if found.refusal is None:
                taken.append(Beside(1, "券", rule, found.saving))
            left = left_after(goods, taken)
            assert all(0 <= line.amount <= whole.amount for line, whole in zip(left.lines, lines, strict=True))
            assert left.total == goods.total - sum(each.saved for each in taken)


def test_the_sentence_and_the_form_know_the_rule():
    said = {}
    for stacks in ("ALONE", "OTHERS", "ANY"):
        data = TEN | {"stacks": stacks}
        assert faults(data) == {}
        with translation.override("en"):
            said[stacks] = rule_sentence(read(data))
    assert len(set(said.values())) == 3
    with translation.override("en"):
        assert rule_sentence(read(TEN)) == said["ALONE"]
    assert set(faults(TEN | {"stacks": "BOTH"})) == {"stacks"}


def test_an_order_takes_what_goes_together_and_each_takes_off_what_is_left(people):
    loose, tenth = (
        make_template(rule=TEN | {"stacks": "OTHERS"}, per_member=2),
        make_template(rule=TENTH | {"stacks": "ANY"}, per_member=2),
    )
    alone = make_template(rule=TEN)
    first, twin = (claim(loose, people.ann).coupon for _number in range(2))
    percent, more = (claim(tenth, people.ann).coupon for _number in range(2))
    single = claim(alone, people.ann).coupon
    assert hold(first, goods=cart(5_000)).saved == 1_000
    assert hold(percent, goods=cart(5_000)).saved == 400  # a tenth of what the first left
    for coupon, code in ((twin, "one_of_a_kind"), (single, "stands_alone")):
        for act in (hold, redeem):
            with pytest.raises(errors.Unusable) as refused:
                act(coupon, goods=cart(5_000))
            assert refused.value.code == f"coupon_{code}"
            assert "满" in refused.value.message or "券" in refused.value.message
    assert hold(single, order="SO2", goods=cart(5_000)).saved == 1_000
    services.release_coupon(operation=once(), coupon_id=percent.pk, order="SO1", at=AT)
    redeem(first)
    assert redeem(more, goods=cart(5_000)).saved == 400  # beside one that is used
    give_back(first)
    give_back(more)
    assert hold(twin, goods=cart(5_000)).saved == 1_000  # whatever came back is no longer in the way


def test_a_cart_with_chosen_coupons_says_what_can_still_be_added(people):
    loose, tenth, alone = (
        claim(make_template(rule=rule), people.ann).coupon
        for rule in (TEN | {"stacks": "OTHERS"}, TENTH | {"stacks": "OTHERS"}, TEN)
    )
    theirs = claim(make_template(rule=TEN | {"stacks": "ANY"}), people.ben).coupon
    chosen = [tenth.public_id, loose.public_id, theirs.public_id]
    found = check_cart(people.ann.pk, cart(5_000), at=AT, chosen=chosen)
    assert [(each.coupon.pk, each.verdict.saving) for each in found[:2]] == [(tenth.pk, 500), (loose.pk, 1_000)]
    assert [(each.coupon.pk, each.verdict.refusal.code) for each in found[2:]] == [(alone.pk, "stands_alone")]
    assert {each.coupon.pk for each in check_cart(people.ann.pk, cart(5_000), at=AT)} == {
        loose.pk, tenth.pk, alone.pk,
    }  # fmt: skip


def test_percents_are_exact_to_the_fen():
    """Whatever is counted in floating point loses a fen somewhere: 29 % of 1 yuan is 28.999999999999996 there."""
    for percent in range(1, 100):
        rule = Rule("PERCENT", percent=percent)
        for amount in (100, 10_000, 123_457):
            assert judge(rule, Cart((Line("", "", amount),)), tier_id=None).saving == amount * percent // 100


@pytest.mark.django_db(transaction=True)
def test_of_coupons_that_stand_alone_one_comes_to_the_order_however_many_are_tried_at_once(brand):
    with brand_scope(brand.pk):
        member = make_member(make_account())
        coupons = [claim(make_template(rule=TEN), member).coupon for _number in range(6)]
    gate = threading.Barrier(6)

    def take(coupon):
        try:
            gate.wait(timeout=30)
            with brand_scope(brand.pk):
                hold(coupon, goods=cart(5_000))
            return "held"
        except AppError as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        heard = sorted(pool.map(take, coupons))
    assert heard == ["coupon_stands_alone"] * 5 + ["held"]
    with brand_scope(brand.pk):
        assert (Coupon.objects.filter(state="HELD").count(), breaches()) == (1, [])
