"""The first 48 hours of a new follower: sequences that brands write, who runs through one, what came of each step."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models import Follower, Topic
from wechat_gateway.models import OfficialAccount


class Sequence(BrandOwned):
    """What an account says to new followers in their first 48 hours; one per account can be on.

    `steps` is read by `plan.read_steps`. A step keeps its key when it is moved or reworded, so that whoever had it does
    not get it again. Whoever has turned off the `topic` gets nothing of it. Between `quiet_from` and `quiet_until`, in
    the brand's zone, nothing is sent but what follows the follow at once; without both there are no quiet hours.
    """

    account = BrandForeignKey(OfficialAccount, models.CASCADE, related_name="+", verbose_name=_("service account"))
    name = models.CharField(_("name"), max_length=40)
    is_enabled = models.BooleanField(_("enabled"), default=False)
    control_percent = models.PositiveSmallIntegerField(
        _("control group (%)"), default=10, validators=[MaxValueValidator(50)]
    )
    ends_on_act = models.BooleanField(_("ends as soon as they write or tap"), default=False)
    topic = BrandForeignKey(
        Topic, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("topic of the sequence")
    )
    steps = models.JSONField(_("steps"), default=list, blank=True)
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    updated_at = models.DateTimeField(_("changed"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("welcome sequence")
        verbose_name_plural = _("welcome sequences")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "account"], condition=Q(is_enabled=True), name="one_sequence_per_account"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class EnrolmentState(models.TextChoices):
    """Whether somebody is still in their sequence."""

    ACTIVE = "ACTIVE", _("Under way")
    ENDED = "ENDED", pgettext_lazy("sequence", "Ended")


class Enrolment(BrandOwned):
    """One new follower in a sequence, for 48 hours from the follow on. The control group is there and gets nothing.

    `due_at` is when somebody must look at the row again; an act of the person brings it forward. `acted_at` is their
    first act after the follow within the 48 hours, kept even when the sequence has ended for them.
    """

    sequence = BrandForeignKey(Sequence, models.CASCADE, related_name="enrolments", verbose_name=_("welcome sequence"))
    follower = BrandForeignKey(Follower, models.CASCADE, related_name="+", verbose_name=_("follower"))
    in_control = models.BooleanField(_("control group"))
    state = models.CharField(_("state"), max_length=10, choices=EnrolmentState, default=EnrolmentState.ACTIVE)
    ended = models.CharField(_("why it ended"), max_length=20, blank=True)
    followed_at = models.DateTimeField(_("followed"))
    until = models.DateTimeField(_("ends"))
    due_at = models.DateTimeField(null=True, blank=True)
    acted_at = models.DateTimeField(_("first act"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("new follower in a sequence")
        verbose_name_plural = _("new followers in sequences")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "follower"], name="enrolled_once"),  # nobody is new twice
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "due_at"], condition=Q(state="ACTIVE", due_at__isnull=False), name="enrolment_due"
            ),  # what workers claim
            models.Index(fields=["brand", "sequence", "until"], name="enrolments_of_sequence"),  # report
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"


class StepOutcome(models.TextChoices):
    """What came of a step for one person."""

    SENT = "SENT", _("Sent")
    SKIPPED = "SKIPPED", _("Skipped")


class StepRecord(BrandOwned):
    """One step for one person, settled once: handed to the inbox to be sent (`message_id`), or skipped and why."""

    enrolment = BrandForeignKey(
        Enrolment, models.CASCADE, related_name="records", verbose_name=_("new follower in a sequence")
    )
    step = models.CharField(_("step"), max_length=20)
    outcome = models.CharField(_("outcome"), max_length=10, choices=StepOutcome)
    reason = models.CharField(_("reason"), max_length=20, blank=True)
    message_id = models.BigIntegerField(null=True, blank=True)
    at = models.DateTimeField(_("when"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("step of a new follower")
        verbose_name_plural = _("steps of new followers")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "enrolment", "step"], name="step_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.step} {self.outcome}"
