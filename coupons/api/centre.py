"""What the member centre shows of coupons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers

from coupons.api.shapes import CouponShape, coupon_body
from coupons.selectors import coupons as selectors
from members.card import Part, centre_parts

if TYPE_CHECKING:
    from datetime import datetime

SHOWN: Final = 3


class CouponsInCentre(serializers.Serializer[Any]):
    """How many coupons a member can use, and the first of them."""

    usable = serializers.IntegerField(help_text="That can be used now; 0 for whom the brand has blocked.")
    coming = serializers.IntegerField(help_text="That can be used later.")
    held = serializers.IntegerField(help_text="Set aside for an order.")
    first = CouponShape(many=True, help_text=f"The usable ones that end soonest, {SHOWN} at most.")


def own_coupons(member_id: int, at: datetime) -> dict[str, Any]:
    """Give counts and the coupons that end soonest: three queries."""
    wallet = selectors.wallet_of(member_id, at=at, first=SHOWN)
    return {
        "coupons": {
            "usable": wallet.usable,
            "coming": wallet.coming,
            "held": wallet.held,
            "first": [coupon_body(row, at=at) for row in wallet.first],
        }
    }


centre_parts.register("coupons.coupons", Part({"coupons": CouponsInCentre}, own_coupons))
