"""Coupons that a purchase brings: from which amount on, between which days, and what came of it for each purchase."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from coupons.models.coupons import Coupon
from coupons.models.pushes import Outcome
from coupons.models.templates import Template
from loyalty.models import Fact
from members.models import Member


class PurchaseGift(BrandOwned):
    """A coupon for whoever buys for so much at once; days are those of the brand, both included."""

    template = BrandForeignKey(Template, models.PROTECT, related_name="+", verbose_name=_("coupon template"))
    at_least = models.PositiveIntegerField(_("from this amount on (fen)"), validators=[MinValueValidator(1)])
    first_day = models.DateField(_("first day"))
    last_day = models.DateField(_("last day"), null=True, blank=True)
    takes_back = models.BooleanField(_("taken back after a refund"), default=True)
    is_on = models.BooleanField(_("is given"), default=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon after a purchase")
        verbose_name_plural = _("coupons after purchases")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(at_least__gt=0), name="purchase_gift_has_an_amount"),
            models.CheckConstraint(
                condition=Q(last_day__isnull=True) | Q(last_day__gte=F("first_day")), name="purchase_gift_days_in_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class PurchaseGrant(BrandOwned):
    """The coupon of one purchase, and what came of it; empty while it is to be given."""

    gift = BrandForeignKey(PurchaseGift, models.PROTECT, related_name="+", verbose_name=_("coupon after a purchase"))
    fact = BrandForeignKey(Fact, models.PROTECT, related_name="+", verbose_name=_("purchase"))
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    outcome = models.CharField(_("what came of it"), max_length=10, choices=Outcome, blank=True, default="")
    coupon = BrandForeignKey(Coupon, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("coupon"))
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon a purchase brought")
        verbose_name_plural = _("coupons purchases brought")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "fact", "gift"], name="purchase_grant_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="purchase_grants_of_member"),
            models.Index(fields=["brand", "gift", "outcome"], name="purchase_grants_counted"),
            models.Index(fields=["brand", "id"], condition=Q(outcome=""), name="purchase_grants_to_give"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
