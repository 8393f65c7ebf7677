"""Which programme runs, and what programmes have brought and cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Q, Sum

from loyalty.selectors.points import policy, zone
from referrals.models import Programme, Referral, State
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

_GIVEN = (State.PAID, State.DOUBTED, State.RETURNING)


@dataclass(frozen=True)
class Figures:
    """What a programme brought. Points and coupons are those given and not taken back; `cost` is theirs in fen."""

    invited: int = 0
    qualified: int = 0
    paid: int = 0
    held: int = 0
    refused: int = 0
    returned: int = 0
    points: int = 0
    coupons: int = 0
    cost: int = 0


def running(at: datetime) -> Programme | None:
    """Give the programme of a day; of those that run, no two share one."""
    day = at.astimezone(zone()).date()
    rows = Programme.objects.select_related("inviter_template", "invited_template", "account")
    rows = rows.filter(is_on=True, first_day__lte=day).filter(Q(last_day__isnull=True) | Q(last_day__gte=day))
    return rows.order_by("pk").first()


def account_of_codes(programme: Programme) -> OfficialAccount | None:
    """Give the service account whose followers a programme's pictures bring."""
    chosen: OfficialAccount | None = programme.account
    if chosen is not None:
        return chosen
    return OfficialAccount.objects.filter(is_active=True).order_by("pk").first()


def figures(programme_ids: Iterable[int]) -> dict[int, Figures]:
    """Count invitations and what they cost, for a whole page of programmes in one query."""
    given = Q(state__in=_GIVEN)
    rows = (
        Referral.objects.filter(programme_id__in=list(programme_ids))
        .order_by()
        .values("programme_id")
        .annotate(
            all=Count("pk"),
            acted=Count("pk", filter=Q(act_at__isnull=False)),
            rewarded=Count("pk", filter=given),
            waiting=Count("pk", filter=Q(state__in=[State.HELD, State.DOUBTED])),
            no=Count("pk", filter=Q(state=State.REFUSED)),
            back=Count("pk", filter=Q(state=State.RETURNED)),
            inviter=Sum("inviter_points", filter=given, default=0),
            invited=Sum("invited_points", filter=given, default=0),
            first=Count("inviter_coupon", filter=given),
            second=Count("invited_coupon", filter=given),
        )
    )
    per_100 = policy().cost_per_100
    return {
        row["programme_id"]: Figures(
            invited=row["all"],
            qualified=row["acted"],
            paid=row["rewarded"],
            held=row["waiting"],
            refused=row["no"],
            returned=row["back"],
            points=row["inviter"] + row["invited"],
            coupons=row["first"] + row["second"],
            cost=round((row["inviter"] + row["invited"]) * per_100 / 100),
        )
        for row in rows
    }


def brought_by(member_id: int) -> QuerySet[Referral]:
    """Give whom somebody brought, newest first."""
    return Referral.objects.filter(inviter_id=member_id).order_by("-pk")


def tally(member_id: int) -> dict[str, int]:
    """Count whom somebody brought, how many of them count, and how many were rewarded."""
    found: dict[str, int] = Referral.objects.filter(inviter_id=member_id).aggregate(
        came=Count("pk"),
        counted=Count("pk", filter=Q(act_at__isnull=False)),
        rewarded=Count("pk", filter=Q(state__in=[State.PAID, State.DOUBTED])),
    )
    return found
