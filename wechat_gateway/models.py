"""WeChat accounts with their credentials, the inbox of pushes, and quotas."""

from __future__ import annotations

import secrets
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import SealedTextField
from accounts.tenancy import BrandForeignKey, BrandOwned


def new_path_token() -> str:
    """Make the unguessable part of a callback address (192 bits)."""
    return secrets.token_urlsafe(24)


class Mode(models.TextChoices):
    """How WeChat encrypts pushes (reference: service account 1.2)."""

    PLAIN = "PLAIN", _("Plain text mode")
    COMPATIBLE = "COMPATIBLE", _("Compatible mode")
    SAFE = "SAFE", _("Safe mode")


class OfficialAccount(BrandOwned):
    """A service account (服务号) of a brand and how WeChat and we prove ourselves to each other."""

    name = models.CharField(_("name"), max_length=60)
    appid = models.CharField("AppID", max_length=32, unique=True)
    original_id = models.CharField(_("original id"), max_length=32)
    app_secret = SealedTextField("AppSecret", bind=("appid",))
    callback_token = SealedTextField(_("Token"), bind=("appid",))
    encoding_aes_key = SealedTextField("EncodingAESKey", bind=("appid",))
    previous_encoding_aes_key = SealedTextField(bind=("appid",))
    previous_key_until = models.DateTimeField(null=True, blank=True)
    mode = models.CharField(_("message encryption"), max_length=12, choices=Mode, default=Mode.SAFE)
    path_token = models.CharField(max_length=48, unique=True, default=new_path_token)
    open_platform_subject = models.CharField(_("Open Platform subject"), max_length=60, blank=True)
    is_active = models.BooleanField(_("connected"), default=True)
    replies_version = models.PositiveIntegerField(default=1)
    directory_version = models.PositiveIntegerField(default=1)
    parked_reason = models.CharField(_("why sending is parked"), max_length=200, blank=True)
    parked_until = models.DateTimeField(null=True, blank=True)
    connected_at = models.DateTimeField(_("connected at"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("service account")
        verbose_name_plural = _("service accounts")

    def __str__(self) -> str:
        return self.name


class MiniProgram(BrandOwned):
    """A mini-program (小程序) of a brand."""

    name = models.CharField(_("name"), max_length=60)
    appid = models.CharField("AppID", max_length=32, unique=True)
    app_secret = SealedTextField("AppSecret", bind=("appid",))
    open_platform_subject = models.CharField(_("Open Platform subject"), max_length=60, blank=True)
    is_active = models.BooleanField(_("connected"), default=True)
    parked_reason = models.CharField(_("why calls are parked"), max_length=200, blank=True)
    parked_until = models.DateTimeField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("mini-program")
        verbose_name_plural = _("mini-programs")

    def __str__(self) -> str:
        return self.name


class AccessToken(BrandOwned):
    """The one token of an appid. `generation` grows with every fetch; a late writer of an older one changes nothing."""

    appid = models.CharField("AppID", max_length=32)
    token = SealedTextField(bind=("appid",))
    generation = models.PositiveIntegerField(default=0)
    fetched_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    forced_on = models.DateField(null=True, blank=True)
    forced_count = models.PositiveSmallIntegerField(default=0)
    forced_at = models.DateTimeField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("access token")
        verbose_name_plural = _("access tokens")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "appid"], name="one_token_per_appid")]

    def __str__(self) -> str:
        return f"{self.appid} #{self.generation}"


class PushState(models.TextChoices):
    """How far a push got."""

    NEW = "NEW", _("Waiting")
    HANDLED = "HANDLED", _("Handled")
    FAILED = "FAILED", _("Failed")
    QUARANTINED = "QUARANTINED", _("Unreadable")


class InboundPush(BrandOwned):
    """One authentic push of WeChat, written before it is answered. A repeated push finds its row and its reply here."""

    account = BrandForeignKey(OfficialAccount, models.PROTECT, related_name="+", verbose_name=_("service account"))
    dedupe_key = models.CharField(max_length=160)
    kind = models.CharField(_("kind"), max_length=60)
    openid = models.CharField("OpenID", max_length=64, blank=True)
    lane = models.SmallIntegerField(default=0)
    event_at = models.DateTimeField(_("happened"))
    received_at = models.DateTimeField(_("received"))
    body = models.TextField()
    reply = models.TextField(blank=True)
    state = models.CharField(_("state"), max_length=12, choices=PushState, default=PushState.NEW)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    handled_at = models.DateTimeField(_("handled"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("push")
        verbose_name_plural = _("pushes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "dedupe_key"], name="one_row_per_push"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["brand", "lane", "id"],
                condition=models.Q(state="NEW"),
                name="push_waiting",
            ),  # what workers claim
            models.Index(fields=["brand", "state", "-id"], name="push_by_state"),  # quarantine and failed pages
            models.Index(fields=["brand", "openid", "-id"], name="push_of_follower"),  # timeline
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class HandledEffect(BrandOwned):
    """A handler's effect for a push, written in the transaction of the effect: it never happens twice."""

    push = BrandForeignKey(InboundPush, models.CASCADE, related_name="+")
    handler = models.CharField(max_length=80)

    class Meta(BrandOwned.Meta):
        verbose_name = _("handled effect")
        verbose_name_plural = _("handled effects")
        constraints: ClassVar = [models.UniqueConstraint(fields=["brand", "push", "handler"], name="effect_once")]

    def __str__(self) -> str:
        return f"{self.push_id} {self.handler}"


class QuotaLimit(models.Model):
    """How many calls of an API WeChat allows, since when, and where that is written. Data, not code: limits change."""

    api = models.CharField(max_length=80)
    window = models.CharField(max_length=6, choices=[("DAY", _("day")), ("MINUTE", _("minute"))])
    limit = models.PositiveIntegerField()
    valid_from = models.DateField()
    source = models.CharField(max_length=120)

    class Meta:
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["api", "window", "valid_from"], name="one_limit_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"{self.api} {self.limit}/{self.window}"


class QuotaUse(BrandOwned):
    """How much of a quota an appid has used in one window."""

    appid = models.CharField("AppID", max_length=32)
    api = models.CharField(max_length=80)
    window_start = models.DateTimeField()
    used = models.PositiveIntegerField(default=0)

    class Meta(BrandOwned.Meta):
        verbose_name = _("quota use")
        verbose_name_plural = _("quota uses")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "appid", "api", "window_start"], name="one_count_per_window"),
        ]

    def __str__(self) -> str:
        return f"{self.appid} {self.api} {self.used}"
