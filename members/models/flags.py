"""Who is left out of rewards, marketing and reports, and from when on."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models.people import Member


class FlagKind(models.TextChoices):
    """Why somebody is left out."""

    STAFF = "STAFF", pgettext_lazy("flag", "Works here")
    TEST = "TEST", pgettext_lazy("flag", "Test person")
    BLOCKED = "BLOCKED", pgettext_lazy("flag", "Blocked")


class Flag(BrandOwned):
    """A person who gets no rewards and no marketing and counts in no report, since a moment (empty: from the start).

    One that has ended (`until`) still leaves out what happened while it held; of each kind one holds at a time.
    """

    member = BrandForeignKey(Member, models.CASCADE, related_name="+", verbose_name=_("member"))
    kind = models.CharField(_("flag"), max_length=10, choices=FlagKind)
    since = models.DateTimeField(_("from"), null=True, blank=True)
    until = models.DateTimeField(_("until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=120)
    by = models.CharField(_("by"), max_length=60, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("flag")
        verbose_name_plural = _("flags")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "member", "kind"], condition=models.Q(until__isnull=True), name="flag_holds_once"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "member"], name="flags_of_member")]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"
