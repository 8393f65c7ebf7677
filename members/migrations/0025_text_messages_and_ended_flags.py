"""Codes by text message for joining; flags that have ended."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

import accounts.fields
import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("members", "0024_access_log"),
    ]

    operations = [
        migrations.CreateModel(
            name="SmsCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("phone_index", models.UUIDField()),
                ("asker", models.CharField(max_length=40)),
                ("address", models.UUIDField(blank=True, null=True)),
                ("digest", models.UUIDField()),
                ("message", accounts.fields.SealedTextField(bind=("public_id",), blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("WAITING", "Waiting"),
                            ("SENDING", "Being sent"),
                            ("SENT", "Sent"),
                            ("FAILED", "Not sent"),
                        ],
                        default="WAITING",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("problem", models.CharField(blank=True, max_length=60, verbose_name="reason")),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("expires_at", models.DateTimeField(verbose_name="good until")),
                ("tries", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                ("spent_at", models.DateTimeField(blank=True, null=True, verbose_name="used")),
            ],
            options={
                "verbose_name": "code by text message",
                "verbose_name_plural": "codes by text message",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="SmsSettings",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("way", models.CharField(blank=True, max_length=20, verbose_name="way")),
                ("url", models.CharField(blank=True, max_length=300, verbose_name="address")),
                ("secret", accounts.fields.SealedTextField(blank=True, null=True, verbose_name="secret")),
                ("signature", models.CharField(blank=True, max_length=20, verbose_name="signature")),
                ("template", models.CharField(blank=True, max_length=64, verbose_name="template")),
                ("daily_limit", models.PositiveIntegerField(default=1000, verbose_name="codes a day at most")),
                ("changed_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
            ],
            options={
                "verbose_name": "text messages",
                "verbose_name_plural": "text messages",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.RemoveConstraint(
            model_name="flag",
            name="flag_once",
        ),
        migrations.AddField(
            model_name="flag",
            name="until",
            field=models.DateTimeField(blank=True, null=True, verbose_name="until"),
        ),
        migrations.AddIndex(
            model_name="flag",
            index=models.Index(fields=["brand", "member"], name="flags_of_member"),
        ),
        migrations.AddConstraint(
            model_name="flag",
            constraint=models.UniqueConstraint(
                condition=models.Q(("until__isnull", True)), fields=("brand", "member", "kind"), name="flag_holds_once"
            ),
        ),
        migrations.AddField(
            model_name="smscode",
            name="brand",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="accounts.brand"
            ),
        ),
        migrations.AddField(
            model_name="smscode",
            name="member",
            field=accounts.tenancy.BrandForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="members.member",
                verbose_name="member",
            ),
        ),
        migrations.AddField(
            model_name="smssettings",
            name="brand",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="accounts.brand"
            ),
        ),
        migrations.AddIndex(
            model_name="smscode",
            index=models.Index(fields=["brand", "phone_index", "-asked_at"], name="codes_of_phone"),
        ),
        migrations.AddIndex(
            model_name="smscode",
            index=models.Index(fields=["brand", "asker", "-asked_at"], name="codes_of_asker"),
        ),
        migrations.AddIndex(
            model_name="smscode",
            index=models.Index(fields=["brand", "asked_at"], name="codes_by_time"),
        ),
        migrations.AddIndex(
            model_name="smscode",
            index=models.Index(
                condition=models.Q(("member__isnull", False)), fields=["brand", "member"], name="codes_of_member"
            ),
        ),
        migrations.AddIndex(
            model_name="smscode",
            index=models.Index(
                condition=models.Q(("state", "WAITING")), fields=["brand", "asked_at"], name="codes_to_send"
            ),
        ),
        migrations.AddConstraint(
            model_name="smssettings",
            constraint=models.UniqueConstraint(fields=("brand",), name="one_way_of_sms"),
        ),
        SecureBrandTables(
            "members",
            append_only=(
                "AccessEntry",
                "Consent",
                "ConsentText",
                "GroupingVersion",
                "MergeRecord",
                "MergeUndo",
                "SnapshotMember",
            ),
        ),
    ]
