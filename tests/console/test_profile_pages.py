"""The pages of profile fields: one is defined, staff say something, sources differ and show, sealed opens for a reason."""

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from members.models import Member, ProfileField, ProfileValue
from members.services import say
from tests.factories import AT

pytestmark = pytest.mark.django_db
FIELD = {
    "label": "肤质",
    "key": "skin",
    "kind": "CHOICE",
    "choices": "干性，油性",
    "sensitivity": "PLAIN",
    "sources": ["member", "operator"],
}


def html(answer):
    return answer.content.decode()


def test_a_field_is_defined_checked_and_changed(as_marketer, as_guide, ours):
    wrong = as_marketer.post("/b/lanyu/members/profilefield/add/", FIELD | {"choices": ""})
    assert (wrong.status_code, "不同的选项" in html(wrong)) == (200, True)
    as_marketer.post("/b/lanyu/members/profilefield/add/", FIELD)
    with brand_scope(ours.brand.pk):
        row = ProfileField.objects.get()
        assert (row.choices, row.sources, row.created_at is None) == (["干性", "油性"], ["member", "operator"], False)
    here = f"/b/lanyu/members/profilefield/{row.pk}/change/"
    as_marketer.post(here, FIELD | {"choices": "干性，油性，混合", "fresh_days": "90", "kind": "TEXT"})
    with brand_scope(ours.brand.pk):
        row.refresh_from_db()
        assert (row.choices, row.fresh_days, row.kind) == (["干性", "油性", "混合"], 90, "CHOICE")
        assert AuditEntry.objects.filter(action__contains="profile field").count() == 2
    assert as_guide.get(here).status_code == 403


def test_staff_edit_a_member_and_see_who_says_otherwise(as_marketer, as_manager, ours):
    with brand_scope(ours.brand.pk):
        ProfileField.objects.create(
            key="skin",
            label="肤质",
            kind="CHOICE",
            choices=["干性", "油性"],
            sources=["member", "operator"],
            created_at=AT,
        )
        say(member_id=ours.member.pk, source="member", values={"skin": "油性"}, at=AT)
    here = f"/b/lanyu/members/profile/{ours.member.pk}/"
    assert as_marketer.get(here).status_code == 200
    body = {"f-skin": "干性", "was-skin": "油性", "f-city": "杭州", "was-city": "", "f-name": "x", "was-name": "x"}
    page = as_marketer.post(here, body, follow=True)
    assert "更可信的来源另有说法，以其为准：肤质" in html(page)
    assert "来源不一致" in html(page)
    with brand_scope(ours.brand.pk):
        member = Member.objects.get(pk=ours.member.pk)
        assert (member.city, member.name) == ("杭州", ours.member.name)
        assert ProfileValue.objects.get(key="city").by
        assert ProfileValue.objects.filter(source="operator").count() == 2
    refused = as_marketer.post(here, {"f-birthday": "13-40", "was-birthday": ""})
    assert (refused.status_code, "月-日" in html(refused)) == (422, True)
    assert as_manager.get(f"/b/lanyu/members/profile/{ours.far_member.pk}/").status_code == 404


def test_a_sealed_value_opens_for_a_reason_and_is_written_down(as_owner, as_marketer, ours):
    with brand_scope(ours.brand.pk):
        more = {"kind": "TEXT", "sources": ["operator"], "sensitivity": "SEALED", "created_at": AT}
        ProfileField.objects.create(key="illness", label="病史", **more)
        say(member_id=ours.member.pk, source="operator", values={"illness": "湿疹"}, at=AT)
        value = ProfileValue.objects.get().pk
    here = f"/b/lanyu/members/profile/{ours.member.pk}/"
    card = f"/b/lanyu/members/member/{ours.member.pk}/change/"
    assert not any("湿疹" in html(as_owner.get(path)) for path in (here, card))
    assert "湿疹" not in html(as_owner.post(here, {"act": "reveal", "value": value, "text": ""}))
    assert "湿疹" in html(as_owner.post(here, {"act": "reveal", "value": value, "text": "顾客来电"}))
    assert as_marketer.post(here, {"act": "reveal", "value": value, "text": "好奇"}).status_code in {403, 200}
    assert "湿疹" not in html(as_marketer.post(here, {"act": "reveal", "value": value, "text": "好奇"}))
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.filter(action="reveal").count() == 1
