"""Coupons that channel codes give: whom each code owes one, and what came of it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import BrandForeignKey, BrandOwned
from coupons.models.coupons import Coupon
from coupons.models.pushes import Outcome
from coupons.models.templates import Template
from members.models import Member
from touchpoints.models import Touchpoint


class ScanGrant(BrandOwned):
    """The coupon of a code for one person, and what came of it; empty while it is to be given.

    Once it is given no scan gives another. Who got none may scan again: the next scan sets the outcome back.
    """

    touchpoint = BrandForeignKey(Touchpoint, models.PROTECT, related_name="+", verbose_name=_("channel"))
    template = BrandForeignKey(Template, models.PROTECT, related_name="+", verbose_name=_("coupon template"))
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    outcome = models.CharField(_("what came of it"), max_length=10, choices=Outcome, blank=True, default="")
    coupon = BrandForeignKey(Coupon, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("coupon"))
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon a code gave")
        verbose_name_plural = _("coupons codes gave")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "touchpoint", "member"], name="scan_grant_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="scan_grants_of_member"),
            models.Index(fields=["brand", "id"], condition=Q(outcome=""), name="scan_grants_to_give"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.outcome}"
