"""A brand's console never shows, counts, searches or takes another brand's rows."""

import re

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from console.site import site
from members.models import MemberTag, Tag
from touchpoints.models import Touchpoint
from wechat_gateway.models import InboundPush

pytestmark = pytest.mark.django_db

OBJECTS = {
    "members/member": "member",
    "members/follower": "follower",
    "members/tag": "tag",
    "touchpoints/touchpoint": "touchpoint",
    "stores/store": "store",
    "guides/guide": "guide",
    "conversations/replyrule": "rule",
    "wechat_gateway/officialaccount": "account",
    "wechat_gateway/inboundpush": "push",
}


def ids_apart(ours, theirs):
    """Ids of both brands come from one sequence, so theirs are never ours."""
    return {path: (getattr(ours, name).pk, getattr(theirs, name).pk) for path, name in OBJECTS.items()}


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_foreign_object_looks_exactly_like_a_missing_one(as_owner, ours, theirs, path, page):
    mine, foreign = ids_apart(ours, theirs)[path]
    assert mine != foreign

    stolen = as_owner.get(f"/b/lanyu/{path}/{foreign}/{page}/")
    missing = as_owner.get(f"/b/lanyu/{path}/999999999/{page}/")
    nonsense = as_owner.get(f"/b/lanyu/{path}/x'y/{page}/")

    if page != "delete":  # most kinds cannot be deleted at all: then it is refused for everybody
        assert as_owner.get(f"/b/lanyu/{path}/{mine}/{page}/").status_code == 200
        assert stolen.status_code == 404
    if page == "delete" and stolen.status_code == 403:  # in the frame, which repeats the address
        assert missing.status_code == nonsense.status_code == 403
        return
    assert stolen.content == missing.content == nonsense.content
    assert stolen.status_code == missing.status_code == nonsense.status_code == 404


def test_foreign_brand_looks_exactly_like_a_missing_one(as_owner, theirs):
    foreign = as_owner.get("/b/zaoshan/")
    missing = as_owner.get("/b/nobody/")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content


def test_lists_hold_this_brand_only(as_owner, ours, theirs):
    for path in [*OBJECTS, "accounts/rolegrant", "accounts/auditentry", "accounts/apikey", "stores/region"]:
        page = as_owner.get(f"/b/lanyu/{path}/")
        assert page.status_code == 200, path
        assert "灶" not in page.content.decode(), path


def test_lists_offer_no_foreign_choice_in_filters_and_forms(as_owner, ours, theirs):
    for path in ("members/member/", "touchpoints/touchpoint/add/", "guides/guide/add/", "conversations/replyrule/add/"):
        text = as_owner.get(f"/b/lanyu/{path}").content.decode()
        assert "澜" in text, path
        assert "灶" not in text, path


def test_filter_by_a_foreign_id_finds_nobody(as_owner, ours, theirs):
    for query in (f"tag={theirs.tag.pk}", f"store={theirs.store.pk}"):
        assert as_owner.get(f"/b/lanyu/members/member/?{query}").context["cl"].result_list == []


def test_search_never_crosses_brands(as_owner, ours, theirs):
    from tests.console.conftest import signed_in
    from tests.factories import make_staff

    with brand_scope(theirs.brand.pk):
        neighbour = make_staff("neighbour", "OWNER")
    for term in ("陈子涵", "澜陈", "灶陈", "6721", "静安", "门口", "0007", theirs.follower.openid[-8:]):
        found = as_owner.get("/b/lanyu/search/", {"s": term}).content.decode()
        assert "灶" not in re.sub(r"「.*?」", "", found), term
    assert "澜陈子涵" in as_owner.get("/b/lanyu/search/", {"s": "澜陈"}).content.decode()
    # the same person, the same term, the other brand straight afterwards: nothing may be remembered
    theirs_page = signed_in(neighbour).get("/b/zaoshan/search/", {"s": "6721"}).content.decode()
    assert "灶陈子涵" in theirs_page
    assert "澜陈子涵" not in theirs_page


