"""Invitations over the API: an own code, who came by it, signs by other systems, and nothing of another brand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from common import clock
from members.models import Member
from referrals import services
from referrals.models import Programme, Referral, Sign
from tests.referrals.conftest import make_programme, newcomer

pytestmark = pytest.mark.django_db


def code_of(answer):
    return (answer.status_code, answer.json()["error"]["code"])


def an_inviter(side):
    with brand_scope(side.brand.pk):
        return services.own_invitation(member_id=newcomer(clock.now()).pk, at=clock.now()).code


def arrive_now(side):
    """The caller has only just come."""
    with brand_scope(side.brand.pk):
        Member.objects.filter(pk=side.member.pk).update(created_at=clock.now(), joined_at=None)


def test_an_own_code_is_shown_with_what_it_promises(a, b):
    first, again = a.me.get("/me/invitation/"), a.me.get("/me/invitation/")
    assert (first.json(), first.json()["programme"]) == (again.json(), None)
    with brand_scope(a.brand.pk):
        make_programme(at=clock.now() - timedelta(days=2))
    assert a.me.get("/me/invitation/").json()["programme"]["inviter"] == {"points": 200, "coupon": None}
    assert b.me.get("/me/invitation/").json()["programme"] is None


def test_coming_by_a_code_is_kept_once_and_refused_in_words(a, b):
    mine, theirs = an_inviter(a), an_inviter(b)
    with brand_scope(a.brand.pk):
        make_programme(at=clock.now() - timedelta(days=2))
    body = {"code": mine, "device": "d-1"}
    with brand_scope(a.brand.pk):
        Member.objects.filter(pk=a.member.pk).update(created_at=clock.now() - timedelta(days=2))
    assert code_of(a.me.post("/me/invited-by/", body)) == (409, "not_new")
    arrive_now(a)
    for unknown in (theirs, "x", "AAAAAAAAAAAA"):
        assert code_of(a.me.post("/me/invited-by/", {"code": unknown})) == (404, "invitation_unknown")
    own = a.me.get("/me/invitation/").json()["code"]
    assert code_of(a.me.post("/me/invited-by/", {"code": own})) == (409, "own_invitation")
    first, again = a.me.post("/me/invited-by/", body), a.me.post("/me/invited-by/", {"code": mine.lower()})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert code_of(a.me.post("/me/invited-by/", {"code": an_inviter(a)})) == (409, "invited_before")
    with brand_scope(a.brand.pk):
        assert Referral.objects.get().state == "OPEN"
        assert set(Sign.objects.values_list("kind", flat=True)) == {"DEVICE", "NETWORK"}
        Referral.objects.update(state="HELD")
    assert a.me.post("/me/invited-by/", body).json()["state"] == "WAITING"  # nobody learns what was noticed


def test_systems_report_signs_and_read_what_it_brought(a, b):
    with brand_scope(a.brand.pk):
        make_programme(at=clock.now() - timedelta(days=2))
    path = f"/members/{a.member.member_no}/signs/"
    sign = {"kind": "PAYMENT", "value": "oPayer1"}
    assert [a.system.post(path, sign).status_code for _each in range(2)] == [204, 204]
    assert b.system.post(path, sign).status_code == 404
    assert code_of(a.system.post(path, {"kind": "SHOE", "value": "x"})) == (422, "invalid")
    with brand_scope(a.brand.pk):
        assert Sign.objects.count() == 1
    (row,) = a.system.get("/referrals/").json()["results"]
    assert (row["invited"], row["cost"]) == (0, 0)
    assert b.system.get("/referrals/").json()["results"] == []


def test_a_picture_needs_a_programme_and_says_when_there_is_none(a):
    assert code_of(a.me.post("/me/invitation/code/", {})) == (409, "no_programme")
    with brand_scope(a.brand.pk):
        make_programme(at=clock.now() - timedelta(days=2))
        assert Programme.objects.count() == 1
    assert code_of(a.me.post("/me/invitation/code/", {})) == (409, "code_unavailable")
