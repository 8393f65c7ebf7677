"""How PostgreSQL reads the statements of coupons: codes, claims, a member's own, checkout, pushes and tiers."""

from __future__ import annotations

from coupons import services
from coupons.models import TierGift
from coupons.selectors import coupons as selectors
from coupons.selectors import pushes, scans
from loyalty.models import Standing, Tier
from members.services import save_segment
from tests.coupons.conftest import cart, claim, make_template, once
from tests.factories import AT, make_account, make_member
from tests.plans.test_plans import watch
from touchpoints import services as touchpoints

__all__ = ["watch"]


def test_the_hot_statements_of_coupons_stay_in_the_brand_and_read_no_whole_table(in_brand, watch):
    account = make_account()
    ann, _other = make_member(account), make_member(account)
    tier = Tier.objects.create(name="知音", threshold=0)
    Standing.objects.create(member=ann, tier=tier, since=AT)
    template = make_template(per_member=None, rule={"kind": "AMOUNT", "amount": 100, "days": 9, "stacks": "ANY"})
    batch = services.create_batch(template=template, label="码", count=2, at=AT)
    segment = save_segment(name="所有人", rule={"all": []}, at=AT)
    TierGift.objects.create(tier=tier, template=template, updated_at=AT)
    gives = (scans.KIND, make_template().pk)
    channel = touchpoints.create_touchpoint(name="门口", account=account, at=AT, gives=gives)
    watch.seen.clear()

    services.make_portion(batch_id=batch.pk, at=AT)
    batch.refresh_from_db()
    code = next(services.read_codes(batch=batch))[0]
    services.redeem_code(operation=once(), code=code, member_id=ann.pk, at=AT)
    coupon, other = (claim(template, ann).coupon for _number in range(2))
    selectors.check_cart(ann.pk, cart(900), at=AT)
    services.hold_coupon(operation=once(), coupon_id=coupon.pk, order="SO1", cart=cart(900), at=AT)
    services.hold_coupon(operation=once(), coupon_id=other.pk, order="SO1", cart=cart(900), at=AT)
    services.redeem_coupon(operation=once(), coupon_id=coupon.pk, order="SO1", at=AT)
    services.release_due(at=AT)
    services.expire_due(at=AT)
    push = services.create_push(operation=once(), template=template, segment=segment, reason="回馈", at=AT)
    services.start_push(push_id=push.pk, at=AT)
    while services.push_portion(push_id=push.pk, at=AT, size=1):
        pass
    pushes.left_out_of(push, viewer=None)
    services.find_gifts(at=AT)
    services.give_gifts(at=AT)
    touchpoints.record_touch(follower=ann.followers.get(), scene=channel.scene, is_follow=False, at=AT)
    services.give_scan(at=AT)
    scans.tallies([channel.pk])
    scans.outcomes([channel.pk], [ann.pk])

    read = {table for _sql, table, _kind, _conditions in watch.scans()}
    assert read >= {
        "coupons_code", "coupons_coupon", "coupons_move", "coupons_template", "coupons_pushperson", "coupons_tiergrant",
        "coupons_scangrant",
    }  # fmt: skip
    assert watch.faults() == []
