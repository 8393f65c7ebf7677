"""News of points and birthdays outside the reply window: a notification agreed to, else a template message, once."""

from datetime import datetime, time, timedelta

import pytest
from django.test import Client

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from campaigns import services
from campaigns.errors import NoticeRefused
from campaigns.models import FinishEvent, MessageTemplate, NewsPlan
from campaigns.template_content import parse_fields
from common import clock, failpoints
from coupons.models import Coupon
from inbox import services as inbox_services
from inbox.models import Message
from inbox.services.ledger import record_act
from loyalty import services as loyalty_services
from loyalty.models import BirthdayGrant, BirthdayProgramme, ExpiryWarning, Lot, NewsText, Notice, PointsPolicy, Tier
from loyalty.news import kinds
from loyalty.selectors.points import zone
from members import services as member_services
from members.models import Follower
from tests.campaigns.test_consents import Notices
from tests.campaigns.test_pages import MODEL_BACKEND, html_of, signed_in
from tests.coupons.conftest import claim
from tests.coupons.conftest import make_template as make_coupons
from tests.factories import AT, make_account, make_staff
from wechat_gateway import client, windows

CONTENT = {"thing1": "{积分} 积分即将到期", "time2": "{日期} 23:59"}
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class Killed(BaseException):
    """The process is gone."""


class Told:
    """A brand whose people have points that end, and what they hear of it."""

    def __init__(self, notices):
        self.notices, self.stage = notices, notices.stage
        with self.stage.scope:
            PointsPolicy.objects.create(expiry="MONTH_END", expiry_span=0, warn_days=10)
            self.at = clock.now().astimezone(zone()).replace(hour=12, minute=0)  # by day, whenever this runs

    def plan(self, template=None, content=CONTENT, about="points", is_on=True):
        with self.stage.scope:
            return services.save_news_plan(
                about=about, template=template or self.notices.template, content=content, is_on=is_on, at=self.at
            )

    def owe(self, *followers, points=1280):
        with self.stage.scope:
            for follower in followers:
                self.warn(follower.member, (self.at + 5 * DAY).date(), points)

    def warn(self, member, day, points):
        """Points that end on a day, and the note that somebody is to be told so."""
        earned = loyalty_services.Operation("test", f"{member.pk} {day}")
        loyalty_services.earn_points(operation=earned, member_id=member.pk, points=points, source="test", at=self.at)
        lot = Lot.objects.filter(member=member).latest("pk")
        lot.expires_at = datetime.combine(day + DAY, time(), zone())
        lot.save()
        ExpiryWarning.objects.create(member=member, day=day, points=points, lots=[[lot.pk, points]], at=self.at)

    def carry(self, after=timedelta(0), deliver=True):
        """The hourly work, and then the worker that sends."""
        with self.stage.scope:
            loyalty_services.carry_warnings(at=self.at + after)
            waiting = list(Message.objects.filter(state="QUEUED").order_by("pk").values_list("pk", flat=True))
        for pk in waiting if deliver else ():
            inbox_services.deliver(brand_id=self.stage.brand.pk, message_id=pk, at=self.at + after)

    def of(self, follower):
        with self.stage.scope:
            return ExpiryWarning.objects.values_list("way", "why").get(member=follower.member_id)

    def lines(self, follower):
        with self.stage.scope:
            rows = Message.objects.filter(conversation__follower=follower, direction="OUT").order_by("pk")
            return list(rows.values_list("facts__way", "state", "text"))

    def got(self, follower):
        """What WeChat took for somebody."""
        return [row["kind"] for row in self.stage.truth() if row["openid"] == follower.openid]

    def wrote(self, follower, at):
        appid = self.stage.account.appid
        for person in self.stage.wechat.look("/people", appid=appid, limit=1000)["people"]:
            if person["accounts"][appid]["openid"] == follower.openid:
                body = {"act": "text", "appid": appid, "content": "你好"}
                self.stage.wechat.control(f"/people/{person['id']}/act", body)
        with self.stage.scope:
            record_act(follower=follower, act=windows.Act.MESSAGE, at=at)


