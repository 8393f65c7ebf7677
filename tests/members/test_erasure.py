"""Unfollowing and withdrawing start a clock; what happens within and after the grace."""

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common.errors import Invalid
from members import services
from members.models import (
    Consent,
    ErasureClock,
    ErasureReason,
    ErasureState,
    Follower,
    Identity,
    Member,
    PrivacyPolicy,
)
from members.services import tag_members
from tests.factories import AT, make_account, make_follower, make_member, make_tag
from tests.wechat_gateway import forge
from wechat_gateway.models import InboundPush
from wechat_gateway.services import handle_inbound

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def person(in_brand):
    """Somebody who follows, with a name, a tag and a message."""
    account = make_account()
    member = make_member(account, name="陈子涵", city="上海", phone_tail="6721")
    follower = member.followers.get()
    tag_members(member_ids=[member.pk], tag_ids=[make_tag().pk], source="code: x", at=AT)
    push(follower, forge.text_message("我住在静安"), "text", state="HANDLED")
    return follower


def push(follower, body, kind, state="NEW"):
    number = InboundPush.objects.count() + 1
    return InboundPush.objects.create(
        account=follower.account, dedupe_key=f"{number:032x}", digest=f"{number:032x}", kind=kind,
        openid=follower.openid, lane=0, event_at=AT, received_at=AT, body=body, state=state,
    )  # fmt: skip


def clocks():
    return list(ErasureClock.objects.order_by("pk").values_list("reason", "state"))


def leave(follower, at):
    services.record_unfollow(follower=follower, at=at)


def come(account, openid, at):
    follower = services.record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=at)
    services.record_follow(follower=follower, at=at)
    return follower


def test_whoever_follows_again_within_the_grace_finds_everything_as_it_was(person):
    openid, member_id = person.openid, person.member_id
    leave(person, AT + DAY)
    assert clocks() == [("UNFOLLOWED", "RUNNING")]

    again = come(person.account, openid, AT + 5 * DAY)
    assert clocks() == [("UNFOLLOWED", "STOPPED")]
    services.erase_due(person.brand_id, at=AT + 60 * DAY)

    member = Member.objects.get(pk=member_id)
    assert again.member_id == member_id
    assert (member.name, member.city, member.erased_at) == ("陈子涵", "上海", None)
    assert len(member.tag_ids) == 1
    assert InboundPush.objects.filter(openid=openid).count() == 1
    assert clocks() == [("UNFOLLOWED", "STOPPED")]


def test_whoever_follows_again_after_the_grace_is_met_for_the_first_time(person):
    openid, member_id = person.openid, person.member_id
    services.give_consent(member=person.member, purpose="MARKETING", text_version="1", source="mini program", at=AT)
    leave(person, AT + DAY)

    assert services.erase_due(person.brand_id, at=AT + 8 * DAY - timedelta(seconds=1)) == 0
    assert services.erase_due(person.brand_id, at=AT + 8 * DAY) == 1
    again = come(person.account, openid, AT + 9 * DAY)

    old = Member.objects.get(pk=member_id)
    assert again.member_id != member_id
    assert (old.name, old.city, old.phone_tail, old.tag_ids, old.erased_at) == ("", "", "", [], AT + 8 * DAY)
    assert not Identity.objects.filter(member=old).exists()
    assert not InboundPush.objects.filter(openid=openid).exists()
    assert not Follower.objects.filter(member=old, openid=openid).exists()
    assert Consent.objects.filter(member=old).count() == 1  # a ledger, without name or OpenID
    assert Member.objects.get(pk=again.member_id).name == ""
    assert ErasureClock.objects.get().erased == {"identities": 1, "member": 1, "pushes": 1, "tags": 1}


def test_member_who_joined_keeps_the_membership_and_loses_what_the_account_knew(person):
    Member.objects.filter(pk=person.member_id).update(joined_at=AT)
    openid = person.openid
    leave(person, AT + DAY)
    services.erase_due(person.brand_id, at=AT + 30 * DAY)

    member = Member.objects.get(pk=person.member_id)
    assert (member.name, member.erased_at) == ("陈子涵", None)
    assert not InboundPush.objects.filter(openid=openid).exists()
    assert not Identity.objects.filter(value=openid).exists()


def test_person_who_follows_another_account_of_the_brand_stays(person):
    other = make_follower(make_account(name="第二个号"))
    Follower.objects.filter(pk=other.pk).update(member=person.member)
    leave(person, AT + DAY)
    services.erase_due(person.brand_id, at=AT + 30 * DAY)

    assert Member.objects.get(pk=person.member_id).name == "陈子涵"


def test_grace_is_the_brands_and_running_clocks_follow_it(person):
    leave(person, AT + DAY)
    services.set_privacy_policy(unfollow_grace_days=30, at=AT)
    assert ErasureClock.objects.get().due_at == AT + 31 * DAY
    assert services.erase_due(person.brand_id, at=AT + 30 * DAY) == 0

    services.set_privacy_policy(unfollow_grace_days=0, at=AT)

    assert services.erase_due(person.brand_id, at=AT + DAY) == 1
    assert PrivacyPolicy.objects.count() == 1
    for wrong in (-1, 91):
        with pytest.raises(Invalid):
            services.set_privacy_policy(unfollow_grace_days=wrong, at=AT)


def test_unfollow_older_than_the_last_follow_starts_no_clock(person):
    services.record_follow(follower=person, at=AT + 3 * DAY)
    leave(person, AT + DAY)

    assert clocks() == []


def test_unfollow_that_comes_twice_starts_one_clock(person):
    leave(person, AT + DAY)
    leave(person, AT + DAY + timedelta(seconds=5))

    assert clocks() == [("UNFOLLOWED", "RUNNING")]
    assert ErasureClock.objects.get().started_at == AT + DAY


