"""What the member centre shows of points, tier and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers

from loyalty import on_screen
from loyalty.models import BenefitKind, FactKind
from loyalty.selectors import facts as fact_selectors
from loyalty.selectors import points as selectors
from loyalty.selectors import tiers as tier_selectors
from members.card import Part, centre_parts

if TYPE_CHECKING:
    from datetime import datetime

    from loyalty.models import Tier

ORDERS: Final = 5


class NextEnding(serializers.Serializer[Any]):
    """Points that end at one moment."""

    at = serializers.DateTimeField(help_text="From when on they are gone.")
    points = serializers.IntegerField(help_text="How many that are not frozen.")


class PointsInCentre(serializers.Serializer[Any]):
    """What a member has."""

    spendable = serializers.IntegerField(help_text="What a purchase can use now.")
    available = serializers.IntegerField(help_text="In lots and not frozen.")
    held = serializers.IntegerField(help_text="Frozen.")
    owed = serializers.IntegerField(help_text="Owed after refunds; what is earned next pays it.")
    endings = NextEnding(many=True, help_text=f"What ends soonest, {selectors.SOONEST} moments at most.")


class GivenByTier(serializers.Serializer[Any]):
    """A benefit of the tier."""

    kind = serializers.ChoiceField(choices=BenefitKind.choices, help_text="What it is.")
    value = serializers.IntegerField(help_text="Percent, fen or hours by its kind.")
    text = serializers.CharField(help_text="In words.")


class TierInCentre(serializers.Serializer[Any]):
    """Where a member stands and how far the next tier is."""

    name = serializers.CharField(allow_null=True, help_text="Tier; null while the brand has none.")
    since = serializers.DateTimeField(allow_null=True, help_text="Since when; null before the first purchase.")
    evaluates_at = serializers.DateTimeField(allow_null=True, help_text="Next evaluation; null on the lowest tier.")
    in_grace = serializers.BooleanField(help_text="Whether the value was missed and the grace runs.")
    value = serializers.IntegerField(help_text="Qualifying value of the running window: net purchases in yuan.")
    threshold = serializers.IntegerField(allow_null=True, help_text="What this tier begins at.")
    next_tier = serializers.CharField(allow_null=True, help_text="Next tier; null on the highest.")
    next_threshold = serializers.IntegerField(allow_null=True, help_text="What the next tier begins at.")
    missing = serializers.IntegerField(allow_null=True, help_text="What the next tier still needs.")
    percent = serializers.IntegerField(
        allow_null=True, help_text="How much of the way from this tier to the next is done, 0 to 100; null on the last."
    )
    benefits = GivenByTier(many=True)


class OrderStore(serializers.Serializer[Any]):
    """Where an order was."""

    code = serializers.CharField(help_text="Store code.")
    name = serializers.CharField(help_text="Name.")


class OrderLine(serializers.Serializer[Any]):
    """A purchase."""

    number = serializers.CharField(help_text="Number of the order.")
    at = serializers.DateTimeField(help_text="When.")
    amount = serializers.IntegerField(help_text="What was paid, in fen.")
    refunded = serializers.IntegerField(help_text="What of it was sent back, in fen.")
    store = OrderStore(allow_null=True, help_text="Where; null online.")


class OrdersInCentre(serializers.Serializer[Any]):
    """The newest purchases."""

    results = OrderLine(many=True, help_text=f"Newest first, {ORDERS} at most.")


def own_loyalty(member_id: int, at: datetime) -> dict[str, Any]:
    """Give points, tier and orders: six queries."""
    found = tier_selectors.card_of(member_id, at=at)
    standing = tier_selectors.standing_of(member_id)
    every = tier_selectors.tiers()
    tier = standing.tier if standing else (every[0] if every else None)
    following = next((each for each in every if tier is not None and each.threshold > tier.threshold), None)
    benefits = tier_selectors.benefits_of(tier.pk if tier else None)
    orders = fact_selectors.facts_of(member_id).filter(kind=FactKind.PURCHASE).order_by("-happened_at", "-pk")[:ORDERS]
    return {
        "points": {
            "spendable": found.balance.spendable,
            "available": found.balance.available,
            "held": found.balance.held,
            "owed": found.balance.owed,
            "endings": [
                {"at": moment, "points": points} for moment, points in selectors.soonest_endings(member_id, at=at)
            ],
        },
        "tier": {
            "name": tier.name if tier else None,
            "since": standing.since if standing else None,
            "evaluates_at": standing.evaluates_at if standing else None,
            "in_grace": bool(standing and standing.in_grace),
            "value": found.value,
            "threshold": tier.threshold if tier else None,
            "next_tier": following.name if following else None,
            "next_threshold": following.threshold if following else None,
            "missing": max(0, following.threshold - found.value) if following else None,
            "percent": _percent(found.value, tier, following),
            "benefits": [
                {"kind": each.kind, "value": each.value, "text": on_screen.benefit_sentence(each)} for each in benefits
            ],
        },
        "orders": {
            "results": [
                {
                    "number": row.number,
                    "at": row.happened_at,
                    "amount": row.amount,
                    "refunded": getattr(row, "back", None) or 0,
                    "store": {"code": row.store.code, "name": row.store.name} if row.store else None,
                }
                for row in orders
            ]
        },
    }


def _percent(value: int, tier: Tier | None, following: Tier | None) -> int | None:
    """Say how much of the way is done: rounded down, so that it is 100 only for who has arrived."""
    if tier is None or following is None:
        return None
    return min(100, max(0, (value - tier.threshold) * 100 // (following.threshold - tier.threshold)))


centre_parts.register(
    "loyalty.loyalty",
    Part({"points": PointsInCentre, "tier": TierInCentre, "orders": OrdersInCentre}, own_loyalty),
)
