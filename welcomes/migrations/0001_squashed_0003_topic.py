"""Sequences of messages to those who are new, and how far each of them has come."""

import django.core.validators
from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [("welcomes", "0001_initial"), ("welcomes", "0002_quiet_hours"), ("welcomes", "0003_topic")]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("members", "0001_squashed_0026_sampled_people"),
        ("wechat_gateway", "0001_squashed_0009_previous_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="Sequence",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("is_enabled", models.BooleanField(default=False, verbose_name="enabled")),
                (
                    "control_percent",
                    models.PositiveSmallIntegerField(
                        default=10,
                        validators=[django.core.validators.MaxValueValidator(50)],
                        verbose_name="control group (%)",
                    ),
                ),
                ("ends_on_act", models.BooleanField(default=False, verbose_name="ends as soon as they write or tap")),
                ("steps", models.JSONField(blank=True, default=list, verbose_name="steps")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                (
                    "account",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
                ("brand", _BRAND),
                ("quiet_from", models.TimeField(blank=True, null=True, verbose_name="quiet from")),
                ("quiet_until", models.TimeField(blank=True, null=True, verbose_name="quiet until")),
                (
                    "topic",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="members.topic",
                        verbose_name="topic of the sequence",
                    ),
                ),
            ],
            options={
                "verbose_name": "welcome sequence",
                "verbose_name_plural": "welcome sequences",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_enabled", True)),
                        fields=("brand", "account"),
                        name="one_sequence_per_account",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Enrolment",
            fields=[
                ("id", _ID),
                ("in_control", models.BooleanField(verbose_name="control group")),
                (
                    "state",
                    models.CharField(
                        choices=[("ACTIVE", "Under way"), ("ENDED", "Ended")],
                        default="ACTIVE",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("ended", models.CharField(blank=True, max_length=20, verbose_name="why it ended")),
                ("followed_at", models.DateTimeField(verbose_name="followed")),
                ("until", models.DateTimeField(verbose_name="ends")),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("acted_at", models.DateTimeField(blank=True, null=True, verbose_name="first act")),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
                (
                    "sequence",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="enrolments",
                        to="welcomes.sequence",
                        verbose_name="welcome sequence",
                    ),
                ),
            ],
            options={
                "verbose_name": "new follower in a sequence",
                "verbose_name_plural": "new followers in sequences",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False), ("state", "ACTIVE")),
                        fields=["brand", "due_at"],
                        name="enrolment_due",
                    ),
                    models.Index(fields=["brand", "sequence", "until"], name="enrolments_of_sequence"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "follower"), name="enrolled_once")],
            },
        ),
        migrations.CreateModel(
            name="StepRecord",
            fields=[
                ("id", _ID),
                ("step", models.CharField(max_length=20, verbose_name="step")),
                (
                    "outcome",
                    models.CharField(
                        choices=[("SENT", "Sent"), ("SKIPPED", "Skipped")], max_length=10, verbose_name="outcome"
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=20, verbose_name="reason")),
                ("message_id", models.BigIntegerField(blank=True, null=True)),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "enrolment",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="records",
                        to="welcomes.enrolment",
                        verbose_name="new follower in a sequence",
                    ),
                ),
            ],
            options={
                "verbose_name": "step of a new follower",
                "verbose_name_plural": "steps of new followers",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "enrolment", "step"), name="step_once")],
            },
        ),
        SecureBrandTables("welcomes"),
    ]
