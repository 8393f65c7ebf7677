"""Staff, test and blocked people: no rewards, no marketing, and reports restated from a day or from the start."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from loyalty.models import EarnRule, EarnRuleVersion
from loyalty.selectors.points import balance_of
from loyalty.services import Report, record_fact
from members.errors import CodeNotForYou, FlagInvalid
from members.left_out import left_out
from members.models import Flag, Member, MergeRecord, OptOut, Suppression
from members.segments import matching
from members.services import (
    clear_flag,
    current_code,
    end_suppressions,
    is_left_out,
    merge_members,
    release_members,
    set_flag,
    suppress_members,
    undo_merge,
)
from tests.factories import AT, make_account, make_follower, make_touchpoint
from touchpoints.models import ChannelSum, CountedTouch, Touch
from touchpoints.services import count_again, record_touch

DAY = timedelta(days=1)
ZONE = ZoneInfo("Asia/Shanghai")
SAY = {"reason": "门店店员", "by": "林澄"}


@pytest.fixture
def scanned(in_brand):
    """Somebody who scanned on three days, and somebody else who did as well."""
    account = make_account()
    code = make_touchpoint(account)
    people = [make_follower(account), make_follower(account)]
    for follower in people:
        for day in range(3):
            record_touch(follower=follower, scene=code.scene, is_follow=day == 0, at=AT + day * DAY)
    return people[0].member, people[1].member, code


def sums(at=AT + 10 * DAY):
    count_again(at=at, zone=ZONE)
    return (
        CountedTouch.objects.count(),
        sorted(ChannelSum.objects.filter(model="").values_list("month", "cohort", "parts"), key=repr),
    )


def test_reports_are_restated_from_a_day_or_from_the_start_and_back(scanned):
    member, _other, _code = scanned
    whole = sums()
    cases = list(Touch.objects.order_by("pk").values_list("case", flat=True))
    set_flag(member_id=member.pk, kind="TEST", since=AT + DAY, at=AT + 10 * DAY, **SAY)
    assert sums()[0] == 4
    set_flag(member_id=member.pk, kind="TEST", since=None, at=AT + 10 * DAY, **SAY)
    assert sums()[0] == 3
    set_flag(member_id=member.pk, kind="STAFF", since=AT + 2 * DAY, at=AT + 10 * DAY, **SAY)
    clear_flag(member_id=member.pk, kind="TEST", at=AT + 10 * DAY, **SAY)
    assert sums()[0] == 5
    clear_flag(member_id=member.pk, kind="STAFF", at=AT + 10 * DAY, **SAY)
    assert sums() == whole
    assert list(Touch.objects.order_by("pk").values_list("case", flat=True)) == cases
    assert AuditEntry.objects.filter(action__endswith="flag").count() == 5


def test_what_happens_meanwhile_counts_once_they_are_let_in(scanned):
    member, _other, code = scanned
    set_flag(member_id=member.pk, kind="BLOCKED", since=AT + 3 * DAY, at=AT + 4 * DAY, **SAY)
    late = record_touch(follower=member.followers.get(), scene=code.scene, is_follow=False, at=AT + 5 * DAY)
    assert (late.case, late.seen_as, sums()[0]) == ("STAFF", "FOLLOWING", 6)
    clear_flag(member_id=member.pk, kind="BLOCKED", at=AT + 6 * DAY, **SAY)
    late.refresh_from_db()
    assert (late.case, late.seen_as, sums()[0]) == ("FOLLOWING", "", 7)


def test_letting_in_again_from_a_day_leaves_out_what_was_until_then_and_never_been_gives_it_back(scanned):
    member, _other, code = scanned
    whole = sums()
    set_flag(member_id=member.pk, kind="TEST", since=AT + DAY, at=AT + 3 * DAY, **SAY)
    assert sums()[0] == 4
    clear_flag(member_id=member.pk, kind="TEST", until=AT + 2 * DAY, at=AT + 3 * DAY, **SAY)
    assert sums()[0] == 5  # the second scan alone stays out
    assert list(Touch.objects.filter(member=member).order_by("at").values_list("case", flat=True)).count("STAFF") == 1
    late = record_touch(follower=member.followers.get(), scene=code.scene, is_follow=False, at=AT + 4 * DAY)
    assert (late.case, sums()[0]) == ("FOLLOWING", 6)
    Touch.objects.filter(pk=late.pk).delete()
    clear_flag(member_id=member.pk, kind="TEST", at=AT + 5 * DAY, **SAY)
    assert (Flag.objects.exists(), sums()) == (False, whole)


def test_a_flag_may_come_back_after_it_has_ended_and_both_times_stay_out(scanned):
    member, _other, _code = scanned
    set_flag(member_id=member.pk, kind="TEST", since=None, at=AT + 3 * DAY, **SAY)
    clear_flag(member_id=member.pk, kind="TEST", until=AT + DAY, at=AT + 3 * DAY, **SAY)
    assert sums()[0] == 5
    set_flag(member_id=member.pk, kind="TEST", since=AT + 2 * DAY, at=AT + 3 * DAY, **SAY)
    assert (sums()[0], Flag.objects.count()) == (4, 2)
    clear_flag(member_id=member.pk, kind="TEST", until=AT + 2 * DAY, at=AT + 3 * DAY, **SAY)  # for no time at all
    assert (sums()[0], Flag.objects.count()) == (5, 1)
    clear_flag(member_id=member.pk, kind="TEST", until=AT + 3 * DAY, at=AT + 3 * DAY, **SAY)  # none holds
    assert (sums()[0], Flag.objects.count()) == (5, 1)


def test_rewards_marketing_and_the_code_come_back_from_the_day_and_past_views_stay(scanned):
    member, other, _code = scanned
    Member.objects.update(joined_at=AT)
    set_flag(member_id=member.pk, kind="BLOCKED", since=AT + DAY, at=AT + 2 * DAY, **SAY)
    clear_flag(member_id=member.pk, kind="BLOCKED", until=AT + 2 * DAY, at=AT + 2 * DAY, **SAY)

    assert not OptOut.objects.exists()
    assert current_code(member_id=member.pk, at=AT + 2 * DAY).code
    left = [is_left_out(member_id=member.pk, at=AT + hours * timedelta(hours=1)) for hours in (23, 24, 47, 48)]
    assert left == [False, True, True, False]
    rule = {"all": [{"condition": "flagged", "params": {"value": "no"}}]}
    people = {day: set(matching(rule, at=AT + day * DAY).values_list("pk", flat=True)) for day in (0, 1, 2)}
    assert people == {0: {member.pk, other.pk}, 1: {other.pk}, 2: {member.pk, other.pk}}
    window = [
        set(left_out(by=AT + 3 * DAY, since=AT + day * DAY).values_list("member_id", flat=True)) for day in (1, 2)
    ]
    assert window == [{member.pk}, set()]


def test_no_rewards_no_marketing_and_no_code_while_it_holds(scanned):
    member, other, _code = scanned
    rule = EarnRule.objects.create(name="消费", kind="spend", state="ACTIVE", draft={}, updated_at=AT)
    EarnRuleVersion.objects.create(rule=rule, number=1, params={"points": 1, "per_fen": 100}, since=AT - DAY)
    Member.objects.update(joined_at=AT)
    set_flag(member_id=member.pk, kind="BLOCKED", since=AT + DAY, at=AT + 2 * DAY, **SAY)
    for number, (who, day) in enumerate(((member, 0), (member, 2), (other, 2))):
        at = AT + day * DAY
        record_fact(
            report=Report("pos", "PURCHASE", f"SO{number}", at, member_id=who.pk, amount=10_000), at=AT + 2 * DAY
        )
    assert [balance_of(each.pk).available for each in (member, other)] == [100, 100]
    assert list(OptOut.objects.values_list("member_id", "purpose", "listed")) == [(member.pk, "MARKETING", True)]
    with pytest.raises(CodeNotForYou):
        current_code(member_id=member.pk, at=AT)
    clear_flag(member_id=member.pk, kind="BLOCKED", at=AT + 2 * DAY, **SAY)
    assert not OptOut.objects.exists()
    assert current_code(member_id=member.pk, at=AT).code


def test_an_entry_of_the_brands_own_on_the_list_stays(scanned):
    member, _other, _code = scanned
    suppress_members(member_ids=[member.pk], reason="投诉", by="x", at=AT)
    set_flag(member_id=member.pk, kind="TEST", since=None, at=AT, **SAY)
    clear_flag(member_id=member.pk, kind="TEST", at=AT, **SAY)
    assert Suppression.objects.get().reason == "投诉"


def test_no_entry_of_the_list_that_ends_or_goes_lets_marketing_reach_who_is_flagged(scanned):
    member, _other, _code = scanned
    held = OptOut.objects.filter(member=member, purpose="MARKETING", listed=True)
    suppress_members(member_ids=[member.pk], reason="投诉", by="x", at=AT, until=AT + DAY)
    set_flag(member_id=member.pk, kind="TEST", since=None, at=AT, **SAY)

    assert end_suppressions(at=AT + 2 * DAY) == 1
    assert held.exists()
    suppress_members(member_ids=[member.pk], reason="名单", by="y", at=AT + 2 * DAY, until=AT + 3 * DAY)
    release_members(member_ids=[member.pk])
    assert held.exists()
    clear_flag(member_id=member.pk, kind="TEST", at=AT + 4 * DAY, **SAY)
    assert not held.exists()


def test_an_entry_that_a_flag_made_in_earlier_versions_goes_with_the_flag(scanned):
    member, _other, _code = scanned
    set_flag(member_id=member.pk, kind="TEST", since=None, at=AT, **SAY)
    suppress_members(member_ids=[member.pk], reason="flag: test", by="x", at=AT)
    clear_flag(member_id=member.pk, kind="TEST", at=AT, **SAY)
    assert not OptOut.objects.filter(member=member).exists()
    assert not Suppression.objects.exists()


def test_clearing_what_is_not_set_does_nothing(scanned):
    member, _other, _code = scanned
    clear_flag(member_id=member.pk, kind="TEST", at=AT, **SAY)
    assert not AuditEntry.objects.filter(action="clear flag").exists()


@pytest.mark.parametrize("wrong", [{"kind": "NICE"}, {"reason": " "}, {"since": AT + DAY}])
def test_what_cannot_be_is_refused(scanned, wrong):
    member, _other, _code = scanned
    with pytest.raises(FlagInvalid):
        set_flag(**({"member_id": member.pk, "kind": "TEST", "since": None, "at": AT} | SAY | wrong))


def test_nobody_is_let_in_from_a_day_that_has_not_come(scanned):
    member, _other, _code = scanned
    set_flag(member_id=member.pk, kind="TEST", since=None, at=AT, **SAY)
    with pytest.raises(FlagInvalid):
        clear_flag(member_id=member.pk, kind="TEST", until=AT + DAY, at=AT, **SAY)


def test_an_ended_flag_goes_along_with_a_merge_and_leaves_out_its_time_alone(scanned):
    member, other, _code = scanned
    set_flag(member_id=other.pk, kind="STAFF", since=AT + DAY, at=AT + 3 * DAY, **SAY)
    clear_flag(member_id=other.pk, kind="STAFF", until=AT + 2 * DAY, at=AT + 3 * DAY, **SAY)
    set_flag(member_id=member.pk, kind="STAFF", since=AT + 3 * DAY, at=AT + 3 * DAY, **SAY)
    merge_members(kept=member, merged=other, evidence="t", at=AT + 3 * DAY)
    assert sums()[0] == 4  # both scanned on the second day
    assert Flag.objects.filter(member=member).count() == 2


def test_a_merge_leaves_both_out_and_its_undo_lets_the_one_in(scanned):
    member, other, _code = scanned
    set_flag(member_id=other.pk, kind="STAFF", since=None, at=AT, **SAY)
    assert sums()[0] == 3
    merge_members(kept=member, merged=other, evidence="t", at=AT)
    assert sums()[0] == 0
    undo_merge(record=MergeRecord.objects.get(), reason="两个人", by="x", at=AT)
    assert sums()[0] == 3


def test_the_page_leaves_out_and_lets_in_for_those_who_may(brand, client):
    from tests.factories import make_staff

    with brand_scope(brand.pk):
        member = make_follower(make_account()).member
        owner, desk = make_staff("o", "OWNER"), make_staff("d", "SERVICE_DESK")
    here = f"/b/{brand.slug}/members/flags/{member.pk}/"
    client.force_login(desk, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(here).status_code == 200
    assert client.post(here, {"act": "set", "kind": "TEST", "reason": "测试"}).status_code == 403
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    client.post(here, {"act": "set", "kind": "TEST", "since": "2026-05-32", "reason": "测试"})
    client.post(here, {"act": "set", "kind": "TEST", "since": "", "reason": "测试"})
    assert "不计入" in client.get(f"/b/{brand.slug}/members/member/{member.pk}/change/").content.decode()
    client.post(here, {"act": "clear", "kind": "TEST", "how": "from", "until": "2026-05-32", "reason": "测试结束"})
    client.post(here, {"act": "clear", "kind": "TEST", "how": "from", "until": "", "reason": "测试结束"})
    assert "曾不计入" in client.get(f"/b/{brand.slug}/members/member/{member.pk}/change/").content.decode()
    with brand_scope(brand.pk):
        assert Flag.objects.get().until is not None
    client.post(here, {"act": "clear", "kind": "TEST", "how": "never", "reason": "测试结束"})
    with brand_scope(brand.pk):
        assert AuditEntry.objects.filter(action__endswith="flag").count() == 3
        assert not Flag.objects.exists()
