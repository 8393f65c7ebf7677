"""Roles on screen: region managers get their regions, and nobody narrow gets the whole brand by an oversight."""

from __future__ import annotations

import pytest

from accounts.models import RoleGrant
from accounts.roles import DataScope, Role
from accounts.tenancy import brand_scope
from stores.models import Region, RegionGrant
from tests.console.conftest import as_owner, ours, owner, signed_in, theirs
from tests.factories import make_member, make_staff

__all__ = ["as_owner", "ours", "owner", "theirs"]
pytestmark = pytest.mark.django_db
ADD = "/b/lanyu/accounts/rolegrant/add/"


def form(role, scope, username="xin"):
    return {"username": username, "person": "新人", "password": "correct horse battery", "role": role, "scope": scope}


@pytest.mark.parametrize("role", [Role.REGION_MANAGER, Role.STORE_MANAGER, Role.GUIDE])
def test_a_role_for_a_part_is_not_given_the_whole_brand(as_owner, ours, role):
    refused = as_owner.post(ADD, form(role, DataScope.BRAND)).content.decode()
    assert "只管品牌的一部分" in refused
    with brand_scope(ours.brand.pk):
        assert not RoleGrant.objects.filter(staff_user__username="xin").exists()
    as_owner.post(ADD, form(role, DataScope.STORES))
    with brand_scope(ours.brand.pk):
        assert RoleGrant.objects.get(staff_user__username="xin").role == role


@pytest.mark.parametrize("role", [Role.SERVICE_DESK, Role.AUDITOR])
def test_the_desk_and_auditors_reach_the_whole_brand(as_owner, ours, role):
    as_owner.post(ADD, form(role, DataScope.BRAND))
    with brand_scope(ours.brand.pk):
        assert RoleGrant.objects.get(staff_user__username="xin").scope == DataScope.BRAND


def test_regions_are_given_on_the_page_of_the_role(as_owner, ours, theirs):
    with brand_scope(theirs.brand.pk):
        foreign = Region.objects.create(name="灶区")
    with brand_scope(ours.brand.pk):
        region = Region.objects.create(name="华东")
        ours.store.region = region
        ours.store.save()
        grant = RoleGrant.objects.get(
            staff_user=make_staff("east", Role.REGION_MANAGER, scope=DataScope.STORES),
        )
        make_member(ours.account, name="远处的人")
    path = f"/b/lanyu/accounts/rolegrant/{grant.pk}/change/"
    page = as_owner.get(path).content.decode()
    assert "自己的区域，含下级全部门店" in page
    assert "灶区" not in page

    def give(pk):
        return as_owner.post(
            path,
            {
                "role": Role.REGION_MANAGER,
                "scope": DataScope.STORES,
                "regions-TOTAL_FORMS": "1",
                "regions-INITIAL_FORMS": "0",
                "regions-0-region": pk,
                "stores-TOTAL_FORMS": "0",
                "stores-INITIAL_FORMS": "0",
            },
        )

    give(foreign.pk)
    with brand_scope(ours.brand.pk):
        assert RegionGrant.objects.count() == 0
    give(region.pk)
    with brand_scope(ours.brand.pk):
        assert [row.region_id for row in RegionGrant.objects.all()] == [region.pk]
        east = signed_in(grant.staff_user)
    listed = east.get("/b/lanyu/members/member/").context["cl"].result_list
    assert [row.name for row in listed] == ["澜陈子涵"]
    entries = [str(row["label"]) for row in east.get("/b/lanyu/").context["zy_nav"]]
    assert entries == ["今日", "会话", "会员", "人群", "活动", "内容", "渠道", "门店", "导购", "权益"]


@pytest.mark.parametrize(
    ("role", "entries"),
    [
        (Role.SERVICE_DESK, ["今日", "会话", "会员", "内容", "门店"]),
        (Role.AUDITOR, ["今日", "会话", "会员", "人群", "活动", "内容", "渠道", "门店", "导购", "权益", "设置"]),
    ],
)
def test_the_sidebar_holds_what_the_role_may_see(ours, role, entries):
    with brand_scope(ours.brand.pk):
        client = signed_in(make_staff("xin", role))
    assert [str(row["label"]) for row in client.get("/b/lanyu/").context["zy_nav"]] == entries


def test_an_auditor_reads_the_inbox_and_says_nothing(ours):
    from common import clock
    from inbox.models import Conversation, Message
    from tests.inbox.conftest import say

    with brand_scope(ours.brand.pk):
        client = signed_in(make_staff("xin", Role.AUDITOR))
        conversation = say(ours.follower, "几点关门", at=clock.now())
        before = Message.objects.count()
    page = f"/b/lanyu/inbox/{conversation.pk}/"
    shown = client.get(page).content.decode()
    assert "几点关门" in shown
    assert 'name="text"' not in shown
    for path in ("say/", "step/"):
        assert client.post(page + path, {"text": "x", "act": "take", "client_key": "x"}).status_code == 403
    assert client.post("/b/lanyu/inbox/duty/", {"duty": "on"}).status_code == 403
    with brand_scope(ours.brand.pk):
        assert Message.objects.count() == before
        assert Conversation.objects.get(pk=conversation.pk).assignee_id is None


def test_a_region_lies_in_no_ring(as_owner, ours):
    with brand_scope(ours.brand.pk):
        top = Region.objects.create(name="全国")
        east = Region.objects.create(name="华东", parent=top)
    for parent in (top, east):
        page = as_owner.post(f"/b/lanyu/stores/region/{top.pk}/change/", {"name": "全国", "parent": parent.pk})
        assert "不能归属自己" in page.content.decode()
    with brand_scope(ours.brand.pk):
        assert Region.objects.get(pk=top.pk).parent_id is None
