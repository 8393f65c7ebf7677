"""Who follows, who is who: the time of events decides, and two traces of one person become one record."""

import itertools
from datetime import timedelta
from threading import Thread

import pytest
from django.db import connection, transaction

from accounts.tenancy import brand_scope
from members.errors import PhoneInvalid, PhoneTaken
from members.models import Follower, Identity, Member, MemberTag, MergeRecord
from members.services import (
    bind_phone,
    follower_of,
    link_unionid,
    look_up_followers,
    mark_unfollowed,
    record_contact,
    record_follow,
    record_interaction,
    record_mini_program_user,
    record_unfollow,
    tag_members,
    untag_members,
)
from members.services.followers import keep_profile
from tests.factories import AT, make_account, make_follower, make_tag
from wechat_gateway.events import Push

SECOND = timedelta(seconds=1)


def follower_after(account, openid, events):
    for kind, at in events:
        follower = record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=at)
        {"follow": record_follow, "unfollow": record_unfollow}[kind](follower=follower, at=at)
    return Follower.objects.select_related("member").get(account=account, openid=openid)


def test_order_of_arrival_does_not_matter(in_brand):
    account = make_account()
    events = [("follow", AT), ("unfollow", AT + SECOND), ("follow", AT + 2 * SECOND), ("unfollow", AT + 3 * SECOND)]
    for last in (events[:3], events):
        states = set()
        for number, order in enumerate(itertools.permutations(last)):
            follower = follower_after(account, f"o{len(last)}-{number}", order)
            states.add((follower.subscribed, follower.member.subscribed))

        assert states == {(last is not events, last is not events)}


def test_repeated_follow_counts_once(in_brand):
    follower = follower_after(make_account(), "oA", [("follow", AT)] * 3)

    assert follower.follow_count == 1


def test_unfollow_of_somebody_unknown_is_recorded_as_gone(in_brand):
    follower = follower_after(make_account(), "oA", [("unfollow", AT)])

    assert (follower.subscribed, follower.unfollowed_at) == (False, AT)


def test_profile_dates_the_leave_it_finds_and_not_the_one_before_they_came_back(in_brand):
    account = make_account()
    follower = follower_after(account, "oA", [("follow", AT), ("unfollow", AT + SECOND), ("follow", AT + 2 * SECOND)])
    gone = {"subscribe": 0, "openid": "oA"}
    for at in (AT + 9 * SECOND, AT + 20 * SECOND):  # asked again, they are still gone since the first answer
        keep_profile(account=account, follower=follower, profile=gone, at=at)
        assert (follower.subscribed, follower.unfollowed_at) == (False, AT + 9 * SECOND)


def test_member_stays_subscribed_while_one_account_is_followed(in_brand):
    one, other = make_account(), make_account()
    first = make_follower(one)
    second = make_follower(other)
    member = link_unionid(member=first.member, subject="s", unionid="u", source="t", at=AT)
    member = link_unionid(member=second.member, subject="s", unionid="u", source="t", at=AT)
    mark_unfollowed(account_id=one.pk, openids=[first.openid], at=AT)
    member.refresh_from_db()
    assert member.subscribed

    mark_unfollowed(account_id=other.pk, openids=[second.openid], at=AT)
    member.refresh_from_db()
    assert not member.subscribed


def test_interaction_only_moves_forward(in_brand):
    follower = make_follower(make_account())
    for at in (AT + 2 * SECOND, AT + SECOND):
        record_interaction(follower=follower, at=at)
    follower.refresh_from_db()

    assert follower.last_interaction_at == AT + 2 * SECOND
    assert Member.objects.get(pk=follower.member_id).last_interaction_at == AT + 2 * SECOND


def test_mini_program_user_with_the_followers_unionid_is_the_same_member(in_brand):
    follower = make_follower(make_account())
    link_unionid(member=follower.member, subject="s", unionid="uX", source="t", at=AT)
    member = record_mini_program_user(appid="wxmini", openid="oMini", unionid="uX", subject="s", at=AT)

    assert member.pk == follower.member_id


def test_log_in_before_the_unionid_is_known_merges_later(in_brand):
    mini = record_mini_program_user(appid="wxmini", openid="oMini", unionid="uX", subject="s", at=AT)
    follower = make_follower(make_account(), at=AT + SECOND)
    kept = link_unionid(member=follower.member, subject="s", unionid="uX", source="user info", at=AT)
    follower.refresh_from_db()

    assert kept.pk == mini.pk == follower.member_id
    assert kept.subscribed
    assert MergeRecord.objects.get().evidence == "unionid (user info)"
    assert set(Identity.objects.values_list("member_id", flat=True)) == {kept.pk}


def test_merge_keeps_tags_of_both_and_the_older_dates(in_brand):
    account = make_account()
    older, newer = make_follower(account), make_follower(account, at=AT + SECOND)
    one, two = make_tag("一"), make_tag("二")
    tag_members(member_ids=[older.member_id, newer.member_id], tag_ids=[one.pk], source="t", at=AT)
    tag_members(member_ids=[newer.member_id], tag_ids=[two.pk], source="t", at=AT)
    for follower in (older, newer):
        kept = link_unionid(member=follower.member, subject="s", unionid="u", source="t", at=AT)

    assert kept.pk == older.member_id
    assert kept.tag_ids == [one.pk, two.pk]
    assert MemberTag.objects.filter(member=kept).count() == 2
    assert MemberTag.objects.count() == 2


