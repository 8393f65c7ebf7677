"""Coupons given to a whole segment: who was meant, and what came of it for each of them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import StaffUser
from accounts.tenancy import BrandForeignKey, BrandOwned
from coupons.models.templates import Template, TemplateVersion
from members.models import Member, Segment


class PushState(models.TextChoices):
    """How far a push is."""

    DRAFT = "DRAFT", pgettext_lazy("coupon push", "To be confirmed")
    WAITING = "WAITING", pgettext_lazy("coupon push", "Begins")
    RUNNING = "RUNNING", pgettext_lazy("coupon push", "Under way")
    DONE = "DONE", pgettext_lazy("coupon push", "Done")
    STOPPED = "STOPPED", pgettext_lazy("coupon push", "Stopped")


class Outcome(models.TextChoices):
    """What came of a push for one person; whom it has not come to yet has none."""

    GIVEN = "GIVEN", pgettext_lazy("coupon push", "Given")
    HAD_IT = "HAD_IT", _("Has as many as one may have")
    NONE_LEFT = "NONE_LEFT", _("None were left")
    CLOSED = "CLOSED", _("The coupon was turned off or its last day was over")
    FLAGGED = "FLAGGED", _("Left out: works here, test person or blocked")
    MINOR = "MINOR", _("Under 14")
    ON_LIST = "ON_LIST", _("On the do-not-send list")
    CONTROL = "CONTROL", _("In the control group")
    NOT_CHOSEN = "NOT_CHOSEN", _("Does not want to be chosen by a rule")
    TAKEN_BACK = "TAKEN_BACK", _("Taken back after a refund")
    REFUNDED = "REFUNDED", _("Refunded before it was given")
    GONE = "GONE", _("The personal data was deleted")
    MERGED = "MERGED", _("Got it under another record")


class Push(BrandOwned):
    """A coupon for everybody of a segment. What is given is the version that was confirmed.

    Its people are written down when it begins and come up in the order of their records: `reached` is the last one,
    and moves in the transaction that gave the coupons. `tally` counts them by outcome.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    template = BrandForeignKey(Template, models.PROTECT, related_name="+", verbose_name=_("coupon template"))
    version = BrandForeignKey(TemplateVersion, models.PROTECT, null=True, blank=True, related_name="+")
    segment = BrandForeignKey(Segment, models.PROTECT, related_name="+", verbose_name=_("segment"))
    reason = models.CharField(_("reason"), max_length=100)
    state = models.CharField(_("state"), max_length=10, choices=PushState, default=PushState.DRAFT)
    actor = models.CharField(_("who"), max_length=40)
    key = models.CharField(_("operation key"), max_length=120)
    fingerprint = models.UUIDField()
    total = models.PositiveIntegerField(_("people"), default=0)
    done = models.PositiveIntegerField(_("people it has come to"), default=0)
    reached = models.BigIntegerField(default=0)
    tally = models.JSONField(default=dict)
    problem = models.CharField(_("problem"), max_length=200, blank=True, default="")
    created_by = models.ForeignKey(StaffUser, models.DO_NOTHING, null=True, related_name="+", verbose_name=_("made by"))
    created_at = models.DateTimeField(_("made"))
    touched_at = models.DateTimeField()
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("coupon for a segment")
        verbose_name_plural = _("coupons for segments")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "actor", "key"], name="coupon_push_once"),
            models.CheckConstraint(condition=Q(done__lte=F("total")), name="coupon_push_adds_up"),
            models.CheckConstraint(
                condition=Q(state__in=["DRAFT", "STOPPED"]) | Q(version__isnull=False), name="coupon_push_has_a_version"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "touched_at"], condition=Q(state__in=["WAITING", "RUNNING"]), name="pushes_to_go_on"
            ),
            models.Index(fields=["brand", "template", "-id"], name="pushes_of_template"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class PushPerson(BrandOwned):
    """Somebody a push was meant for, and what came of it."""

    push = BrandForeignKey(Push, models.PROTECT, related_name="+", verbose_name=_("coupon for a segment"))
    member = BrandForeignKey(Member, models.PROTECT, related_name="+", verbose_name=_("member"))
    outcome = models.CharField(_("what came of it"), max_length=10, choices=Outcome, blank=True, default="")

    class Meta(BrandOwned.Meta):
        verbose_name = _("person of a coupon push")
        verbose_name_plural = _("people of coupon pushes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "push", "member"], name="once_in_a_push"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["brand", "member"], name="pushes_of_member"),  # erasure, copies
            models.Index(
                fields=["brand", "push", "outcome", "member"],
                condition=~Q(outcome__in=["", "GIVEN"]),
                name="left_out_of_a_push",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.outcome}"
