import uuid

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import accounts.fields
import accounts.tenancy
import wechat_gateway.fields
import wechat_gateway.models
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("wechat_gateway", "0006_checks_and_incidents"),
    ]

    operations = [
        migrations.AddField(
            model_name="officialaccount",
            name="authorized_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="authorised"),
        ),
        migrations.AddField(
            model_name="officialaccount",
            name="granted_sets",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.IntegerField(), blank=True, default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="officialaccount",
            name="platform_appid",
            field=models.CharField(blank=True, max_length=32, verbose_name="third-party platform"),
        ),
        migrations.AddField(
            model_name="officialaccount",
            name="refresh_token",
            field=accounts.fields.SealedTextField(bind=("appid",), blank=True, null=True),
        ),
        migrations.AddField(
            model_name="officialaccount",
            name="revoked_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="authorisation taken back"),
        ),
        migrations.CreateModel(
            name="Platform",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                ("pre_auth_code", accounts.fields.SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("code_print", models.CharField(blank=True, max_length=64)),
                ("auth_code", accounts.fields.SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("reason", models.CharField(blank=True, max_length=40, verbose_name="reason")),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="valid until")),
                (
                    "account",
                    accounts.tenancy.BrandForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                    ),
                ),
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
            ],
            options={
                "verbose_name": "authorisation",
                "verbose_name_plural": "authorisations",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "public_id"), name="invitation_in_brand")],
            },
        ),
        SecureBrandTables(
            "wechat_gateway",
            # Said again, for the operation sets the rights of every table of the app anew.
            intake={"InboundPush": ("brand_id", "account_id", "dedupe_key", "digest", "reply")},
        ),
    ]