@pytest.fixture
def told(stage):
    return Told(Notices(stage))


# --- what travels ------------------------------------------------------------------------------------------------------


def test_who_cannot_be_written_to_gets_the_notification_they_agreed_to(told, other_stage):
    agreed, silent, left, near = told.notices.crowd(4)
    told.notices.agree([agreed, left], times=2)
    told.notices.agree([near])
    with told.stage.scope:
        Follower.objects.filter(pk=left.pk).update(subscribed=False)  # agreed, then unfollowed: WeChat still takes it
    told.wrote(near, told.at - HOUR)
    foreign = Told(Notices(other_stage))
    foreign.plan()
    told.owe(agreed, silent, left, near)
    told.carry()
    assert told.of(agreed) == ("", "NO_WINDOW")  # another brand's plan is not theirs

    told.plan()
    for hours in (7, 8, 24):
        told.carry(hours * HOUR)
    said = "取货提醒\n事项：1280 积分即将到期\n时间：" + (told.at + 5 * DAY).date().isoformat() + " 23:59"
    assert told.lines(agreed) == told.lines(left) == [("subscribe", "SENT", said)]
    assert (told.of(agreed), told.of(silent)) == (("subscribe.notification", ""), ("", "NO_CONSENT"))
    assert told.of(near) == ("inbox.window", "")
    assert [told.got(each) for each in (agreed, left, silent, near)] == [["subscribe"], ["subscribe"], [], ["custom"]]
    assert [told.notices.left(each) for each in (agreed, left, near)] == [(1, 1), (1, 1), (1, 1)]
    assert other_stage.truth() == []


def test_a_template_message_comes_last_and_only_to_who_follows(told):
    agreed, silent, gone = told.notices.crowd(3)
    told.notices.agree([agreed])
    with told.stage.scope:
        Follower.objects.filter(pk=gone.pk).update(subscribed=False)
    told.plan()
    told.plan(told.stage.template)
    told.owe(agreed, silent, gone)
    told.carry()
    told.carry(7 * HOUR)
    assert [told.got(each) for each in (agreed, silent, gone)] == [["subscribe"], ["template"], []]
    assert (told.of(silent), told.of(gone)) == (("template.message", ""), ("", "NO_CONSENT"))
    assert told.notices.left(agreed) == (0, 0)


