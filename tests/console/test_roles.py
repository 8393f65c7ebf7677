"""What a role may not do is not shown, and refused in words when asked for all the same."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from members.models import Member
from tests.factories import AT

pytestmark = pytest.mark.django_db


def test_page_without_the_capability_says_so_in_chinese(as_guide, ours):
    for path in ("accounts/auditentry/", "accounts/apikey/", "conversations/menu/", "wechat_gateway/officialaccount/"):
        page = as_guide.get(f"/b/lanyu/{path}")
        assert page.status_code == 403, path
        assert "角色「导购」不能看这一页" in page.content.decode(), path


def test_sidebar_holds_only_what_the_role_may_see(as_guide, as_owner, ours):
    def entries(client):
        return [str(row["label"]) for row in client.get("/b/lanyu/").context["zy_nav"]]

    assert entries(as_guide) == ["今日", "会话", "会员", "内容", "门店", "导购", "权益"]
    assert entries(as_owner) == ["今日", "会话", "会员", "人群", "活动", "内容", "渠道", "门店", "导购", "权益", "设置"]


def test_marketer_cannot_change_stores_but_sees_them(as_marketer, ours):
    page = as_marketer.get(f"/b/lanyu/stores/store/{ours.store.pk}/change/")
    assert page.status_code == 200
    assert "zy-primary" not in page.content.decode()
    refused = as_marketer.post(f"/b/lanyu/stores/store/{ours.store.pk}/change/", {"name": "x"})
    assert refused.status_code == 403


@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_a_role_that_sees_none_of_a_kind_learns_of_none(as_guide, ours, page):
    """Refused alike, with the same work, whether such a row exists or not."""
    heard = []
    for key in (ours.touchpoint.pk, 987_654):
        with CaptureQueriesContext(connection) as queries:
            answer = as_guide.get(f"/b/{ours.brand.slug}/touchpoints/touchpoint/{key}/{page}/")
        heard.append((answer.status_code, len(queries)))
    assert heard[0] == heard[1]
    assert heard[0][0] == 403


def test_guide_sees_only_own_members(as_guide, guide_user, ours):
    from guides.services import assign_guide
    from tests.factories import AT, make_member

    with brand_scope(ours.brand.pk):
        ours.guide.staff_user = guide_user
        ours.guide.save()
        stranger = make_member(ours.account, name="别人的会员")
        assign_guide(member_id=ours.member.pk, guide=ours.guide, reason="code: 门口", at=AT)

    listed = as_guide.get("/b/lanyu/members/member/").context["cl"].result_list
    assert [row.pk for row in listed] == [ours.member.pk]
    assert as_guide.get(f"/b/lanyu/members/member/{stranger.pk}/change/").status_code == 404
    assert "别人的会员" not in as_guide.get("/b/lanyu/search/", {"s": "别人"}).content.decode().split("「")[0]


def test_store_manager_sees_only_own_stores(as_manager, ours):
    def names(path):
        return {str(row) for row in as_manager.get(f"/b/lanyu/{path}").context["cl"].result_list}

    assert names("stores/store/") == {"澜静安店"}
    assert names("members/member/") == {"澜陈子涵"}
    assert as_manager.get(f"/b/lanyu/stores/store/{ours.far_store.pk}/change/").status_code == 404
    assert as_manager.get(f"/b/lanyu/members/member/{ours.far_member.pk}/change/").status_code == 404


def reveal(client, ours, reason):
    return client.post(
        f"/b/lanyu/members/member/{ours.member.pk}/change/", {"act": "reveal", "text": reason}, follow=True
    )


def with_phone(ours):
    with brand_scope(ours.brand.pk):
        member = Member.objects.get(pk=ours.member.pk)
        member.phone = "13800006721"
        member.save(update_fields=["phone"])


def test_phone_is_revealed_for_a_reason_and_written_down(as_owner, ours):
    with_phone(ours)
    assert "13800006721" not in as_owner.get(f"/b/lanyu/members/member/{ours.member.pk}/change/").content.decode()

    page = reveal(as_owner, ours, "会员来电核对")

    assert "13800006721" in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    with brand_scope(ours.brand.pk):
        entry = AuditEntry.objects.get(action="reveal")
    assert (entry.reason, entry.changes) == ("会员来电核对", {"phone": ["***", "***"]})


def test_phone_stays_masked_without_reason_or_capability(as_owner, as_marketer, ours):
    with_phone(ours)
    assert "13800006721" not in reveal(as_owner, ours, " ").content.decode()
    refused = reveal(as_marketer, ours, "想看")
    assert refused.status_code == 403
    with brand_scope(ours.brand.pk):
        assert not AuditEntry.objects.filter(action="reveal").exists()


def test_phone_is_revealed_fifty_times_a_day_and_no_more(as_owner, ours, monkeypatch):
    monkeypatch.setattr("console.reveal.PER_DAY", 2)
    with_phone(ours)
    shown = ["13800006721" in reveal(as_owner, ours, "核对身份").content.decode() for _ in range(3)]
    assert shown == [True, True, False]


def test_every_tab_is_the_one_that_is_lit_on_its_page(as_owner, ours):
    for entry in as_owner.get("/b/lanyu/").context["zy_nav"][1:]:
        for tab in as_owner.get(entry["link"]).context["zy_tabs"]:
            page = as_owner.get(tab["link"], follow=True)

            assert [each["link"] for each in page.context["zy_tabs"] if each["active"]] == [tab["link"]]


def test_a_guide_sees_the_code_without_a_link_that_would_refuse(as_guide, as_manager, guide_user, ours):
    with brand_scope(ours.brand.pk):
        ours.guide.staff_user = guide_user
        ours.guide.save()
    link = f"/touchpoints/touchpoint/{ours.touchpoint.pk}/change/"
    for path in ("guides/guide/", f"guides/guide/{ours.guide.pk}/change/"):
        seen = {
            who: client.get(f"/b/lanyu/{path}").content.decode() for who, client in (("g", as_guide), ("m", as_manager))
        }
        assert {who: (ours.touchpoint.name in page, link in page) for who, page in seen.items()} == {
            "g": (True, False),
            "m": (True, True),
        }


def test_a_store_manager_opens_a_coupon_to_read_it(as_manager, ours):
    from coupons.models import Template

    with brand_scope(ours.brand.pk):
        coupon = Template.objects.create(name="满减", draft={"kind": "AMOUNT", "amount": 6_000}, updated_at=AT)
    page = as_manager.get(f"/b/lanyu/coupons/template/{coupon.pk}/change/")
    assert page.status_code == 200
    assert 'name="total"' not in page.content.decode()
