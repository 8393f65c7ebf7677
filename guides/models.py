"""Guides (导购) and who looks after which member, from when to when."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Member
from stores.models import Store
from touchpoints.models import Touchpoint


class Guide(BrandOwned):
    """A shop assistant with a staff number, in a store, with a code of their own."""

    staff_no = models.CharField(_("staff number"), max_length=20)
    name = models.CharField(_("name"), max_length=40)
    store = BrandForeignKey(Store, models.PROTECT, related_name="+", verbose_name=_("store"))
    staff_user = models.ForeignKey(
        StaffUser,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("signs in as"),
    )
    touchpoint = BrandForeignKey(
        Touchpoint, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("code")
    )
    is_active = models.BooleanField(_("working"), default=True)
    created_at = models.DateTimeField(_("since"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("guide")
        verbose_name_plural = _("guides")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "staff_no"], name="staff_no_in_brand"),
            models.UniqueConstraint(
                fields=["brand", "touchpoint"],
                condition=models.Q(touchpoint__isnull=False),
                name="one_guide_per_code",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "store"], name="guide_of_store")]

    def __str__(self) -> str:
        return f"{self.name} {self.staff_no}"


class Assignment(BrandOwned):
    """A member's guide from one moment to another; the open one is the exclusive guide now."""

    member = BrandForeignKey(Member, models.PROTECT, related_name="assignments", verbose_name=_("member"))
    guide = BrandForeignKey(Guide, models.PROTECT, related_name="assignments", verbose_name=_("guide"))
    since = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=120)

    class Meta(BrandOwned.Meta):
        verbose_name = _("assignment")
        verbose_name_plural = _("assignments")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "member"],
                condition=models.Q(until__isnull=True),
                name="one_guide_at_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "guide", "until"], name="members_of_guide"),
            models.Index(fields=["brand", "since"], condition=models.Q(until__isnull=True), name="assignments_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}"


class GuidePolicy(BrandOwned):
    """How long a guide keeps a member against other guides' codes; empty means for ever.

    Within the protected days another guide's code changes nothing; afterwards it takes over. After the valid days
    nobody is looked after any more until the next guide's code. A brand without a row keeps everybody for ever.
    """

    protected_days = models.PositiveSmallIntegerField(_("protected for so many days"), null=True, blank=True)
    valid_days = models.PositiveSmallIntegerField(_("valid for so many days"), null=True, blank=True)
    changed_at = models.DateTimeField(_("changed"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("rules of exclusive guides")
        verbose_name_plural = _("rules of exclusive guides")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_guide_policy")]

    def __str__(self) -> str:
        return f"{self.protected_days} {self.valid_days}"


class JoinedBy(models.TextChoices):
    """How somebody joined with a guide."""

    SMS = "SMS", pgettext_lazy("joined by", "Code by text message, entered by the guide")
    SCAN = "SCAN", pgettext_lazy("joined by", "Join code of the guide, scanned")


class Joining(BrandOwned):
    """With which guide, in which store and how somebody became a member; kept as it was then.

    `operation` is the code that was spent: asked about it again, the answer is the same. `by` is who was signed in.
    """

    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    guide = BrandForeignKey(Guide, models.PROTECT, related_name="+", verbose_name=_("guide"))
    store = BrandForeignKey(Store, models.PROTECT, related_name="+", verbose_name=_("store"))
    way = models.CharField(_("how"), max_length=10, choices=JoinedBy)
    operation = models.UUIDField(null=True, blank=True)
    by = models.CharField(_("by"), max_length=60, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("joining")
        verbose_name_plural = _("joinings")
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="joining_of_member"),
            models.Index(fields=["brand", "guide", "-at"], name="joinings_of_guide"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.way}"
