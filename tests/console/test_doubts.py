"""The queue of possible merges: both records side by side, decided by whoever may, undone on the page of the person."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from loyalty.services import Operation, earn_points
from members.models import Doubt, Member
from members.services import merge_members, open_doubt, tag_members
from tests.factories import AT, make_member, make_tag

pytestmark = pytest.mark.django_db


def html(answer):
    return answer.content.decode()


@pytest.fixture
def pair(ours):
    with brand_scope(ours.brand.pk):
        twin = make_member(ours.account, name="澜陈子涵二", birth_mmdd=101, store=ours.store)
        Member.objects.filter(pk=ours.member.pk).update(birth_mmdd=817)
        earn_points(operation=Operation("t", "k"), member_id=twin.pk, points=1234, source="t", at=AT)
        return open_doubt(
            one_id=ours.member.pk, other_id=twin.pk, reasons=["birthdays"], evidence="phone (shop)", at=AT
        ), twin


def test_both_stand_side_by_side_and_a_decision_needs_a_reason(as_owner, ours, pair):
    doubt, _twin = pair
    assert "生日不同" in html(as_owner.get("/b/lanyu/members/doubt/?state=OPEN"))
    here = f"/b/lanyu/members/doubt/{doubt.pk}/change/"
    page = html(as_owner.get(here))
    for text in ("08-17", "01-01", "1,234 积分", "澜陈子涵二", "相同的手机"):
        assert text in page, text
    assert "需要写明原因" in html(as_owner.post(here, {"act": "merge", "reason": ""}, follow=True))

    as_owner.post(here, {"act": "merge", "reason": "同一个人"})

    with brand_scope(ours.brand.pk):
        gone = Member.objects.exclude(merged_into=None).get()
        kept = Member.objects.get(pk=gone.merged_into_id)
    identity = f"/b/lanyu/members/identity/{kept.pk}/"
    page = as_owner.get(identity)
    assert [merge["may_undo"] for merge in page.context["merges"]] == [True]
    merge = page.context["merges"][0]["row"].pk
    as_owner.post(identity, {"act": "undo", "merge": merge, "reason": "是两个人"})
    with brand_scope(ours.brand.pk):
        gone.refresh_from_db()
        assert (gone.merged_into_id, Doubt.objects.get().state) == (None, "APART")
        assert AuditEntry.objects.filter(action__in=["merge members", "undo merge"]).count() == 2


def test_who_may_not_merge_may_look_within_reach_and_propose(as_manager, as_guide, ours, pair):
    doubt, twin = pair
    here = f"/b/lanyu/members/doubt/{doubt.pk}/change/"
    page = as_manager.get(here)
    assert (page.status_code, "zy-primary" in html(page)) == (200, False)
    assert as_manager.post(here, {"act": "merge", "reason": "同一个人"}).status_code == 403
    assert as_guide.get(here).status_code == 404
    with brand_scope(ours.brand.pk):
        far = open_doubt(one_id=twin.pk, other_id=ours.far_member.pk, reasons=["names"], evidence="phone (t)", at=AT)
    assert as_manager.get(f"/b/lanyu/members/doubt/{far.pk}/change/").status_code == 404
    identity = f"/b/lanyu/members/identity/{twin.pk}/"
    assert [row["other"].pk for row in as_manager.get(identity).context["doubts"]] == [ours.member.pk]

    as_manager.post(identity, {"act": "propose", "number": ours.far_member.member_no})
    with brand_scope(ours.brand.pk):
        assert Doubt.objects.filter(evidence__startswith="staff").count() == 0  # out of reach is unknown
    assert as_manager.post(identity, {"act": "undo", "merge": 1, "reason": "xx"}).status_code == 403
    with brand_scope(ours.brand.pk):
        near = make_member(ours.account, name="澜三", store=ours.store)
    as_manager.post(identity, {"act": "propose", "number": near.member_no})
    with brand_scope(ours.brand.pk):
        assert Doubt.objects.filter(evidence__startswith="staff").count() == 1


def test_pages_ask_as_often_for_much_as_for_little(as_owner, ours, pair):
    doubt, twin = pair

    def asked(path):
        with CaptureQueriesContext(connection) as queries:
            assert as_owner.get(f"/b/lanyu/{path}").status_code == 200
        return len(queries)

    pages = ("members/doubt/", f"members/doubt/{doubt.pk}/change/", f"members/identity/{twin.pk}/")
    for path in pages:
        asked(path)

    def more(numbers):
        with brand_scope(ours.brand.pk):
            for number in numbers:
                third = make_member(ours.account, name=f"澜{number}")
                merge_members(kept=twin, merged=make_member(ours.account), evidence="phone (t)", at=AT)
                tag_members(member_ids=[twin.pk], tag_ids=[make_tag(f"澜签{number}").pk], source="t", at=AT)
                open_doubt(one_id=twin.pk, other_id=third.pk, reasons=["names"], evidence="phone (t)", at=AT)

    more(range(1))
    first = [asked(path) for path in pages]
    more(range(1, 4))
    assert [asked(path) for path in pages] == first
