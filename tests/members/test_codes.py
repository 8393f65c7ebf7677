"""The member code: changes, works once, within half a minute, in its own brand; a picture of it is worth nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from accounts.tenancy import brand_scope
from members.errors import CodeExpired, CodeKeyReused, CodeNotForYou, CodeUnknown, CodeUsed, TillClockOff
from members.models import CodeUse, Member
from members.services import current_code, merge_members, use_code
from tests.factories import AT, make_account, make_follower, make_member

SECOND = timedelta(seconds=1)


@pytest.fixture
def member(in_brand):
    return make_member(make_account(), joined_at=AT)


def take(code, key="k", at=AT, **more):
    return use_code(code=code, actor="key:1", key=key, at=at, **more)


def test_it_changes_every_half_minute_and_says_when(member):
    shown = [current_code(member_id=member.pk, at=AT + n * SECOND) for n in (0, 29, 30, 60)]

    assert [each.seconds_left for each in shown] == [30, 1, 30, 30]
    assert shown[0].code == shown[1].code
    assert len({each.code for each in shown}) == 3


@pytest.mark.parametrize("skew", [-30, -1, 0, 1, 30])
def test_a_till_half_a_minute_off_reads_it(member, skew):
    shown = current_code(member_id=member.pk, at=AT)
    late = AT + 29 * SECOND
    assert take(shown.code, at=late, scanned_at=late + skew * SECOND)[1].pk == member.pk


def test_later_it_is_a_picture_and_refused(member):
    shown = current_code(member_id=member.pk, at=AT)
    for seconds in (60, 90, 1200):
        with pytest.raises(CodeExpired):
            take(shown.code, at=AT + seconds * SECOND)
    for off in (-61, 61):
        with pytest.raises(TillClockOff):
            take(shown.code, scanned_at=AT + off * SECOND)
    assert not CodeUse.objects.exists()


def test_once_it_or_a_newer_one_was_taken_it_is_worth_nothing(member):
    picture = current_code(member_id=member.pk, at=AT).code
    newer = current_code(member_id=member.pk, at=AT + 30 * SECOND).code
    use, _member = take(newer, "first", at=AT + 30 * SECOND)
    for code, key in ((newer, "second"), (picture, "third")):
        with pytest.raises(CodeUsed):
            take(code, key, at=AT + 31 * SECOND)
    assert take(newer, "first", at=AT + 3600 * SECOND)[0].pk == use.pk  # the same scan, sent again
    with pytest.raises(CodeKeyReused):
        take(picture, "first", at=AT + 31 * SECOND)


@pytest.mark.parametrize("change", [lambda c: c[:9] + chr((ord(c[9]) - 47) % 10 + 48) + c[10:], lambda c: "０" + c[1:],
                                    lambda c: c[:10], lambda c: c + "1", lambda c: "", lambda c: c + " "])  # fmt: skip
def test_what_is_not_the_code_is_nobodys(member, change):
    code = current_code(member_id=member.pk, at=AT).code
    with pytest.raises(CodeUnknown):
        take(change(code))


def test_visitors_have_none_and_another_brand_reads_none(brand, other_brand):
    with brand_scope(brand.pk):
        visitor = make_follower(make_account()).member
        with pytest.raises(CodeNotForYou):
            current_code(member_id=visitor.pk, at=AT)
        mine = make_member(make_account(), joined_at=AT)
        code = current_code(member_id=mine.pk, at=AT).code
    with brand_scope(other_brand.pk):
        twin = make_member(make_account(), joined_at=AT, member_no=mine.member_no)
        assert current_code(member_id=twin.pk, at=AT).code != code
        with pytest.raises(CodeUnknown):
            take(code)


def test_a_code_shown_before_a_merge_leads_to_who_stays(member):
    other = make_member(make_account(), joined_at=AT)
    code = current_code(member_id=other.pk, at=AT).code
    merge_members(kept=member, merged=other, evidence="t", at=AT)
    assert take(code)[1].pk == member.pk


@pytest.mark.django_db(transaction=True)
def test_of_tills_at_once_exactly_one_takes_it(brand):
    with brand_scope(brand.pk):
        member = make_member(make_account(), joined_at=AT)
        code = current_code(member_id=member.pk, at=AT).code
    gate = threading.Barrier(6)

    def till(number):
        try:
            gate.wait(timeout=30)
            with brand_scope(brand.pk):
                take(code, f"till-{number % 3}")  # each till asks twice with one key
            return "taken"
        except CodeUsed:
            return "used"
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(till, range(6)))
    with brand_scope(brand.pk):
        assert CodeUse.objects.count() == 1
        assert Member.objects.get(pk=member.pk)
    assert found.count("taken") == 2  # whoever won asked twice, and was told the same twice
