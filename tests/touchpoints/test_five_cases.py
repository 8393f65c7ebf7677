"""Five people scan one code: each case has its own outcome, and every touch is kept."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from accounts.models import AuditEntry
from guides.selectors import guide_of
from guides.services import assign_guide
from members.models import Member
from members.services import merge_members
from tests.factories import AT, make_follower, make_guide, make_store, make_tag
from tests.touchpoints.conftest import come, follow_again, leave
from touchpoints import services
from touchpoints.models import StaffPerson, Touch, Unfollow
from touchpoints.selectors import Window, tree_figures
from touchpoints.services import create_touchpoint, mark_staff, record_touch, unmark_staff

LATER = AT + timedelta(hours=1)
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def code(tree):
    """A code with all it can promise: a tag, a store, a guide."""
    tree.tag = make_tag()
    tree.code = create_touchpoint(name="门口", account=tree.account, store=tree.store, tags=[tree.tag], at=AT)
    tree.guide = make_guide(tree.store, touchpoint=tree.code)
    tree.other_guide = make_guide(tree.store, "LY0008", "孙悦")
    tree.other_store = make_store("SH005", "上海徐汇店")
    return tree


def outcome(follower):
    member = Member.objects.get(pk=follower.member_id)
    guide = guide_of(member.pk)
    return member.tag_ids, member.store and member.store.name, guide and guide.staff_no


def scan(follower, code, *, is_follow=False, at=LATER):
    return record_touch(follower=follower, scene=code.scene, is_follow=is_follow, at=at)


def test_new_follower_gets_tags_store_and_guide(code):
    came = come(code.code)

    assert came.touch.case == "NEW"
    assert outcome(came.follower) == ([code.tag.pk], "上海静安店", "LY0007")


def test_returning_follower_gets_the_tags_and_keeps_store_and_guide(code):
    follower = make_follower(code.account)
    Member.objects.filter(pk=follower.member_id).update(store=code.other_store)
    assign_guide(member_id=follower.member_id, guide=code.other_guide, reason="earlier", at=AT)
    leave(follower, LATER)
    touch = follow_again(follower, code.code, LATER + timedelta(hours=1))

    assert (touch.kind, touch.case) == ("REFOLLOW", "RETURNING")
    assert outcome(follower) == ([code.tag.pk], "上海徐汇店", "LY0008")


def test_who_follows_already_gets_the_tags_and_what_was_missing(code):
    follower = make_follower(code.account)
    touch = scan(follower, code.code)

    assert (touch.kind, touch.case) == ("SCAN", "FOLLOWING")
    assert outcome(follower) == ([code.tag.pk], "上海静安店", "LY0007")


def test_member_keeps_store_and_guide(code):
    follower = make_follower(code.account)
    Member.objects.filter(pk=follower.member_id).update(joined_at=AT, store=code.other_store)
    assign_guide(member_id=follower.member_id, guide=code.other_guide, reason="earlier", at=AT)
    touch = scan(follower, code.code)

    assert touch.case == "MEMBER"
    assert outcome(follower) == ([code.tag.pk], "上海徐汇店", "LY0008")


def test_scan_by_staff_is_kept_and_sets_nothing_off(code):
    follower = make_follower(code.account)
    mark_staff(member=follower.member, at=AT)
    touch = scan(follower, code.code)

    assert (touch.case, touch.touchpoint) == ("STAFF", code.code)
    assert outcome(follower) == ([], None, None)
    figures = tree_figures(Window(None, LATER + timedelta(days=1)), model="first", now=LATER, zone=SHANGHAI)
    assert (figures.whole.scans, figures.whole.people()) == (0, 0)


def test_marking_staff_takes_earlier_scans_out_of_the_figures_and_is_written_down(code):
    came = come(code.code)
    mark_staff(member=came.follower.member, at=LATER)
    mark_staff(member=came.follower.member, at=LATER)
    unmark_staff(member=came.follower.member)

    assert list(Touch.objects.values_list("case", flat=True)) == ["STAFF"]
    assert list(
        AuditEntry.objects.filter(action__endswith="staff").order_by("pk").values_list("action", flat=True)
    ) == [
        "mark staff",
        "unmark staff",
    ]


def test_one_person_scanning_three_codes_keeps_all_touches(tree):
    names = ["静安门口", "徐汇门口", "礼盒"]
    came = come(tree.codes[names[0]])
    for number, name in enumerate(names[1:], 1):
        come(tree.codes[name], follower=came.follower, at=AT + timedelta(hours=number))

    rows = Touch.objects.filter(member_id=came.follower.member_id).order_by("at")
    assert [(row.touchpoint.name, row.case) for row in rows] == list(
        zip(names, ["NEW", "FOLLOWING", "FOLLOWING"], strict=True)
    )


def test_code_that_has_ended_is_counted_and_promises_nothing(code):
    code.code.ends_at = LATER
    code.code.save()
    follower = make_follower(code.account)
    scan(follower, code.code, at=LATER)

    assert Member.objects.get(pk=follower.member_id).tag_ids == []
    assert Touch.objects.filter(touchpoint=code.code).count() == 1


def test_code_of_a_guide_who_answers_for_it_assigns_them(code):
    second = create_touchpoint(name="柜台", account=code.account, at=AT, owner=("guide", code.other_guide.pk))
    came = come(second)

    assert guide_of(came.follower.member_id).staff_no == "LY0008"


def test_leaving_is_kept_once_per_push(code):
    follower = make_follower(code.account)
    for _ in range(2):
        services.record_unfollow(follower=follower, at=LATER, push_id=7)

    assert list(Unfollow.objects.values_list("follower_id", "at")) == [(follower.pk, LATER)]


def test_merging_two_records_keeps_one_mark_of_staff(code):
    kept, merged = make_follower(code.account), make_follower(code.account)
    for follower in (kept, merged):
        mark_staff(member=follower.member, at=AT)
    merge_members(kept=kept.member, merged=merged.member, evidence="UNIONID", at=LATER)

    assert list(StaffPerson.objects.values_list("member_id", flat=True)) == [kept.member_id]
