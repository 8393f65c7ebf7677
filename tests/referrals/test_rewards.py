"""An honest invitation pays both sides once; made-up people are held; a refund takes everything back."""

from __future__ import annotations

import pytest

from common import failpoints
from coupons.models import Coupon
from loyalty.models import Journal
from members.models import Follower, Member, MergeRecord
from members.services import erase_member, merge_members, set_flag, undo_merge
from referrals import services
from referrals.errors import DecisionRefused, InvitationUnknown, InvitedBefore, NoProgramme, NotNew, OwnInvitation
from referrals.models import Invitation, Referral, Sign
from referrals.reasons import sentences
from tests.coupons.conftest import make_template
from tests.factories import AT, make_follower
from tests.referrals.conftest import (
    DAY,
    bought,
    bring,
    code_of,
    come,
    join,
    keys,
    make_programme,
    newcomer,
    points,
    sent_back,
    settle,
    states,
)
from touchpoints.services import record_touch


def test_an_honest_invitation_pays_both_sides_once_after_the_wait(people):
    template = make_template("新朋友券", claimable=False)
    make_programme(invited_template=template)
    friend = bring(people.ann)
    come(friend, people.ann)  # sent again
    settle(AT)
    assert (states(), points(people.ann, friend)) == (["WAITING"], [0, 0])
    settle(AT + DAY)
    settle(AT + 3 * DAY)

    row = Referral.objects.get()
    assert (row.state, row.inviter_given, row.invited_given) == ("PAID", "GIVEN", "GIVEN")
    assert points(people.ann, friend) == [200, 100]
    assert list(Coupon.objects.values_list("member_id", "state")) == [(friend.pk, "UNUSED")]


def test_who_is_known_oneself_or_invited_before_is_not_brought(people):
    with pytest.raises(NoProgramme):
        come(newcomer(), people.ann)
    make_programme()
    with pytest.raises(InvitationUnknown):
        services.accept(member_id=newcomer().pk, code="F4KA-79TN-XWPM", at=AT)
    with pytest.raises(OwnInvitation):
        come(people.ann, people.ann)
    with pytest.raises(NotNew):
        come(people.ben, people.ann)
    friend = newcomer()
    come(friend, people.ann)
    with pytest.raises(InvitedBefore):
        come(friend, people.ben)
    assert Referral.objects.get().inviter_id == people.ann.pk


def test_a_ring_of_five_made_up_accounts_is_held_and_explained(people):
    make_programme()
    ring = [newcomer() for _each in range(5)]
    for number, member in enumerate(ring):
        come(member, ring[number - 1])
        join(member)
    honest = bring(people.ann)
    settle(AT + DAY)

    assert states() == ["HELD"] * 5 + ["PAID"]
    assert all("ring" in each for each in keys()[:5])
    assert sentences(Referral.objects.earliest("pk").reasons)[0] == "5 人互相邀请，形成一圈。"
    assert points(*ring, people.ann, honest) == [0] * 5 + [200, 100]


def test_a_circle_that_closes_late_takes_in_those_who_were_rewarded(people):
    make_programme()
    one, two = newcomer(), newcomer()
    come(two, one)
    join(two)
    settle(AT + DAY)
    assert states() == ["PAID"]
    # Nothing a front end does ties an older person; records that are joined can.
    late = Referral.objects.create(
        programme_id=Referral.objects.get().programme_id, inviter=two, invited=one, bound_at=AT, state="WAITING",
        act_at=AT, due_at=AT,
    )  # fmt: skip
    settle(AT + DAY)

    assert (states(), late.pk) == (["DOUBTED", "HELD"], Referral.objects.latest("pk").pk)
    services.decide(referral_id=Referral.objects.earliest("pk").pk, approve=False, reason="刷的", by="林", at=AT + DAY)
    settle(AT + DAY)
    assert (states(), points(one, two)) == (["RETURNED", "HELD"], [0, 0])


@pytest.mark.parametrize("shape", ["star", "chain"])
def test_five_accounts_on_one_device_are_held(people, shape):
    make_programme(fast=50)
    services.note_signs(member_id=people.ann.pk, signs={"DEVICE": "phone of five"}, at=AT)
    inviter = people.ann
    for number in range(4):
        at = AT + number * DAY
        friend = bring(inviter, at, device="phone of five")
        inviter = friend if shape == "chain" else inviter
    settle(AT + 9 * DAY)

    assert states() == ["HELD"] * 4
    assert all("inviter_sign" in each and "shared_sign" in each for each in keys())


def test_speed_and_silence_are_held_and_a_person_who_buys_is_not_silent(people):
    make_programme(fast=2)
    for _each in range(3):
        bring(people.ann)
    for number in range(4):
        bring(people.ben, AT + number * DAY)
    settle(AT + 9 * DAY)
    assert keys() == [["fast"]] * 3 + [["quiet"]] * 4

    row = Referral.objects.latest("pk")
    bought(Member.objects.get(pk=row.invited_id), "SO1", 100, AT + 9 * DAY)
    bring(people.ben, AT + 10 * DAY)
    settle(AT + 12 * DAY)
    assert states()[-1] == "PAID"


