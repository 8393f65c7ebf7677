"""Work that time brings: coupons that end or are set free, codes that are to be made or forgotten."""

from __future__ import annotations

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock


@global_task(name="coupons.tasks.sweep")
def sweep() -> None:
    """Find the brands in which something is due, and ring for them."""
    from django.db.models import F

    from coupons.models import CodeBatch, Coupon, PurchaseGrant, Push, PushState, ScanGrant, State, TierGift
    from coupons.services.pushes import QUIET

    at = clock.now()
    with every_brand(reason="coupons that are due"):
        due = [
            Coupon.objects.filter(state=State.HELD, held_until__lte=at),
            Coupon.objects.filter(state=State.UNUSED, valid_until__lte=at),
        ]
        brands = {pk for rows in due for pk in rows.order_by().values_list("brand_id", flat=True).distinct()}
        giving = set(TierGift.objects.filter(is_on=True).order_by().values_list("brand_id", flat=True))
        scanned = set(ScanGrant.objects.filter(outcome="").order_by().values_list("brand_id", flat=True).distinct())
        bought = set(PurchaseGrant.objects.filter(outcome="").order_by().values_list("brand_id", flat=True).distinct())
        batches = CodeBatch.objects.filter(made__lt=F("count"), stopped_at__isnull=True)
        waiting = list(batches.order_by("brand_id", "pk").values_list("brand_id", "pk"))
        left = Push.objects.filter(state__in=[PushState.WAITING, PushState.RUNNING], touched_at__lte=at - QUIET)
        pushes = list(left.order_by("brand_id", "pk").values_list("brand_id", "pk"))
    for brand_id in sorted(brands):
        ring(run_due, brand_id)
    for brand_id in sorted(giving):
        ring(give_gifts, brand_id)
    for brand_id in sorted(scanned):
        ring(give_scans, brand_id)
    for brand_id in sorted(bought):
        ring(give_after_purchases, brand_id)
    for brand_id, batch_id in waiting:
        ring(make_codes, brand_id, batch_id)
    for brand_id, push_id in pushes:
        ring(run_push, brand_id, push_id)


@brand_task(name="coupons.tasks.run_due")
def run_due(brand_id: int) -> None:
    """Set free and end what is due in a brand, a part at a time; forget old counter codes."""
    from coupons import services

    for work in (services.release_due, services.expire_due):
        more = 1
        while more:
            with brand_scope(brand_id):
                more = work(at=clock.now())
    with brand_scope(brand_id):
        services.forget_codes(at=clock.now())


@brand_task(name="coupons.tasks.make_codes")
def make_codes(brand_id: int, batch_id: int) -> None:
    """Make the codes of a batch, a portion a transaction; one that was stopped half-way goes on from there."""
    from coupons import services

    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.make_portion(batch_id=batch_id, at=clock.now())


@brand_task(name="coupons.tasks.run_push")
def run_push(brand_id: int, push_id: int) -> None:
    """Give the coupons of a push, a portion a transaction; one that was killed half-way goes on from there."""
    from coupons import services

    more = True
    while more:
        with brand_scope(brand_id):
            more = services.push_portion(push_id=push_id, at=clock.now())


@brand_task(name="coupons.tasks.give_gifts")
def give_gifts(brand_id: int) -> None:
    """Give the coupons that tiers owe, a part at a time."""
    from coupons import services

    with brand_scope(brand_id):
        services.find_gifts(at=clock.now())
    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.give_gifts(at=clock.now())


@brand_task(name="coupons.tasks.give_scans")
def give_scans(brand_id: int) -> None:
    """Give the coupons that channel codes owe, each in a transaction of its own: budgets are locked no longer."""
    from coupons import services

    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.give_scan(at=clock.now())


@brand_task(name="coupons.tasks.give_after_purchases")
def give_after_purchases(brand_id: int) -> None:
    """Give the coupons that purchases brought, a part at a time."""
    from coupons import services

    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.give_after_purchases(at=clock.now())
