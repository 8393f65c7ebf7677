"""Accounts and their tokens, pushes as they came, what may be called how often, and the third-party platform."""

import uuid
from datetime import date

import django.core.validators
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

import wechat_gateway.fields
import wechat_gateway.models
from accounts.fields import SealedTextField
from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey

# WeChat's default limits for a new verified account (reference: service account 6.1); data, so that they can change.
_SOURCE = "WeChat: interface call frequency limits"
_DAY = {
    "/cgi-bin/token": 2_000,
    "/cgi-bin/stable_token": 500_000,
    "/cgi-bin/user/info": 5_000_000,
    "/cgi-bin/user/info/batchget": 5_000_000,
    "/cgi-bin/user/get": 500,
    "/cgi-bin/user/info/updateremark": 10_000,
    "/cgi-bin/tags/get": 1_000,
    "/cgi-bin/menu/create": 1_000,
    "/cgi-bin/menu/get": 10_000,
    "/cgi-bin/menu/delete": 1_000,
    "/cgi-bin/menu/addconditional": 2_000,
    "/cgi-bin/menu/trymatch": 20_000,
    "/cgi-bin/qrcode/create": 100_000,
    "/cgi-bin/media/upload": 100_000,
    "/cgi-bin/media/get": 200_000,
    "/cgi-bin/message/custom/send": 500_000,
    "/cgi-bin/message/template/send": 100_000,
    "/cgi-bin/message/mass/sendall": 100,
    "/cgi-bin/message/mass/send": 100,
    "/cgi-bin/message/mass/preview": 100,
    "/cgi-bin/message/mass/delete": 10,
    "/cgi-bin/draft/add": 1_000,
    "/cgi-bin/draft/batchget": 1_000,
    "/cgi-bin/draft/get": 500,
    "/cgi-bin/freepublish/batchget": 100,
}
_MINUTE = {"/cgi-bin/stable_token": 10_000, "/cgi-bin/message/mass/sendall": 60, "/cgi-bin/message/mass/send": 60}


def _add_limits(apps, schema_editor):  # noqa: ANN001, ANN202 - Django's signature
    QuotaLimit = apps.get_model("wechat_gateway", "QuotaLimit")
    QuotaLimit.objects.using(schema_editor.connection.alias).bulk_create(
        QuotaLimit(api=api, window=window, limit=limit, valid_from=date(2023, 1, 1), source=_SOURCE)
        for window, limits in (("DAY", _DAY), ("MINUTE", _MINUTE))
        for api, limit in limits.items()
    )


# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("wechat_gateway", "0001_initial"),
        ("wechat_gateway", "0002_quota_limits"),
        ("wechat_gateway", "0003_push_of_follower"),
        ("wechat_gateway", "0004_indexes_without_id"),
        ("wechat_gateway", "0005_push_brand_by_account"),
        ("wechat_gateway", "0006_checks_and_incidents"),
        ("wechat_gateway", "0007_third_party_platform"),
        ("wechat_gateway", "0008_js_tickets"),
        ("wechat_gateway", "0009_previous_tokens"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
    ]

    operations = [
        migrations.CreateModel(
            name="OfficialAccount",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                (
                    "appid",
                    models.CharField(
                        max_length=32,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\Awx[0-9a-f]{16}\\Z", "An AppID is wx and 16 letters or digits."
                            )
                        ],
                        verbose_name="AppID",
                    ),
                ),
                ("original_id", models.CharField(blank=True, max_length=64, verbose_name="original ID")),
                ("app_secret", SealedTextField(bind=("appid",), blank=True, null=True, verbose_name="AppSecret")),
                (
                    "callback_token",
                    SealedTextField(bind=("appid",), blank=True, null=True, verbose_name="token (callback)"),
                ),
                (
                    "encoding_aes_key",
                    SealedTextField(bind=("appid",), blank=True, null=True, verbose_name="message key"),
                ),
                (
                    "previous_encoding_aes_key",
                    SealedTextField(bind=("appid",), blank=True, null=True, verbose_name="previous message key"),
                ),
                (
                    "previous_key_until",
                    models.DateTimeField(blank=True, null=True, verbose_name="previous key accepted until"),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[("SAFE", "Safe mode"), ("COMPATIBLE", "Compatible mode"), ("PLAIN", "Plain mode")],
                        default="SAFE",
                        max_length=12,
                        verbose_name="message mode",
                    ),
                ),
                (
                    "path_token",
                    models.CharField(default=wechat_gateway.models.new_path_token, editable=False, max_length=64),
                ),
                (
                    "open_platform_subject",
                    models.CharField(blank=True, max_length=64, verbose_name="Open Platform account"),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="connected")),
                ("replies_version", models.PositiveIntegerField(default=1, editable=False)),
                ("parked_code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("parked_reason", models.CharField(blank=True, max_length=200, verbose_name="why sending is parked")),
                ("parked_until", models.DateTimeField(blank=True, null=True, verbose_name="parked until")),
                ("connected_at", models.DateTimeField(verbose_name="connected at")),
                ("brand", _BRAND),
                ("authorized_at", models.DateTimeField(blank=True, null=True, verbose_name="authorised")),
                ("granted_sets", ArrayField(base_field=models.IntegerField(), blank=True, default=list, size=None)),
                ("platform_appid", models.CharField(blank=True, max_length=32, verbose_name="third-party platform")),
                ("refresh_token", SealedTextField(bind=("appid",), blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="authorisation taken back")),
                (
                    "js_domains",
                    ArrayField(
                        base_field=models.CharField(max_length=100),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="JS-safe domains",
                    ),
                ),
                (
                    "previous_callback_token",
                    SealedTextField(bind=("appid",), blank=True, null=True, verbose_name="previous token"),
                ),
            ],
            options={
                "verbose_name": "service account",
                "verbose_name_plural": "service accounts",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "appid"), name="account_once_per_brand"),
                    models.UniqueConstraint(fields=("path_token",), name="account_path_token"),
                ],
            },
        ),
        migrations.CreateModel(
            name="InboundPush",
            fields=[
                ("id", _ID),
                ("dedupe_key", models.UUIDField(editable=False)),
                ("digest", models.UUIDField(editable=False)),
                ("kind", models.CharField(max_length=64, verbose_name="kind")),
                ("openid", models.CharField(blank=True, max_length=64, verbose_name="OpenID")),
                ("lane", models.SmallIntegerField()),
                ("event_at", models.DateTimeField(verbose_name="when")),
                ("received_at", models.DateTimeField(verbose_name="received")),
                ("body", models.TextField(verbose_name="content")),
                ("is_binary", models.BooleanField(default=False)),
                ("reply", models.TextField(blank=True, verbose_name="reply")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("NEW", "Waiting"),
                            ("HANDLED", "Handled"),
                            ("FAILED", "Failed"),
                            ("QUARANTINED", "In quarantine"),
                        ],
                        default="NEW",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("attempts", models.SmallIntegerField(default=0, verbose_name="attempts")),
                ("retry_at", models.DateTimeField(blank=True, null=True, verbose_name="tried again")),
                ("handled_at", models.DateTimeField(blank=True, null=True, verbose_name="handled")),
                # The account's key (brand, account) implies the brand's; each key is checked for every push.
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
                (
                    "account",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
            ],
            options={
                "verbose_name": "push",
                "verbose_name_plural": "pushes",
                "abstract": False,
                "base_manager_name": "objects",
                # With the id in them the last two would seem to answer "these ids of this brand" as the primary key does.
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["FAILED", "QUARANTINED"])),
                        fields=["brand", "state", "-received_at"],
                        name="push_needs_people",
                    ),
                    models.Index(
                        condition=models.Q(("state", "NEW")), fields=["brand", "lane", "event_at"], name="push_waiting"
                    ),
                    models.Index(fields=["brand", "openid", "-received_at"], name="push_of_follower"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "account", "dedupe_key"), name="push_once")],
            },
        ),
        migrations.CreateModel(
            name="QuotaLimit",
            fields=[
                ("id", _ID),
                ("api", models.CharField(max_length=80)),
                ("window", models.CharField(choices=[("DAY", "per day"), ("MINUTE", "per minute")], max_length=8)),
                ("limit", models.PositiveBigIntegerField()),
                ("valid_from", models.DateField()),
                ("source", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "verbose_name": "quota",
                "verbose_name_plural": "quotas",
                "constraints": [
                    models.UniqueConstraint(fields=("api", "window", "valid_from"), name="one_limit_per_date")
                ],
            },
        ),
        migrations.CreateModel(
            name="QuotaUse",
            fields=[
                ("id", _ID),
                ("appid", models.CharField(max_length=32)),
                ("api", models.CharField(max_length=80)),
                (
                    "window",
                    models.CharField(
                        choices=[("DAY", "per day"), ("MINUTE", "per minute")], default="DAY", max_length=8
                    ),
                ),
                ("window_start", models.DateTimeField()),
                ("used", models.PositiveBigIntegerField(default=0)),
                ("limit", models.PositiveBigIntegerField(blank=True, null=True)),
                ("blocked_until", models.DateTimeField(blank=True, null=True)),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "quota use",
                "verbose_name_plural": "quota uses",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("brand", "appid", "api", "window", "window_start"), name="one_counter_per_window"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessToken",
            fields=[
                ("id", _ID),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                ("token", SealedTextField(bind=("appid",), blank=True, null=True)),
                ("generation", models.PositiveBigIntegerField(default=0)),
                ("fetched_at", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("forced_at", models.DateTimeField(blank=True, null=True)),
                ("forced_count", models.PositiveSmallIntegerField(default=0)),
                ("healed_at", models.DateTimeField(blank=True, null=True)),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "access token",
                "verbose_name_plural": "access tokens",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "appid"), name="one_token_per_appid")],
            },
        ),
        migrations.CreateModel(
            name="HandledEffect",
            fields=[
                ("id", _ID),
                ("handler", models.CharField(max_length=80)),
                ("brand", _BRAND),
                ("push", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="wechat_gateway.inboundpush")),
            ],
            options={
                "verbose_name": "handled effect",
                "verbose_name_plural": "handled effects",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "push", "handler"), name="effect_once")],
            },
        ),
        migrations.CreateModel(
            name="MiniProgram",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                (
                    "appid",
                    models.CharField(
                        max_length=32,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\Awx[0-9a-f]{16}\\Z", "An AppID is wx and 16 letters or digits."
                            )
                        ],
                        verbose_name="AppID",
                    ),
                ),
                ("original_id", models.CharField(blank=True, max_length=64, verbose_name="original ID")),
                ("app_secret", SealedTextField(bind=("appid",), blank=True, null=True, verbose_name="AppSecret")),
                (
                    "open_platform_subject",
                    models.CharField(blank=True, max_length=64, verbose_name="Open Platform account"),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="connected")),
                ("parked_code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("parked_reason", models.CharField(blank=True, max_length=200, verbose_name="why calls are parked")),
                ("parked_until", models.DateTimeField(blank=True, null=True, verbose_name="parked until")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "mini program",
                "verbose_name_plural": "mini programs",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "appid"), name="mini_program_once_per_brand")],
            },
        ),
        migrations.CreateModel(
            name="AccountCheck",
            fields=[
                ("id", _ID),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                ("key", models.CharField(max_length=40, verbose_name="check")),
                (
                    "result",
                    models.CharField(
                        choices=[
                            ("RUNNING", "Checking"),
                            ("PASSED", "In order"),
                            ("FAILED", "Not in order"),
                            ("UNKNOWN", "Not known yet"),
                        ],
                        max_length=12,
                        verbose_name="result",
                    ),
                ),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("reason", models.CharField(blank=True, max_length=40, verbose_name="reason")),
                ("fact", models.CharField(blank=True, max_length=200, verbose_name="fact")),
                ("seconds", models.FloatField(default=0.0, verbose_name="seconds")),
                ("at", models.DateTimeField(verbose_name="checked")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "check of a connection",
                "verbose_name_plural": "checks of connections",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "appid", "key"), name="check_once_per_app")],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", _ID),
                ("kind", models.CharField(max_length=40, verbose_name="kind")),
                ("appid", models.CharField(blank=True, max_length=32, verbose_name="AppID")),
                ("subject", models.CharField(blank=True, max_length=100, verbose_name="about")),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("detail", models.CharField(blank=True, max_length=200, verbose_name="what WeChat said")),
                ("opened_at", models.DateTimeField(verbose_name="since")),
                ("seen_at", models.DateTimeField(verbose_name="last noticed")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="over")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "incident",
                "verbose_name_plural": "incidents",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "-opened_at"], name="incident_newest")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("brand", "appid", "kind", "subject"),
                        name="incident_open_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Platform",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                (
                    "app_secret",
                    wechat_gateway.fields.InstallationSecretField(blank=True, null=True, verbose_name="AppSecret"),
                ),
                (
                    "callback_token",
                    wechat_gateway.fields.InstallationSecretField(
                        blank=True, null=True, verbose_name="token (callback)"
                    ),
                ),
                (
                    "encoding_aes_key",
                    wechat_gateway.fields.InstallationSecretField(blank=True, null=True, verbose_name="message key"),
                ),
                (
                    "previous_encoding_aes_key",
                    wechat_gateway.fields.InstallationSecretField(
                        blank=True, null=True, verbose_name="previous message key"
                    ),
                ),
                (
                    "previous_key_until",
                    models.DateTimeField(blank=True, null=True, verbose_name="previous key accepted until"),
                ),
                (
                    "path_token",
                    models.CharField(default=wechat_gateway.models.new_path_token, editable=False, max_length=64),
                ),
                ("is_active", models.BooleanField(default=True, verbose_name="in use")),
                ("ticket", wechat_gateway.fields.InstallationSecretField(blank=True, null=True)),
                ("previous_ticket", wechat_gateway.fields.InstallationSecretField(blank=True, null=True)),
                ("ticket_at", models.DateTimeField(blank=True, null=True, verbose_name="last ticket")),
                ("access_token", wechat_gateway.fields.InstallationSecretField(blank=True, null=True)),
                ("generation", models.PositiveBigIntegerField(default=0)),
                ("fetched_at", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "previous_callback_token",
                    wechat_gateway.fields.InstallationSecretField(blank=True, null=True, verbose_name="previous token"),
                ),
            ],
            options={
                "verbose_name": "third-party platform",
                "verbose_name_plural": "third-party platforms",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_active", True)), fields=("is_active",), name="one_platform"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PlatformPush",
            fields=[
                ("id", _ID),
                ("info_type", models.CharField(max_length=64, verbose_name="kind")),
                ("appid", models.CharField(blank=True, max_length=32, verbose_name="AppID")),
                ("dedupe_key", models.UUIDField(editable=False, unique=True)),
                ("body", wechat_gateway.fields.InstallationSecretField(blank=True, null=True)),
                ("event_at", models.DateTimeField(verbose_name="when")),
                ("received_at", models.DateTimeField(verbose_name="received")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("NEW", "Waiting"),
                            ("HANDLED", "Handled"),
                            ("FAILED", "Failed"),
                            ("QUARANTINED", "In quarantine"),
                        ],
                        default="NEW",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("attempts", models.SmallIntegerField(default=0, verbose_name="attempts")),
                ("retry_at", models.DateTimeField(blank=True, null=True, verbose_name="tried again")),
            ],
            options={
                "verbose_name": "authorisation event",
                "verbose_name_plural": "authorisation events",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "NEW")), fields=["received_at"], name="platform_push_waiting"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ASKED", "Preparing the link"),
                            ("READY", "Waiting for the scan"),
                            ("RETURNED", "Taking over the account"),
                            ("DONE", "Authorised"),
                            ("FAILED", "Not authorised"),
                        ],
                        default="ASKED",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("pre_auth_code", SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("code_print", models.CharField(blank=True, max_length=64)),
                ("auth_code", SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("reason", models.CharField(blank=True, max_length=40, verbose_name="reason")),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="valid until")),
                (
                    "account",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                    ),
                ),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "authorisation",
                "verbose_name_plural": "authorisations",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "public_id"), name="invitation_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="JsTicket",
            fields=[
                ("id", _ID),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                ("ticket", SealedTextField(bind=("appid",), blank=True, null=True)),
                ("fetched_at", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "JS-SDK ticket",
                "verbose_name_plural": "JS-SDK tickets",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "appid"), name="one_js_ticket_per_appid")],
            },
        ),
        migrations.RunPython(_add_limits, migrations.RunPython.noop),
        SecureBrandTables(
            "wechat_gateway",
            # What answering a repeated push takes, and nothing about people. Later migrations say it again: the
            # operation sets the rights of every table of the app anew.
            intake={"InboundPush": ("brand_id", "account_id", "dedupe_key", "digest", "reply")},
        ),
    ]
