"""Pages of invitations and the curve of turnover in a browser: whole on a phone, and in Chinese."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common.clock import now
from members.models import Member
from referrals.models import Referral
from tests.browser import MARKS
from tests.console.test_browser import latin_words, visitor
from tests.referrals.conftest import bought, bring, make_programme, settle

__all__ = ["visitor"]
pytestmark = [*MARKS, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")
DAY = timedelta(days=1)


def furnished():
    """A programme that held two people and rewarded some, and people who bought more and less."""
    brand = Brand.objects.get(slug="lanyu")
    at = now() - 20 * DAY
    with brand_scope(brand.pk):
        member = Member.objects.get(name="澜陈子涵")
        Member.objects.filter(pk=member.pk).update(created_at=at - DAY, joined_at=at - DAY)
        programme = make_programme(at=at - DAY, fast=2, name="带好友一起来")
        for number in range(3):
            bring(member, at + number * DAY)
        for _each in range(3):
            bring(member, at + 9 * DAY)
        people = [Member.objects.get(pk=row.invited_id) for row in Referral.objects.order_by("pk")]
        for number, each in enumerate([member, *people]):
            bought(each, f"SO{number}", 400_000 // (number + 1) ** 2, at + 10 * DAY)
        settle(at + 15 * DAY)
        waits = Referral.objects.filter(state="HELD").earliest("pk")
    return programme, waits, member


def test_every_page_of_invitations_is_whole_in_both_widths_and_speaks_chinese(visitor):
    programme, waits, member = furnished()
    pages = {
        "programmes": "referrals/programme/",
        "programme": f"referrals/programme/{programme.pk}/change/",
        "people": "referrals/referral/?state=LOOK",
        "person": f"referrals/referral/{waits.pk}/change/",
        "report": "referrals/report/",
        "card": f"members/member/{member.pk}/change/",
        "pareto": "segments/pareto/?percent=40",
    }
    visitor.goto("/b/lanyu/")
    for scheme in ("light", "dark"):
        visitor.emulate_media(color_scheme=scheme)
        for width in (1400, 375):
            visitor.set_viewport_size({"width": width, "height": 900})
            for name, path in pages.items():
                visitor.goto(f"/b/lanyu/{path}")
                assert visitor.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                if name != "card" and scheme == "light":
                    assert set(latin_words(visitor)) <= {"RFM"}, (name, latin_words(visitor))
                if SHOTS:
                    visitor.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
