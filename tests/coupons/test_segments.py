"""Whom segments find by their coupons: who holds one, used one, was given one; followed, explained, and usable."""

from datetime import timedelta

import pytest
from django.utils import translation

from coupons import services
from coupons.models import Coupon
from coupons.segment_conditions import HasCoupon
from members.errors import RuleInvalid
from members.segments import matching
from members.why import explain
from tests.coupons.conftest import cart, claim, give_back, make_template, once, redeem
from tests.coupons.test_pushes import begun, run
from tests.factories import AT
from tests.members.kept import fact, follows, named, names, only, said

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def rule(template, state, days=30):
    return only("coupon", templates=[template.pk], state=state, days=days)


def found(template, at, days=30):
    return [names(rule(template, state, days), at) for state in ("unused", "used", "given", "got")]


def hand_out(template, *members, at=AT):
    for member in members:
        services.hand_out(operation=once(), template=template, member_id=member.pk, reason="到店礼", at=at)


@pytest.fixture
def holders(people):
    """Ann claimed one, Ben was handed one and used it, both days ago; another template is nobody's."""
    named(a=people.ann, b=people.ben)
    people.spring, people.other = make_template("春"), make_template("秋")
    claim(people.spring, people.ann, at=AT - 2 * DAY)
    hand_out(people.spring, people.ben, at=AT - DAY)
    redeem(Coupon.objects.get(member=people.ben), at=AT, goods=cart(20_000))
    return people


def test_people_are_found_by_what_became_of_their_coupons(holders):
    assert found(holders.spring, AT + HOUR) == ["a", "b", "b", "ab"]
    assert found(holders.other, AT + HOUR) == ["", "", "", ""]
    assert found(holders.spring, AT + HOUR, days=1) == ["", "b", "", ""]  # given more than a day ago
    over = Coupon.objects.get(member=holders.ann).valid_until
    assert names(rule(holders.spring, "unused", 3650), over - HOUR) == "a"
    assert names(rule(holders.spring, "unused", 3650), over) == ""
    give_back(Coupon.objects.get(member=holders.ben), at=AT + DAY)
    assert found(holders.spring, AT + DAY + HOUR)[:2] == ["ab", ""]
    assert said(rule(holders.spring, "given")) == "was given the coupon “春” by a push or by hand within 30 days"
    with translation.override("zh-hans"):
        label = str(HasCoupon.label)
    assert label != "Coupon"


def test_only_templates_of_the_brand_can_be_asked_for(holders):
    assert matching(rule(holders.spring, "got"), at=AT + HOUR).count() == 2
    for wrong in ({"templates": [holders.spring.pk + 10**6]}, {"state": "lost"}, {"days": 0}, {"templates": []}):
        params = {"templates": [holders.spring.pk], "state": "got", "days": 30} | wrong
        with pytest.raises(RuleInvalid):
            matching(only("coupon", **params), at=AT)


def test_a_coupon_that_was_taken_back_was_never_given(holders):
    services.lapse_coupons(follower=holders.ann.followers.first(), whole=True, at=AT)
    assert found(holders.spring, AT + HOUR) == ["", "b", "b", "b"]


def test_whoever_a_push_gave_a_coupon_is_found_and_whoever_had_one_is_not(holders):
    claim(holders.other, holders.ben, at=AT - HOUR)
    push = run(begun(holders.other, at=AT))
    assert push.tally["GIVEN"] == 1
    assert names(rule(holders.other, "given"), AT + HOUR) == "a"
    assert names(rule(holders.other, "got"), AT + HOUR) == "ab"
    unused = {"all": [*rule(holders.other, "given")["all"], *rule(holders.other, "unused")["all"]]}
    assert names(unused, AT + HOUR) == "a"


def test_why_knows_the_moves_up_to_any_moment(holders):
    give_back(Coupon.objects.get(member=holders.ben), at=AT + 2 * DAY)
    now = AT + 3 * DAY
    used, unused = rule(holders.spring, "used"), rule(holders.spring, "unused")
    assert fact(used, holders.ben, now, then=AT + DAY)[0] is True
    assert fact(unused, holders.ben, now, then=AT + DAY)[0] is False
    assert fact(used, holders.ben, now)[0] is False
    assert fact(unused, holders.ben, now)[0] is True
    assert fact(unused, holders.ben, now, then=AT - DAY - HOUR) == (False, "none of these coupons")
    assert fact(rule(holders.spring, "given"), holders.ben, now)[1].startswith("Handed out ")
    assert explain(used, member=holders.ann, at=now).tree.parts[0].holds is False


def test_kept_segments_follow_coupons_and_the_time_that_runs_out(holders):
    ends = Coupon.objects.get(member=holders.ann).valid_until
    days = (ends - AT).days
    moved = follows(
        [
            *(rule(holders.spring, state, 4) for state in ("used", "given", "got")),
            rule(holders.spring, "unused", 4),
            rule(holders.other, "unused", 3650),
        ],
        lambda now: give_back(Coupon.objects.get(member=holders.ben), at=now),
        lambda now: hand_out(holders.other, holders.ann, at=now),
        lambda now: redeem(Coupon.objects.get(template=holders.other), order="SO9", at=now, goods=cart(20_000)),
        lambda now: claim(holders.other, holders.ben, at=now),
        *[lambda _now: None] * (days + 3),
        at=AT + HOUR,
    )
    assert [bool(each) for each in moved] == [True] * 5
