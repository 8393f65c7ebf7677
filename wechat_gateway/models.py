"""Accounts, their tokens and quotas, and the inbox of pushes."""

from __future__ import annotations

import secrets
import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import SealedTextField
from accounts.tenancy import BrandForeignKey, BrandOwned
from wechat_gateway.codec import Mode
from wechat_gateway.fields import InstallationSecretField

appid_validator = RegexValidator(r"\Awx[0-9a-f]{16}\Z", _("An AppID is wx and 16 letters or digits."))


def new_path_token() -> str:
    """A callback path that cannot be guessed: 192 random bits."""
    return secrets.token_urlsafe(24)


class OfficialAccount(BrandOwned):
    """A brand's service account. Callbacks find it by `path_token`, never by an id.

    An appid is unique per brand only: uniqueness over brands would tell one brand of another. Connecting an account
    that another brand holds is harmless, since WeChat pushes to one URL and both need the secrets.
    """

    name = models.CharField(_("name"), max_length=60)
    appid = models.CharField("AppID", max_length=32, validators=[appid_validator])
    original_id = models.CharField(_("original ID"), max_length=64, blank=True)
    app_secret = SealedTextField("AppSecret", bind=("appid",))
    callback_token = SealedTextField(_("token (callback)"), bind=("appid",))
    encoding_aes_key = SealedTextField(_("message key"), bind=("appid",))
    previous_callback_token = SealedTextField(_("previous token"), bind=("appid",))
    previous_encoding_aes_key = SealedTextField(_("previous message key"), bind=("appid",))
    previous_key_until = models.DateTimeField(_("previous key accepted until"), null=True, blank=True)
    mode = models.CharField(
        _("message mode"),
        max_length=12,
        default=Mode.SAFE.value,
        choices=[
            (Mode.SAFE.value, _("Safe mode")),
            (Mode.COMPATIBLE.value, _("Compatible mode")),
            (Mode.PLAIN.value, _("Plain mode")),
        ],
    )
    path_token = models.CharField(max_length=64, default=new_path_token, editable=False)
    open_platform_subject = models.CharField(_("Open Platform account"), max_length=64, blank=True)
    is_active = models.BooleanField(_("connected"), default=True)
    replies_version = models.PositiveIntegerField(default=1, editable=False)
    parked_code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    parked_reason = models.CharField(_("why sending is parked"), max_length=200, blank=True)
    parked_until = models.DateTimeField(_("parked until"), null=True, blank=True)
    connected_at = models.DateTimeField(_("connected at"))
    # Set when the account was authorised to the installation's third-party platform: then it has no secrets of its own.
    platform_appid = models.CharField(_("third-party platform"), max_length=32, blank=True)
    refresh_token = SealedTextField(bind=("appid",))
    granted_sets = ArrayField(models.IntegerField(), default=list, blank=True)
    authorized_at = models.DateTimeField(_("authorised"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("authorisation taken back"), null=True, blank=True)
    js_domains = ArrayField(
        models.CharField(max_length=100), default=list, blank=True, verbose_name=_("JS-safe domains")
    )

    class Meta(BrandOwned.Meta):
        verbose_name = _("service account")
        verbose_name_plural = _("service accounts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "appid"], name="account_once_per_brand"),
            # Random, so it tells nothing of other brands; the gateway's directory maps it to one account.
            models.UniqueConstraint(fields=["path_token"], name="account_path_token"),
        ]

    def __str__(self) -> str:
        return self.name or self.appid


class MiniProgram(BrandOwned):
    """A brand's mini program: sign-in, phone numbers, and pages that messages open."""

    name = models.CharField(_("name"), max_length=60)
    appid = models.CharField("AppID", max_length=32, validators=[appid_validator])
    original_id = models.CharField(_("original ID"), max_length=64, blank=True)
    app_secret = SealedTextField("AppSecret", bind=("appid",))
    open_platform_subject = models.CharField(_("Open Platform account"), max_length=64, blank=True)
    is_active = models.BooleanField(_("connected"), default=True)
    parked_code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    parked_reason = models.CharField(_("why calls are parked"), max_length=200, blank=True)
    parked_until = models.DateTimeField(_("parked until"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("mini program")
        verbose_name_plural = _("mini programs")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "appid"], name="mini_program_once_per_brand"),
        ]

    def __str__(self) -> str:
        return self.name or self.appid


