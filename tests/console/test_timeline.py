"""The timeline of one person: everything by kind, less what the viewer may not see, each entry leading to its source."""

import pytest

from accounts.tenancy import brand_scope
from guides.services import assign_guide
from loyalty.models import Lot
from loyalty.services import Operation, earn_points
from members.services import merge_members, record_contact, tag_members
from tests.console.conftest import signed_in
from tests.factories import AT, make_staff
from wechat_gateway.models import InboundPush

pytestmark = pytest.mark.django_db


def entries(client, ours, **query):
    page = client.get(f"/b/lanyu/members/member/{ours.member.pk}/change/", query)
    assert page.status_code == 200
    return [moment for day in page.context["days"] for moment in day["moments"]], page


@pytest.fixture
def lived(ours, theirs):
    """Somebody with an entry of every kind."""
    with brand_scope(ours.brand.pk):
        tag_members(member_ids=[ours.member.pk], tag_ids=[ours.tag.pk], source="code: x", at=AT)
        assign_guide(member_id=ours.member.pk, guide=ours.guide, reason="code: x", at=AT)
        earn_points(operation=Operation("t", "k"), member_id=ours.member.pk, points=5, source="t", at=AT)
        assert Lot.objects.count() == 1
    return ours


def test_entries_can_be_narrowed_to_one_kind_and_lead_to_their_source(as_owner, lived):
    everything, page = entries(as_owner, lived)
    kinds = {str(moment.kind) for moment in everything}
    assert {"标签", "导购", "积分"} <= kinds
    assert str(page.context["timeline_views"][0]["label"]) == "全部"
    for only, kind in (("members.tags", "标签"), ("guides.assignments", "导购"), ("loyalty.points", "积分")):
        found, _page = entries(as_owner, lived, only=only)
        assert {str(moment.kind) for moment in found} == {kind}
        for moment in found:
            assert as_owner.get(moment.link).status_code == 200, moment.link
    assert entries(as_owner, lived, only="nonsense")[0] == everything


def test_what_a_role_may_not_see_is_absent_and_links_lead_nowhere_forbidden(as_guide, guide_user, as_owner, lived):
    with brand_scope(lived.brand.pk):
        lived.guide.staff_user = guide_user
        lived.guide.save()
        analyst = signed_in(make_staff("analyst", "ANALYST"))
        InboundPush.objects.filter(pk=lived.push.pk).update(openid=lived.follower.openid, state="DONE")
    seen = {}
    for name, client in (("owner", as_owner), ("guide", as_guide), ("analyst", analyst)):
        found, page = entries(client, lived)
        offered = str([view["link"] for view in page.context["timeline_views"]])
        seen[name] = (
            "WeChat" in {str(moment.kind) for moment in found} or "微信" in {str(m.kind) for m in found},
            "members.pushes" in offered,
        )
        for moment in found:
            assert not moment.link or client.get(moment.link).status_code == 200, (name, moment.link)
    assert seen == {"owner": (True, True), "guide": (True, True), "analyst": (False, False)}
    assert entries(analyst, lived, only="members.pushes")[0] == entries(analyst, lived)[0]


def test_a_link_to_a_merged_record_leads_to_who_stays(as_owner, as_manager, lived):
    with brand_scope(lived.brand.pk):
        gone = record_contact(account_id=lived.account.pk, appid=lived.account.appid, openid="oGone", at=AT).member
        merge_members(kept=lived.member, merged=gone, evidence="phone (t)", at=AT)
        far = record_contact(account_id=lived.account.pk, appid=lived.account.appid, openid="oFar", at=AT).member
        merge_members(kept=lived.far_member, merged=far, evidence="phone (t)", at=AT)
    page = as_owner.get(f"/b/lanyu/members/member/{gone.pk}/change/")
    assert (page.status_code, page["Location"]) == (302, f"/b/lanyu/members/member/{lived.member.pk}/change/")
    assert as_manager.get(f"/b/lanyu/members/member/{far.pk}/change/").status_code == 404
    found, _page = entries(as_owner, lived, only="members.life")
    assert "身份" in {str(moment.kind) for moment in found}
