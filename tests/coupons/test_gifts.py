"""A tier gives its coupon exactly once in a period, says which rule gave it, and skips nobody who is owed one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.tenancy import brand_scope
from common import failpoints
from common.clock import now
from coupons import services, tasks
from coupons.invariants import breaches
from coupons.models import Coupon, Move, TierGift, TierGrant
from coupons.selectors.gifts import period_of
from loyalty.models import Standing, Tier
from loyalty.services import Operation
from members.models import Member
from members.services import set_flag
from tests.coupons.conftest import make_template
from tests.factories import AT, make_member

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = timedelta(days=1)
GIFTS = "/b/lanyu/coupons/tiergift/"


def stands(member, tier):
    return Standing.objects.update_or_create(member=member, defaults={"tier": tier, "since": AT})[0]


def gift(tier, period="MONTH", **more):
    template = make_template(**({"per_member": None, "claimable": False} | more))
    return services.save_gift(gift=TierGift(tier=tier, template=template, period=period), at=AT)


def a_sweep(at):
    services.find_gifts(at=at)
    while services.give_gifts(at=at):
        pass


def had():
    return Counter(Coupon.objects.values_list("member_id", flat=True))


@pytest.fixture
def tiers(in_brand):
    return [Tier.objects.create(name=name, threshold=value) for name, value in (("初见", 0), ("知音", 1000))]


@pytest.mark.parametrize(("period", "times"), [("ONCE", 1), ("MONTH", 14), ("QUARTER", 5), ("YEAR", 2)])
def test_over_400_days_once_a_period(people, tiers, period, times):
    low, high = tiers
    stands(people.ann, high)
    stands(people.ben, low)
    gift(high, period)
    start = datetime(2027, 1, 20, 4, tzinfo=UTC)
    for number in range(0, 401, 5):
        for hour in (0, 9):
            a_sweep(start + number * DAY + timedelta(hours=hour))
    assert had() == {people.ann.pk: times}
    assert TierGrant.objects.count() == times


def test_whoever_joined_and_was_never_decided_about_stands_in_the_lowest_tier(people, tiers):
    low, high = tiers
    moved = make_member(people.account, joined_at=AT)
    Member.objects.filter(pk__in=[people.ann.pk, people.ben.pk]).update(joined_at=AT)
    Member.objects.filter(pk=moved.pk).update(merged_into=people.ann)
    make_member(people.account)  # a visitor
    stands(people.ben, high)
    gift(low)
    a_sweep(datetime(2027, 1, 20, 4, tzinfo=UTC))
    assert had() == {people.ann.pk: 1}


def test_periods_begin_with_the_brands_day(in_brand):
    eve = datetime(2026, 12, 31, 23, 59, tzinfo=SHANGHAI)
    names = [period_of(kind, at) for at in (eve, eve + timedelta(minutes=1)) for kind in ("MONTH", "QUARTER", "YEAR")]
    assert names == ["2026-12", "2026-Q4", "2026", "2027-01", "2027-Q1", "2027"]


def test_the_coupon_says_which_tier_and_period_gave_it_and_every_refusal_is_kept(people, tiers):
    _low, high = tiers
    flagged, full = make_member(people.account), make_member(people.account)
    for member in (people.ann, people.ben, flagged, full):
        stands(member, high)
    set_flag(member_id=flagged.pk, kind="STAFF", since=None, reason="店员", by="林澄", at=AT)
    mine = gift(high, per_member=1, total=3)
    services.find_gifts(at=AT)
    set_flag(member_id=people.ben.pk, kind="BLOCKED", since=None, reason="刷券", by="林澄", at=AT)
    services.issue_coupon(operation=_once("x"), template=mine.template, member_id=full.pk, at=AT)
    a_sweep(AT)
    assert dict(TierGrant.objects.values_list("member_id", "outcome")) == {
        people.ann.pk: "GIVEN", people.ben.pk: "FLAGGED", full.pk: "HAD_IT",
    }  # fmt: skip
    move = Move.objects.get(coupon__member=people.ann)
    assert (move.detail["way"], move.reason) == ("TIER", f"知音 · {period_of('MONTH', AT)}")
    assert TierGrant.objects.get(member=people.ann).coupon_id == move.coupon_id


def _once(key):
    return Operation("test", key)


def test_reached_later_it_comes_at_once_and_falling_or_merging_gives_no_second(people, tiers):
    low, high = tiers
    mine = gift(high)
    a_sweep(AT)
    assert had() == {}
    for tier in (high, low, high):
        stands(people.ann, tier)
        a_sweep(AT)
    assert had() == {people.ann.pk: 1}
    Member.objects.filter(pk=people.ann.pk).update(merged_into=people.ben)
    stands(people.ben, high)
    a_sweep(AT)
    assert had() == {people.ann.pk: 1}
    a_sweep(AT + 31 * DAY)
    assert had() == {people.ann.pk: 1, people.ben.pk: 1}
    TierGift.objects.filter(pk=mine.pk).update(is_on=False)
    a_sweep(AT + 62 * DAY)
    assert sum(had().values()) == 2
    Member.objects.filter(pk=people.ann.pk).update(merged_into=None)  # as the invariants want it


def test_who_became_part_of_who_became_part_of_somebody_had_theirs(people, tiers):
    _low, high = tiers
    gift(high)
    stands(people.ann, high)
    a_sweep(AT)
    last = make_member(people.account, joined_at=AT)
    Member.objects.filter(pk=people.ann.pk).update(merged_into=people.ben)
    Member.objects.filter(pk=people.ben.pk).update(merged_into=last)
    stands(last, high)
    a_sweep(AT)
    assert had() == {people.ann.pk: 1}
    Member.objects.filter(pk__in=[people.ann.pk, people.ben.pk]).update(merged_into=None)  # as the invariants want it


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("name", ["tier coupons: found, not committed", "tier coupons: given, not committed"])
def test_a_worker_killed_gives_once(people, tiers, monkeypatch, name):
    deaths = []

    def die():
        if len(deaths) < 2:
            deaths.append(name)
            raise Killed

    for member in (people.ann, people.ben):
        stands(member, tiers[1])
    gift(tiers[1])
    monkeypatch.setitem(failpoints.armed, name, die)
    for _try in range(4):
        try:
            a_sweep(AT)
        except Killed:
            continue
    assert (len(deaths), had()) == (2, {people.ann.pk: 1, people.ben.pk: 1})


@pytest.mark.django_db
def test_the_sweep_rings_for_brands_with_such_coupons_only(brand, other_brand, monkeypatch):
    with brand_scope(brand.pk):
        gift(Tier.objects.create(name="知音", threshold=0))
    rung = []
    monkeypatch.setattr(tasks, "ring", lambda task, *args: rung.append((task.name, args)))
    tasks.sweep.run()
    assert rung == [("coupons.tasks.give_gifts", (brand.pk,))]


def test_an_operator_gives_a_coupon_to_a_tier_and_sees_how_many_got_it(as_owner, ours, theirs, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    with brand_scope(theirs.brand.pk):
        foreign = Tier.objects.create(name="灶上", threshold=0)
        theirs_gift = gift(foreign)
    with brand_scope(ours.brand.pk):
        tier, template = (
            Tier.objects.create(name="知音", threshold=0),
            make_template("月月券", at=now(), per_member=None),
        )
        stands(ours.member, tier)
    form = {"tier": tier.pk, "template": template.pk, "period": "MONTH", "is_on": "on"}
    refused = as_owner.post(f"{GIFTS}add/", form | {"tier": foreign.pk})
    assert refused.context["adminform"].form.errors
    assert as_owner.post(f"{GIFTS}add/", form).status_code == 302
    with brand_scope(ours.brand.pk):
        a_sweep(now())
        assert had() == {ours.member.pk: 1}
        assert breaches() == []
    shown = " ".join(as_owner.get(GIFTS).content.decode().split())
    assert "月月券" in shown
    assert "灶上" not in shown
    assert as_owner.get(f"{GIFTS}{theirs_gift.pk}/change/").status_code in {302, 404}
    page = " ".join(as_owner.get(f"/b/lanyu/coupons/member/{ours.member.pk}/").content.decode().split())
    assert "as a benefit of the tier" in page
    assert "知音 · " in page