def test_one_agreement_brings_one_and_a_later_one_the_next(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    told.plan()
    told.owe(person)
    told.carry()
    with told.stage.scope:
        row = ExpiryWarning.objects.get()
        told.warn(row.member, row.day + DAY, 5)
    told.carry(HOUR)
    told.carry(8 * HOUR)
    assert told.got(person) == ["subscribe"]
    told.notices.agree([person])
    told.carry(DAY)
    assert told.got(person) == ["subscribe"] * 2
    assert told.notices.left(person) == (0, 0)


def test_a_birthday_is_told_by_the_same_ways(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    told.plan(about="birthday", content={"thing1": "{礼遇}", "time2": "00:00"})
    with told.stage.scope:
        BirthdayProgramme.objects.create(
            is_on=True, params={"points": 100}, text="生日快乐！{礼遇}", updated_at=told.at
        )
        BirthdayGrant.objects.create(
            member=person.member, year=told.at.year, given_year=told.at.year, day=told.at.date(), benefit="points",
            params={"points": 100}, state="GIVEN", at=told.at,
        )  # fmt: skip
        loyalty_services.carry_birthdays(at=told.at)
    told.carry()
    with told.stage.scope:
        assert BirthdayGrant.objects.get().way == "subscribe.notification"
    assert told.got(person) == ["subscribe"]


# --- the first way fails -------------------------------------------------------------------------------------------------


def test_refused_by_wechat_the_next_way_tells_them_exactly_once(told):
    (person,) = told.notices.crowd(1)
    told.notices.believe([person], 3)  # WeChat knows of none: 43101
    told.plan()
    told.plan(told.stage.template)
    told.owe(person)
    told.carry()
    assert told.of(person) == ("", "FAILED")
    assert told.notices.left(person) == (0, 0)
    for hours in (1, 2, 8):
        told.carry(hours * HOUR)
    assert told.got(person) == ["template"]
    assert told.of(person) == ("template.message", "")
    assert [(way, state) for way, state, _text in told.lines(person)] == [
        ("subscribe", "REFUSED"),
        ("template", "SENT"),
    ]


def test_window_that_closed_before_it_left_costs_a_notification_then(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    told.plan()
    told.wrote(person, told.at - 47 * HOUR)
    told.owe(person)
    told.carry(deliver=False)
    assert told.of(person) == ("inbox.window", "")
    told.carry(3 * HOUR)  # the worker was away for so long
    assert told.of(person) == ("", "FAILED")
    told.carry(4 * HOUR)
    assert told.of(person) == ("subscribe.notification", "")
    assert told.got(person) == ["subscribe"]


def test_what_wechat_refuses_is_not_tried_every_hour_and_says_so(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person], times=3)
    told.plan()
    told.owe(person)
    told.stage.wechat.fault(
        "errcode", errcode=43116, path=client.SUBSCRIBE_SEND, appid=told.stage.account.appid, count=9
    )
    for hours in (0, 1, 2, 7, 8):
        told.carry(hours * HOUR)
    assert len(told.notices.codes()) == 1
    assert told.of(person) == ("", "FAILED")
    assert told.notices.left(person) == (3, 3)  # nothing was used up
    told.stage.wechat.heal()
    told.carry(25 * HOUR)
    assert told.of(person) == ("subscribe.notification", "")


def test_an_answer_that_is_lost_is_followed_by_no_other_way(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person], times=2)
    told.plan()
    told.plan(told.stage.template)
    told.owe(person)
    told.notices.fault("accept_then_cut")
    told.carry()
    for days in (1, 2):
        told.carry(days * DAY)
    assert told.got(person) == ["subscribe"]
    assert told.of(person) == ("subscribe.notification", "")
    assert told.notices.left(person) == (1, 1)


@pytest.mark.parametrize("where", ["warnings: told, not noted", "inbox: before the send"])
def test_killed_anywhere_nobody_is_told_twice_and_nothing_is_lost(told, monkeypatch, where):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person], times=2)
    told.plan()
    told.owe(person)

    def die():
        monkeypatch.delitem(failpoints.armed, where)
        raise Killed

    monkeypatch.setitem(failpoints.armed, where, die)
    with pytest.raises(Killed):
        told.carry()
    told.carry(HOUR)
    told.carry(8 * HOUR)
    calls = {"warnings: told, not noted": 1, "inbox: before the send": 0}[where]  # of the second nobody can say
    assert len(told.notices.codes()) == calls
    assert told.notices.left(person)[0] == 1
    assert told.of(person) == ("subscribe.notification", "")


