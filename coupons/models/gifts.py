"""Coupons as a benefit of a tier: what is given how often, and what came of it for each person and period."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from coupons.models.coupons import Coupon
from coupons.models.pushes import Outcome
from coupons.models.templates import Template
from loyalty.models import Tier
from members.models import Member


class Period(models.TextChoices):
    """How often a tier gives its coupon."""

    ONCE = "ONCE", pgettext_lazy("coupon of a tier", "Once")
    MONTH = "MONTH", pgettext_lazy("coupon of a tier", "Every month")
    QUARTER = "QUARTER", pgettext_lazy("coupon of a tier", "Every quarter")
    YEAR = "YEAR", pgettext_lazy("coupon of a tier", "Every year")


class TierGift(BrandOwned):
    """A coupon that whoever stands in a tier gets once in a period; periods are the brand's calendar."""

    tier = BrandForeignKey(Tier, models.PROTECT, related_name="+", verbose_name=_("tier"))
    template = BrandForeignKey(Template, models.PROTECT, related_name="+", verbose_name=_("coupon template"))
    period = models.CharField(_("how often"), max_length=10, choices=Period, default=Period.MONTH)
    is_on = models.BooleanField(_("is given"), default=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon of a tier")
        verbose_name_plural = _("coupons of tiers")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "tier", "template"], name="tier_gift_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.period}"


class TierGrant(BrandOwned):
    """The coupon of a tier for one person and period, and what came of it; empty while it is to be given."""

    gift = BrandForeignKey(TierGift, models.PROTECT, related_name="+", verbose_name=_("coupon of a tier"))
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    period = models.CharField(_("period"), max_length=10)
    outcome = models.CharField(_("what came of it"), max_length=10, choices=Outcome, blank=True, default="")
    coupon = BrandForeignKey(Coupon, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("coupon"))
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon a tier gave")
        verbose_name_plural = _("coupons tiers gave")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "gift", "member", "period"], name="tier_grant_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="tier_grants_of_member"),
            models.Index(fields=["brand", "id"], condition=Q(outcome=""), name="tier_grants_to_give"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.period}"
