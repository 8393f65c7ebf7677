"""Pages of points in a browser: nothing sticks out on a phone, nothing is said in English, a correction is made."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common.clock import now
from loyalty import services
from loyalty.earn_rules import Line
from loyalty.models import Adjustment, Benefit, EarnRule, Tier
from loyalty.selectors import points as selectors
from loyalty.services import Report
from members.models import Member
from tests.browser import MARKS
from tests.console.test_browser import latin_words, visitor
from tests.loyalty.conftest import burn, earn, freeze, policy

__all__ = ["visitor"]
pytestmark = [*MARKS, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")
DAY = timedelta(days=1)


def furnished():
    """Half a year of one member's points."""
    brand = Brand.objects.get(slug="lanyu")
    at = now()
    with brand_scope(brand.pk):
        member = Member.objects.get(name="澜陈子涵")
        policy(adjust_limit=1000, expiry="MONTH_END", expiry_span=0)
        for name, threshold, percent in (("初见", 0, 0), ("常来", 2_000, 5), ("知音", 8_000, 10)):
            tier = Tier.objects.create(name=name, threshold=threshold)
            if percent:
                Benefit.objects.create(tier=tier, kind="PRICE", value=percent)
        rule = EarnRule(name="消费积分", kind="spend", draft={"points": 1, "per_fen": 100})
        services.save_rule(rule=rule, at=at - 200 * DAY)
        services.activate_rule(rule_id=rule.pk, at=at - 200 * DAY)
        for number, days in enumerate((20, 9, 1)):
            when = at - days * DAY
            lines = (Line("LY-1024", "shirts", 89_900),)
            report = Report("pos", "PURCHASE", f"SO{number}", when, member_id=member.pk, amount=89_900, lines=lines)
            services.record_fact(report=report, at=when)
        refund = Report("pos", "REFUND", "R1", at, amount=20_000, refers="SO2")
        services.record_fact(report=refund, at=at)
        burn(member, 300, at=at, number="SO1")
        freeze(member, 120, at=at, number="SO9")
        earn(member, 50, at=at)
        services.adjust_points(member_id=member.pk, points=5_000, reason="门店活动漏发", at=at)
        waits = Adjustment.objects.get()
    return brand, member, rule, waits


def test_every_page_of_points_is_whole_in_both_widths_and_speaks_chinese(visitor):
    _brand, member, rule, waits = furnished()
    pages = {
        "points": "loyalty/points/",
        "settings": "loyalty/settings/",
        "rules": "loyalty/earnrule/",
        "rule": f"loyalty/earnrule/{rule.pk}/change/",
        "adjustments": "loyalty/adjustment/",
        "adjustment": f"loyalty/adjustment/{waits.pk}/change/",
        "tiers": "loyalty/tier/",
        "preview": "loyalty/tier-preview/",
        "member": f"loyalty/member/{member.pk}/",
        "card": f"members/member/{member.pk}/change/",
    }
    wide, words = {}, {}
    for scheme in ("light", "dark"):
        visitor.emulate_media(color_scheme=scheme)
        for width in (1400, 375):
            visitor.set_viewport_size({"width": width, "height": 900})
            for name, address in pages.items():
                visitor.goto(f"/b/lanyu/{address}")
                visitor.wait_for_load_state("load")
                if SHOTS:
                    visitor.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
                if visitor.evaluate("document.documentElement.scrollWidth") > width:
                    wide[name, width] = visitor.evaluate("document.documentElement.scrollWidth")
                # How a system calls itself and what people buy are its own words.
                if found := set(latin_words(visitor)) - {"pos", "shirts"}:
                    words[name] = found
    assert wide == {}
    assert words == {}
    assert visitor.complaints == []


def test_points_are_adjusted_in_the_dialog(visitor):
    brand, member, _rule, _waits = furnished()
    with brand_scope(brand.pk):
        before = selectors.balance_of(member.pk).available
    visitor.goto(f"/b/lanyu/loyalty/member/{member.pk}/")
    visitor.click(".zy-primary")
    visitor.fill("#zy-points", "-50")
    visitor.fill("#zy-reason", "误发")
    visitor.click("#zy-adjust [name=act]")
    visitor.get_by_text("已调整 -50 积分。").wait_for(timeout=30_000)
    with brand_scope(brand.pk):
        assert selectors.balance_of(member.pk).available == before - 50
    assert visitor.complaints == []
