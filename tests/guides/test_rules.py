"""A guide keeps members for as long as the brand says, who has left keeps nobody, and people are handed over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer
from guides import services
from guides.errors import GuideHasLeft, GuidePolicyRefused
from guides.models import Assignment, Guide, GuidePolicy
from guides.selectors import guide_of
from guides.services import assign_guide, hand_over, set_policy
from members.selectors import visible_members
from members.services import merge_members
from tests.console.conftest import signed_in
from tests.factories import AT, make_account, make_follower, make_guide, make_staff, make_store
from touchpoints.services import create_touchpoint, record_touch

DAY = timedelta(days=1)


@pytest.fixture
def shop(in_brand):
    """Two guides with a code each, and somebody who follows."""
    account, store = make_account(), make_store()
    codes = [create_touchpoint(name=name, account=account, store=store, at=AT) for name in ("王敏", "孙悦")]
    first = make_guide(store, touchpoint=codes[0])
    second = make_guide(store, "LY0008", "孙悦", touchpoint=codes[1])
    return first, second, make_follower(account)


def scan(guide, follower, day):
    record_touch(follower=follower, scene=guide.touchpoint.scene, is_follow=False, at=AT + day * DAY)
    own = guide_of(follower.member_id)
    return own and own.staff_no


@pytest.mark.parametrize(
    ("protected", "valid", "taken_over_on"),
    [(None, None, None), (30, None, 30), (None, 90, 90), (30, 90, 30), (0, None, 1)],
)
def test_another_guides_code_takes_over_only_after_the_days_of_protection(shop, protected, valid, taken_over_on):
    first, second, follower = shop
    set_policy(protected_days=protected, valid_days=valid, at=AT)
    assert scan(first, follower, 0) == "LY0007"
    for day in (1, 29, 30, 89, 90, 400):
        taken = taken_over_on is not None and day >= taken_over_on
        assert scan(second, follower, day) == ("LY0008" if taken else "LY0007"), day
        if taken:
            break


def test_the_own_code_again_neither_renews_nor_repeats_the_relation(shop):
    first, _second, follower = shop
    set_policy(protected_days=30, valid_days=None, at=AT)
    for day in (0, 10, 40):
        assert scan(first, follower, day) == "LY0007"
    assert list(Assignment.objects.values_list("since", flat=True)) == [AT]


def test_after_the_valid_days_nobody_looks_after_them_until_the_next_code(shop):
    first, _second, follower = shop
    scan(first, follower, 0)
    assert services.end_lapsed(at=AT + 999 * DAY) == 0
    set_policy(protected_days=None, valid_days=90, at=AT)
    assert services.end_lapsed(at=AT + 90 * DAY - timedelta(seconds=1)) == 0
    assert services.end_lapsed(at=AT + 90 * DAY) == 1
    assert guide_of(follower.member_id) is None
    assert scan(first, follower, 91) == "LY0007"
    assert Assignment.objects.count() == 2


def test_who_has_left_is_nobodys_guide_and_the_next_code_takes_over(shop):
    first, second, follower = shop
    user = make_staff("wangmin", "GUIDE", scope="OWN")
    scan(first, follower, 0)
    Guide.objects.filter(pk=first.pk).update(is_active=False, staff_user=user)
    viewer = Viewer(staff_id=user.pk, label="王敏", brand_id=first.brand_id, role="GUIDE", scope="OWN")

    assert guide_of(follower.member_id) is None
    assert not visible_members(viewer).exists()
    assert scan(second, follower, 1) == "LY0008"
    assert list(Assignment.objects.order_by("since").values_list("until", flat=True)) == [AT + DAY, None]


def test_who_has_left_gives_way_when_records_become_one(shop):
    first, second, follower = shop
    other = make_follower(first.touchpoint.account)
    scan(first, follower, 0)
    scan(second, other, 1)
    Guide.objects.filter(pk=first.pk).update(is_active=False)
    merge_members(kept=follower.member, merged=other.member, evidence="test", at=AT + 2 * DAY)
    assert guide_of(follower.member_id).staff_no == "LY0008"


def test_handing_over_changes_those_who_have_another_guide_and_is_written_down_once(shop):
    first, second, follower = shop
    others = [make_follower(first.touchpoint.account).member_id for _number in range(3)]
    ids = [follower.member_id, *others]
    assign_guide(member_id=ids[0], guide=first, reason="code", at=AT)
    assign_guide(member_id=ids[1], guide=second, reason="code", at=AT)

    assert hand_over(member_ids=[*ids, *ids], guide=second, reason="离职交接", at=AT + DAY) == 3
    assert hand_over(member_ids=ids, guide=second, reason="离职交接", at=AT + DAY) == 0

    assert {guide_of(pk).staff_no for pk in ids} == {"LY0008"}
    entry = AuditEntry.objects.get(action="hand members over")
    assert (entry.changes["count"], entry.reason) == ([None, 3], "离职交接")
    Guide.objects.filter(pk=first.pk).update(is_active=False)
    first.refresh_from_db()
    with pytest.raises(GuideHasLeft):
        hand_over(member_ids=ids, guide=first, reason="x", at=AT + DAY)


@pytest.mark.parametrize(("protected", "valid"), [(91, 90), (-1, None), (None, 0), (4000, None)])
def test_days_that_make_no_sense_are_refused(in_brand, protected, valid):
    with pytest.raises(GuidePolicyRefused):
        set_policy(protected_days=protected, valid_days=valid, at=AT)
    assert not GuidePolicy.objects.exists()


def test_pages_set_the_rules_and_hand_members_over_one_by_one_and_all_at_once(ours, theirs, as_owner):
    with brand_scope(theirs.brand.pk):
        foreign = make_guide(theirs.store, "ZG0001", "灶上")
    with brand_scope(ours.brand.pk):
        old = make_guide(ours.store, "LY0101", "旧人")
        new = make_guide(ours.store, "LY0102", "新人")
        people = [make_follower(ours.account).member for _number in range(2)]
        for member in people:
            assign_guide(member_id=member.pk, guide=old, reason="code: 门口", at=AT)
    card = f"/b/lanyu/members/member/{people[0].pk}/change/"
    assert "another guide&#x27;s code changes nothing" in as_owner.get(card).content.decode()

    rules = as_owner.post("/b/lanyu/guides/rules/", {"protected_days": "91", "valid_days": "90"})
    assert "Nobody is protected for longer" in rules.content.decode()
    assert as_owner.post("/b/lanyu/guides/rules/", {"protected_days": "30", "valid_days": ""}).status_code == 302
    assert "another guide&#x27;s code takes over since" in as_owner.get(card).content.decode()

    one = f"/b/lanyu/guides/member/{people[0].pk}/"
    assert "灶上" not in as_owner.get(one).content.decode()
    assert as_owner.post(one, {"guide": foreign.pk, "reason": "换店"}).status_code == 422
    assert as_owner.post(one, {"guide": new.pk, "reason": "换店"}).status_code == 302
    with brand_scope(ours.brand.pk):
        assert guide_of(people[0].pk).name == "新人"
        Guide.objects.filter(pk=old.pk).update(is_active=False)
    assert "旧人 LY0101 has left" in as_owner.get(f"/b/lanyu/members/member/{people[1].pk}/change/").content.decode()

    everybody = f"/b/lanyu/guides/hand-over/{old.pk}/"
    assert everybody in as_owner.get(f"/b/lanyu/guides/guide/{old.pk}/change/").content.decode()
    assert as_owner.post(everybody, {"guide": new.pk, "reason": "离职"}).status_code == 302
    with brand_scope(ours.brand.pk):
        assert {guide_of(member.pk).name for member in people} == {"新人"}


def test_roles_that_may_not_change_guides_may_not_hand_over(ours, brand):
    with brand_scope(brand.pk):
        guide, member = make_guide(ours.store, "LY0101", "旧人"), make_follower(ours.account).member
        marketer = make_staff("marketer2", "MARKETER")
    client = signed_in(marketer)
    for path in ("rules/", f"member/{member.pk}/", f"hand-over/{guide.pk}/"):
        assert client.get(f"/b/lanyu/guides/{path}").status_code == 403, path
