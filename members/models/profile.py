"""What a brand keeps about people beyond the common facts, and what each source says of each of them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.fields import SealedTextField
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models.people import Member


class FieldKind(models.TextChoices):
    """What the values of a field are."""

    TEXT = "TEXT", pgettext_lazy("profile field", "Text")
    NUMBER = "NUMBER", pgettext_lazy("profile field", "Whole number")
    DATE = "DATE", pgettext_lazy("profile field", "Date")
    CHOICE = "CHOICE", pgettext_lazy("profile field", "One of a list")
    YES_NO = "YES_NO", pgettext_lazy("profile field", "Yes or no")


class Sensitivity(models.TextChoices):
    """Who sees the values of a field."""

    PLAIN = "PLAIN", _("Everybody who sees the person")
    MASKED = "MASKED", _("Only the first letter; the rest for a reason")
    SEALED = "SEALED", _("Only that it is there; the value for a reason")


class ProfileField(BrandOwned):
    """A field of a brand's own. `sources` are the sources that may say something, most trusted first.

    A value counts as fresh for `fresh_days` (empty: for ever); a fresh one of a lower source comes before a stale one.
    """

    key = models.SlugField(_("key"), max_length=40)
    label = models.CharField(_("name"), max_length=30)
    kind = models.CharField(_("type"), max_length=10, choices=FieldKind)
    choices = ArrayField(models.CharField(max_length=30), verbose_name=_("choices"), default=list, blank=True)
    sensitivity = models.CharField(
        _("who sees it"), max_length=10, choices=Sensitivity, default=Sensitivity.PLAIN, db_default="PLAIN"
    )
    sources = ArrayField(models.CharField(max_length=20), verbose_name=_("precedence of sources"), default=list)
    fresh_days = models.PositiveIntegerField(_("fresh for days"), null=True, blank=True)
    by_member = models.BooleanField(_("the member may see and change it"), default=False)
    created_at = models.DateTimeField(_("created"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("profile field")
        verbose_name_plural = _("profile fields")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "key"], name="profile_field_key"),
            models.UniqueConstraint(fields=["brand", "label"], name="profile_field_label"),
        ]

    def __str__(self) -> str:
        return self.label


class ProfileValue(BrandOwned):
    """What one source says about one fact of a person: the newest it said. `key` is a field's, or a common fact's.

    `text` holds plain values, `sealed` those that not everybody may see. `counts`: it is the one that holds, by
    precedence and freshness as of the last hour.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    member = BrandForeignKey(Member, models.CASCADE, related_name="+", verbose_name=_("member"))
    key = models.CharField(_("key"), max_length=40)
    source = models.CharField(_("source"), max_length=20)
    text = models.CharField(_("value"), max_length=200, blank=True)
    sealed = SealedTextField(_("value"), bind=("public_id",))
    by = models.CharField(_("by"), max_length=60, blank=True)
    at = models.DateTimeField(_("said"))
    counts = models.BooleanField(default=False, db_default=False)

    class Meta(BrandOwned.Meta):
        verbose_name = _("profile value")
        verbose_name_plural = _("profile values")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "member", "key", "source"], name="profile_value_per_source"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "key", "text", "member"], condition=models.Q(counts=True), name="people_by_profile"
            ),  # segments
        ]

    def __str__(self) -> str:
        return f"{self.pk}"
