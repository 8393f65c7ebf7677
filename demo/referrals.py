"""An invitation programme at a demo brand: honest friends, somebody with five accounts on one phone, one too many."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import F

from accounts.tenancy import brand_scope
from common import clock
from loyalty.selectors.points import zone
from members.models import Member
from referrals import services
from referrals.models import Act, Programme

DAYS: Final = 45
HONEST: Final = 12
INVITERS: Final = 6
MADE_UP: Final = 5


def invite_friends(brand_id: int) -> None:
    """Let people who came lately have been brought by members who were there before."""
    now = clock.now()
    with brand_scope(brand_id):
        if Programme.objects.exists():
            return
        since = now - timedelta(days=DAYS)
        programme = Programme(
            name="带好友一起来",
            first_day=since.astimezone(zone()).date(),
            act=Act.JOIN,
            wait_days=1,
            inviter_points=100,
            invited_points=50,
            per_month=10,
        )
        services.save_programme(programme=programme, at=since)
        joined = Member.objects.filter(joined_at__isnull=False, merged_into__isnull=True, erased_at__isnull=True)
        came = list(
            joined.filter(created_at__gt=since, joined_at__gte=F("created_at")).order_by("-created_at", "-pk")[
                : HONEST + MADE_UP
            ]
        )
        known = [each.pk for each in came]
        inviters = list(joined.exclude(pk__in=known).order_by("created_at", "pk")[20 : 20 + INVITERS + 1])
        if len(inviters) <= INVITERS:
            return
        codes = {each.pk: services.own_invitation(member_id=each.pk, at=since).code for each in inviters}
        for number, member in enumerate(came):
            made_up = number >= HONEST
            inviter = inviters[INVITERS] if made_up else inviters[number % INVITERS]
            device = "demo one phone" if made_up else f"demo phone {member.pk}"
            services.accept(member_id=member.pk, code=codes[inviter.pk], at=member.created_at, signs={"DEVICE": device})
    for work in (services.look_at_open, services.pay_due):
        more = 1
        while more:
            with brand_scope(brand_id):
                more = work(at=now)
