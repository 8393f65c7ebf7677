"""Tags that wait for people: given at the first match, once, by phone or UnionID, in whatever order things happen."""

from datetime import timedelta

import pytest
from django.db import connection, transaction

from accounts.tenancy import brand_scope
from members.errors import PreTagInvalid
from members.models import MemberTag, PreTag
from members.services import (
    bind_phone,
    expire_tags,
    link_unionid,
    pre_tag,
    record_mini_program_user,
    untag_members,
)
from members.services.followers import _meet
from tests.factories import AT, make_account, make_follower, make_tag

DAY = timedelta(days=1)
PHONE = "+8613800000001"


def carried(member):
    rows = MemberTag.objects.filter(member=member).order_by("tag__name")
    return [(row.tag.name, row.source, row.expires_at) for row in rows]


def wait_for(tag, *values, kind="PHONE", **more):
    return pre_tag(kind=kind, values=values or [PHONE], tag_ids=[tag.pk], source="2025 老客名单", at=AT, **more)


def test_tag_is_given_when_the_phone_is_bound_once(in_brand):
    tag = make_tag("老客")
    assert wait_for(tag, tag_until=AT + 90 * DAY).waiting == 1
    member = bind_phone(member=make_follower(make_account()).member, number="13800000001", source="t", at=AT + DAY)
    assert carried(member) == [("老客", "list: 2025 老客名单", AT + 90 * DAY)]

    untag_members(member_ids=[member.pk], tag_ids=[tag.pk], at=AT + 2 * DAY)
    other = bind_phone(member=member, number="13800000002", source="t", at=AT + 3 * DAY)
    back = bind_phone(member=other, number="13800000001", source="t", at=AT + 4 * DAY)
    assert carried(back) == []
    assert PreTag.objects.get().member_id == member.pk


def test_tag_by_unionid_is_given_on_each_way_it_can_be_met(in_brand):
    account, tag = make_account(), make_tag("老客")
    wait_for(tag, "u1", "u2", "u3", kind="UNIONID")
    first = record_mini_program_user(appid="wxmini", openid="o1", unionid="u1", subject="subject", at=AT)
    second = link_unionid(
        member=make_follower(account).member, subject="subject", unionid="u2", source="user info", at=AT
    )
    row = {"openid": "oBulk", "unionid": "u3", "subscribe": 1, "subscribe_time": int(AT.timestamp())}
    plain = {"openid": "oPlain", "unionid": "u9", "subscribe": 1, "subscribe_time": int(AT.timestamp())}

    assert [name for name, _source, _end in carried(first) + carried(second)] == ["老客", "老客"]
    assert _meet(account, [row, plain], AT) == {"oPlain"}  # whom a tag awaits takes the careful path


def test_who_is_known_is_tagged_at_once_and_a_repeat_waits_once(in_brand):
    tag = make_tag("老客")
    member = bind_phone(member=make_follower(make_account()).member, number="13800000001", source="t", at=AT)
    first = wait_for(tag, PHONE, "+8613800000002")
    second = wait_for(tag, PHONE, "+8613800000002", valid_until=AT + DAY)

    assert (first.tagged, first.waiting, first.repeated) == (1, 1, 0)
    assert (second.tagged, second.waiting, second.repeated) == (1, 0, 1)
    assert [name for name, _source, _end in carried(member)] == ["老客"]
    assert PreTag.objects.get().valid_until == AT + DAY


def test_what_waited_too_long_is_not_given(in_brand):
    account = make_account()
    late, ended = make_tag("过期名单"), make_tag("过期标签")
    wait_for(late, valid_until=AT + DAY)
    wait_for(ended, tag_until=AT + DAY)
    member = bind_phone(member=make_follower(account).member, number="13800000001", source="t", at=AT + DAY)

    assert carried(member) == []
    assert expire_tags(at=AT + 9 * DAY) == 0


def test_list_of_another_brand_tags_nobody_here(brand, other_brand):
    with brand_scope(other_brand.pk):
        wait_for(make_tag("老客"))
        wait_for(make_tag("联盟"), "u1", kind="UNIONID")
    with brand_scope(brand.pk):
        member = bind_phone(member=make_follower(make_account()).member, number="13800000001", source="t", at=AT)
        member = link_unionid(member=member, subject="subject", unionid="u1", source="t", at=AT)
        assert carried(member) == []
    with brand_scope(other_brand.pk):
        assert PreTag.objects.filter(applied_at=None).count() == 2


def test_faulty_list_names_the_field(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = make_tag("别家")
    with brand_scope(brand.pk):
        tag = make_tag("老客")
        for bad, field in (
            ({"source": " "}, "source"),
            ({"source": "x" * 41}, "source"),
            ({"kind": "OPENID"}, "source"),
            ({"values": []}, "values"),
            ({"values": [str(number) for number in range(1001)]}, "values"),
            ({"tag_ids": []}, "tags"),
            ({"tag_ids": [foreign.pk]}, "tags"),
            ({"valid_until": AT}, "until"),
            ({"tag_until": AT - DAY}, "until"),
        ):
            given = {"kind": "PHONE", "values": [PHONE], "tag_ids": [tag.pk], "source": "名单"} | bad
            with pytest.raises(PreTagInvalid) as refused, transaction.atomic():
                pre_tag(at=AT, **given)
            assert refused.value.field == field
        assert PreTag.objects.count() == 0


@pytest.mark.parametrize("kind", ["PHONE", "UNIONID"])
def test_a_list_waits_for_whoever_shows_one_of_its_identities_in_the_same_moment(in_brand, kind):
    """The same locks as those of binding a phone and linking a UnionID, so that neither misses the other."""
    account, tag = make_account(open_platform_subject="subject"), make_tag("老客")

    def locked(act):
        """The advisory locks this transaction has taken more by then."""
        with connection.cursor() as cursor:
            asked = "SELECT classid, objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            cursor.execute(asked)
            before = set(cursor.fetchall())
            act()
            cursor.execute(asked)
            return set(cursor.fetchall()) - before

    def shows():
        member = make_follower(account).member
        if kind == "PHONE":
            bind_phone(member=member, number="13800000001", source="t", at=AT)
        else:
            link_unionid(member=member, subject="subject", unionid="u1", source="t", at=AT)

    with transaction.atomic():
        theirs = locked(shows)
        transaction.set_rollback(True)
    with transaction.atomic():
        ours = locked(lambda: wait_for(tag, *(["u1"] if kind == "UNIONID" else []), kind=kind))
    assert theirs
    assert theirs <= ours