def test_a_household_on_one_network_is_no_ring_and_many_are(people):
    make_programme(fast=50)
    for number in range(4):
        friend = newcomer(AT + number * DAY)
        services.note_signs(member_id=friend.pk, signs={"NETWORK": "1.2.3.4"}, at=AT + number * DAY)
        come(friend, people.ann if number % 2 else people.ben, AT + number * DAY)
        join(friend, AT + number * DAY)
        settle(AT + (number + 1) * DAY)
    assert states() == ["PAID"] * 3 + ["HELD"]
    assert Sign.objects.exclude(kind="NETWORK").count() == 0


def test_limits_of_an_inviter_leave_the_invited_their_reward(people):
    make_programme(per_day=1, per_month=2, in_all=3)
    friends = [bring(people.ann, AT + number * 8 * DAY) for number in range(5)]
    for friend in friends:
        bought(friend, f"SO{friend.pk}", 100, AT + 40 * DAY)
    settle(AT + 40 * DAY)  # all on one day
    given = list(Referral.objects.order_by("pk").values_list("inviter_given", "invited_given"))
    assert given == [("GIVEN", "GIVEN")] + [("LIMIT", "GIVEN")] * 4
    assert points(people.ann, *friends) == [200] + [100] * 5


def test_only_an_order_of_enough_within_the_days_counts_and_a_refund_takes_back(people):
    make_programme(
        act="ORDER", at_least=9_900, within_days=10, invited_template=make_template("首单券", claimable=False)
    )
    kept, returned, small, late, early = (bring(people.ann, AT + number * DAY) for number in range(5))
    bought(small, "S", 9_899, AT + 5 * DAY)
    bought(late, "L", 9_900, AT + 20 * DAY)
    bought(kept, "K", 10_000, AT + 5 * DAY)
    order = bought(returned, "R", 20_000, AT + 5 * DAY)
    soon = bought(early, "E", 20_000, AT + 5 * DAY)
    settle(AT + 5 * DAY)
    sent_back(soon, "E1", 20_000, AT + 5 * DAY)
    settle(AT + 20 * DAY)
    assert states() == ["PAID", "PAID", "LAPSED", "LAPSED", "REFUSED"]
    assert keys()[4] == ["refunded"]
    assert points(people.ann, kept, returned) == [400, 100, 100]

    sent_back(order, "R1", 10_000, AT + 21 * DAY)  # enough is left
    settle(AT + 21 * DAY)
    assert states()[1] == "PAID"
    sent_back(order, "R2", 200, AT + 21 * DAY)
    for _round in range(2):
        settle(AT + 21 * DAY)
    assert states()[:2] == ["PAID", "RETURNED"]
    assert points(people.ann, kept, returned) == [200, 100, 0]
    assert sorted(Coupon.objects.values_list("member_id", "state")) == [(kept.pk, "UNUSED"), (returned.pk, "VOID")]


def test_following_by_the_picture_counts_only_for_who_follows_for_the_first_time(people):
    make_programme(act="FOLLOW")
    scene = f"inv_{code_of(people.ann)}"
    fan = make_follower(people.account)
    touch = record_touch(follower=fan, scene=scene, is_follow=True, at=AT)
    old = Follower.objects.get(member=people.ben)
    record_touch(follower=old, scene=scene, is_follow=False, at=AT)
    record_touch(follower=make_follower(people.account), scene="inv_nonsense", is_follow=True, at=AT)
    settle(AT + DAY)

    assert touch.touchpoint_id is None
    assert list(Referral.objects.values_list("invited_id", "state")) == [(fan.member_id, "PAID")]


def test_records_that_become_one_are_paid_once_and_never_for_oneself(people):
    make_programme()
    friend, self_made = bring(people.ann), bring(people.ann, AT + DAY)
    merge_members(kept=people.ann, merged=self_made, evidence="phone", at=AT + DAY)
    twin = bring(people.ben, AT + DAY)
    merge_members(kept=friend, merged=twin, evidence="unionid", at=AT + DAY)
    settle(AT + 3 * DAY)

    assert states() == ["PAID", "REFUSED", "REFUSED"]
    assert keys() == [[], ["same_person"], ["twice"]]
    assert points(people.ann, people.ben, friend) == [200, 0, 100]