class AccessToken(BrandOwned):
    """The one access token of an app. Its row is the lock that whoever refreshes holds.

    `generation` grows with every new token: a refusal of an older generation only means "read again".
    """

    appid = models.CharField("AppID", max_length=32)
    token = SealedTextField(bind=("appid",))
    generation = models.PositiveBigIntegerField(default=0)
    fetched_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    forced_at = models.DateTimeField(null=True, blank=True)
    forced_count = models.PositiveSmallIntegerField(default=0)
    healed_at = models.DateTimeField(null=True, blank=True)  # when a refused token was last dealt with

    class Meta(BrandOwned.Meta):
        verbose_name = _("access token")
        verbose_name_plural = _("access tokens")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "appid"], name="one_token_per_appid"),
        ]

    def __str__(self) -> str:
        return f"{self.appid} #{self.generation}"


class JsTicket(BrandOwned):
    """The one jsapi_ticket of an account. Its row is the lock that whoever fetches holds."""

    appid = models.CharField("AppID", max_length=32)
    ticket = SealedTextField(bind=("appid",))
    fetched_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    parked_code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    parked_until = models.DateTimeField(_("parked until"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("JS-SDK ticket")
        verbose_name_plural = _("JS-SDK tickets")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "appid"], name="one_js_ticket_per_appid"),
        ]

    def __str__(self) -> str:
        return self.appid


class PushState(models.TextChoices):
    """Where a push stands."""

    NEW = "NEW", _("Waiting")
    HANDLED = "HANDLED", _("Handled")
    FAILED = "FAILED", _("Failed")
    QUARANTINED = "QUARANTINED", _("In quarantine")


class InboundPush(BrandOwned):
    """One push as it came, decrypted: written before WeChat gets its answer, handled afterwards.

    `reply` is what was answered (rendered, unencrypted; '' for plain `success`), so that a repeated push gets the
    same. `body` is base64 when `is_binary`, for bytes that are no text.
    """

    # No foreign key: the account's key (brand, account) implies it, and a second check per push costs as much again.
    brand = models.ForeignKey(
        "accounts.Brand", on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    account = BrandForeignKey(
        OfficialAccount,
        models.PROTECT,
        related_name="+",
        verbose_name=_("service account"),
    )
    dedupe_key = models.UUIDField(editable=False)
    digest = models.UUIDField(editable=False)
    kind = models.CharField(_("kind"), max_length=64)
    openid = models.CharField("OpenID", max_length=64, blank=True)
    lane = models.SmallIntegerField()
    event_at = models.DateTimeField(_("when"))
    received_at = models.DateTimeField(_("received"))
    body = models.TextField(_("content"))
    is_binary = models.BooleanField(default=False)
    reply = models.TextField(_("reply"), blank=True)
    state = models.CharField(_("state"), max_length=12, choices=PushState, default=PushState.NEW)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    attempts = models.SmallIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(_("tried again"), null=True, blank=True)
    handled_at = models.DateTimeField(_("handled"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("push")
        verbose_name_plural = _("pushes")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "account", "dedupe_key"], name="push_once"),
        ]
        indexes: ClassVar = [
            # what the workers claim, in the order of a lane
            models.Index(
                fields=["brand", "lane", "event_at"],
                name="push_waiting",
                condition=models.Q(state="NEW"),
            ),
            # quarantine and dead letters, newest first
            models.Index(
                fields=["brand", "state", "-received_at"],
                name="push_needs_people",
                condition=models.Q(state__in=["FAILED", "QUARANTINED"]),
            ),
            # the timeline of one person
            models.Index(fields=["brand", "openid", "-received_at"], name="push_of_follower"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class HandledEffect(BrandOwned):
    """A handler that has done its part of a push of which another handler failed: it must not run again."""

    push = BrandForeignKey(InboundPush, models.CASCADE, related_name="+")
    handler = models.CharField(max_length=80)

    class Meta(BrandOwned.Meta):
        verbose_name = _("handled effect")
        verbose_name_plural = _("handled effects")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "push", "handler"], name="effect_once"),
        ]

    def __str__(self) -> str:
        return f"{self.push_id} {self.handler}"


