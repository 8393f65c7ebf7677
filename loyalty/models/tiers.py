"""Tiers: what a member reached by qualifying value, until when, what it gives, and every change with its reason."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Member


class Tier(BrandOwned):
    """A level of membership. The lowest has the threshold 0; `threshold` is qualifying value, one for each yuan."""

    name = models.CharField(_("name"), max_length=20)
    threshold = models.PositiveIntegerField(_("qualifying value from"), validators=[MinValueValidator(0)])

    class Meta(BrandOwned.Meta):
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "name"], name="tier_name_in_brand"),
            models.UniqueConstraint(fields=["brand", "threshold"], name="tier_threshold_in_brand"),
        ]

    def __str__(self) -> str:
        return self.name


class BenefitKind(models.TextChoices):
    """What a tier gives."""

    PRICE = "PRICE", _("Member price (percent off)")
    FREE_SHIPPING = "FREE_SHIPPING", _("Free shipping from an amount")
    EARLY_ACCESS = "EARLY_ACCESS", _("Early access (hours)")
    EXCLUSIVE_GUIDE = "EXCLUSIVE_GUIDE", _("Exclusive guide")
    BIRTHDAY = "BIRTHDAY", _("Points multiplied in the month of birth (percent)")
    POINTS = "POINTS", _("Points multiplied (percent)")


class Benefit(BrandOwned):
    """One thing a tier gives: percent, fen or hours by its kind. `used` counts where it was applied."""

    tier = BrandForeignKey(Tier, models.CASCADE, related_name="benefits", verbose_name=_("tier"))
    kind = models.CharField(_("kind"), max_length=20, choices=BenefitKind)
    value = models.PositiveIntegerField(_("value"), default=0)
    used = models.PositiveBigIntegerField(_("times used"), default=0, editable=False)

    class Meta(BrandOwned.Meta):
        verbose_name = _("benefit")
        verbose_name_plural = _("benefits")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "tier", "kind"], name="benefit_once_per_tier"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class BenefitUse(BrandOwned):
    """What a tier gave for one order, as a till or shop reported it: each order and key counts once.

    `applied` lists kind, value, saved fen, tier and threshold of each benefit, as they were then.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    actor = models.CharField(max_length=60)
    key = models.CharField(max_length=120)
    fingerprint = models.UUIDField()
    number = models.CharField(_("order number"), max_length=64)
    amount = models.BigIntegerField(_("amount"))
    applied = models.JSONField(_("benefits"), default=list)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("use of benefits")
        verbose_name_plural = _("uses of benefits")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "actor", "key"], name="benefit_use_once"),
            models.UniqueConstraint(fields=["brand", "actor", "number"], name="benefit_use_of_order"),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "member", "-at"], name="benefit_uses_of_member")]

    def __str__(self) -> str:
        return f"{self.pk} {self.number}"


class Standing(BrandOwned):
    """Where a member stands; somebody must look again at `evaluates_at`, a lock keeps the tier until its end."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    tier = BrandForeignKey(Tier, models.PROTECT, related_name="+", verbose_name=_("tier"))
    since = models.DateTimeField(_("since"))
    evaluates_at = models.DateTimeField(_("next evaluation"), null=True, blank=True)
    in_grace = models.BooleanField(_("in grace"), default=False)
    locked_until = models.DateTimeField(_("locked until"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("tier of a member")
        verbose_name_plural = _("tiers of members")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "member"], name="one_standing")]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "evaluates_at"], condition=Q(evaluates_at__isnull=False), name="standing_due"
            ),
            models.Index(fields=["brand", "tier"], name="members_of_tier"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class TierChangeKind(models.TextChoices):
    """Why a tier changed or stayed."""

    ENTER = "ENTER", pgettext_lazy("tier", "Entered")
    UPGRADE = "UPGRADE", pgettext_lazy("tier", "Upgraded")
    KEEP = "KEEP", pgettext_lazy("tier", "Kept")
    GRACE = "GRACE", pgettext_lazy("tier", "Grace began")
    DOWNGRADE = "DOWNGRADE", pgettext_lazy("tier", "Downgraded")
    LOCK = "LOCK", pgettext_lazy("tier", "Locked")
    UNLOCK = "UNLOCK", pgettext_lazy("tier", "Unlocked")


class TierChange(BrandOwned):
    """One decision about a member's tier with the value and the window it stands on. Never changed, never deleted."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    kind = models.CharField(_("what happened"), max_length=10, choices=TierChangeKind)
    before = models.CharField(_("before"), max_length=20, blank=True)
    after = models.CharField(_("after"), max_length=20)
    value = models.BigIntegerField(_("qualifying value"))
    window_from = models.DateTimeField(_("counted from"))
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("change of tier")
        verbose_name_plural = _("changes of tiers")
        indexes: ClassVar = [models.Index(fields=["brand", "member", "-id"], name="tier_changes_of_member")]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"
