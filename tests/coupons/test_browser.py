"""Pages of coupons in a browser: whole on a phone, in Chinese, live while one types; a store redeems on a phone."""

from __future__ import annotations

import os
from datetime import timedelta
from types import SimpleNamespace

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common.clock import now
from coupons import services
from coupons.models import Coupon, TierGift
from loyalty.models import Tier
from members.models import Member
from members.services import clear_flag, save_segment, set_flag
from tests.browser import MARKS
from tests.console.test_browser import latin_words, visitor
from tests.coupons.conftest import cart, claim, earn, hold, make_template, once, redeem

__all__ = ["visitor"]
pytestmark = [
    *MARKS,
    pytest.mark.django_db(transaction=True),
]
SHOTS = os.environ.get("SHOTS", "")
DAY = timedelta(days=1)
LONG = "七夕限定陶艺家联名礼盒随附的满五百减六十元老会员专享回馈券第二期加长版"


def furnished():
    """Some templates, one member with coupons in every state, a batch."""
    brand = Brand.objects.get(slug="lanyu")
    at = now()
    with brand_scope(brand.pk):
        member = Member.objects.get(name="澜陈子涵")
        tier = Tier.objects.create(name="知音", threshold=0)
        money = make_template("满 200 减 30", at=at - 40 * DAY, per_member=9, total=12_000)
        tiers = {"kind": "PERCENT", "percent": 15, "cap": 5_000, "categories": ["衬衫", "围巾"]}
        make_template(LONG, at=at, rule=tiers | {"tiers": [[tier.pk, tier.name]]}, total=1_000_000)
        gift = make_template("新品试饮", at=at, rule={"kind": "GIFT", "gift": "新品咖啡"}, points_price=200)
        make_template("夏日草稿", at=at, active=False)
        earn(member, 500, at=at)
        services.exchange_points(operation=once(), template=gift, member_id=member.pk, at=at)
        claim(money, member, at=at - 40 * DAY)
        used, held, void = (claim(money, member, at=at - timedelta(hours=2)).coupon for _number in range(3))
        redeem(used, "SO20261121-0042", at=at - timedelta(hours=1), goods=cart(25_000))
        hold(held, "SO20261121-0043", at=at)
        services.void_coupon(operation=once(), coupon_id=void.pk, reason="发错了，补发另一张", at=at)
        services.expire_due(at=at)
        batch = services.create_batch(template=money, label="春节礼盒内卡", count=300, at=at)
        services.make_portion(batch_id=batch.pk, at=at)
        shown = claim(money, member, at=at).coupon
        code, _until = services.show_code(coupon_id=shown.pk, at=at)
        TierGift.objects.create(tier=tier, template=money, updated_at=at)
        whom = save_segment(name="来过店里的人", rule={"all": []}, at=at)
        set_flag(member_id=member.pk, kind="STAFF", since=None, reason="门店店员", by="林澄", at=at)
        draft, push = (
            services.create_push(operation=once(), template=money, segment=whom, reason="春季回馈", at=at)
            for _number in range(2)
        )
        services.start_push(push_id=push.pk, at=at)
        while services.push_portion(push_id=push.pk, at=at):
            pass
        clear_flag(member_id=member.pk, kind="STAFF", reason="不是店员", by="林澄", at=at)
    return SimpleNamespace(
        draft=draft, push=push, brand=brand, member=member, money=money, batch=batch, code=code, shown=shown
    )


def test_every_page_of_coupons_is_whole_in_both_widths_and_speaks_chinese(visitor):
    made = furnished()
    pages = {
        "templates": "coupons/template/",
        "add": "coupons/template/add/",
        "template": f"coupons/template/{made.money.pk}/change/",
        "batches": "coupons/codebatch/",
        "batch": f"coupons/codebatch/{made.batch.pk}/change/",
        "batch-add": "coupons/codebatch/add/",
        "pushes": "coupons/push/",
        "push-add": "coupons/push/add/",
        "push-draft": f"coupons/push/{made.draft.pk}/change/",
        "push": f"coupons/push/{made.push.pk}/change/",
        "gifts": "coupons/tiergift/",
        "gift-add": "coupons/tiergift/add/",
        "member": f"coupons/member/{made.member.pk}/",
        "counter": "coupons/counter/",
        "card": f"members/member/{made.member.pk}/change/",
    }
    wide, words = {}, {}
    for scheme, width in (("light", 1400), ("dark", 375)) if not SHOTS else _ALL:
        visitor.emulate_media(color_scheme=scheme)
        visitor.set_viewport_size({"width": width, "height": 900})
        for name, address in pages.items():
            visitor.goto(f"/b/lanyu/{address}")
            visitor.wait_for_load_state("load")
            if SHOTS:
                visitor.wait_for_timeout(600)
                visitor.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
            if visitor.evaluate("document.documentElement.scrollWidth") > width:
                wide[name, width] = visitor.evaluate("document.documentElement.scrollWidth")
            if found := latin_words(visitor):
                words[name] = found
    assert wide == {}
    assert words == {}
    assert visitor.complaints == []


_ALL = [(scheme, width) for scheme in ("light", "dark") for width in (1400, 375)]


def test_the_sentence_follows_the_typing_and_a_store_redeems_on_a_phone(visitor):
    made = furnished()
    visitor.goto(f"/b/lanyu/coupons/template/{made.money.pk}/change/")
    sentence = visitor.locator("[data-testid=sentence]")
    sentence.get_by_text("满 ¥200.00，减 ¥30.00").wait_for(timeout=30_000)
    visitor.fill("#id_amount", "45.50")
    sentence.get_by_text("满 ¥200.00，减 ¥45.50").wait_for(timeout=30_000)
    visitor.fill("#id_threshold", "一百")
    visitor.get_by_text("使用门槛（元）:").wait_for(timeout=30_000)
    visitor.set_viewport_size({"width": 375, "height": 800})
    visitor.goto("/b/lanyu/coupons/counter/")
    visitor.fill("#zy-code", made.code.lower())
    visitor.fill("#zy-amount", "289")
    visitor.click("[name=act][value=look]")
    visitor.locator("[data-testid=saving]").get_by_text("¥30.00").wait_for(timeout=30_000)
    if SHOTS:
        visitor.screenshot(path=f"{SHOTS}/found-375-light.png", full_page=True)
    visitor.click("[name=act][value=redeem]")
    visitor.get_by_text("已核销「满 200 减 30」，优惠 ¥30.00。").wait_for(timeout=30_000)
    with brand_scope(made.brand.pk):
        assert Coupon.objects.get(pk=made.shown.pk).state == "USED"
    assert visitor.complaints == []
