"""Codes by text message, for joining: how a brand sends them, and each that was asked for."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.fields import SealedTextField
from accounts.tenancy import BrandForeignKey, BrandOwned
from members.models.people import Member


class SmsSettings(BrandOwned):
    """By which way a brand sends text messages (empty: by none), and how many codes a day at most."""

    way = models.CharField(_("way"), max_length=20, blank=True)
    url = models.CharField(_("address"), max_length=300, blank=True)
    secret = SealedTextField(_("secret"))
    signature = models.CharField(_("signature"), max_length=20, blank=True)
    template = models.CharField(_("template"), max_length=64, blank=True)
    daily_limit = models.PositiveIntegerField(_("codes a day at most"), default=1000)
    changed_at = models.DateTimeField(_("changed"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("text messages")
        verbose_name_plural = _("text messages")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand"], name="one_way_of_sms")]

    def __str__(self) -> str:
        return self.way


class SmsState(models.TextChoices):
    """How the message with a code stands."""

    WAITING = "WAITING", pgettext_lazy("text message", "Waiting")
    SENDING = "SENDING", pgettext_lazy("text message", "Being sent")
    SENT = "SENT", pgettext_lazy("text message", "Sent")
    FAILED = "FAILED", pgettext_lazy("text message", "Not sent")


class SmsCode(BrandOwned):
    """A code for one phone, asked for by one caller. Of the phone and the code only fingerprints stay.

    `message` holds both, sealed, from the asking until the message has left. `member` is whom it was spent for.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    phone_index = models.UUIDField()
    asker = models.CharField(max_length=40)
    address = models.UUIDField(null=True, blank=True)
    digest = models.UUIDField()
    message = SealedTextField(bind=("public_id",))
    state = models.CharField(_("state"), max_length=10, choices=SmsState, default=SmsState.WAITING)
    problem = models.CharField(_("reason"), max_length=60, blank=True)
    asked_at = models.DateTimeField(_("asked"))
    expires_at = models.DateTimeField(_("good until"))
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    spent_at = models.DateTimeField(_("used"), null=True, blank=True)
    member = BrandForeignKey(Member, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("member"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("code by text message")
        verbose_name_plural = _("codes by text message")
        indexes: ClassVar = [
            models.Index(fields=["brand", "phone_index", "-asked_at"], name="codes_of_phone"),
            models.Index(fields=["brand", "asker", "-asked_at"], name="codes_of_asker"),
            models.Index(fields=["brand", "asked_at"], name="codes_by_time"),  # the day's limit, and what goes
            models.Index(fields=["brand", "member"], condition=Q(member__isnull=False), name="codes_of_member"),
            models.Index(fields=["brand", "asked_at"], condition=Q(state="WAITING"), name="codes_to_send"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"
