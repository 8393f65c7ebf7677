"""Which coupons tiers give, for the brand's other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import SYSTEM, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, TextField, read_body
from accounts.rest.views import BrandAPIView
from common import clock
from coupons import services
from coupons.api.shapes import COUPON_EXAMPLE, template_or_422
from coupons.models import Period, TierGift
from coupons.selectors.gifts import given_now
from loyalty.models import Tier

if TYPE_CHECKING:
    from rest_framework.request import Request

_EXAMPLE: Final = {
    "tier": "知音",
    "template": COUPON_EXAMPLE["template"],
    "name": COUPON_EXAMPLE["name"],
    "period": "MONTH",
    "is_on": True,
    "given": 128,
}


class TierCouponBody(StrictSerializer):
    """Which tier gives which coupon how often."""

    tier = TextField(max_length=20, help_text="Tier, by its name.")
    template = CodeField(max_length=36, help_text="What is given.")
    period = serializers.ChoiceField(choices=Period.choices, help_text="How often, by the brand's calendar.")
    is_on = serializers.BooleanField(default=True, help_text="false: it is given no more; what was given stays.")


class TierCouponShape(serializers.Serializer[Any]):
    """A coupon that a tier gives."""

    tier = serializers.CharField(help_text="Tier.")
    template = serializers.UUIDField(help_text="What is given.")
    name = serializers.CharField(help_text="Its name.")
    period = serializers.ChoiceField(choices=Period.choices, help_text="How often.")
    is_on = serializers.BooleanField(help_text="Whether it is given now.")
    given = serializers.IntegerField(help_text="People who got it in the running period.")


class TierCouponList(serializers.Serializer[Any]):
    """The coupons of all tiers, from the lowest tier on."""

    results = TierCouponShape(many=True)


def _body(gift: TierGift, given: int) -> dict[str, Any]:
    return {
        "tier": gift.tier.name,
        "template": gift.template.public_id,
        "name": gift.template.name,
        "period": gift.period,
        "is_on": gift.is_on,
        "given": given,
    }


class TierCoupons(BrandAPIView):
    """`/api/v1/coupons/tiers/`: the coupons tiers give."""

    def get_permissions(self) -> list[Any]:
        """Reading and writing have scopes of their own."""
        scope = "coupons.read" if self.request.method in {"GET", "HEAD"} else "coupons.write"
        return [needs_scope(scope)()]

    @endpoint(
        "list_tier_coupons",
        "List the coupons tiers give",
        tag="coupons",
        auth=SYSTEM,
        answer=TierCouponList,
        example={"results": [_EXAMPLE]},
        description="Needs the scope `coupons.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show all of them."""
        rows = list(TierGift.objects.select_related("tier", "template").order_by("tier__threshold", "pk"))
        counted = given_now([row.pk for row in rows], at=clock.now())
        return Response({"results": [_body(row, counted.get(row.pk, 0)) for row in rows]})

    @endpoint(
        "set_tier_coupon",
        "Let a tier give a coupon, or change how often",
        tag="coupons",
        auth=SYSTEM,
        body=TierCouponBody,
        body_example={key: _EXAMPLE[key] for key in ("tier", "template", "period", "is_on")},
        answer=TierCouponShape,
        example=_EXAMPLE,
        errors=problems(
            409,
            422,
            s409={"template_closed": "The coupon is a draft or turned off."},
            s422={"invalid": "Some values cannot be used."},
        ),
        description=(
            "Needs the scope `coupons.write`. Tier and coupon name it: sent again it changes nothing. Whoever stands "
            "in the tier gets the coupon within a minute, once in each period, within its limit and budget."
        ),
    )
    def post(self, request: Request) -> Response:
        """Keep it."""
        given, at = read_body(TierCouponBody, request.data), clock.now()
        tier = Tier.objects.filter(name=given["tier"]).first()
        if tier is None:
            raise ValidationError({"tier": [_("This tier does not exist.")]})
        gift = services.set_gift(
            tier=tier,
            template=template_or_422(given["template"]),
            period=given["period"],
            is_on=given["is_on"],
            at=at,
        )
        return Response(_body(gift, given_now([gift.pk], at=at).get(gift.pk, 0)))