def test_wants_no_service_notices_when_it_is_to_leave_then_no_way_is_right(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    told.plan()
    told.plan(told.stage.template)
    told.owe(person)
    told.carry(deliver=False)
    with told.stage.scope:
        member_services.withdraw_consent(member=person.member, purpose="SERVICE", source="test", at=told.at)
    told.carry()
    told.carry(7 * HOUR)
    assert told.got(person) == []
    assert told.of(person) == ("", "REFUSED")
    assert told.notices.left(person) == (1, 1)


def test_at_night_nobody_is_woken_by_what_has_waited(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    told.plan()
    told.owe(person)
    told.carry(deliver=False)
    told.carry(11 * HOUR)
    assert told.got(person) == []
    assert told.notices.left(person) == (1, 1)
    told.carry(22 * HOUR)
    assert told.got(person) == ["subscribe"]


def test_what_cannot_be_filled_in_for_them_says_so_and_uses_nothing_up(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    with told.stage.scope:
        person.member.name = ""
        person.member.save(update_fields=["name"])
    told.plan(content={"thing1": "{姓名}", "time2": "{日期} 23:59"})
    told.owe(person)
    told.carry()
    assert told.of(person) == ("", "UNFIT")
    assert told.notices.left(person) == (1, 1)


@pytest.mark.parametrize("off", ["plan", "template", "account"])
def test_what_is_switched_off_or_gone_is_not_used(told, off):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    plan = told.plan()
    with told.stage.scope:
        if off == "plan":
            NewsPlan.objects.update(is_on=False)
        elif off == "template":
            MessageTemplate.objects.filter(pk=plan.template_id).update(is_active=False)
        else:
            told.stage.account.is_active = False
            told.stage.account.save()
    told.owe(person)
    told.carry()
    assert told.of(person) == ("", "NO_WINDOW")
    assert told.notices.left(person) == (1, 1)


# --- WeChat takes it and reports later that it did not arrive -----------------------------------------------------------


def reported(told, person, status, after=0 * HOUR, msgid=None):
    """WeChat's report of the newest line to somebody, and the worker that reads it."""
    with told.stage.scope:
        lines = Message.objects.filter(conversation__follower=person, direction="OUT")
        services.record_result(
            account_id=told.stage.account.pk,
            openid=person.openid,
            msgid=str(msgid or lines.latest("pk").msgid),
            status=status,
            event_at=told.at + after,
        )
        services.settle_results(at=told.at + after)
        return FinishEvent.objects.count()


@pytest.mark.parametrize(
    ("status", "why", "cause"),
    [
        ("failed:user block", "BLOCKED", "USER_BLOCK"),
        ("failed: system failed", "LOST", "SYSTEM_FAILED"),
        ("failed: 43999", "LOST", "SYSTEM_FAILED"),
    ],
)
def test_what_wechat_could_not_deliver_goes_the_next_way_exactly_once(told, status, why, cause):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    told.plan()
    told.plan(told.stage.template)
    told.owe(person)
    told.carry()
    assert told.of(person) == ("subscribe.notification", "")
    assert reported(told, person, status) == 0  # matched, so it does not wait
    assert told.of(person) == ("", why)
    assert reported(told, person, status) == 0  # WeChat says so twice
    for hours in (1, 2, 8):
        told.carry(hours * HOUR)
    assert told.of(person) == ("template.message", "")
    assert told.got(person) == ["subscribe", "template"]
    with told.stage.scope:
        first, second = Message.objects.filter(direction="OUT").order_by("pk")
    assert (first.state, first.cause, second.state) == ("REFUSED", cause, "SENT")


def test_who_blocks_every_way_stands_as_not_told_with_that_reason(told):
    (person,) = told.notices.crowd(1)
    told.plan(told.stage.template)
    told.owe(person)
    told.carry()
    reported(told, person, "failed:user block")
    for hours in (1, 8, 24, 48):
        told.carry(hours * HOUR)
    assert told.of(person) == ("", "BLOCKED")
    assert told.got(person) == ["template"]


def test_what_was_lost_is_tried_once_more_hours_later_and_then_never(told):
    (person,) = told.notices.crowd(1)
    told.plan(told.stage.template)
    told.owe(person)
    told.carry()
    reported(told, person, "failed: system failed")
    told.carry(HOUR)
    assert told.got(person) == ["template"]
    with told.stage.scope:
        first = Message.objects.get(direction="OUT").msgid
    told.carry(8 * HOUR)
    assert told.got(person) == ["template"] * 2
    reported(told, person, "failed: system failed", 8 * HOUR, msgid=first)  # WeChat says it again of the first
    assert told.of(person) == ("template.message", "")
    reported(told, person, "failed: system failed", 8 * HOUR)
    for hours in (9, 24, 48):
        told.carry(hours * HOUR)
    assert told.got(person) == ["template"] * 2
    assert told.of(person) == ("", "LOST")


def test_reports_of_arrivals_of_other_accounts_and_too_early_change_nothing(told, other_stage):
    (person,) = told.notices.crowd(1)
    told.plan(told.stage.template)
    told.owe(person)
    told.carry()
    with told.stage.scope:
        msgid = Message.objects.get(direction="OUT").msgid
    with other_stage.scope:
        services.record_result(
            account_id=other_stage.account.pk,
            openid="o",
            msgid=str(msgid),
            status="failed:user block",
            event_at=told.at,
        )
        services.settle_results(at=told.at)
    assert reported(told, person, "success") == 0
    assert told.of(person) == ("template.message", "")
    assert reported(told, person, "failed:user block", msgid=msgid + 1) == 1  # its answer is not noted yet: it waits
    assert told.of(person) == ("template.message", "")


def test_killed_while_a_report_is_settled_the_next_worker_settles_it(told, monkeypatch):
    (person,) = told.notices.crowd(1)
    told.plan(told.stage.template)
    told.owe(person)
    told.carry()

    def die():
        monkeypatch.delitem(failpoints.armed, "inbox: reported, not committed")
        raise Killed

    with told.stage.scope:
        msgid = Message.objects.get(direction="OUT").msgid
        services.record_result(
            account_id=told.stage.account.pk, openid=person.openid, msgid=str(msgid), status="failed:user block",
            event_at=told.at,
        )  # fmt: skip
    monkeypatch.setitem(failpoints.armed, "inbox: reported, not committed", die)
    with pytest.raises(Killed), told.stage.scope:
        services.settle_results(at=told.at)
    assert told.of(person) == ("template.message", "")
    with told.stage.scope:
        services.settle_results(at=told.at)
    assert told.of(person) == ("", "BLOCKED")


# --- coupons and tiers ---------------------------------------------------------------------------------------------------


def has_coupon(told, person):
    """A coupon of somebody that ends in three days."""
    with told.stage.scope:
        template = make_coupons(f"券 {person.pk}", at=told.at - 10 * DAY)
        row = claim(template, person.member, at=told.at - 10 * DAY).coupon
        Coupon.objects.filter(pk=row.pk).update(valid_until=told.at + 3 * DAY)


def tell(told, about, after=0 * HOUR):
    with told.stage.scope:
        loyalty_services.find_news(about=about, at=told.at + after)
        loyalty_services.carry_news(about=about, at=told.at + after)
    told.carry(after)
    with told.stage.scope:
        return list(Notice.objects.order_by("pk").values_list("way", "why"))


def turn_on(told, about):
    with told.stage.scope:
        text = kinds.get(about).text
        loyalty_services.save_news_text(about=about, text=text, days=7, is_on=True, at=told.at)


def test_coupon_that_ends_takes_the_notification_they_agreed_to_and_no_template_message(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    turn_on(told, "coupon")
    told.plan(about="coupon", content={"thing1": "{张数} 张优惠券快到期", "time2": "{日期} 23:59"})
    with pytest.raises(NoticeRefused):
        told.plan(told.stage.template, about="coupon")
    has_coupon(told, person)
    assert tell(told, "coupon") == [("subscribe.notification", "")]
    ends = (told.at + 3 * DAY - timedelta(seconds=1)).date().isoformat()
    assert told.lines(person)[0][2] == f"取货提醒\n事项：1 张优惠券快到期\n时间：{ends} 23:59"
    reported(told, person, "failed:user block")
    for hours in (1, 8, 24):
        rows = tell(told, "coupon", hours * HOUR)
    assert rows == [("", "BLOCKED")]
    assert told.got(person) == ["subscribe"]


def test_tier_that_rises_goes_the_next_way_when_the_first_did_not_arrive(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    turn_on(told, "tier_up")
    content = {"thing1": "您已升级为{等级}", "time2": "{有效期} 23:59"}
    told.plan(about="tier_up", content=content)
    told.plan(told.stage.template, about="tier_up", content=content)
    with told.stage.scope:
        Tier.objects.create(name="初见", threshold=0)
        gold = Tier.objects.create(name="知音", threshold=8000)
        loyalty_services.lock_tier(
            member_id=person.member_id, tier=gold, until=told.at + 90 * DAY, reason="贵宾", at=told.at
        )
    assert tell(told, "tier_up") == [("subscribe.notification", "")]
    reported(told, person, "failed: system failed")
    for hours in (1, 2, 8):
        rows = tell(told, "tier_up", hours * HOUR)
    assert rows == [("template.message", "")]
    assert told.got(person) == ["subscribe", "template"]


# --- what is set up ------------------------------------------------------------------------------------------------------

FIELDS = "积分：{{number1.DATA}}\n到期日：{{date2.DATA}}\n说明：{{thing3.DATA}}\n状态：{{phrase4.DATA}}"
GOOD = {"number1": "{积分}", "date2": "{日期}", "thing3": "{明细}", "phrase4": "快到期"}


def make_template():
    return MessageTemplate.objects.create(
        account=make_account(), template_id="n", title="积分到期提醒", family="NOTICE_ONCE", synced_at=AT,
        content=FIELDS, fields=parse_fields(FIELDS),
    )  # fmt: skip


@pytest.fixture
def template(in_brand):
    return make_template()


@pytest.mark.parametrize(
    ("about", "family", "change", "field"),
    [
        ("points", "NOTICE_ONCE", {}, None),
        ("points", "NOTICE_ONCE", {"thing3": "{points} 分，最早 {day} 到期，明细见会员中心"}, None),  # cut, not refused
        ("points", "NOTICE_ONCE", {"number1": ""}, "content.number1"),
        ("points", "NOTICE_ONCE", {"number1": "{积分} 分"}, "content.number1"),
        ("points", "NOTICE_ONCE", {"date2": "月底"}, "content.date2"),
        ("points", "NOTICE_ONCE", {"thing3": "一" * 21}, "content.thing3"),
        ("points", "NOTICE_ONCE", {"phrase4": "马上就要到期"}, "content.phrase4"),
        ("points", "NOTICE_ONCE", {"thing3": "{礼遇}"}, "content.thing3"),
        ("points", "TEMPLATE", {}, None),
        ("points", "TEMPLATE", {"thing3": "限时福利，快来兑换"}, "content.thing3"),
        ("birthday", "TEMPLATE", {"number1": "1", "date2": "2025-06-01", "thing3": "{礼遇}"}, "template"),
        ("birthday", "NOTICE_ONCE", {"number1": "1", "date2": "2025-06-01", "thing3": "{礼遇}"}, None),
    ],
)
def test_what_wechat_would_refuse_is_refused_when_it_is_saved(template, about, family, change, field):
    template.family = family
    template.save()
    ask = {"about": about, "template": template, "content": GOOD | change, "at": AT}
    if field is None:
        assert services.save_news_plan(**ask, is_on=True).is_on
        return
    with pytest.raises(NoticeRefused) as refused:
        services.save_news_plan(**ask, is_on=True)
    assert refused.value.field == field
    assert not services.save_news_plan(**ask, is_on=False).is_on  # what is switched off may be unfinished


def test_another_template_takes_the_place_of_the_first(template, in_brand):
    other = MessageTemplate.objects.create(
        account=template.account, template_id="m", title="权益提醒", family="NOTICE_ONCE", synced_at=AT,
        fields=[{"key": "thing1", "label": "说明", "type": "thing"}],
    )  # fmt: skip
    services.save_news_plan(about="points", template=template, content=GOOD, is_on=True, at=AT)
    services.save_news_plan(about="points", template=other, content={"thing1": "x", "y": "z"}, is_on=True, at=AT)
    assert list(NewsPlan.objects.values_list("template", "content")) == [(other.pk, {"thing1": "x"})]
    assert AuditEntry.objects.filter(action="change notification of news").count() == 2


def test_fields_that_changed_at_wechat_send_nothing_wrong(told):
    (person,) = told.notices.crowd(1)
    told.notices.agree([person])
    told.plan()
    with told.stage.scope:
        fields = [
            {"key": "thing1", "label": "事项", "type": "thing"},
            {"key": "number7", "label": "数", "type": "number"},
        ]
        MessageTemplate.objects.filter(pk=told.notices.template.pk).update(fields=fields)
    told.owe(person)
    told.carry()
    assert told.of(person) == ("", "UNFIT")
    assert told.notices.codes() == []
    shown = html_of(signed_in(told.stage.brand, "OWNER").get(f"/b/{told.stage.brand.slug}/rewards/notices/"))
    assert "字段不合要求" in shown.split('data-testid="news"')[1].split("</table>")[0]


# --- the page ------------------------------------------------------------------------------------------------------------


def test_page_proposes_previews_refuses_and_saves(brand, other_brand):
    with brand_scope(other_brand.pk):
        account = make_account(name="灶山小馆")
        foreign = MessageTemplate.objects.create(account=account, template_id="f", title="别家的模板", synced_at=AT)
    with brand_scope(brand.pk):
        PointsPolicy.objects.create(warn_text="")
        template = make_template()
        staff = make_staff("owner-n", "OWNER")
    page = Client()
    page.force_login(staff, backend=MODEL_BACKEND)
    address = "/b/lanyu/rewards/notices/"
    first = page.get(address)
    html = html_of(first)
    assert 'value="{积分}"' in html  # proposed by the field's type
    assert "别家的模板" not in html
    missing = [each["text"] for each in first.context["missing"]]
    assert any("没有任何人会收到" in text or "积分设置" in text for text in missing)
    assert any("“说明”为空" in text or "「说明」" in text or "说明" in text for text in missing)
    assert any("还没有人允许" in text for text in missing)

    posted = {"about": "points", "template": template.pk, "is_on": "on"} | {f"content.{k}": v for k, v in GOOD.items()}
    shown = page.post(address, posted | {"act": "preview"})
    rows = shown.context["phone"]["bubbles"][0]["rows"]
    assert [row["value"] for row in rows][:2] == ["1280", "2026-12-31"]
    refused = page.post(address, posted | {"content.date2": "月底"})
    assert (refused.status_code, refused.context["refusal"].field) == (422, "content.date2")
    with brand_scope(brand.pk):
        assert not NewsPlan.objects.exists()
    assert page.post(address, posted).status_code == 302
    with brand_scope(brand.pk):
        assert NewsPlan.objects.get().content == GOOD
    assert page.post(address, posted | {"template": foreign.pk}).status_code == 404
    assert page.get(f"{address}?about=nothing").status_code == 404


def test_only_who_may_change_points_saves(brand):
    with brand_scope(brand.pk):
        template = make_template()
    analyst = signed_in(brand, "ANALYST")
    posted = {"about": "points", "template": template.pk, "is_on": "on"} | {f"content.{k}": v for k, v in GOOD.items()}
    answers = {
        analyst.get("/b/lanyu/rewards/notices/").status_code,
        analyst.post("/b/lanyu/rewards/notices/", posted).status_code,
    }
    assert 403 in answers
    with brand_scope(brand.pk):
        assert not NewsPlan.objects.exists()


def test_words_are_written_shown_and_refused_on_the_page(brand):
    owner = signed_in(brand, "OWNER")
    address = "/b/lanyu/rewards/notices/"
    first = html_of(owner.get(f"{address}?about=coupon"))
    assert "您有 {张数} 张优惠券即将到期：{优惠券}。记得使用。" in first
    assert "您有 2 张优惠券即将到期：满 100 减 20、满 50 减 5。记得使用。" in first
    posted = {"about": "coupon", "act": "words", "is_on": "on", "days": "5", "text": "{优惠券}快到期"}
    for change, field in (({"text": ""}, "text"), ({"days": "x"}, "days"), ({"days": "9" * 50}, "days")):
        refused = owner.post(address, posted | change)
        assert (refused.status_code, refused.context["refusal"].field) == (422, field)
    assert owner.post(address, posted).status_code == 302
    with brand_scope(brand.pk):
        assert list(NewsText.objects.values_list("about", "is_on", "days", "text")) == [
            ("coupon", True, 5, "{优惠券}快到期")
        ]
    log = html_of(owner.get("/b/lanyu/loyalty/warnings/?about=coupon"))
    assert "还没有需要通知的人" in log
    assert "没有任何人会收到" in html_of(owner.get("/b/lanyu/loyalty/warnings/?about=tier_up"))
    assert owner.get("/b/lanyu/loyalty/warnings/?about=birthday").status_code == 404
    analyst = signed_in(brand, "ANALYST")
    assert analyst.post(address, posted).status_code == 403
