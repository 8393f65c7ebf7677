"""How people shop: how often they come back and what they like best, by the dates of purchases, less what came back."""

from datetime import timedelta

import pytest

from loyalty.earn_rules import Line
from members.models import Member
from tests.factories import AT, make_member
from tests.loyalty.test_facts import fact
from tests.members.kept import fact as why
from tests.members.kept import follows, named, names, only, said

DAY = timedelta(days=1)


@pytest.fixture
def shoppers(people):
    """Ann comes every ten days, Ben after a year, Cat bought once."""
    people.cat = make_member(people.account)
    ann, ben, cat = people.ann, people.ben, people.cat
    named(a=ann, b=ben, c=cat)
    shirt, coat, shoe = Line("S1", "衬衫", 10_000), Line("C1", "外套", 90_000), Line("X1", "鞋", 40_000)
    fact(ann, number="1", amount=50_000, lines=(shirt, shoe), at=AT, happened_at=AT - 30 * DAY)
    fact(ann, number="2", amount=90_000, lines=(coat,), at=AT, happened_at=AT - 20 * DAY)
    fact(ann, number="3", amount=10_000, lines=(shirt,), at=AT, happened_at=AT - 10 * DAY)
    fact(ben, number="4", amount=90_000, lines=(coat,), at=AT, happened_at=AT - 364 * DAY)
    fact(ben, number="5", amount=10_000, lines=(shirt,), at=AT, happened_at=AT - 4 * DAY)
    fact(cat, number="6", amount=40_000, lines=(shoe,), at=AT, happened_at=AT - 2 * DAY)
    return people


def cycle(how, average, days=365):
    return only("cycle", how=how, average=average, days=days)


def likes(*chosen, top=2, days=365):
    return only("favourite", names=list(chosen), top=top, days=days)


def test_days_between_purchases_are_divided_by_their_own_dates(shoppers):
    assert (names(cycle("most", 10), AT), names(cycle("most", 9), AT), names(cycle("most", 400), AT)) == ("a", "", "ab")
    assert (names(cycle("more", 9), AT), names(cycle("more", 10), AT), names(cycle("more", 10, 90), AT)) == (
        "ab",
        "b",
        "",
    )
    assert why(cycle("most", 10), shoppers.ann, AT) == (True, "10.0 days on average, by 3 purchases")
    assert why(cycle("most", 10), shoppers.cat, AT) == (False, "fewer than two purchases in these days")
    assert said(cycle("most", 10)) == "buys again every 10 days or sooner, by the last 365 days"
    # A purchase that is reported late stands where it belongs.
    fact(shoppers.cat, number="7", amount=1_000, at=AT, happened_at=AT - 9 * DAY)
    assert (names(cycle("most", 7), AT), names(cycle("most", 6), AT)) == ("c", "")
    fact(None, "REFUND", "8", amount=1_000, refers="7", at=AT, happened_at=AT - DAY)
    assert names(cycle("most", 7), AT) == ""


def test_favourites_are_by_what_was_paid_less_what_came_back(shoppers):
    assert (names(likes("外套", top=1), AT), names(likes("鞋", top=1), AT)) == ("ab", "c")
    assert (names(likes("衬衫"), AT), names(likes("鞋"), AT), names(likes("鞋", "衬衫"), AT)) == ("b", "ac", "abc")
    assert why(likes("鞋"), shoppers.ann, AT) == (True, "外套 ¥900.00; 鞋 ¥400.00")
    assert said(likes("鞋")) == "has “鞋” among the 2 categories they spent most on within 365 days"
    assert names(likes("外套", top=1, days=30), AT) == "a"
    part = (Line("C1", "外套", 60_000),)
    fact(None, "REFUND", "9", amount=60_000, lines=part, refers="2", at=AT, happened_at=AT - DAY)
    assert (names(likes("外套", top=1), AT), names(likes("鞋", top=1), AT)) == ("b", "ac")
    fact(None, "REFUND", "10", amount=30_000, refers="2", at=AT, happened_at=AT - DAY)  # the rest, without lines
    assert why(likes("外套"), shoppers.ann, AT) == (False, "鞋 ¥400.00; 衬衫 ¥200.00")


def test_both_are_as_they_were_and_follow_what_happens(shoppers):
    Member.objects.update(created_at=AT - 400 * DAY)
    assert why(cycle("most", 10), shoppers.ann, AT, then=AT - 25 * DAY)[0] is False
    assert why(likes("鞋", top=1), shoppers.ann, AT, then=AT - 25 * DAY)[0] is True
    moved = follows(
        [cycle("most", 10, 40), likes("外套", top=1, days=40)],
        lambda now: fact(shoppers.cat, number="21", amount=80_000, lines=(Line("C1", "外套", 80_000),), at=now),
        lambda now: fact(None, "REFUND", "22", amount=80_000, refers="21", at=now),
        lambda _now: None,
        at=AT,
    )
    assert [bool(each) for each in moved] == [True, True]
