"""Birthday benefits: once for each member and year, whatever happens to birthday, worker and calendar."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import brand_scope
from common import failpoints
from coupons.models import Coupon
from coupons.services import issue_coupon
from inbox.models import Message
from inbox.services.ledger import record_act
from loyalty import services
from loyalty.birthdays import due, window_of
from loyalty.errors import BirthdayInvalid
from loyalty.invariants import breaches
from loyalty.models import BirthdayGrant, BirthdayProgramme, Standing, Tier
from loyalty.selectors import birthdays as selectors
from loyalty.selectors.points import balance_of
from members import services as member_services
from members.models import Member
from tests.coupons.conftest import make_template
from tests.factories import make_account, make_member
from wechat_gateway import windows

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def noon(day):
    return datetime(day.year, day.month, day.day, 12, tzinfo=SHANGHAI)


def programme(at, **settings):
    wanted = {"is_on": True, "params": {"points": 100}, "days_before": 3, "days_after": 7} | settings
    return services.save_birthday_programme(programme=BirthdayProgramme(**wanted), at=at)


def person(account, mmdd, joined=LONG_AGO, **more):
    return make_member(account, birth_mmdd=mmdd, joined_at=joined, **more)


def a_day(day):
    """What the worker does on a day."""
    services.find_birthdays(at=noon(day))
    services.give_birthdays(at=noon(day))


def days_of(member):
    return list(BirthdayGrant.objects.filter(member=member).order_by("day").values_list("day", "year"))


@pytest.mark.parametrize("mode", ["DAY", "MONTH"])
@pytest.mark.parametrize("leap", ["FEB28", "MAR1"])
def test_a_day_is_due_exactly_when_it_lies_in_the_window(mode, leap):
    how = {"mode": mode, "before": 3, "after": 7, "leap": leap}
    day = date(2027, 1, 1)
    while day < date(2029, 3, 10):  # over a leap year, its 29 February and two turns of the year
        for mmdd in (101, 228, 229, 301, 817, 1231):
            inside = {
                year
                for year in range(day.year - 1, day.year + 2)
                if window_of(mmdd, year, **how)[0] <= day <= window_of(mmdd, year, **how)[1]
            }
            assert due(day, **how).get(mmdd) in (inside or {None}), (day, mmdd)
        day += 5 * DAY


def test_400_days_over_planted_birthdays(in_brand):
    """Everybody gets it once for each birthday, on the day the rule says, edited birthdays and late joins included."""
    account = make_account()
    start = date(2027, 1, 20)
    programme(noon(start))
    plain = person(account, 817)
    leapling = person(account, 229)
    turn = person(account, 102)  # the window begins in December
    inside = person(account, 310, joined=noon(date(2027, 3, 12)))
    late = person(account, 310, joined=noon(date(2027, 3, 20)))
    stranger = make_member(account, birth_mmdd=817, joined_at=None)
    unknown = person(account, None)
    edited = person(account, 401)
    nervous = person(account, 102)
    crowd = [person(account, 100 * (number % 12 + 1) + number % 28 + 1) for number in range(24)]
    for number in range(400):
        day = start + number * DAY
        if day == date(2027, 4, 3):
            member_services.change_profile(member_id=edited.pk, birth_mmdd=620)
        if day == date(2027, 12, 31):  # got it on 30 December for 2028: now they say 5 January
            member_services.change_profile(member_id=nervous.pk, birth_mmdd=105)
        services.find_birthdays(at=noon(day))
        if number % 25 == 0:
            services.give_birthdays(at=noon(day))
    services.give_birthdays(at=noon(day))
    assert days_of(plain) == [(date(2027, 8, 14), 2027)]
    assert days_of(leapling) == [(date(2027, 2, 25), 2027)]  # 28 February less three days
    assert days_of(turn) == [(date(2027, 12, 30), 2028)]
    assert days_of(inside) == [(date(2027, 3, 12), 2027)]
    assert days_of(late) == []
    assert days_of(stranger) == days_of(unknown) == []
    assert days_of(edited) == [(date(2027, 3, 29), 2027)]
    assert days_of(nervous) == [(date(2027, 12, 30), 2028)]
    for member in crowd:
        years = Counter(year for _day, year in days_of(member))
        assert set(years.values()) == {1}, member.birth_mmdd
        assert balance_of(member.pk).available == 100 * len(years)
    assert breaches() == []


def test_one_statement_a_day_however_many_members(in_brand):
    account = make_account()
    today = date(2027, 8, 17)
    programme(noon(today))
    services.find_birthdays(at=noon(today))
    asked = []
    for _more in range(2):
        for _person in range(3):
            person(account, 817)
        with CaptureQueriesContext(connection) as queries:
            services.find_birthdays(at=noon(today))
        asked.append(len(queries))
    assert asked[0] == asked[1]
    assert BirthdayGrant.objects.count() == 6


def test_days_are_the_brands_and_missed_days_are_made_up_for(in_brand):
    account = make_account()
    programme(noon(date(2027, 8, 1)), days_before=0, days_after=0)
    member = person(account, 817)
    services.find_birthdays(at=datetime(2027, 8, 16, 15, 59, tzinfo=UTC))  # 23:59 in Shanghai
    assert days_of(member) == []
    services.find_birthdays(at=datetime(2027, 8, 16, 16, 1, tzinfo=UTC))
    assert days_of(member) == [(date(2027, 8, 17), 2027)]
    missed = person(account, 819)
    services.find_birthdays(at=noon(date(2027, 8, 25)))
    assert days_of(missed) == [(date(2027, 8, 25), 2027)]


def test_month_mode_and_tiers(in_brand):
    account = make_account()
    low = Tier.objects.create(name="初见", threshold=0)
    high = Tier.objects.create(name="知音", threshold=8000)
    programme(noon(date(2027, 7, 20)), mode="MONTH", days_before=0, days_after=0, tier=high)
    good, usual, nobody = (person(account, mmdd) for mmdd in (831, 801, 815))
    Standing.objects.create(member=good, tier=high, since=LONG_AGO)
    Standing.objects.create(member=usual, tier=low, since=LONG_AGO)
    look = selectors.outlook(selectors.programme(), at=noon(date(2027, 7, 20)))
    assert (look.people, look.points) == (1, 100)
    for day in (date(2027, 7, 31), date(2027, 8, 1), date(2027, 8, 20)):
        a_day(day)
    assert days_of(good) == [(date(2027, 8, 1), 2027)]
    Standing.objects.filter(member=usual).update(tier=high)
    a_day(date(2027, 8, 31))
    assert days_of(usual) == [(date(2027, 8, 31), 2027)]
    assert days_of(nobody) == []
    assert selectors.outlook(selectors.programme(), at=noon(date(2027, 8, 31))).people == 0


def test_from_the_lowest_tier_on_is_everybody_who_joined(in_brand):
    account, today = make_account(), date(2027, 8, 17)
    low = Tier.objects.create(name="初见", threshold=0)
    high = Tier.objects.create(name="知音", threshold=8000)
    programme(noon(today), tier=low)
    newcomer, good = person(account, 817), person(account, 817)
    Standing.objects.create(member=good, tier=high, since=LONG_AGO)
    assert selectors.outlook(selectors.programme(), at=noon(today)).people == 2
    a_day(today)
    assert (len(days_of(newcomer)), len(days_of(good))) == (1, 1)


def test_whoever_is_left_out_of_rewards_gets_nothing_even_when_flagged_after_being_found(in_brand):
    today = date(2027, 8, 17)
    account = make_account()
    programme(noon(today))
    before, meanwhile, later, plain = (person(account, 817) for _number in range(4))

    def flag(member, since, at=today):
        member_services.set_flag(
            member_id=member.pk, kind="BLOCKED", since=since, reason="刷券", by="林澄", at=noon(at)
        )

    flag(before, None)
    assert selectors.own_birthday(before.pk, at=noon(today)) is None
    assert selectors.own_birthday(plain.pk, at=noon(today)) is not None
    assert selectors.outlook(selectors.programme(), at=noon(today)).people == 3
    services.find_birthdays(at=noon(today))
    flag(meanwhile, None)
    flag(later, noon(today + DAY), at=today + DAY)
    services.give_birthdays(at=noon(today))
    assert [balance_of(each.pk).available for each in (before, meanwhile, later, plain)] == [0, 0, 100, 100]
    assert dict(BirthdayGrant.objects.values_list("member_id", "state")) == {
        meanwhile.pk: "DROPPED", later.pk: "GIVEN", plain.pk: "GIVEN",
    }  # fmt: skip


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "name",
    [
        "birthdays: found, not committed",
        "loyalty: many posted, not committed",
        "birthdays: given, not noted",
        "birthdays: told, not noted",
    ],
)
def test_a_worker_killed_anywhere_gives_once(brand, monkeypatch, name):
    deaths = []

    def die():
        if len(deaths) < 2:
            deaths.append(name)
            raise Killed

    today = date(2027, 8, 17)
    with brand_scope(brand.pk):
        programme(noon(today), text="生日快乐")
        account = make_account()
        members = [person(account, 817) for _ in range(3)]
        for member in members:
            record_act(follower=member.followers.get(), act=windows.Act.MESSAGE, at=noon(today))
    monkeypatch.setitem(failpoints.armed, name, die)
    for _try in range(4):
        for work in (services.find_birthdays, services.give_birthdays, services.carry_birthdays):
            try:
                with brand_scope(brand.pk):
                    work(at=noon(today))
            except Killed:
                break
    assert len(deaths) == 2
    with brand_scope(brand.pk):
        assert [balance_of(member.pk).available for member in members] == [100, 100, 100]
        assert set(BirthdayGrant.objects.values_list("state", "way")) == {("GIVEN", "inbox.window")}
        assert Message.objects.filter(direction="OUT").count() == 3
        assert breaches() == []


def test_two_records_that_become_one_had_one_birthday(in_brand):
    account = make_account()
    today = date(2027, 8, 17)
    programme(noon(today))
    kept, merged = person(account, 817), person(account, 1201)
    a_day(today)
    a_day(date(2027, 11, 28))
    assert len(days_of(merged)) == 1
    other = person(account, 817)
    Member.objects.filter(pk=other.pk).update(joined_at=noon(date(2027, 9, 30)))
    member_services.merge_members(kept=other, merged=merged, evidence="test", at=noon(date(2027, 12, 1)))
    assert days_of(other) == [(date(2027, 11, 28), 2027)]
    member_services.merge_members(kept=kept, merged=other, evidence="test", at=noon(date(2027, 12, 2)))
    assert days_of(kept) == [(date(2027, 8, 17), 2027)]
    assert breaches() == []


def test_what_one_record_had_is_not_given_to_the_other_after_they_became_one(in_brand):
    account = make_account()
    today = date(2027, 8, 17)
    programme(noon(today))
    kept, merged = person(account, 817), person(account, 817)
    services.find_birthdays(at=noon(today))
    later = BirthdayGrant.objects.get(member=kept)
    BirthdayGrant.objects.filter(pk=later.pk).update(state="DROPPED")
    services.give_birthdays(at=noon(today))
    BirthdayGrant.objects.filter(pk=later.pk).update(state="DUE")  # kept is still to be given, merged has had it

    member_services.merge_members(kept=kept, merged=merged, evidence="test", at=noon(today))
    services.give_birthdays(at=noon(today))

    assert BirthdayGrant.objects.get(pk=later.pk).state == "DROPPED"
    assert (balance_of(kept.pk).available, breaches()) == (100, [])


@pytest.mark.django_db
def test_the_page_tells_before_it_gives(as_owner, as_guide, ours, theirs, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    for of in (ours, theirs):
        with brand_scope(of.brand.pk):
            Member.objects.filter(pk=of.member.pk).update(birth_mmdd=229, joined_at=LONG_AGO)
            for mmdd in (101, 315, 601, 815, 1101):
                person(make_account(), mmdd)
    page = "/b/lanyu/loyalty/birthdays/"
    sent = {
        "benefit": "points", "points": "100", "mode": "MONTH", "days_before": "30", "days_after": "30",
        "leap": "FEB28", "tier": "",
    }  # fmt: skip
    assert as_owner.post(page, sent | {"points": "0"}).status_code == 422
    assert as_owner.post(page, sent).status_code == 302
    with brand_scope(ours.brand.pk):
        from common.clock import now

        look = selectors.outlook(selectors.programme(), at=now())
    assert look.people > 0
    shown = as_owner.get(page).content.decode()
    assert f"If it were on, next 30 days: {look.people} p" in shown
    assert as_guide.get(page).status_code == 403
    with brand_scope(theirs.brand.pk):
        assert not BirthdayProgramme.objects.exists()


def test_coupon_for_a_birthday_comes_once_within_its_limits_and_is_told(in_brand):
    account = make_account()
    template = make_template("生日券", per_member=1, claimable=False)
    today = date(2027, 8, 15)
    with pytest.raises(BirthdayInvalid):
        programme(noon(today), benefit="coupon", params={"template": 0})
    programme(noon(today), benefit="coupon", params={"template": template.pk}, text="生日快乐，{礼遇}已放入卡包。")
    near, far, full = (person(account, 817) for _each in range(3))
    services.find_birthdays(at=noon(today))
    issue_coupon(operation=services.Operation("test", "x"), template=template, member_id=full.pk, at=noon(today))
    record_act(follower=near.followers.get(), act=windows.Act.MESSAGE, at=noon(today))
    for number in range(3):
        services.give_birthdays(at=noon(today))
        services.carry_birthdays(at=noon(today) + timedelta(hours=number))
    member_services.change_profile(member_id=near.pk, birth_mmdd=820)
    a_day(today + 5 * DAY)

    assert Counter(Coupon.objects.values_list("member_id", "way")) == {
        (near.pk, "BIRTHDAY"): 1,
        (far.pk, "BIRTHDAY"): 1,
        (full.pk, "SYSTEM"): 1,
    }
    states = dict(BirthdayGrant.objects.values_list("member_id", "state"))
    assert states == {near.pk: "GIVEN", far.pk: "GIVEN", full.pk: "DROPPED"}
    said = Message.objects.filter(direction="OUT").values_list("conversation__follower__member", "text")
    assert list(said) == [(near.pk, "生日快乐，优惠券“生日券”已放入卡包。")]
    told = {row.member_id: (row.way, row.why) for row in BirthdayGrant.objects.all()}
    assert told == {near.pk: ("inbox.window", ""), far.pk: ("", "NO_WINDOW"), full.pk: ("", "")}
    assert "生日券" in selectors.own_birthday(far.pk, at=noon(today)).benefit


def test_nobody_is_told_without_a_text_at_night_or_a_week_late(in_brand):
    account = make_account()
    today = date(2027, 8, 17)
    programme(noon(today), text="")
    member = person(account, 817)
    a_day(today)
    record_act(follower=member.followers.get(), act=windows.Act.MESSAGE, at=noon(today))

    assert services.carry_birthdays(at=noon(today)) == 0
    programme(noon(today), text="生日快乐，{benefit}")
    assert services.carry_birthdays(at=noon(today) + timedelta(hours=11)) == 0
    assert services.carry_birthdays(at=noon(today) + 8 * DAY) == 0
    assert services.carry_birthdays(at=noon(today) + timedelta(hours=1)) == 1
    assert Message.objects.get(direction="OUT").text == "生日快乐，100 积分"