class QuotaWindow(models.TextChoices):
    """How long a quota counts."""

    DAY = "DAY", _("per day")
    MINUTE = "MINUTE", _("per minute")


class QuotaLimit(models.Model):
    """WeChat's limit for an API path from a date on. Facts about WeChat, the same for every brand."""

    api = models.CharField(max_length=80)
    window = models.CharField(max_length=8, choices=QuotaWindow)
    limit = models.PositiveBigIntegerField()
    valid_from = models.DateField()
    source = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["api", "window", "valid_from"], name="one_limit_per_date"),
        ]

    def __str__(self) -> str:
        return f"{self.api} {self.limit} {self.window}"


class QuotaUse(BrandOwned):
    """What an app has used of a path in one window. `limit` is what WeChat itself told, when it told."""

    appid = models.CharField(max_length=32)
    api = models.CharField(max_length=80)
    window = models.CharField(max_length=8, choices=QuotaWindow, default=QuotaWindow.DAY)
    window_start = models.DateTimeField()
    used = models.PositiveBigIntegerField(default=0)
    limit = models.PositiveBigIntegerField(null=True, blank=True)
    blocked_until = models.DateTimeField(null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("quota use")
        verbose_name_plural = _("quota uses")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "appid", "api", "window", "window_start"],
                name="one_counter_per_window",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.appid} {self.api} {self.used}"


class CheckResult(models.TextChoices):
    """How a check of a connection ended."""

    RUNNING = "RUNNING", _("Checking")
    PASSED = "PASSED", _("In order")
    FAILED = "FAILED", _("Not in order")
    UNKNOWN = "UNKNOWN", _("Not known yet")


class AccountCheck(BrandOwned):
    """What one check of an app's connection found last. `fact` is what it saw: an address, a count, WeChat's words."""

    appid = models.CharField("AppID", max_length=32)
    key = models.CharField(_("check"), max_length=40)
    result = models.CharField(_("result"), max_length=12, choices=CheckResult)
    code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    fact = models.CharField(_("fact"), max_length=200, blank=True)
    seconds = models.FloatField(_("seconds"), default=0.0)
    at = models.DateTimeField(_("checked"))

    class Meta(BrandOwned.Meta):
        verbose_name = _("check of a connection")
        verbose_name_plural = _("checks of connections")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "appid", "key"], name="check_once_per_app"),
        ]

    def __str__(self) -> str:
        return f"{self.appid} {self.key} {self.result}"


class Incident(BrandOwned):
    """Something is wrong between the brand and WeChat: opened once, closed by itself when health returns.

    `subject` is what of the app it is about (an API path, a template), '' for the app as a whole. `seen_at` is when it
    was last noticed again.
    """

    kind = models.CharField(_("kind"), max_length=40)
    appid = models.CharField("AppID", max_length=32, blank=True)
    subject = models.CharField(_("about"), max_length=100, blank=True)
    code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    detail = models.CharField(_("what WeChat said"), max_length=200, blank=True)
    opened_at = models.DateTimeField(_("since"))
    seen_at = models.DateTimeField(_("last noticed"))
    closed_at = models.DateTimeField(_("over"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["brand", "appid", "kind", "subject"],
                condition=models.Q(closed_at__isnull=True),
                name="incident_open_once",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["brand", "-opened_at"], name="incident_newest")]  # the list

    def __str__(self) -> str:
        return f"{self.pk} {self.kind}"