@pytest.mark.parametrize(
    ("event", "fields", "reason", "what"),
    [
        ("user_authorization_revoke", {"RevokeInfo": "205"}, ErasureReason.REVOKED, "205"),
        ("user_authorization_cancellation", {}, ErasureReason.CANCELLED, ""),
        ("user_info_modified", {}, ErasureReason.MODIFIED, ""),
    ],
)
def test_each_word_of_wechat_about_a_persons_rights_starts_its_clock(person, event, fields, reason, what):
    body = forge.event(event, openid="oSystem", OpenID=person.openid, AppID=person.account.appid, **fields)
    body = body.replace(forge.ORIGINAL_ID, person.account.original_id)
    push(person, body, event)

    handle_inbound(brand_id=person.brand_id, lane=0, at=AT)

    clock = ErasureClock.objects.get()
    assert (clock.follower_id, clock.reason, clock.what) == (person.pk, reason, what)


def test_withdrawn_name_goes_and_the_rest_stays(person):
    services.start_clocks(followers=[person], reason=ErasureReason.REVOKED, at=AT, what="205")
    services.erase_due(person.brand_id, at=AT + DAY)

    member = Member.objects.get(pk=person.member_id)
    assert (member.name, member.city) == ("", "上海")
    assert ErasureClock.objects.get().state == ErasureState.DONE


def test_what_is_withdrawn_second_goes_too(person):
    """The name is withdrawn, and within its time everything else: neither stands for the other, neither runs twice."""
    for at, what in ((AT, "205"), (AT + timedelta(hours=3), "1"), (AT + timedelta(hours=6), "205")):
        services.start_clocks(followers=[person], reason=ErasureReason.REVOKED, at=at, what=what)
    assert list(ErasureClock.objects.order_by("pk").values_list("what", "started_at")) == [
        ("205", AT), ("1", AT + timedelta(hours=3))
    ]  # fmt: skip

    services.erase_due(person.brand_id, at=AT + DAY)
    member = Member.objects.get(pk=person.member_id)
    assert (member.name, member.city) == ("", "")
    assert clocks() == [("REVOKED", "DONE"), ("REVOKED", "DONE")]


def test_unknown_kind_of_withdrawal_means_all_of_them(person):
    services.start_clocks(followers=[person], reason=ErasureReason.REVOKED, at=AT, what="1")
    services.erase_due(person.brand_id, at=AT + DAY)

    member = Member.objects.get(pk=person.member_id)
    assert (member.name, member.city) == ("", "")


def test_closed_wechat_account_erases_even_a_joined_member(person):
    Member.objects.filter(pk=person.member_id).update(joined_at=AT)
    services.start_clocks(followers=[person], reason=ErasureReason.CANCELLED, at=AT)
    services.erase_due(person.brand_id, at=AT + DAY)

    assert Member.objects.get(pk=person.member_id).erased_at == AT + DAY


def test_closed_wechat_account_erases_the_person_at_every_account_of_the_brand(person):
    other = make_follower(make_account(name="第二个号"))
    left = make_follower(make_account(name="第三个号"))
    Follower.objects.filter(pk__in=(other.pk, left.pk)).update(member=person.member)
    push(other, forge.text_message("我也在这里"), "text", state="HANDLED")
    leave(Follower.objects.get(pk=left.pk), AT)
    services.start_clocks(followers=[person], reason=ErasureReason.CANCELLED, at=AT)

    services.erase_due(person.brand_id, at=AT + DAY)

    member = Member.objects.get(pk=person.member_id)
    rest = Follower.objects.filter(member=member)
    assert (member.erased_at, member.subscribed) == (AT + DAY, False)
    assert sorted(rest.values_list("openid", flat=True)) == sorted(f"erased-{row.pk}" for row in rest)
    assert not rest.filter(subscribed=True).exists()
    assert not InboundPush.objects.filter(openid__in=(person.openid, other.openid, left.openid)).exists()
    assert not ErasureClock.objects.filter(state=ErasureState.RUNNING).exists()
    assert services.erase_due(person.brand_id, at=AT + 60 * DAY) == 0


def test_whoever_comes_back_to_a_second_account_after_closing_is_somebody_new(person):
    second = make_account(name="第二个号")
    other = make_follower(second)
    Identity.objects.filter(member_id=other.member_id).update(member=person.member)
    Follower.objects.filter(pk=other.pk).update(member=person.member)
    services.start_clocks(followers=[person], reason=ErasureReason.CANCELLED, at=AT)
    services.erase_due(person.brand_id, at=AT + DAY)

    again = come(second, other.openid, AT + 2 * DAY)

    assert again.member_id != person.member_id


@pytest.fixture
def neighbour(other_brand):
    with brand_scope(other_brand.pk):
        follower = make_member(make_account(), name="灶客").followers.get()
        services.record_unfollow(follower=follower, at=AT + DAY)
        return follower


def test_each_brand_erases_its_own_people_after_its_own_grace(db, brand, neighbour):
    with brand_scope(brand.pk):
        mine = make_member(make_account(), name="澜客").followers.get()
        services.set_privacy_policy(unfollow_grace_days=20, at=AT)
        services.record_unfollow(follower=mine, at=AT + DAY)

    assert services.erase_due(brand.pk, at=AT + 10 * DAY) == 0
    assert services.erase_due(neighbour.brand_id, at=AT + 10 * DAY) == 1

    with brand_scope(brand.pk):
        assert Member.objects.get(pk=mine.member_id).name == "澜客"
    with brand_scope(neighbour.brand_id):
        assert Member.objects.get(pk=neighbour.member_id).name == ""