def test_who_invites_under_two_records_has_one_limit_and_undo_gives_them_back(people):
    make_programme(in_all=1)
    first, second = bring(people.ann), bring(people.ben, AT + 2 * DAY)
    merge_members(kept=people.ann, merged=people.ben, evidence="phone", at=AT + 2 * DAY)
    settle(AT + 4 * DAY)
    assert points(people.ann, first, second) == [200, 100, 100]
    assert set(Invitation.objects.values_list("member_id", flat=True)) == {people.ann.pk}
    undo_merge(record=MergeRecord.objects.get(), reason="错了", by="林", at=AT + 5 * DAY)
    assert list(Referral.objects.order_by("pk").values_list("inviter_id", flat=True)) == [people.ann.pk, people.ben.pk]
    assert Invitation.objects.filter(member=people.ben).count() == 1


def test_flagged_people_get_nothing_for_it(people):
    make_programme()
    staff = bring(people.ann)
    set_flag(member_id=staff.pk, kind="STAFF", since=None, reason="店员", by="林", at=AT)
    settle(AT + DAY)
    assert (states(), keys()) == (["REFUSED"], [["left_out"]])


def test_a_decision_gives_or_refuses_what_was_held_once_and_is_written_down(people):
    from accounts.models import AuditEntry

    make_programme(fast=1)
    for _each in range(2):
        bring(people.ann)
    settle(AT + DAY)
    one, two = Referral.objects.order_by("pk").values_list("pk", flat=True)
    with pytest.raises(DecisionRefused):
        services.decide(referral_id=one, approve=True, reason=" ", by="林", at=AT + DAY)
    services.decide(referral_id=one, approve=True, reason="聚会上认识的", by="林", at=AT + DAY)
    services.decide(referral_id=two, approve=False, reason="小号", by="林", at=AT + DAY)
    for approve in (True, False):
        with pytest.raises(DecisionRefused):
            services.decide(referral_id=two, approve=approve, reason="再来", by="林", at=AT + DAY)

    assert (states(), points(people.ann)) == (["PAID", "REFUSED"], [200])
    said = AuditEntry.objects.filter(object_type="referrals.referral").order_by("pk")
    assert list(said.values_list("action", "reason")) == [
        ("approve invitation", "聚会上认识的"),
        ("refuse invitation", "小号"),
    ]


@pytest.mark.parametrize("where", ["invitations: given, not committed", "invitations: taken back, not committed"])
def test_worker_that_dies_gives_and_takes_once(people, monkeypatch, where):
    make_programme(act="ORDER", at_least=100)
    friend = bring(people.ann)
    order = bought(friend, "SO1", 100)

    def die():
        monkeypatch.delitem(failpoints.armed, where)
        raise KeyboardInterrupt

    monkeypatch.setitem(failpoints.armed, where, die)
    for at in (AT + DAY, AT + DAY, AT + 2 * DAY, AT + 2 * DAY):
        try:
            settle(at)
        except KeyboardInterrupt:
            continue
        if not order.body and at == AT + DAY and states() == ["PAID"]:
            assert points(people.ann, friend) == [200, 100]
            sent_back(order, "R1", 100, at)
            order.body = {"sent": True}
    settle(AT + 2 * DAY)
    assert (states(), points(people.ann, friend)) == (["RETURNED"], [0, 0])
    assert Journal.objects.filter(kind="EARN", source="referral").count() == 2


def test_deletion_forgets_code_and_fingerprints_and_ends_what_waits(people):
    make_programme()
    friend = bring(people.ann, device="phone")
    erase_member(member=friend, reason="asked", at=AT)
    settle(AT + DAY)
    assert (states(), keys()) == (["REFUSED"], [["gone"]])
    assert Sign.objects.filter(member=friend).count() == 0
    assert points(people.ann) == [0]


def test_who_is_deleted_after_the_reward_holds_up_nobody_elses_return(people):
    make_programme(act="ORDER", at_least=100, name="礼", inviter_template=make_template("谢礼", claimable=False))
    gone, other = bring(people.ann), bring(people.ann, AT + DAY)
    orders = [bought(each, f"D{each.pk}", 200, AT + 2 * DAY) for each in (gone, other)]
    settle(AT + 12 * DAY)
    assert states() == ["PAID", "PAID"]
    erase_member(member=people.ann, reason="asked", at=AT + 12 * DAY)
    for number, order in enumerate(orders):
        sent_back(order, f"B{number}", 200, AT + 13 * DAY)
    settle(AT + 13 * DAY)
    assert states() == ["RETURNED", "RETURNED"]


def test_programmes_that_cannot_be_are_refused_in_words(people):
    from referrals.errors import ProgrammeInvalid

    make_programme(last_day=(AT + 9 * DAY).date())
    for field, more in {
        "last_day": {"last_day": (AT - DAY).date()},
        "at_least": {"act": "ORDER", "at_least": 0},
        "inviter_points": {"inviter_points": 0, "invited_points": 0},
        "invited_points": {"invited_points": 1_000_001},
        "invited_template": {"invited_template": make_template(active=False)},
        "first_day": {},
    }.items():
        with pytest.raises(ProgrammeInvalid) as refused:
            make_programme(**more)
        assert refused.value.field == field
    make_programme(at=AT + 10 * DAY)
