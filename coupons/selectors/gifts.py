"""What tiers and purchases have given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count

from coupons.models import Outcome, Period, PurchaseGrant, TierGift, TierGrant
from loyalty.selectors.points import zone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def period_of(kind: str, at: datetime) -> str:
    """Name the period a moment lies in, by the brand's calendar."""
    day = at.astimezone(zone()).date()
    if kind == Period.MONTH:
        return f"{day:%Y-%m}"
    if kind == Period.QUARTER:
        return f"{day.year}-Q{(day.month + 2) // 3}"
    return f"{day.year}" if kind == Period.YEAR else "once"


def given_now(ids: Sequence[int], *, at: datetime) -> dict[int, int]:
    """Count whom each coupon of a tier was given to in the running period, all of them at once."""
    periods = {row.pk: period_of(row.period, at) for row in TierGift.objects.filter(pk__in=ids)}
    rows = TierGrant.objects.filter(gift_id__in=ids, period__in=set(periods.values()), outcome=Outcome.GIVEN)
    counted = rows.values("gift_id", "period").annotate(people=Count("pk")).order_by("gift_id")
    return {row["gift_id"]: row["people"] for row in counted if row["period"] == periods[row["gift_id"]]}


def brought(ids: Sequence[int]) -> dict[int, int]:
    """Count how many coupons each rule after purchases has given and not taken back, all of them at once."""
    rows = PurchaseGrant.objects.filter(gift_id__in=ids, outcome=Outcome.GIVEN)
    counted = rows.values("gift_id").annotate(coupons=Count("pk")).order_by("gift_id")
    return {row["gift_id"]: row["coupons"] for row in counted}
