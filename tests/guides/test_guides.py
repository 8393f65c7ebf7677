"""Who looks after whom, over merges and handovers."""

from datetime import timedelta

from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from guides.models import Assignment
from guides.selectors import guide_of, member_counts
from guides.services import assign_guide
from members.selectors import visible_members
from members.services import merge_members
from tests.factories import AT, make_account, make_follower, make_guide, make_staff, make_store

LATER = AT + timedelta(days=1)


def test_merging_two_records_keeps_one_open_guide(in_brand):
    account, store = make_account(), make_store()
    first, second = make_guide(store), make_guide(store, "LY0008", "孙悦")
    kept, merged = make_follower(account).member, make_follower(account).member
    assign_guide(member_id=kept.pk, guide=first, reason="code", at=AT)
    assign_guide(member_id=merged.pk, guide=second, reason="code", at=AT)
    merge_members(kept=kept, merged=merged, evidence="test", at=LATER)

    assert guide_of(kept.pk).staff_no == "LY0007"
    assert list(
        Assignment.objects.order_by("guide__staff_no").values_list("member_id", "guide__staff_no", "until")
    ) == [
        (kept.pk, "LY0007", None),
        (kept.pk, "LY0008", LATER),
    ]


def test_merging_brings_the_guide_along_when_the_kept_record_has_none(in_brand):
    account, store = make_account(), make_store()
    guide = make_guide(store)
    kept, merged = make_follower(account).member, make_follower(account).member
    assign_guide(member_id=merged.pk, guide=guide, reason="code", at=AT)
    merge_members(kept=kept, merged=merged, evidence="test", at=LATER)

    assert guide_of(kept.pk).staff_no == "LY0007"


def test_a_guide_sees_exactly_the_own_members(brand, other_brand):
    with brand_scope(other_brand.pk):
        make_follower(make_account())
    with brand_scope(brand.pk):
        account, store = make_account(), make_store()
        user = make_staff("wangmin", "GUIDE", scope="OWN")
        guide = make_guide(store)
        guide.staff_user = user
        guide.save()
        mine, other = make_follower(account).member, make_follower(account).member
        former = make_follower(account).member
        for member in (mine, former):
            assign_guide(member_id=member.pk, guide=guide, reason="code", at=AT)
        Assignment.objects.filter(member=former).update(until=LATER)
        viewer = Viewer(staff_id=user.pk, label="王敏", brand_id=brand.pk, role="GUIDE", scope="OWN")

        assert list(visible_members(viewer)) == [mine]
        assert other.pk != mine.pk


def test_counting_members_of_guides_takes_one_query(in_brand, django_assert_num_queries):
    account, store = make_account(), make_store()
    guides = [make_guide(store, f"LY{number:04d}") for number in range(3)]
    for guide in guides[:2]:
        assign_guide(member_id=make_follower(account).member_id, guide=guide, reason="code", at=AT)
    with django_assert_num_queries(1):
        assert member_counts([guide.pk for guide in guides]) == {guides[0].pk: 1, guides[1].pk: 1}
