"""Work that time brings: points that end, freezes that run out, warnings, evaluations of tiers."""

from __future__ import annotations

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock


@global_task(name="loyalty.tasks.sweep")
def sweep() -> None:
    """Find the brands in which something is due, and ring for them."""
    from loyalty.models import Hold, HoldState, Lot, Standing

    at = clock.now()
    with every_brand(reason="points and tiers that are due"):
        due = [
            Lot.objects.filter(remaining__gt=0, expires_at__lte=at),
            Hold.objects.filter(state=HoldState.HELD, until__lte=at),
            Standing.objects.filter(evaluates_at__lte=at),
        ]
        brands = {
            brand_id for rows in due for brand_id in rows.order_by().values_list("brand_id", flat=True).distinct()
        }
    for brand_id in sorted(brands):
        ring(run_due, brand_id)


@brand_task(name="loyalty.tasks.run_due")
def run_due(brand_id: int) -> None:
    """Release, end and evaluate what is due in a brand, a part at a time."""
    from loyalty import services

    for work in (services.release_due, services.expire_due, services.evaluate_due):
        more = 1
        while more:
            with brand_scope(brand_id):
                more = work(at=clock.now())


@global_task(name="loyalty.tasks.warn_all")
def warn_all() -> None:
    """Ring for every brand whose members have points that end (once an hour)."""
    from loyalty.models import Lot

    with every_brand(reason="points that end some day"):
        rows = Lot.objects.filter(remaining__gt=0, expires_at__isnull=False)
        brands = sorted(set(rows.order_by().values_list("brand_id", flat=True).distinct()))
    for brand_id in brands:
        ring(warn, brand_id)


@brand_task(name="loyalty.tasks.warn")
def warn(brand_id: int) -> None:
    """Note whose points end soon, and have them told, a part at a time."""
    from loyalty import services

    with brand_scope(brand_id):
        services.warn_of_expiry(at=clock.now())
    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.carry_warnings(at=clock.now())


@global_task(name="loyalty.tasks.find_all_birthdays")
def find_all_birthdays() -> None:
    """Ring for every brand that gives something for birthdays (once an hour)."""
    from loyalty.models import BirthdayGrant, BirthdayProgramme, GrantState

    with every_brand(reason="birthday benefits"):
        brands = set(BirthdayProgramme.objects.filter(is_on=True).order_by().values_list("brand_id", flat=True))
        rows = BirthdayGrant.objects.filter(state=GrantState.DUE)
        brands |= set(rows.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in sorted(brands):
        ring(give_birthdays, brand_id)


@brand_task(name="loyalty.tasks.give_birthdays")
def give_birthdays(brand_id: int) -> None:
    """Find whose birthday it is, give what is due and say so, a part at a time."""
    from loyalty import services

    with brand_scope(brand_id):
        services.find_birthdays(at=clock.now())
    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.give_birthdays(at=clock.now())
    more = 1
    while more:
        with brand_scope(brand_id):
            more = services.carry_birthdays(at=clock.now())


@global_task(name="loyalty.tasks.tell_all")
def tell_all() -> None:
    """Ring for every brand that tells news of coupons or tiers (once an hour)."""
    from loyalty.models import NewsText

    with every_brand(reason="news of coupons and tiers"):
        brands = sorted(set(NewsText.objects.filter(is_on=True).order_by().values_list("brand_id", flat=True)))
    for brand_id in brands:
        ring(tell_news, brand_id)


@brand_task(name="loyalty.tasks.tell_news")
def tell_news(brand_id: int) -> None:
    """Note who is to be told what, and have them told, a part at a time."""
    from loyalty import services

    with brand_scope(brand_id):
        abouts = services.due_kinds()
    for about in abouts:
        with brand_scope(brand_id):
            services.find_news(about=about, at=clock.now())
        more = 1
        while more:
            with brand_scope(brand_id):
                more = services.carry_news(about=about, at=clock.now())
