"""Segments by tier, points and purchases: what they select, say and explain, then and now, and that they can be kept."""

from datetime import timedelta

import pytest

from loyalty.earn_rules import Line
from loyalty.models import Lot, Tier
from loyalty.services import expire_due
from members.errors import RuleInvalid
from members.models import Member
from members.segments import matching
from tests.factories import AT, make_member
from tests.loyalty.conftest import balance, burn, earn, policy, reverse
from tests.loyalty.test_facts import fact
from tests.members.kept import fact as why
from tests.members.kept import follows, named, names, only, said

DAY = timedelta(days=1)


@pytest.fixture
def people(people):
    """One more, who has nothing."""
    people.cat = make_member(people.account)
    return people


@pytest.fixture
def buyers(people):
    """Ann bought twice and gave one back, Ben bought much a year ago, Cat has bought nothing."""
    ann, ben, cat = people.ann, people.ben, people.cat
    named(a=ann, b=ben, c=cat)
    shirt, coat = Line("S1", "衬衫", 10_000), Line("C1", "外套", 90_000)
    fact(ann, number="1", amount=10_000, lines=(shirt,), at=AT, happened_at=AT - 20 * DAY)
    fact(ann, number="2", amount=90_000, lines=(coat,), at=AT, happened_at=AT - 5 * DAY)
    fact(None, "REFUND", "3", amount=90_000, refers="2", at=AT, happened_at=AT - 2 * DAY)
    fact(ben, number="4", amount=300_000, lines=(coat,), at=AT, happened_at=AT - 364 * DAY)
    return people


def test_purchases_are_counted_and_added_up_less_what_was_returned(buyers):
    for rule, found in {
        ("least", 1, 365): "ab",
        ("least", 2, 365): "",
        ("least", 1, 10): "",
        ("less", 1, 30): "bc",
    }.items():
        how, times, days = rule
        assert names(only("orders", how=how, times=times, days=days), AT) == found, rule
    assert names(only("spent", how="least", yuan=100, days=365), AT) == "ab"
    assert names(only("spent", how="least", yuan=101, days=365), AT) == "b"
    assert names(only("spent", how="less", yuan=100, days=30), AT) == "bc"
    assert said(only("spent", how="least", yuan=1000, days=30)) == "bought for at least ¥1,000 within 30 days"
    assert said(only("orders", how="less", times=2, days=9)) == "bought less than 2 times within 9 days"


def test_purchases_are_as_they_were_at_a_past_time(buyers):
    twice, much = only("orders", how="least", times=2, days=365), only("spent", how="least", yuan=1000, days=365)
    assert (names(twice, AT - 3 * DAY), names(much, AT - 3 * DAY)) == ("a", "ab")
    assert (names(twice, AT), names(much, AT)) == ("", "b")
    Member.objects.update(created_at=AT - 400 * DAY)
    assert why(twice, buyers.ann, AT, then=AT - 3 * DAY) == (True, "2 times, last 2025-05-27 08:00")
    assert why(much, buyers.ann, AT) == (False, "¥100.00 in these days")


def test_goods_are_found_by_category_and_article(buyers):
    assert names(only("bought", what="category", names=["外套"], days=365), AT) == "ab"
    assert names(only("bought", what="category", names=["外套", "衬衫"], days=30), AT) == "a"
    assert names(only("bought", what="sku", names=["S1"], days=365), AT) == "a"
    assert names(only("bought", what="sku", names=["衬衫"], days=365), AT) == ""
    assert said(only("bought", what="sku", names=["S1"], days=9)) == "bought “S1” within 9 days"
    assert why(only("bought", what="sku", names=["S1"], days=365), buyers.ann, AT) == (True, "last 2025-05-12 08:00")


def test_points_to_spend_and_points_that_end(people):
    named(a=people.ann, b=people.ben, c=people.cat)
    earn(people.ann, 100)
    earn(people.ben, 99)
    assert (names(only("points", how="least", points=100), AT), names(only("points", how="less", points=100), AT)) == (
        "a",
        "bc",
    )
    assert why(only("points", how="least", points=100), people.ben, AT) == (False, "99 points")
    ends = Lot.objects.order_by("pk").values_list("expires_at", flat=True).first()
    for days, found in ((7, "ab"), (400, "ab"), (4, "")):
        at = ends - 5 * DAY
        assert names(only("points_ending", points=50, days=days), at) == found, days
    assert names(only("points_ending", points=100, days=30), ends - 5 * DAY) == "a"
    assert names(only("points_ending", points=1, days=30), ends + 5 * DAY) == ""


def test_points_that_are_owed_are_not_there_to_spend(people):
    named(a=people.ann)
    policy(negative="ALLOW")
    granted = earn(people.ann, 100)
    spent = burn(people.ann, 100)
    reverse(granted, 40)
    reverse(spent)
    assert balance(people.ann) == (100, 0, 40)
    for points, found in ((60, "a"), (61, "")):
        rule = only("points", how="least", points=points)
        assert names(rule, AT) == found
        assert why(rule, people.ann, AT) == (bool(found), "60 points")


def test_tier_is_the_one_decided_or_the_lowest(people):
    low, high = (Tier.objects.create(name=name, threshold=yuan) for name, yuan in (("初见", 0), ("知音", 1000)))
    ann, ben, cat = people.ann, people.ben, people.cat
    named(a=ann, b=ben, c=cat)
    Member.objects.filter(pk__in=[ben.pk, cat.pk]).update(joined_at=AT - 9 * DAY, created_at=AT - 9 * DAY)
    Member.objects.filter(pk=ann.pk).update(joined_at=None)
    fact(ben, number="9", amount=200_000)
    assert (names(only("tier", tiers=[high.pk]), AT), names(only("tier", tiers=[low.pk]), AT)) == ("b", "c")
    assert names(only("tier", tiers=[low.pk, high.pk]), AT) == "bc"
    assert why(only("tier", tiers=[high.pk]), ben, AT + DAY)[0] is True
    assert why(only("tier", tiers=[low.pk]), ben, AT + DAY, then=AT - DAY)[0] is True
    assert said(only("tier", tiers=[high.pk])) == "stands in tier “知音”"
    with pytest.raises(RuleInvalid) as refused:
        matching(only("tier", tiers=[high.pk + 10**6]), at=AT)
    assert refused.value.path == "all[0].params"


def test_all_of_them_follow_what_changes_and_what_time_moves(buyers):
    tier = Tier.objects.create(name="初见", threshold=0)
    high = Tier.objects.create(name="知音", threshold=500)
    Member.objects.filter(pk=buyers.cat.pk).update(joined_at=AT - DAY)  # stands in the lowest until she buys
    earn(buyers.ben, 9)
    ends = Lot.objects.order_by("pk").values_list("expires_at", flat=True).first()
    moved = follows(
        [
            only("orders", how="least", times=1, days=20),
            only("spent", how="less", yuan=500, days=365),
            only("bought", what="category", names=["外套"], days=365),
            only("points", how="least", points=50),
            only("points_ending", points=10, days=(ends - AT).days - 2),
            only("tier", tiers=[tier.pk]),
            only("tier", tiers=[high.pk]),
        ],
        lambda now: fact(buyers.cat, number="7", amount=80_000, at=now),
        lambda _now: earn(buyers.ann, 60),
        lambda now: fact(None, "REFUND", "8", amount=80_000, refers="7", at=now),
        lambda _now: burn(buyers.ann, 30),
        lambda now: expire_due(at=now),
        at=AT,
    )
    assert [bool(each) for each in moved] == [True] * 7  # no rule was only asked of people who stay where they are
