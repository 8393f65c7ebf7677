"""A coupon from issue to return: what is refused, what a payment too late and a refund do, in every combination."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import translation

from coupons import errors, reasons, services
from coupons.models import Coupon, Move, Template
from coupons.selectors.coupons import check_cart
from loyalty.errors import KeyReused
from loyalty.models import Standing, Tier
from loyalty.services import Report, record_fact
from tests.coupons.conftest import AMOUNT, cart, claim, give_back, hold, make_template, once, redeem, states
from tests.factories import AT

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def test_what_was_given_keeps_the_rule_it_was_given_by(people):
    template = make_template(per_member=2)
    old = claim(template, people.ann).coupon
    template.draft = AMOUNT | {"amount": 5_000}
    services.save_template(template=template, at=AT)
    between = claim(template, people.ben).coupon
    services.activate_template(template_id=template.pk, at=AT)
    new = claim(template, people.ann).coupon
    assert [hold(each, f"SO{each.pk}").saved for each in (old, between, new)] == [3_000, 3_000, 5_000]
    with pytest.raises(DatabaseError, match=r"permission denied|only ever added"), transaction.atomic():
        connection.cursor().execute("UPDATE coupons_templateversion SET rule = '{}'")
    with pytest.raises(DatabaseError, match=r"permission denied|only ever added"), transaction.atomic():
        connection.cursor().execute("DELETE FROM coupons_move")


def test_budgets_and_limits_of_a_member_end_exactly(people):
    template = make_template(total=3, per_member=2)
    first, again = claim(template, people.ann, key="k"), claim(template, people.ann, key="k")
    assert first.pk == again.pk
    claim(template, people.ann)
    with pytest.raises(errors.MemberLimit):
        claim(template, people.ann)
    claim(template, people.ben)
    with pytest.raises(errors.BudgetGone):
        claim(template, people.ben)
    assert Template.objects.get(pk=template.pk).taken == 3
    with pytest.raises(KeyReused):
        claim(template, people.ben, key="k")
    template.total = 2
    with pytest.raises(errors.TemplateRefused):
        services.save_template(template=template, at=AT)
    services.stop_template(template_id=template.pk, at=AT)
    with pytest.raises(errors.TemplateClosed):
        claim(Template.objects.get(pk=template.pk), people.ben)
    with pytest.raises(errors.TemplateClosed):
        claim(make_template(claimable=False), people.ann)


def test_a_coupon_set_aside_is_one_orders_alone_until_it_is_paid_cancelled_or_late(people):
    coupon = claim(make_template(), people.ann).coupon
    held = hold(coupon, "SO1")
    assert (held.after, held.saved) == ("HELD", 3_000)
    with pytest.raises(errors.Unusable) as refused:
        hold(coupon, "SO2", at=AT + MINUTE)
    assert refused.value.code == "coupon_held"
    with pytest.raises(errors.NotHeld):
        services.release_coupon(operation=once(), coupon_id=coupon.pk, order="SO2", at=AT)
    services.release_coupon(operation=once(), coupon_id=coupon.pk, order="SO1", at=AT)
    hold(coupon, "SO2")
    later = AT + 31 * MINUTE
    assert hold(coupon, "SO3", at=later).after == "HELD"  # the second order's time was over
    with pytest.raises(errors.Unusable) as refused:
        redeem(coupon, "SO2", at=later)
    assert refused.value.code == "coupon_held"
    assert redeem(coupon, "SO3", at=later + 10 * DAY, key="paid").saved == 3_000  # held by it: late, and still its
    assert redeem(coupon, "SO3", at=later + 10 * DAY, key="paid").saved == 3_000
    with pytest.raises(errors.Unusable) as refused:
        redeem(coupon, "SO3", at=later + 10 * DAY)
    assert refused.value.code == "coupon_used"
    assert states(people.ann) == ["USED"]


def test_a_payment_after_the_sweep_still_has_the_coupon_while_nobody_took_it(people):
    template = make_template(per_member=3)
    late, expired, taken = (claim(template, people.ann).coupon for _number in range(3))
    for coupon in (late, expired, taken):
        hold(coupon, f"SO{coupon.pk}")
    services.release_due(at=AT + DAY)
    assert states(people.ann) == ["UNUSED"] * 3
    hold(taken, "OTHER", at=AT + DAY)
    services.release_coupon(operation=once(), coupon_id=taken.pk, order="OTHER", at=AT + DAY)
    assert redeem(late, f"SO{late.pk}", at=AT + DAY).saved == 3_000
    services.expire_due(at=AT + 40 * DAY)
    assert redeem(expired, f"SO{expired.pk}", at=AT + 40 * DAY).saved == 3_000
    with pytest.raises(errors.Unusable) as refused:
        redeem(taken, f"SO{taken.pk}", at=AT + 40 * DAY)
    assert (refused.value.code, states(people.ann)) == ("coupon_expired", ["USED", "USED", "EXPIRED"])


# used on the first day; refunded on day 10 (still valid) or day 40 (it ended on day 30)
EARLY, LATE = AT + 10 * DAY, AT + 40 * DAY
END = datetime(2025, 6, 30, 16, tzinfo=UTC)  # the end of 30 days in Shanghai
GRACE = datetime(2025, 7, 18, 16, tzinfo=UTC)  # the end of the seventh day after the refund
REFUNDS = [
    ("RETURN", 7, EARLY, True, "UNUSED", END),
    ("RETURN", 7, LATE, True, "UNUSED", GRACE),
    ("RETURN", 0, LATE, True, "EXPIRED", END),
    ("RETURN", 7, EARLY, False, "USED", END),
    ("EXTEND", 7, EARLY, True, "UNUSED", END + 10 * DAY),
    ("EXTEND", 7, LATE, True, "UNUSED", END + 40 * DAY),
    ("EXTEND", 0, LATE, True, "UNUSED", END + 40 * DAY),
    ("EXTEND", 7, EARLY, False, "USED", END),
    ("VOID", 7, EARLY, True, "VOID", END),
    ("VOID", 7, LATE, True, "VOID", END),
    ("VOID", 0, LATE, True, "VOID", END),
    ("VOID", 7, EARLY, False, "USED", END),
]


@pytest.mark.parametrize(("policy", "grace", "at", "whole", "state", "until"), REFUNDS)
def test_a_refund_does_to_a_coupon_what_its_rule_says(people, policy, grace, at, whole, state, until):
    template = make_template(rule=AMOUNT | {"on_refund": policy, "grace_days": grace})
    coupon = claim(template, people.ann).coupon
    redeem(coupon, "SO1", goods=cart(20_000))
    if whole:
        give_back(coupon, at=at)
        with pytest.raises(errors.NotUsed):  # a second report of the refund, under another key
            give_back(coupon, at=at)
    else:
        with pytest.raises(errors.RefundPartial):
            give_back(coupon, at=at, whole=False)
    services.expire_due(at=at)
    found = Coupon.objects.get(pk=coupon.pk)
    assert (found.state, found.valid_until, found.saved) == (state, until, 0 if whole else 3_000)


def test_every_coupon_says_what_it_saves_or_why_not_and_what_would_help(people):
    ann, at = people.ann, AT + DAY
    store = [[people.store.pk, "上海静安店"]]
    rules = {
        "below_threshold": AMOUNT | {"threshold": 90_000},
        "wrong_goods": AMOUNT | {"products": ["LY-1"], "threshold": 0},
        "wrong_store": AMOUNT | {"stores": store},
        "wrong_tier": AMOUNT | {"tiers": [[1, "知音"]]},
        "not_yet": AMOUNT | {"delay": 5},
        "nothing_saved": {"kind": "PERCENT", "percent": 1},
        "ok": {"kind": "PERCENT", "percent": 15, "cap": 2_000},
        "held": AMOUNT,
        "expired": AMOUNT | {"days": 1},
    }
    coupons = {
        why: services.issue_coupon(
            operation=once(), template=make_template(why, rule=rule), member_id=ann.pk, at=AT
        ).coupon
        for why, rule in rules.items()
    }
    hold(coupons["held"], "SO9", at=at)
    whys = {coupon.pk: why for why, coupon in coupons.items()}
    found = {whys[each.coupon.pk]: each.verdict for each in check_cart(ann.pk, cart(20_000), at=at)}
    assert {why: (each.refusal.code if each.refusal else each.saving) for why, each in found.items()} == {
        **{why: why for why in rules if why not in ("ok", "nothing_saved")},
        "ok": 2_000,
        "nothing_saved": 200,
    }
    tiny = {whys[each.coupon.pk]: each.verdict for each in check_cart(ann.pk, cart(99), at=at)}
    assert tiny["nothing_saved"].refusal.code == "nothing_saved"
    empty = {whys[each.coupon.pk]: each.verdict for each in check_cart(ann.pk, cart(), at=at)}
    assert empty["ok"].refusal.code == "cart_empty"
    with translation.override("zh-hans"):
        missing = found["below_threshold"].refusal
        assert "¥900.00" in reasons.sentence(missing)
        assert "¥700.00" in reasons.fix(missing)
        assert "上海静安店" in reasons.sentence(found["wrong_store"].refusal)
        for code in reasons.REASONS:
            for text in (reasons.REASONS[code].sentence, reasons.REASONS[code].fix):
                assert any("\u4e00" <= each <= "\u9fff" for each in str(text)), code


def test_a_refund_reported_for_an_order_returns_all_its_coupons_once(people):
    template = make_template(per_member=2, rule=AMOUNT | {"stacks": "ANY"})
    first, second = (claim(template, people.ann).coupon for _number in range(2))
    for coupon in (first, second):
        redeem(coupon, "SO1", goods=cart(20_000))
    other = claim(make_template(), people.ben).coupon
    redeem(other, "SO1", goods=cart(20_000))  # another system's order with the same number
    bought = {"happened_at": AT, "member_id": people.ann.pk, "amount": 20_000}
    record_fact(report=Report("shop", "PURCHASE", "SO1", **bought), at=AT)
    for number, state in (("R1", "USED"), ("R2", "UNUSED"), ("R2", "UNUSED")):
        back = Report("shop", "REFUND", number, EARLY, amount=10_000, refers="SO1")
        record_fact(report=back, at=EARLY)
        assert states(people.ann) == [state] * 2
    assert states(people.ben) == ["USED"]
    assert Move.objects.filter(kind="RETURN", reason="shop R2").count() == 2


def test_a_coupon_is_taken_back_with_a_reason_and_only_while_unused(people):
    coupon = claim(make_template(), people.ann).coupon
    with pytest.raises(errors.ReasonNeeded):
        services.void_coupon(operation=once(), coupon_id=coupon.pk, reason=" ", at=AT)
    services.void_coupon(operation=once(), coupon_id=coupon.pk, reason="发错了", at=AT)
    with pytest.raises(errors.Unusable):
        services.void_coupon(operation=once(), coupon_id=coupon.pk, reason="发错了", at=AT)
    with pytest.raises(errors.Unusable):
        hold(coupon)
    assert list(Move.objects.order_by("pk").values_list("kind", flat=True)) == ["ISSUE", "VOID"]


def test_a_coupon_of_the_lowest_tier_is_for_newcomers_too(people):
    low, high = (Tier.objects.create(name=name, threshold=value) for name, value in (("初见", 0), ("知音", 1000)))
    for tier, refusal in ((low, None), (high, "wrong_tier")):
        template = make_template(rule=AMOUNT | {"tiers": [[tier.pk, tier.name]]})
        coupon = claim(template, people.ann).coupon
        found = {each.coupon.pk: each.verdict.refusal for each in check_cart(people.ann.pk, cart(20_000), at=AT)}
        assert (found[coupon.pk] and found[coupon.pk].code) == refusal
    Standing.objects.create(member=people.ann, tier=high, since=AT)
    assert hold(coupon).coupon.pk == coupon.pk
