"""Work that time brings: who has done what a programme asks, whose waiting is over, what is taken back."""

from __future__ import annotations

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import brand_scope, every_brand
from common import clock


@global_task(name="referrals.tasks.sweep")
def sweep() -> None:
    """Ring for every brand in which an invitation is not settled."""
    from django.db.models import Q

    from referrals.models import Referral, State

    at = clock.now()
    due = Q(state__in=[State.OPEN, State.RETURNING]) | Q(state=State.WAITING, due_at__lte=at)
    with every_brand(reason="invitations that are not settled"):
        brands = set(Referral.objects.filter(due).order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in sorted(brands):
        ring(settle, brand_id)


@brand_task(name="referrals.tasks.settle")
def settle(brand_id: int) -> None:
    """See who has done what is asked, give what is due and take back what is to go, a part at a time."""
    from referrals import services

    for work in (services.look_at_open, services.pay_due, services.take_back_next):
        more = 1
        while more:
            with brand_scope(brand_id):
                more = work(at=clock.now())
