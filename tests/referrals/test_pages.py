"""Operators set programmes up, see what waits and why, decide, and read what it cost."""

from __future__ import annotations

import pytest
from django.utils import translation

from accounts.tenancy import brand_scope
from members.models import Member
from referrals.models import Programme, Referral
from tests.factories import AT
from tests.referrals.conftest import DAY, bring, make_programme, settle

PROGRAMMES = "/b/lanyu/referrals/programme/"
PEOPLE = "/b/lanyu/referrals/referral/"
FIELDS = {
    "name": "带好友一起来",
    "first_day": "2025-06-01",
    "last_day": "",
    "act": "ORDER",
    "yuan": "99",
    "within_days": "30",
    "wait_days": "7",
    "inviter_points": "200",
    "invited_points": "",
    "fast": "5",
    "is_on": "on",
}


@pytest.fixture
def two_held(ours):
    with brand_scope(ours.brand.pk):
        long_ago = AT - 90 * DAY
        Member.objects.filter(pk=ours.member.pk).update(created_at=long_ago, joined_at=long_ago)
        make_programme(fast=1)
        for _each in range(2):
            bring(ours.member)
        settle(AT + DAY)
        return list(Referral.objects.order_by("pk"))


def test_form_saves_and_refuses_beside_the_field(as_owner, ours):
    for wrong in ({"yuan": "0"}, {"last_day": "2025-05-31"}, {"inviter_points": "0"}, {"wait_days": "0"}):
        assert as_owner.post(f"{PROGRAMMES}add/", FIELDS | wrong).status_code == 200
    assert as_owner.post(f"{PROGRAMMES}add/", FIELDS).status_code == 302
    assert as_owner.post(f"{PROGRAMMES}add/", FIELDS | {"name": "另一个"}).status_code == 200  # the same days
    with brand_scope(ours.brand.pk):
        row = Programme.objects.get()
        assert (row.at_least, row.inviter_points, row.invited_points, row.wait_days) == (9_900, 200, 0, 7)
    assert "带好友一起来" in as_owner.get(PROGRAMMES).content.decode()
    assert as_owner.post(f"{PROGRAMMES}{row.pk}/change/", FIELDS | {"yuan": "199"}).status_code == 302


def test_queue_says_why_and_a_decision_pays_or_refuses(as_owner, two_held, ours):
    with translation.override("zh-hans"):
        page = as_owner.get(f"{PEOPLE}?state=LOOK", headers={"accept-language": "zh-hans"}).content.decode()
    assert page.count("一小时内经同一位邀请人来了 2 人") == 2
    one, two = (f"{PEOPLE}{row.pk}/change/" for row in two_held)
    assert as_owner.get(one).status_code == 200
    assert as_owner.post(one, {"act": "approve", "reason": "认识"}).status_code == 302
    assert as_owner.post(two, {"act": "refuse", "reason": "小号"}).status_code == 302
    assert as_owner.post(two, {"act": "else", "reason": "小号"}).status_code == 404
    with brand_scope(ours.brand.pk):
        assert list(Referral.objects.order_by("pk").values_list("state", flat=True)) == ["PAID", "REFUSED"]
    for path in ("/b/lanyu/referrals/report/", one, two, f"/b/lanyu/members/member/{ours.member.pk}/change/"):
        assert as_owner.get(path).status_code == 200


def test_who_may_only_look_decides_nothing(as_manager, as_guide, two_held):
    for who in (as_manager, as_guide):
        assert who.get(PEOPLE).status_code in (403, 404)
        answer = who.post(f"{PEOPLE}{two_held[0].pk}/change/", {"act": "approve", "reason": "认识"})
        assert answer.status_code in (403, 404)


def test_report_adds_up(as_owner, two_held):
    page = as_owner.get("/b/lanyu/referrals/report/").content.decode()
    row = page.split('data-testid="invitations"')[1].split("<tbody>")[1].split("</tr>")[0]
    cells = [cell.split("<")[0].split(">")[1] for cell in row.split("<td")[1:]]
    assert cells[:6] == ["2", "2", "0", "2", "0", "0"]
