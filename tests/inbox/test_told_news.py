"""News of coupons that end and of tiers that change: told once, in one message a day, and only while they are true."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from accounts.models import AuditEntry
from common import failpoints
from coupons import services as coupon_services
from coupons.models import Coupon
from inbox import services as inbox_services
from inbox.models import Message
from inbox.services.ledger import record_act
from loyalty import services
from loyalty.errors import NewsRefused
from loyalty.models import NewsText, Notice, Standing, Tier
from loyalty.news import kinds
from loyalty.selectors.points import zone
from loyalty.services import Report
from loyalty.services.history import record_history
from members import services as member_services
from members.services.identity import merge_members
from tests.coupons.conftest import cart, claim, give_back, hold, make_template, once, redeem
from tests.factories import AT, make_account, make_member
from wechat_gateway import windows

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOON = AT.replace(hour=4, minute=0) + DAY  # 12:00 of the brand
ABOUT_COUPONS = "您有 {count} 张优惠券快到期：{coupons}"


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def people(in_brand):
    """Two people who wrote an hour before noon, and one who did not."""
    account = make_account()
    found = SimpleNamespace(
        brand=in_brand,
        **{name: make_member(account, name=said) for name, said in {"ann": "安", "ben": "本", "far": "远"}.items()},
    )
    for member in (found.ann, found.ben):
        writes(member, NOON - HOUR)
    return found


@pytest.fixture
def tiers(people):
    names = {"初见": 0, "常来": 2000, "知音": 8000}
    return {name: Tier.objects.create(name=name, threshold=threshold) for name, threshold in names.items()}


def writes(member, at):
    for follower in member.followers.all():
        for _ in range(5):
            record_act(follower=follower, act=windows.Act.MESSAGE, at=at)


def turn_on(about, text=None, days=7):
    services.save_news_text(about=about, text=text or kinds.get(about).text, days=days, is_on=True, at=AT)


def tell(about, at=NOON, deliver=False):
    """The hourly work, and the worker that sends."""
    services.find_news(about=about, at=at)
    services.carry_news(about=about, at=at)
    if deliver:
        for line in Message.objects.filter(state="QUEUED").order_by("pk"):
            inbox_services.deliver(brand_id=line.brand_id, message_id=line.pk, at=at)


def said(*members):
    rows = Message.objects.filter(conversation__follower__member__in=members, direction="OUT").order_by("pk")
    return list(rows.values_list("text", flat=True))


def coupon_of(member, name, days=3, at=AT - 10 * DAY):
    """A coupon that ends some days after noon."""
    row = claim(make_template(name, at=at), member, at=at).coupon
    Coupon.objects.filter(pk=row.pk).update(valid_until=NOON + days * DAY)
    return Coupon.objects.get(pk=row.pk)


def buy(member, yuan, number, at=NOON - HOUR):
    report = Report("pos", "PURCHASE", number, at, member_id=member.pk, amount=yuan * 100)
    return services.record_fact(report=report, at=at).fact


def standing(about=None):
    rows = Notice.objects.order_by("pk")
    return list((rows.filter(about=about) if about else rows).values_list("member_id", "way", "why"))


# --- coupons -----------------------------------------------------------------------------------------------------------


def test_nobody_is_told_before_the_brand_says_so(people):
    coupon_of(people.ann, "满减券")
    tell("coupon")
    assert (said(people.ann), standing()) == ([], [])
    turn_on("coupon", ABOUT_COUPONS)
    tell("coupon")
    ends = (NOON + 3 * DAY).date().isoformat()
    assert said(people.ann) == [f"您有 1 张优惠券快到期：满减券（{ends} 止）"]


def test_one_message_names_all_coupons_and_none_is_named_twice(people):
    turn_on("coupon", ABOUT_COUPONS)
    for number in range(7):
        coupon_of(people.ann, f"券{number}", days=1 + number % 6)
    coupon_of(people.ann, "还早", days=30)
    for hours in range(0, 49, 6):
        tell("coupon", NOON + hours * HOUR)
    (text,) = said(people.ann)
    assert text.startswith("您有 7 张优惠券快到期：券0（")
    assert text.endswith("还有 2 张")
    assert {way for _member, way, _why in standing()} == {"inbox.window"}


def test_a_second_coupon_of_the_day_waits_for_another_day(people):
    turn_on("coupon", "{优惠券}")
    coupon_of(people.ann, "早")
    tell("coupon")
    coupon_of(people.ann, "晚")
    tell("coupon", NOON + HOUR)
    assert (len(said(people.ann)), standing()[1]) == (1, (people.ann.pk, "", "LATER"))
    writes(people.ann, NOON + 20 * HOUR)
    tell("coupon", NOON + 22 * HOUR)
    assert [text[:1] for text in said(people.ann)] == ["早", "晚"]


def test_who_was_given_one_today_knows_of_it(people):
    turn_on("coupon")
    coupon_of(people.ann, "新", at=NOON - HOUR)
    tell("coupon")
    assert (said(people.ann), standing()) == ([], [])


@pytest.mark.parametrize("act", ["redeem", "hold", "void", "prolong", "end", "merge"])
@pytest.mark.parametrize("when", ["noted", "queued"])
def test_what_is_no_longer_theirs_to_use_is_not_told(people, act, when):
    turn_on("coupon")
    coupon = coupon_of(people.ann, "券", days=1)
    services.find_news(about="coupon", at=NOON)
    if when == "queued":
        services.carry_news(about="coupon", at=NOON)
    later = NOON
    if act == "redeem":
        redeem(coupon, at=NOON, goods=cart(20_000))
    elif act == "hold":
        hold(coupon, at=NOON)
    elif act == "void":
        coupon_services.void_coupon(operation=once(), coupon_id=coupon.pk, reason="弄错了", at=NOON)
    elif act == "prolong":
        Coupon.objects.update(valid_until=NOON + 20 * DAY)
    elif act == "end":
        later = NOON + 25 * HOUR
    else:
        merge_members(kept=people.far, merged=people.ann, evidence="t", at=NOON)
    tell("coupon", later, deliver=True)
    lines = list(Message.objects.filter(direction="OUT").values_list("state", "cause"))
    if act == "merge":  # one person: told in whichever record has the coupon and can be written to
        assert len([state for state, _cause in lines if state != "REFUSED"]) <= 1
        return
    assert lines == ([] if when == "noted" else [("REFUSED", "OVER")])
    assert {way for _member, way, _why in standing()} == {""}


def test_a_redemption_that_is_given_back_is_told_then(people):
    turn_on("coupon")
    coupon = coupon_of(people.ann, "券")
    services.find_news(about="coupon", at=NOON)
    redeem(coupon, at=NOON, goods=cart(20_000))
    tell("coupon")
    assert standing() == [(people.ann.pk, "", "NOTHING_LEFT")]
    give_back(Coupon.objects.get(), at=NOON + HOUR)
    Coupon.objects.update(valid_until=NOON + 3 * DAY)
    tell("coupon", NOON + 7 * HOUR)
    assert len(said(people.ann)) == 1


def test_whose_coupon_moved_to_another_record_hears_of_it_there(people):
    turn_on("coupon")
    coupon_of(people.far, "券")
    tell("coupon")
    assert standing() == [(people.far.pk, "", "NO_WINDOW")]
    merge_members(kept=people.ann, merged=people.far, evidence="t", at=NOON + HOUR)
    tell("coupon", NOON + 7 * HOUR)
    assert (len(said(people.ann)), standing()) == (1, [(people.ann.pk, "inbox.window", "")])


def test_killed_after_telling_nobody_is_told_twice(people, monkeypatch):
    turn_on("coupon")
    coupon_of(people.ann, "券")

    def die():
        monkeypatch.delitem(failpoints.armed, "news: told, not noted")
        raise Killed

    monkeypatch.setitem(failpoints.armed, "news: told, not noted", die)
    with pytest.raises(Killed):
        tell("coupon")
    assert said(people.ann) == []
    for hours in (0, 1, 7):
        tell("coupon", NOON + hours * HOUR)
    assert len(said(people.ann)) == 1


def test_refusals_night_and_what_reaches_nobody_stand_with_their_reason(people):
    turn_on("coupon")
    for member in (people.ann, people.far):
        coupon_of(member, f"券{member.pk}")
    member_services.withdraw_consent(member=people.ann, purpose="SERVICE", source="test", at=NOON)
    tell("coupon", NOON + 10 * HOUR)
    assert {why for _member, _way, why in standing()} == {""}  # at night nobody is looked for
    tell("coupon")
    assert standing() == [(people.ann.pk, "", "REFUSED"), (people.far.pk, "", "NO_WINDOW")]


# --- tiers -------------------------------------------------------------------------------------------------------------


def last_day(midnight):
    return midnight.astimezone(zone()).date() - DAY


def all_on():
    for about in ("tier_up", "tier_kept", "tier_down", "tier_grace"):
        turn_on(about)
    turn_on("tier_due", days=7)


def tell_tiers(at, deliver=False):
    for about in services.due_kinds():
        tell(about, at, deliver)


def test_up_grace_down_and_kept_are_each_told_once(people, tiers):
    all_on()
    buy(people.ann, 8_000, "1")
    for hours in (0, 1, 7):
        tell_tiers(NOON + hours * HOUR)
    ends = Standing.objects.get(member=people.ann).evaluates_at
    assert said(people.ann) == [f"恭喜，您已升级为知音，有效期至 {last_day(ends)}。"]

    noon = ends.replace(hour=4) + DAY
    services.evaluate_due(at=noon - 5 * HOUR)
    writes(people.ann, noon - HOUR)
    for hours in (0, 1, 7):
        tell_tiers(noon + hours * HOUR)
    over = Standing.objects.get(member=people.ann).evaluates_at
    assert said(people.ann)[1:] == [f"您的知音已进入保级宽限期，{last_day(over)} 前再累计 8,000 成长值即可保级。"]

    buy(people.ann, 8_000, "2", noon + DAY)
    writes(people.ann, noon + DAY)
    tell_tiers(noon + DAY)
    assert said(people.ann)[2].startswith("您的知音已续期，有效期至 ")

    services.lock_tier(
        member_id=people.ann.pk, tier=tiers["常来"], until=noon + 90 * DAY, reason="申诉", at=noon + 2 * DAY
    )
    writes(people.ann, noon + 2 * DAY)
    tell_tiers(noon + 2 * DAY)
    assert said(people.ann)[3:] == ["您的会员等级已由知音调整为常来。"]


def test_only_the_last_of_two_changes_is_told_and_what_is_off_never(people, tiers):
    turn_on("tier_up")
    buy(people.ann, 2_000, "1")
    buy(people.ann, 6_000, "2")
    tell_tiers(NOON)
    (text,) = said(people.ann)
    assert "知音" in text
    assert [why for _member, _way, why in standing()] == ["NOTHING_LEFT", ""]
    due = Standing.objects.get(member=people.ann).evaluates_at
    services.evaluate_due(at=due)
    assert Notice.objects.filter(about="tier_grace").count() == 0


def test_a_change_that_a_merge_brought_and_its_undoing_took_back_is_not_told(people, tiers):
    turn_on("tier_up")
    buy(people.ann, 1_500, "1")
    buy(people.far, 1_500, "2")
    merge_members(kept=people.ann, merged=people.far, evidence="t", at=NOON - HOUR)
    assert list(Notice.objects.values_list("about", flat=True)) == ["tier_up"]
    services.undo_merge(kept=people.ann, merged=people.far, at=NOON - HOUR)
    tell_tiers(NOON)
    assert (said(people.ann, people.far), standing()) == ([], [(people.ann.pk, "", "NOTHING_LEFT")])


def test_a_change_overtaken_while_its_message_waits_does_not_leave(people, tiers):
    turn_on("tier_up")
    buy(people.ann, 2_000, "1")
    tell("tier_up")
    services.lock_tier(member_id=people.ann.pk, tier=tiers["初见"], until=NOON + 9 * DAY, reason="申诉", at=NOON)
    tell_tiers(NOON, deliver=True)
    assert list(Message.objects.filter(direction="OUT").values_list("state", "cause")) == [("REFUSED", "OVER")]
    tell_tiers(NOON + 7 * HOUR, deliver=True)
    assert standing("tier_up") == [(people.ann.pk, "", "NOTHING_LEFT")]


def test_what_was_brought_over_from_another_system_is_no_news(people, tiers):
    turn_on("tier_up")
    record_history(
        reports=[Report("old", "PURCHASE", "1", AT - 30 * DAY, member_id=people.ann.pk, amount=900_000)], at=NOON
    )
    assert Standing.objects.get(member=people.ann).tier == tiers["知音"]
    assert Notice.objects.count() == 0


def test_next_evaluation_warns_whom_it_would_take_something_from_and_nobody_else(people, tiers):
    turn_on("tier_due", days=7)
    buy(people.ann, 8_000, "1", AT)
    buy(people.ben, 2_000, "2", AT)
    buy(people.ben, 2_500, "3", AT + 300 * DAY)
    ends = Standing.objects.get(member=people.ann).evaluates_at
    noon = ends.replace(hour=4) - 3 * DAY
    for member in (people.ann, people.ben):
        writes(member, noon - HOUR)
    tell_tiers(noon - 10 * DAY)
    assert standing() == []
    for hours in (0, 1, 7, 24):
        tell_tiers(noon + hours * HOUR)
    assert said(people.ann) == [f"您的知音将于 {last_day(ends)} 到期，再累计 8,000 成长值即可保级。"]
    assert said(people.ben) == []


def test_who_buys_enough_before_it_is_told_hears_no_warning(people, tiers):
    turn_on("tier_due", days=7)
    buy(people.far, 2_000, "1", AT)
    ends = Standing.objects.get(member=people.far).evaluates_at
    noon = ends.replace(hour=4) - 3 * DAY
    tell_tiers(noon)
    assert standing() == [(people.far.pk, "", "NO_WINDOW")]
    buy(people.far, 2_000, "2", noon + HOUR)
    writes(people.far, noon + 6 * HOUR)
    tell_tiers(noon + 7 * HOUR)
    assert (said(people.far), standing()) == ([], [(people.far.pk, "", "NOTHING_LEFT")])


# --- what is set up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [({"text": " "}, "text"), ({"text": "长" * 201}, "text"), ({"days": 0}, "days"), ({"days": 91}, "days")],
)
def test_words_that_cannot_be_sent_are_refused(in_brand, change, field):
    ask = {"about": "coupon", "text": "{优惠券}", "days": 7, "is_on": True, "at": AT}
    with pytest.raises(NewsRefused) as refused:
        services.save_news_text(**ask | change)
    assert refused.value.field == field
    assert not NewsText.objects.exists()
    services.save_news_text(**ask)
    services.save_news_text(**ask | {"is_on": False, "text": ""})
    assert not NewsText.objects.get().is_on
    assert AuditEntry.objects.filter(action="change words of news").count() == 2


def test_deleting_a_person_forgets_what_they_were_to_be_told(people):
    turn_on("coupon")
    coupon_of(people.far, "券")
    tell("coupon")
    services.lapse_points(follower=people.far.followers.get(), whole=True, at=NOON)
    assert standing() == []
