"""What happened that points or tiers are given for, kept as it was reported, and the rules that read it."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Member
from stores.models import Store


class FactKind(models.TextChoices):
    """What somebody did."""

    PURCHASE = "PURCHASE", _("Purchase")
    REFUND = "REFUND", pgettext_lazy("fact", "Refund")
    VISIT = "VISIT", pgettext_lazy("fact", "Visit to a store")
    CHECK_IN = "CHECK_IN", pgettext_lazy("fact", "Daily check-in")
    PROFILE = "PROFILE", pgettext_lazy("fact", "Profile completed")
    REFERRAL = "REFERRAL", pgettext_lazy("fact", "Referral")
    EVENT = "EVENT", pgettext_lazy("fact", "Event")


class Fact(BrandOwned):
    """One fact as it was reported. Never changed, never deleted; the caller's number makes it the same fact.

    `amount` is in fen. `body` holds what came: the lines of a purchase, the name of an event. A refund names the
    purchase it `refers` to.
    """

    system = models.CharField(_("reported by"), max_length=20)
    kind = models.CharField(_("kind"), max_length=10, choices=FactKind)
    number = models.CharField(_("number"), max_length=64)
    fingerprint = models.UUIDField()
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    store = BrandForeignKey(Store, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("store"))
    refers = BrandForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("purchase")
    )
    amount = models.BigIntegerField(_("amount"), default=0)
    body = models.JSONField(_("details"), default=dict)
    happened_at = models.DateTimeField(_("happened"))
    received_at = models.DateTimeField(_("reported"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("reported fact")
        verbose_name_plural = _("reported facts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "system", "kind", "number"], name="fact_once"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="fact_amount_is_not_negative"),
            models.CheckConstraint(
                condition=Q(kind="REFUND", refers__isnull=False) | (~Q(kind="REFUND") & Q(refers__isnull=True)),
                name="refund_refers",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member", "kind", "happened_at"], name="reported_of_member"),  # tiers, limits
            models.Index(fields=["brand", "refers"], condition=Q(refers__isnull=False), name="refunds_of_purchase"),
            models.Index(fields=["brand", "kind", "happened_at"], name="reported_by_time"),  # dry run, segments
            GinIndex(
                fields=["brand", "body"],
                condition=Q(kind="PURCHASE"),
                opclasses=["int8_ops", "jsonb_path_ops"],
                name="bought_goods",
            ),  # segments by goods, as the reports role
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class RuleState(models.TextChoices):
    """Whether a rule gives points."""

    DRAFT = "DRAFT", pgettext_lazy("earn rule", "Draft")
    ACTIVE = "ACTIVE", pgettext_lazy("earn rule", "Active")
    STOPPED = "STOPPED", pgettext_lazy("earn rule", "Stopped")


class EarnRule(BrandOwned):
    """For what a brand gives points. `draft` is what activating it makes the next version of."""

    name = models.CharField(_("name"), max_length=40)
    kind = models.CharField(_("kind"), max_length=20)
    state = models.CharField(_("state"), max_length=10, choices=RuleState, default=RuleState.DRAFT)
    draft = models.JSONField(_("draft"), default=dict)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("earn rule")
        verbose_name_plural = _("earn rules")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "name"], name="earn_rule_name_in_brand")]

    def __str__(self) -> str:
        return self.name


class EarnRuleVersion(BrandOwned):
    """A rule as it was from one moment to another; every grant names the version that gave it."""

    rule = BrandForeignKey(EarnRule, models.PROTECT, related_name="versions", verbose_name=_("earn rule"))
    number = models.PositiveIntegerField(_("version"))
    params = models.JSONField(_("settings"))
    since = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("version of an earn rule")
        verbose_name_plural = _("versions of earn rules")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "rule", "number"], name="earn_rule_version_once"),
            models.UniqueConstraint(
                fields=["brand", "rule"], condition=Q(until__isnull=True), name="one_version_in_force"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.number}"
