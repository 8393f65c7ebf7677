"""What is printed on a coupon is what the till decides by: the sentence is read back, and its figures decide alike."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coupons import codes
from coupons.rules import Cart, Line, Named, Rule, faults, judge, read, valid_between
from coupons.words import rule_sentence

SHANGHAI = ZoneInfo("Asia/Shanghai")
SKUS, CATEGORIES = ("LY-1", "LY-2", "LY-3"), ("衬衫", "围巾")
STORES = (Named(4, "静安店"), Named(5, "三里屯店"))
TIERS = (Named(2, "知音"), Named(3, "座上宾"))


def some(things):
    return st.lists(st.sampled_from(things), unique=True, max_size=len(things)).map(tuple)


@st.composite
def rules(draw):
    kind = draw(st.sampled_from(["AMOUNT", "PERCENT", "EXCHANGE", "GIFT"]))
    own = {
        "AMOUNT": {"amount": draw(st.integers(1, 60_000))},
        "PERCENT": {"percent": draw(st.integers(1, 99)), "cap": draw(st.sampled_from([0, 0, 1, 500, 12_345]))},
        "EXCHANGE": {"pieces": draw(st.integers(1, 4))},
        "GIFT": {"gift": "保温杯"},
    }[kind]
    products, categories = draw(some(SKUS)), draw(some(CATEGORIES))
    if kind == "EXCHANGE" and not categories:
        products = products or SKUS[:1]
    return Rule(
        kind=kind,
        threshold=draw(st.sampled_from([0, 0, 1, 9_900, 20_000, 123_456])),
        products=products,
        categories=categories,
        stores=draw(st.just(()) | some(STORES)),
        tiers=draw(st.just(()) | some(TIERS)),
        delay=draw(st.sampled_from([0, 0, 1, 5])),
        days=draw(st.integers(1, 90)),
        on_refund=draw(st.sampled_from(["RETURN", "EXTEND", "VOID"])),
        grace_days=draw(st.integers(0, 9)),
        **own,
    )


lines = st.lists(
    st.builds(
        Line,
        st.sampled_from([*SKUS, "LY-9"]),
        st.sampled_from([*CATEGORIES, "帽子", ""]),
        st.integers(0, 90_000),
        st.integers(1, 3),
    ),
    max_size=5,
).map(tuple)


def fen(text):
    return int(text.replace(",", "").replace(".", ""))


def figure(pattern, text):
    found = re.search(pattern, text)
    return fen(found[1]) if found else 0


def names(pattern, text):
    found = re.search(pattern, text)
    return set(found[1].split("、")) if found else set()


def by_the_sentence(text, cart, store, tier):
    """What somebody who can only read would take off: nothing but the sentence is looked at. None: not usable."""
    goods = re.search(r"仅限((?:商品|品类) [^；]*)；", text)
    products, categories = set(), set()
    for part in goods[1].split("或") if goods else ():
        word, _space, listed = part.partition(" ")
        (products if word == "商品" else categories).update(listed.split("、"))
    stores, tiers = names(r"仅限门店 ([^；]*)；", text), names(r"仅限等级 ([^；]*)；", text)
    if (stores and store not in stores) or (tiers and tier not in tiers):
        return None
    mine = [each for each in cart.lines if not goods or each.sku in products or each.category in categories]
    total, threshold = sum(each.amount for each in mine), figure(r"满 ¥([\d,.]+)，", text)
    if total < threshold:
        return None
    if "赠 " in text:
        return None if (goods or threshold) and not mine else 0
    off, fold = re.search(r"减 ¥([\d,.]+)", text), re.search(r"享 ([\d.]+) 折", text)
    pieces, cap = re.search(r"最多 (\d+) 件", text), figure(r"最多优惠 ¥([\d,.]+)", text)
    if off:
        saving = min(fen(off[1]), total)
    elif fold:
        tenths = round(float(fold[1]) * 10)  # 8.5 of ten are 85 of a hundred
        saving = total * (100 - tenths) // 100
        saving = min(saving, cap) if cap else saving
    else:
        prices = [each.amount // each.quantity for each in mine for _piece in range(each.quantity)]
        saving = sum(sorted(prices, reverse=True)[: int(pieces[1])])
    return saving or None


@given(rules(), lines, st.sampled_from([None, *STORES]), st.sampled_from([None, *TIERS]))
@settings(max_examples=300)
@example(Rule("PERCENT", percent=15), (Line("LY-1", "", 29_999),), None, None)
@example(Rule("EXCHANGE", products=("LY-1",)), (Line("LY-1", "", 900), Line("LY-1", "", 5_000, 2)), None, None)
@example(Rule("PERCENT", percent=20, cap=500, threshold=20_000), (Line("LY-1", "", 20_000),), None, None)
@example(Rule("AMOUNT", amount=5_000, products=("LY-1",), threshold=100), (Line("LY-2", "", 90_000),), None, None)
def test_the_sentence_decides_like_the_till(rule, goods, store, tier):
    cart = Cart(goods, store.id if store else None)
    verdict = judge(rule, cart, tier_id=tier.id if tier else None)
    with translation.override("zh-hans"):
        text = rule_sentence(rule)
    read_back = by_the_sentence(text, cart, store and store.name, tier and tier.name)
    assert read_back == (None if verdict.refusal else verdict.saving), text
    assert verdict.saving <= cart.total


@given(rules(), st.integers(0, 7 * 365 * 24 * 60))
@settings(max_examples=150)
@example(Rule("AMOUNT", amount=1, days=1), 59 * 24 * 60 + 15 * 60 + 59)  # 29 February, a minute to midnight
def test_the_days_in_the_sentence_are_the_days_it_can_be_used(rule, minutes):
    issued = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    since, until = valid_between(rule, issued_at=issued, zone=SHANGHAI)
    with translation.override("zh-hans"):
        text = rule_sentence(rule)
    delay, days = figure(r"领取 (\d+) 天后生效", text), figure(r"(\d+) 天内有效", text)
    first = issued.astimezone(SHANGHAI).date() + timedelta(days=delay)
    usable = {first + timedelta(days=each) for each in range(days)}
    assert since.astimezone(SHANGHAI).date() == min(usable)
    assert (until - timedelta(microseconds=1)).astimezone(SHANGHAI).date() == max(usable)
    assert until.astimezone(SHANGHAI).date() == max(usable) + timedelta(days=1)
    assert since == issued or delay > 0
    grace = figure(r"已过期的可再用 (\d+) 天", text)
    assert grace == (rule.grace_days if rule.on_refund == "RETURN" else 0)
    assert ("不退回" in text) == (rule.on_refund == "VOID" or (rule.on_refund == "RETURN" and not rule.grace_days))


def test_sentences_read_well_in_both_languages():
    rule = Rule(
        "PERCENT", percent=15, cap=5_000, threshold=20_000, categories=("衬衫",), tiers=TIERS[:1], validity="FIXED",
        first_day=date(2026, 6, 1), last_day=date(2026, 6, 30),
    )  # fmt: skip
    with translation.override("zh-hans"):
        assert rule_sentence(rule) == (
            "适用商品满 ¥200.00，享 8.5 折（优惠 15%），最多优惠 ¥50.00；仅限品类 衬衫；仅限等级 知音；不可与其他券叠加；"
            "2026-06-01 至 2026-06-30（含首尾两天）有效；整单退款后退回，已过期的可再用 7 天"
        )
    with translation.override("en"):
        assert rule_sentence(Rule("AMOUNT", amount=3_000, days=1, on_refund="VOID")) == (
            "¥30.00 off; not together with other coupons; for 1 day, today included; not returned after a refund"
        )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": "3000"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 10**12}, "amount"),
        ({"amount": 0}, "amount"),
        ({"threshold": 100}, "threshold"),
        ({"kind": "FREE"}, "kind"),
        ({"kind": "PERCENT"}, "percent"),
        ({"kind": "PERCENT", "percent": 100}, "percent"),
        ({"kind": "EXCHANGE"}, "products"),
        ({"kind": "GIFT", "gift": "杯" * 41}, "gift"),
        ({"products": ["a", 5]}, "products"),
        ({"products": "LY-1"}, "products"),
        ({"stores": [["4", "静安店"]]}, "stores"),
        ({"days": 0}, "days"),
        ({"validity": "FIXED", "first_day": "2026-02-30", "last_day": "2026-03-01"}, "first_day"),
        ({"validity": "FIXED", "first_day": "2026-03-02", "last_day": "2026-03-01"}, "last_day"),
        ({"validity": "FIXED", "first_day": "2026-03-02", "last_day": "9999-12-31"}, "last_day"),
        ({"validity": "FIXED", "first_day": "0001-01-01", "last_day": "2026-03-01"}, "first_day"),
        ({"on_refund": "KEEP"}, "on_refund"),
        ({"price": 1}, "price"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_at_its_field(change, field):
    good = {"kind": "AMOUNT", "amount": 3_000}
    assert faults(good) == {}
    assert read(good).amount == 3_000
    assert list(faults(good | change)) == [field]


# --- codes -----------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32), st.integers(0, 10**6))
@settings(max_examples=60)
def test_a_code_is_read_however_it_is_typed_and_no_slip_is_another_code(secret, serial):
    code = codes.derive(secret, serial)
    assert (len(code), set(code) <= set(codes.ALPHABET)) == (12, True)
    wide = "".join(chr(ord(each) + 0xFEE0) for each in code)
    cyrillic = code.translate(str.maketrans("ACEHKMPTXY", "АСЕНКМРТХУ"))
    for typed in (code.lower(), codes.shown(code), wide, f" {codes.shown(code).lower()} ", cyrillic, cyrillic.lower()):
        assert codes.folded(typed) == code, typed
    for place, letter in enumerate(code):
        other = next(each for each in codes.ALPHABET if each != letter)
        assert codes.folded(code[:place] + other + code[place + 1 :]) is None
    for place in range(11):
        if code[place] != code[place + 1]:
            assert codes.folded(code[:place] + code[place + 1] + code[place] + code[place + 2 :]) is None


@pytest.mark.parametrize("text", ["", "A", "0OIL-1IL2-Z5SB", "AAAA-AAAA-AAA", "A" * 4096, "\x00" * 12, "😀" * 12])
def test_what_is_no_code_is_none(text):
    assert codes.folded(text) is None
