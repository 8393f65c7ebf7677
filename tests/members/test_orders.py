"""One person in whatever order things happen: following, signing in, a phone, a card from the shop, a WeCom contact."""

import os
from datetime import timedelta
from itertools import permutations
from random import Random

import pytest

from accounts.tenancy import brand_scope
from members.models import Follower, Identity, Member, MemberTag
from members.selectors import surviving
from members.services import (
    Known,
    bind_phone,
    erase_member,
    link_unionid,
    meet,
    pre_tag,
    record_contact,
    record_follow,
    record_interaction,
    record_mini_program_user,
    record_unfollow,
    tag_members,
)
from members.services.people import new_member
from tests.factories import AT, make_account, make_tag

EVENTS = ("follow", "profile", "sign in", "phone", "card", "again", "wecom", "leave")
COUNT = int(os.environ.get("ZHIYIN_ORDERS", "14"))  # of 40,320; `make orders` tries 2,000
ORDERS = Random(13).sample(list(permutations(EVENTS)), COUNT)
# Somebody is erased in the middle of them: after how many events, and which.
ERASED = [(Random(number).randrange(1, len(EVENTS)), order) for number, order in enumerate(ORDERS)]


def happens(event, who, account, at):
    """One event of a person; each names them only by what WeChat or the shop knows in it."""
    openid, phone = f"oPerson{who:021d}", f"138{who:08d}"
    if event in {"follow", "again", "profile", "leave"}:
        follower = record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=at)
        if event == "leave":
            record_unfollow(follower=follower, at=at)
        elif event == "profile":
            link_unionid(member=follower.member, subject="subject", unionid=f"u{who}", source="user info", at=at)
        else:
            record_follow(follower=follower, at=at)
            record_interaction(follower=follower, at=at)
        return
    if event == "wecom":
        known = [Known("EXTERNAL", f"wm{who}", "corp"), Known("UNIONID", f"u{who}", "subject")]
        meet(identities=known, source="wecom", at=at)
        return
    if event == "card":
        known = Member.objects.filter(phone_tail=phone[-4:], merged_into=None, name=f"卡{who}").first()
        bind_phone(member=known or new_member(at=at), number=phone, source="POS", at=at)
        return
    member = record_mini_program_user(
        appid="wxmini", openid=f"oMini{who:022d}", unionid=f"u{who}", subject="subject", at=at
    )
    if event == "phone":
        bind_phone(member=member, number=phone, source="mini-program", at=at)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(word[:2] for word in order))
def test_every_order_leads_to_the_same_person(in_brand, order):
    account, tag, awaited = make_account(), make_tag("静安店"), make_tag("老客")
    pre_tag(kind="PHONE", values=["+8613800000001"], tag_ids=[awaited.pk], source="名单", at=AT)
    for minute, event in enumerate(order):
        happens(event, 1, account, AT + timedelta(minutes=minute))
        if event == "follow":
            member_id = Follower.objects.get().member_id
            tag_members(member_ids=[member_id], tag_ids=[tag.pk], source="code", at=AT + timedelta(minutes=minute))

    (person,) = Member.objects.filter(merged_into=None)
    assert {surviving(each).pk for each in Member.objects.all()} == {person.pk}
    ties = Identity.objects.filter(member=person, ended_at=None).values_list("kind", "namespace")
    openids = [("OPENID", account.appid), ("OPENID", "wxmini")]
    assert sorted(ties) == [("EXTERNAL", "corp"), *openids, ("PHONE", ""), ("UNIONID", "subject")]
    assert Identity.objects.exclude(member=person).count() == 0
    follows = order.index("leave") < max(order.index("follow"), order.index("again"))
    assert (person.phone_tail, person.subscribed, person.joined_at is not None) == ("0001", follows, True)
    assert sorted(MemberTag.objects.values_list("member_id", "tag__name")) == sorted(
        [(person.pk, "静安店"), (person.pk, "老客")]
    )
    assert sorted(person.tag_ids) == sorted([tag.pk, awaited.pk])
    assert person.created_at == AT


def known_today():
    """Everybody who is known, as what ties them together, without the numbers that differ from brand to brand."""
    people = Member.objects.filter(merged_into=None, erased_at=None)
    ties = {person.pk: [] for person in people}
    for member_id, kind, namespace, value in Identity.objects.filter(ended_at=None).values_list(
        "member_id", "kind", "namespace", "value"
    ):
        ties[member_id].append((kind, namespace if kind != "OPENID" else "", "" if kind == "PHONE" else value))
    return sorted(
        (sorted(ties[person.pk]), person.phone_tail, person.subscribed, person.joined_at, person.created_at)
        for person in people
    )


@pytest.mark.parametrize(("after", "order"), ERASED, ids=lambda each: str(each) if isinstance(each, int) else "")
def test_whoever_is_erased_stays_erased_and_comes_back_as_a_stranger(brand, other_brand, after, order):
    moments = [AT + timedelta(minutes=minute) for minute in range(len(order))]
    with brand_scope(brand.pk):
        account = make_account()
        for event, at in zip(order[:after], moments, strict=False):
            happens(event, 1, account, at)
        for person in Member.objects.filter(merged_into=None):
            erase_member(member=person, reason="t", at=moments[after])
        gone = set(Member.objects.values_list("pk", flat=True))
        for event, at in zip(order[after:], moments[after:], strict=True):
            happens(event, 1, account, at)

        erased = Member.objects.filter(pk__in=gone)
        assert not erased.filter(erased_at=None).exists()
        assert not erased.exclude(name="", phone_tail="", phone_masked="", subscribed=False, tag_ids=[]).exists()
        assert not Identity.objects.filter(member__in=gone).exists()
        assert not Follower.objects.filter(member__in=gone).exclude(openid__startswith="erased-").exists()
        assert not Member.objects.filter(merged_into__in=gone).exclude(pk__in=gone).exists()
        again = known_today()
    with brand_scope(other_brand.pk):
        stranger = make_account()
        for event, at in zip(order[after:], moments[after:], strict=True):
            happens(event, 1, stranger, at)
        assert again == known_today()
