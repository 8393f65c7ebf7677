"""Templates of coupons: the draft people work on, the versions coupons are issued from, and batches of codes."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.fields import SealedTextField
from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned


class TemplateState(models.TextChoices):
    """Whether coupons are issued from a template."""

    DRAFT = "DRAFT", pgettext_lazy("coupon template", "Draft")
    ACTIVE = "ACTIVE", pgettext_lazy("coupon template", "Active")
    STOPPED = "STOPPED", pgettext_lazy("coupon template", "Stopped")


class Template(BrandOwned):
    """What a brand issues coupons from. `draft` is what activating it makes the next version of.

    `taken` is what is gone of the budget: coupons given by any way but codes, and every code that was made.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("name"), max_length=40)
    state = models.CharField(_("state"), max_length=10, choices=TemplateState, default=TemplateState.DRAFT)
    draft = models.JSONField(_("draft"), default=dict)
    total = models.PositiveIntegerField(_("coupons at most"), null=True, blank=True, validators=[MinValueValidator(1)])
    per_member = models.PositiveIntegerField(
        _("coupons for a member at most"), null=True, blank=True, default=1, validators=[MinValueValidator(1)]
    )
    taken = models.PositiveIntegerField(_("given or printed"), default=0, editable=False)
    claimable = models.BooleanField(_("members can claim it"), default=False)
    by_guides = models.BooleanField(_("guides can hand it out"), default=False)
    points_price = models.PositiveIntegerField(
        _("price in points"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon template")
        verbose_name_plural = _("coupon templates")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "name"], name="coupon_template_name_in_brand"),
            models.CheckConstraint(
                condition=Q(total__isnull=True) | Q(taken__lte=F("total")), name="coupon_budget_is_kept"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TemplateVersion(BrandOwned):
    """A template as coupons were issued from it. Never changed, never deleted."""

    template = BrandForeignKey(Template, models.PROTECT, related_name="versions", verbose_name=_("coupon template"))
    number = models.PositiveIntegerField(_("version"))
    name = models.CharField(_("name"), max_length=40)
    rule = models.JSONField(_("rule"))
    since = models.DateTimeField(_("from"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("version of a coupon template")
        verbose_name_plural = _("versions of coupon templates")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "template", "number"], name="coupon_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.number}"


class CodeBatch(BrandOwned):
    """Codes of a template made at once. `secret` is what they are derived from; the codes themselves are not kept."""

    template = BrandForeignKey(Template, models.PROTECT, related_name="batches", verbose_name=_("coupon template"))
    version = BrandForeignKey(TemplateVersion, models.PROTECT, related_name="+")
    label = models.CharField(_("what for"), max_length=60)
    count = models.PositiveIntegerField(_("codes"), validators=[MinValueValidator(1)])
    made = models.PositiveIntegerField(_("codes made"), default=0)
    next_serial = models.PositiveIntegerField(default=0)
    redeemed = models.PositiveIntegerField(_("codes used"), default=0)
    secret = SealedTextField()
    until = models.DateTimeField(_("can be entered until"), null=True, blank=True)
    stopped_at = models.DateTimeField(_("stopped"), null=True, blank=True)
    created_by = models.ForeignKey(StaffUser, models.DO_NOTHING, null=True, related_name="+", verbose_name=_("made by"))
    created_at = models.DateTimeField(_("made"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("batch of coupon codes")
        verbose_name_plural = _("batches of coupon codes")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(made__lte=F("count")) & Q(redeemed__lte=F("made")), name="code_batch_adds_up"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "template"], name="batches_of_template"),
            models.Index(
                fields=["brand", "id"],
                condition=Q(made__lt=F("count"), stopped_at__isnull=True),
                name="batches_to_make",
            ),
        ]

    def __str__(self) -> str:
        return self.label