class Platform(models.Model):
    """The installation's third-party platform (第三方平台), of which there is one; every brand may authorise to it.

    Its row is the lock of whoever fetches its access token. Secrets are sealed with the installation's master key.
    """

    name = models.CharField(_("name"), max_length=60)
    appid = models.CharField("AppID", max_length=32)
    app_secret = InstallationSecretField("AppSecret")
    callback_token = InstallationSecretField(_("token (callback)"))
    encoding_aes_key = InstallationSecretField(_("message key"))
    previous_callback_token = InstallationSecretField(_("previous token"))
    previous_encoding_aes_key = InstallationSecretField(_("previous message key"))
    previous_key_until = models.DateTimeField(_("previous key accepted until"), null=True, blank=True)
    path_token = models.CharField(max_length=64, default=new_path_token, editable=False)
    is_active = models.BooleanField(_("in use"), default=True)
    ticket = InstallationSecretField()
    previous_ticket = InstallationSecretField()
    ticket_at = models.DateTimeField(_("last ticket"), null=True, blank=True)
    access_token = InstallationSecretField()
    generation = models.PositiveBigIntegerField(default=0)
    fetched_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    healed_at = models.DateTimeField(null=True, blank=True)  # when a refused token was last replaced
    parked_code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    parked_until = models.DateTimeField(_("parked until"), null=True, blank=True)

    class Meta:
        verbose_name = _("third-party platform")
        verbose_name_plural = _("third-party platforms")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["is_active"], condition=models.Q(is_active=True), name="one_platform"),
        ]

    def __str__(self) -> str:
        return self.name


class PlatformPush(models.Model):
    """An authorisation event of WeChat for the platform; of no brand until it is known whose account it is about."""

    info_type = models.CharField(_("kind"), max_length=64)
    appid = models.CharField("AppID", max_length=32, blank=True)
    dedupe_key = models.UUIDField(unique=True, editable=False)
    body = InstallationSecretField()
    event_at = models.DateTimeField(_("when"))
    received_at = models.DateTimeField(_("received"))
    state = models.CharField(_("state"), max_length=12, choices=PushState, default=PushState.NEW)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    attempts = models.SmallIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(_("tried again"), null=True, blank=True)

    class Meta:
        verbose_name = _("authorisation event")
        verbose_name_plural = _("authorisation events")
        indexes: ClassVar = [
            models.Index(fields=["received_at"], condition=models.Q(state="NEW"), name="platform_push_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.info_type}"


class InvitationState(models.TextChoices):
    """How far an authorisation is."""

    ASKED = "ASKED", _("Preparing the link")
    READY = "READY", _("Waiting for the scan")
    RETURNED = "RETURNED", _("Taking over the account")
    DONE = "DONE", _("Authorised")
    FAILED = "FAILED", _("Not authorised")


class Invitation(BrandOwned):
    """A brand's link to WeChat's authorisation page; `public_id` comes back with the browser and cannot be guessed.

    `code_print` finds the invitation when WeChat's event comes before the browser does.
    """

    public_id = models.UUIDField(default=uuid.uuid4, editable=False)
    state = models.CharField(_("state"), max_length=12, choices=InvitationState, default=InvitationState.ASKED)
    pre_auth_code = SealedTextField(bind=("public_id",))
    code_print = models.CharField(max_length=64, blank=True)
    auth_code = SealedTextField(bind=("public_id",))
    account = BrandForeignKey(OfficialAccount, models.PROTECT, null=True, blank=True, related_name="+")
    code = models.IntegerField(_("WeChat's code"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    asked_at = models.DateTimeField(_("asked"))
    expires_at = models.DateTimeField(_("valid until"), null=True, blank=True)
    returned_at = models.DateTimeField(_("came back"), null=True, blank=True)

    class Meta(BrandOwned.Meta):
        verbose_name = _("authorisation")
        verbose_name_plural = _("authorisations")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["brand", "public_id"], name="invitation_in_brand"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.state}"