def test_same_unionid_with_two_phones_is_left_for_a_person(in_brand):
    account = make_account()
    first, second = make_follower(account), make_follower(account)
    bind_phone(member=first.member, number="13800000001", source="t", at=AT)
    bind_phone(member=second.member, number="13800000002", source="t", at=AT)
    link_unionid(member=first.member, subject="s", unionid="u", source="t", at=AT)
    second.member.refresh_from_db()
    stays = link_unionid(member=second.member, subject="s", unionid="u", source="t", at=AT)

    assert stays.pk == second.member_id
    assert MergeRecord.objects.count() == 0


def test_phone_of_another_wechat_user_is_taken(in_brand):
    account = make_account()
    bind_phone(member=make_follower(account).member, number="13800000001", source="t", at=AT)
    with pytest.raises(PhoneTaken):
        bind_phone(member=make_follower(account).member, number="+86 138-0000-0001", source="t", at=AT)


def test_phone_known_from_elsewhere_brings_both_records_together(in_brand):
    card = record_mini_program_user(appid="wxother", openid="o1", unionid="", subject="", at=AT)
    bind_phone(member=card, number="13800000001", source="t", at=AT)
    follower = make_follower(make_account())
    member = bind_phone(member=follower.member, number="13800000001", source="t", at=AT)

    assert member.pk == card.pk
    assert (member.phone.reveal(), member.subscribed) == ("+8613800000001", True)


def test_binding_again_changes_nothing(in_brand):
    follower = make_follower(make_account())
    first = bind_phone(member=follower.member, number="13800000001", source="t", at=AT)
    second = bind_phone(member=first, number="13800000001", source="t", at=AT + SECOND)

    assert (second.pk, second.joined_at) == (first.pk, AT)


def test_same_phone_in_two_brands_is_two_people(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            bind_phone(member=make_follower(make_account()).member, number="13800000001", source="t", at=AT)
            assert Member.objects.filter(phone_tail="0001").count() == 1


@pytest.mark.parametrize("number", ["", "110", "1380000000", "138000000001", "abc", "12345678901x", "+1", "２"])
def test_number_that_reaches_nobody_is_refused(in_brand, number):
    with pytest.raises(PhoneInvalid):
        bind_phone(member=make_follower(make_account()).member, number=number, source="t", at=AT)


def test_tag_rows_and_array_stay_equal(in_brand):
    member = make_follower(make_account()).member
    one, two = make_tag("一"), make_tag("二")
    new = tag_members(member_ids=[member.pk], tag_ids=[two.pk, one.pk, one.pk], source="t", at=AT)
    again = tag_members(member_ids=[member.pk], tag_ids=[one.pk], source="t", at=AT)
    member.refresh_from_db()
    assert (new, again, member.tag_ids) == (2, 0, [one.pk, two.pk])

    untag_members(member_ids=[member.pk], tag_ids=[one.pk])
    member.refresh_from_db()
    assert member.tag_ids == [two.pk]


def pushes_of(account, openid, count=2):
    return [
        Push(
            brand_id=account.brand_id, account_id=account.pk, appid=account.appid, original_id=account.original_id,
            openid=openid, kind="text", event_at=AT, received_at=AT,
        )
        for _ in range(count)
    ]  # fmt: skip


def test_somebody_new_with_two_pushes_at_once_is_met_once(in_brand):
    first, second = pushes_of(make_account(), "oNew")
    look_up_followers([first, second])

    assert follower_of(first) is follower_of(second)
    assert (Follower.objects.count(), Member.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_who_leaves_two_accounts_at_once_follows_none(brand):
    with brand_scope(brand.pk):
        one, other = make_account(), make_account()
        first, second = make_follower(one), make_follower(other)
        for each in (first, second):
            member = link_unionid(member=each.member, subject="s", unionid="u", source="t", at=AT)

    def leave():
        try:
            with brand_scope(brand.pk):
                mark_unfollowed(account_id=other.pk, openids=[second.openid], at=AT)
        finally:
            connection.close()

    beside = Thread(target=leave)
    with brand_scope(brand.pk), transaction.atomic():
        mark_unfollowed(account_id=one.pk, openids=[first.openid], at=AT)
        beside.start()
        beside.join(0.3)
    beside.join(30)
    with brand_scope(brand.pk):
        member.refresh_from_db()
        assert not member.subscribed


def test_somebody_whom_another_met_since_the_look_up_has_one_record(in_brand):
    account = make_account()
    (push,) = pushes_of(account, "oNew", count=1)
    look_up_followers([push])
    met = record_contact(account_id=account.pk, appid=account.appid, openid="oNew", at=AT)

    assert follower_of(push).pk == met.pk
    assert Member.objects.count() == 1
