"""Which coupons purchases bring, for the brand's other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import StrictSerializer, read_query
from accounts.rest.views import BrandAPIView
from coupons.api.shapes import COUPON_EXAMPLE
from coupons.models import PurchaseGift
from coupons.selectors.gifts import brought

if TYPE_CHECKING:
    from rest_framework.request import Request

_EXAMPLE: Final = {
    "template": COUPON_EXAMPLE["template"],
    "name": COUPON_EXAMPLE["name"],
    "at_least": 30000,
    "first_day": "2026-11-01",
    "last_day": "2026-11-30",
    "takes_back": True,
    "is_on": True,
    "given": 42,
}


class PurchaseCouponShape(serializers.Serializer[Any]):
    """A coupon that a purchase brings."""

    template = serializers.UUIDField(help_text="What is given.")
    name = serializers.CharField(help_text="Its name.")
    at_least = serializers.IntegerField(help_text="From this amount of one purchase on, in fen.")
    first_day = serializers.DateField(help_text="First day of the purchase, in the brand's zone.")
    last_day = serializers.DateField(allow_null=True, help_text="Last day of the purchase; null without end.")
    takes_back = serializers.BooleanField(
        help_text="Whether an unused one is taken back when refunds leave less than the amount."
    )
    is_on = serializers.BooleanField(help_text="Whether it is given now.")
    given = serializers.IntegerField(help_text="Coupons given and not taken back.")


class PurchaseCouponList(serializers.Serializer[Any]):
    """The coupons purchases bring, oldest rule first."""

    results = PurchaseCouponShape(many=True)


class _NoQuery(StrictSerializer):
    """No parameters."""


class PurchaseCoupons(BrandAPIView):
    """`/api/v1/coupons/purchases/`: the coupons purchases bring."""

    permission_classes = (needs_scope("coupons.read"),)

    @endpoint(
        "list_purchase_coupons",
        "List the coupons purchases bring",
        tag="coupons",
        auth=SYSTEM,
        answer=PurchaseCouponList,
        example={"results": [_EXAMPLE]},
        errors=problems(422),
        description=(
            "Needs the scope `coupons.read`. Each purchase that is reported brings each coupon once, within a minute "
            "and within the coupon's limits and budget."
        ),
    )
    def get(self, request: Request) -> Response:
        """Show all of them."""
        read_query(_NoQuery, request.query_params)
        rows = list(PurchaseGift.objects.select_related("template").order_by("pk"))
        counted = brought([row.pk for row in rows])
        return Response(
            {
                "results": [
                    {
                        "template": row.template.public_id,
                        "name": row.template.name,
                        "at_least": row.at_least,
                        "first_day": row.first_day,
                        "last_day": row.last_day,
                        "takes_back": row.takes_back,
                        "is_on": row.is_on,
                        "given": counted.get(row.pk, 0),
                    }
                    for row in rows
                ]
            }
        )