def test_search_is_empty_for_a_person_of_two_brands_in_the_wrong_one(owner, ours, theirs):
    from tests.console.conftest import signed_in
    from tests.factories import make_staff

    with brand_scope(theirs.brand.pk):
        make_staff("owner", "OWNER")
    owner.refresh_from_db()
    client = signed_in(owner)
    assert "澜陈子涵" in client.get("/b/lanyu/search/", {"s": "澜陈"}).content.decode()
    assert "澜陈子涵" not in client.get("/b/zaoshan/search/", {"s": "澜陈"}).content.decode()


def test_foreign_reference_in_a_form_is_refused(as_owner, ours, theirs):
    fields = {"name": "新码", "account": ours.account.pk, "store": theirs.store.pk, "parent": "", "welcome": ""}
    page = as_owner.post("/b/lanyu/touchpoints/touchpoint/add/", fields)
    assert page.status_code == 200
    assert list(page.context["adminform"].form.errors) == ["store"]
    fields |= {"store": "", "tags": [theirs.tag.pk]}
    page = as_owner.post("/b/lanyu/touchpoints/touchpoint/add/", fields)
    assert list(page.context["adminform"].form.errors) == ["tags"]
    with brand_scope(ours.brand.pk):
        assert not Touchpoint.objects.filter(name="新码").exists()


def test_foreign_tag_is_not_put_on_a_member(as_owner, ours, theirs):
    as_owner.post(f"/b/lanyu/members/member/{ours.member.pk}/change/", {"act": "tag", "tag": theirs.tag.pk})
    with brand_scope(ours.brand.pk):
        assert MemberTag.objects.filter(member=ours.member).count() == 0


def test_foreign_rows_are_not_reached_by_an_action(as_owner, ours, theirs):
    data = {"action": "replay_selected", "_selected_action": [theirs.push.pk], "index": "0"}
    as_owner.post("/b/lanyu/wechat_gateway/inboundpush/", data)
    with brand_scope(theirs.brand.pk):
        assert InboundPush.objects.get(pk=theirs.push.pk).state == "QUARANTINED"
        assert not AuditEntry.objects.filter(action="replay push").exists()


def test_pushes_are_set_aside_with_a_reason_one_by_one_and_together(as_owner, ours, theirs):
    page = "/b/lanyu/wechat_gateway/inboundpush/"
    both = {"action": "set_aside_selected", "_selected_action": [ours.push.pk, theirs.push.pk], "index": "0"}
    asked = as_owner.post(page, both)
    assert 'name="reason"' in asked.content.decode()
    assert f'value="{theirs.push.pk}"' not in asked.content.decode()
    assert as_owner.post(f"{page}{ours.push.pk}/change/", {"act": "aside", "reason": " "}).status_code in (302, 422)
    with brand_scope(ours.brand.pk):
        assert InboundPush.objects.get(pk=ours.push.pk).state == "QUARANTINED"

    as_owner.post(page, {**both, "reason": "测试工具发的"})
    with brand_scope(ours.brand.pk):
        assert InboundPush.objects.get(pk=ours.push.pk).state == "HANDLED"
        assert AuditEntry.objects.filter(action="set push aside").count() == 1
    with brand_scope(theirs.brand.pk):
        assert InboundPush.objects.get(pk=theirs.push.pk).state == "QUARANTINED"
    shown = as_owner.get(f"{page}{ours.push.pk}/change/").content.decode()
    assert "测试工具发的" in shown
    assert "已搁置" in shown
    assert 'value="aside"' not in shown


def test_stale_form_of_another_brand_writes_only_to_the_brand_in_its_address(as_owner, ours, theirs):
    page = as_owner.post(f"/b/lanyu/members/tag/{theirs.tag.pk}/change/", {"name": "改名", "group": "", "meaning": ""})
    assert page.status_code == 404
    with brand_scope(theirs.brand.pk):
        assert Tag.objects.get(pk=theirs.tag.pk).name == "灶标签"


def test_every_admin_class_of_the_site_is_brand_safe(ours):
    from accounts.tenancy import BrandOwned
    from console.admin import ConsoleModelAdmin

    for model, admin in site._registry.items():
        assert issubclass(model, BrandOwned), model
        assert isinstance(admin, ConsoleModelAdmin), model
        assert admin.area, model
