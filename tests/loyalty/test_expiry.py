"""When points end: against a calendar walked day by day, leap days and years' ends included."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loyalty import services
from loyalty.expiry import expires_at
from loyalty.models import ExpiryWarning, Lot
from loyalty.selectors import points as selectors
from tests.factories import AT, make_member
from tests.loyalty.conftest import balance, burn, earn, policy

CASES = int(os.environ.get("ZHIYIN_CASES", "200"))
SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = timedelta(days=1)
KINDS = ("ROLLING", "MONTH_END", "YEAR_END", "ACTIVITY")


def walked(kind, span, earned, zone):
    """The first moment at which points are gone, found by walking through the days of a calendar."""
    day = earned.astimezone(zone).date()
    if kind == "YEAR_END":
        years = 0
        while not (day.month == 12 and day.day == 31 and years == span):
            years += day.month == 12 and day.day == 31
            day += DAY
        last = day
    else:
        wanted, months = day.day, 0
        while months < span:
            day += DAY
            months += day.day == 1
        # now in the month in question (on its first day, unless the span is 0)
        if kind == "MONTH_END":
            while (day + DAY).day != 1:
                day += DAY
        else:
            while span and day.day < wanted and (day + DAY).day != 1:
                day += DAY
        last = day
    local = datetime(last.year, last.month, last.day, 23, 59, 59, 999999, tzinfo=zone)
    return (local + timedelta(microseconds=1)).astimezone(UTC)


@settings(max_examples=CASES)
@given(
    kind=st.sampled_from(KINDS),
    span=st.integers(0, 40),
    earned=st.datetimes(datetime(2023, 1, 1), datetime(2029, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from([SHANGHAI, ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")]),
)
@example("ROLLING", 12, datetime(2024, 2, 29, 12, tzinfo=UTC), SHANGHAI)
@example("ROLLING", 1, datetime(2024, 1, 31, 15, 59, 59, tzinfo=UTC), SHANGHAI)
@example("ROLLING", 1, datetime(2024, 1, 31, 16, tzinfo=UTC), SHANGHAI)  # the first of February in Shanghai
@example("YEAR_END", 0, datetime(2025, 12, 31, 15, 59, tzinfo=UTC), SHANGHAI)
@example("YEAR_END", 0, datetime(2025, 12, 31, 16, tzinfo=UTC), SHANGHAI)
@example("MONTH_END", 0, datetime(2024, 2, 29, 15, 59, tzinfo=UTC), SHANGHAI)
def test_the_moment_equals_a_calendar_walked_day_by_day(kind, span, earned, zone):
    span = span % 4 if kind == "YEAR_END" else span
    span = max(1, span) if kind in ("ROLLING", "ACTIVITY") else span
    assert expires_at(kind, span, earned_at=earned, zone=zone) == walked(kind, span, earned, zone)


def test_a_leap_day_ends_on_the_last_of_february_and_points_can_be_spent_through_it():
    ends = expires_at("ROLLING", 12, earned_at=datetime(2024, 2, 29, 4, tzinfo=UTC), zone=SHANGHAI)
    assert ends == datetime(2025, 3, 1, tzinfo=SHANGHAI)
    assert expires_at("NEVER", 0, earned_at=AT, zone=SHANGHAI) is None


@pytest.mark.parametrize(
    ("kind", "span", "last"),
    [("ROLLING", 1, date(2025, 7, 1)), ("MONTH_END", 0, date(2025, 6, 30)), ("YEAR_END", 1, date(2026, 12, 31))],
)
def test_lots_end_as_the_brand_has_chosen(people, kind, span, last):
    policy(expiry=kind, expiry_span=span)
    earn(people.ann, 10)
    ends = datetime(last.year, last.month, last.day, tzinfo=SHANGHAI) + DAY
    burn(people.ann, 4, at=ends - timedelta(microseconds=1))
    assert services.expire_due(at=ends - timedelta(microseconds=1)) == 0
    assert services.expire_due(at=ends) == 1
    assert balance(people.ann) == (0, 0, 0)


def test_with_expiry_by_activity_earning_and_spending_move_the_day_of_all_lots(people):
    policy(expiry="ACTIVITY", expiry_span=1)
    earn(people.ann, 10)
    earn(people.ben, 10)
    burn(people.ann, 1, at=AT + 25 * DAY)
    assert services.expire_due(at=AT + 40 * DAY) == 1
    assert (balance(people.ann), balance(people.ben)) == ((9, 0, 0), (0, 0, 0))
    assert services.expire_due(at=AT + 60 * DAY) == 1


def test_a_change_of_the_policy_leaves_the_day_of_lots_that_are_there(people):
    policy(expiry="MONTH_END", expiry_span=0)
    earn(people.ann, 10)
    policy(expiry="NEVER")
    earn(people.ann, 5)
    services.expire_due(at=datetime(2025, 7, 1, tzinfo=SHANGHAI))
    assert balance(people.ann) == (5, 0, 0)


def test_people_are_warned_once_for_a_day_with_lots_and_points(people):
    policy(expiry="MONTH_END", expiry_span=0, warn_days=10, warn_text="您有 {积分} 积分将于 {day} 到期，记得使用。")
    earn(people.ann, 10)
    earn(people.ann, 5, at=AT + DAY)
    make_member(people.account)
    told = []
    services.on_notice.register("test", lambda news, *, at: not told.append((news.member_id, news.about, news.text)))
    try:
        assert services.warn_of_expiry(at=AT) == 0
        assert services.warn_of_expiry(at=AT + 25 * DAY) == 1
        assert services.warn_of_expiry(at=AT + 26 * DAY) == 0
        assert services.carry_warnings(at=AT + 26 * DAY - timedelta(hours=9)) == 0  # 23:00: nobody is woken
        for hour in (4, 5, 11):
            services.carry_warnings(at=AT + 26 * DAY + timedelta(hours=hour))
    finally:
        services.on_notice._entries.pop("test")
    warning = ExpiryWarning.objects.get()
    lots = list(Lot.objects.order_by("pk").values_list("pk", "remaining"))
    assert (warning.day, warning.points, warning.lots) == (date(2025, 6, 30), 15, [list(lot) for lot in lots])
    assert told == [(people.ann.pk, "points", "您有 15 积分将于 2025-06-30 到期，记得使用。")]
    assert warning.way == "test"
    endings = selectors.endings_of(people.ann.pk, at=AT + 25 * DAY, days=10)
    assert [(each.day, each.points, each.lots) for each in endings] == [(date(2025, 6, 30), 15, tuple(lots))]
    assert selectors.endings_of(people.ann.pk, at=AT + 25 * DAY, days=4) == []
