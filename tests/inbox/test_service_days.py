"""Days on which the desk keeps other hours than its week, and the sentence that promises a reply."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common.errors import Invalid
from inbox import selectors, services
from inbox.figures import office_seconds
from inbox.models import Conversation, Message, ServiceHours
from inbox.services.promises import WORDS
from tests.console.conftest import as_guide, as_owner, guide_user, ours, owner, theirs
from tests.factories import AT, make_follower
from tests.inbox.conftest import say

__all__ = ["as_guide", "as_owner", "guide_user", "ours", "owner", "theirs"]
pytestmark = pytest.mark.django_db(transaction=True)
SHANGHAI = ZoneInfo("Asia/Shanghai")
SUNDAY = date(2025, 6, 1)  # AT is 08:00 there
PAGE, HOURS = "/b/lanyu/inbox/promise/", "/b/lanyu/inbox/servicehours/"


def every_day():
    ServiceHours.objects.bulk_create(ServiceHours(weekday=day, opens=time(9), closes=time(21)) for day in range(7))


def closed(day, **more):
    return ServiceHours.objects.create(weekday=day.weekday(), day=day, **more)


def test_a_holiday_is_no_day_to_promise(account, team, in_brand):
    every_day()
    for number in range(16):  # longer than any week
        closed(SUNDAY + timedelta(days=number), reason="春节")
    closed(SUNDAY + timedelta(days=16), opens=time(13), closes=time(15))
    conversation = say(make_follower(account), at=AT)
    assert conversation.promised_at == datetime(2025, 6, 17, 13, tzinfo=SHANGHAI)
    assert Message.objects.get(direction="OUT").text == WORDS.replace("{when}", "6月17日 13:00")


def test_days_that_differ_without_a_week_leave_the_others_open(in_brand):
    closed(SUNDAY)
    shift = selectors.desk_of_brand().shift
    assert (shift(AT).is_open, shift(AT + timedelta(days=1)).is_open) == (False, True)
    assert shift(AT).opens_at == datetime(2025, 6, 2, tzinfo=SHANGHAI)


def test_a_day_that_is_closed_has_no_hours_whatever_stands_beside_it(in_brand):
    every_day()
    closed(SUNDAY, opens=time(9), closes=time(21))
    closed(SUNDAY)
    assert not selectors.desk_of_brand().shift(AT + timedelta(hours=4)).is_open


def test_a_closed_day_and_hours_of_the_same_day_are_refused(as_owner, ours):
    with brand_scope(ours.brand.pk):
        closed(date(2025, 10, 1))
        closed(date(2025, 10, 2), opens=time(9), closes=time(12))
    for day, opens, closes in (("2025-10-01", "9:00", "12:00"), ("2025-10-02", "", "")):
        shown = as_owner.post(HOURS + "add/", {"weekday": 0, "day": day, "opens": opens, "closes": closes})
        assert "不能同时" in shown.content.decode()
    with brand_scope(ours.brand.pk):
        assert ServiceHours.objects.count() == 2


def test_nobody_is_late_on_a_day_on_which_nobody_works(account, team, in_brand):
    every_day()
    closed(SUNDAY)
    conversation = Conversation(level="DESK")
    assert office_seconds(conversation, since=AT, at=AT + timedelta(days=1, hours=2)) == 3_600


def test_own_words_of_the_promise(account, in_brand, team):
    closed(SUNDAY)
    services.set_promise(text=" 亲，客服{when}上班。 ", at=AT)
    say(make_follower(account), at=AT)
    assert Message.objects.get(direction="OUT").text == "亲，客服明天 00:00上班。"
    for wrong in ("没有时间", "{when}{when}", "{when}" + "长" * 300):
        with pytest.raises(Invalid):
            services.set_promise(text=wrong, at=AT)
    services.set_promise(text="", at=AT)
    assert selectors.inbox_policy().promise == ""


def test_the_page_shows_how_it_reads_and_refuses_what_says_no_time(as_owner, as_guide, ours, theirs, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    assert "您好，现在不是服务时间" in as_owner.get(PAGE).content.decode()
    looked = as_owner.post(PAGE, {"promise": "客服{when}回来<b>", "act": "look"}).content.decode()
    assert "回来&lt;b&gt;</p>" in looked
    refused = as_owner.post(PAGE, {"promise": "客服不在", "act": "save"})
    assert (refused.status_code, "must say once when there is a reply" in refused.content.decode()) == (422, True)
    assert as_owner.post(PAGE, {"promise": "客服{when}回来", "act": "save"}).status_code == 302
    assert as_guide.post(PAGE, {"promise": "{when}", "act": "save"}).status_code == 403
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.get(action="change promise").changes == {"promise": ["", "客服{when}回来"]}
    with brand_scope(theirs.brand.pk):
        assert selectors.inbox_policy().promise == ""


def test_the_form_takes_a_closed_day_and_refuses_half_a_span(as_owner, ours, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    form = {"weekday": "0", "day": "2025-10-01", "opens": "", "closes": "", "reason": "国庆"}
    assert as_owner.post(f"{HOURS}add/", form).status_code == 302
    with brand_scope(ours.brand.pk):
        row = ServiceHours.objects.get()
        assert (row.weekday, row.day, row.opens) == (2, date(2025, 10, 1), None)
    for wrong in (
        {"day": ""},
        {"opens": "09:00"},
        {"day": "2025-10-02", "closes": "09:00"},
        {"day": ""} | {"opens": "09:00"},
    ):
        assert "Only a single day can be closed" in as_owner.post(f"{HOURS}add/", form | wrong).content.decode()
    assert "There are such hours already" in as_owner.post(f"{HOURS}add/", form).content.decode()
    listed = as_owner.get(HOURS).content.decode()
    assert "2025-10-01" in listed
    assert "closed" in listed
