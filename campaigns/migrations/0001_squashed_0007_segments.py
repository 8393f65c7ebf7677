"""Campaigns, their messages and attempts, templates, and what subscribe notifications are left."""

import uuid

import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from members.watched import watch_followers

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("campaigns", "0001_initial"),
        ("campaigns", "0002_leaner_delivery"),
        ("campaigns", "0003_plans_without_statistics"),
        ("campaigns", "0004_subscriptions"),
        ("campaigns", "0005_notice_templates"),
        ("campaigns", "0006_preferences"),
        ("campaigns", "0007_segments"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("members", "0001_squashed_0026_sampled_people"),
        ("wechat_gateway", "0001_squashed_0009_previous_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="MessageTemplate",
            fields=[
                ("id", _ID),
                ("template_id", models.CharField(max_length=64, verbose_name="template id")),
                ("title", models.CharField(max_length=100, verbose_name="title")),
                ("content", models.TextField(blank=True, verbose_name="content")),
                ("fields", models.JSONField(default=list, verbose_name="fields")),
                ("synced_at", models.DateTimeField(verbose_name="synchronised")),
                ("is_active", models.BooleanField(default=True, verbose_name="usable")),
                (
                    "account",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "family",
                    models.CharField(
                        choices=[
                            ("TEMPLATE", "Template message"),
                            ("NOTICE_ONCE", "Subscribe notification, once"),
                            ("NOTICE_LONG", "Subscribe notification, long-term"),
                        ],
                        db_default="TEMPLATE",
                        default="TEMPLATE",
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
            ],
            options={
                "verbose_name": "message template",
                "verbose_name_plural": "message templates",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account", "template_id"), name="template_of_account")
                ],
            },
        ),
        migrations.CreateModel(
            name="Campaign",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                (
                    "purpose",
                    models.CharField(
                        choices=[("SERVICE", "Service notices"), ("MARKETING", "Marketing")],
                        default="SERVICE",
                        max_length=20,
                        verbose_name="purpose",
                    ),
                ),
                ("goal", models.TextField(blank=True, verbose_name="goal")),
                ("carrier", models.CharField(default="template", max_length=30, verbose_name="channel")),
                ("content", models.JSONField(blank=True, default=dict, verbose_name="content")),
                ("url", models.CharField(blank=True, max_length=1024, verbose_name="link")),
                ("mini_appid", models.CharField(blank=True, max_length=32, verbose_name="mini-program AppID")),
                ("mini_path", models.CharField(blank=True, max_length=1024, verbose_name="mini-program page")),
                ("rule", models.JSONField(blank=True, default=dict, verbose_name="rule at the launch")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DRAFT", "Draft"),
                            ("SCHEDULED", "Scheduled"),
                            ("FREEZING", "Freezing the audience"),
                            ("SENDING", "Sending"),
                            ("PAUSED", "Paused"),
                            ("PARKED", "Waiting to resume"),
                            ("STOPPED", "Stopped"),
                            ("FINISHED", "Finished"),
                        ],
                        default="DRAFT",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("parked_code", models.CharField(blank=True, max_length=40, verbose_name="why it waits")),
                ("parked_until", models.DateTimeField(blank=True, null=True, verbose_name="tried again")),
                (
                    "rate_per_second",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="messages a second"),
                ),
                ("scheduled_at", models.DateTimeField(blank=True, null=True, verbose_name="planned for")),
                (
                    "unknown_policy",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("LEAVE", "Leave it: nobody gets it twice"),
                            ("RESEND", "Send it again: nobody misses it"),
                        ],
                        max_length=10,
                        verbose_name="unconfirmed messages",
                    ),
                ),
                ("audience_count", models.PositiveIntegerField(blank=True, null=True, verbose_name="audience")),
                ("launched_at", models.DateTimeField(blank=True, null=True, verbose_name="launched")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                (
                    "account",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "launched_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="launched by",
                    ),
                ),
                (
                    "segment",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="members.segment",
                        verbose_name="segment",
                    ),
                ),
                (
                    "template",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="campaigns.messagetemplate",
                        verbose_name="message template",
                    ),
                ),
                (
                    "topic",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="members.topic",
                        verbose_name="topic",
                    ),
                ),
            ],
            options={
                "verbose_name": "campaign",
                "verbose_name_plural": "campaigns",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-created_at", "-id"], name="campaign_newest"),
                    models.Index(
                        condition=models.Q(
                            ("finished_at__isnull", True),
                            ("state__in", ["SCHEDULED", "FREEZING", "SENDING", "PARKED", "STOPPED"]),
                        ),
                        fields=["state", "brand"],
                        name="campaign_at_work",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Pace",
            fields=[
                ("id", _ID),
                ("tokens", models.FloatField(default=0)),
                ("filled_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("brand", _BRAND),
                ("campaign", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="campaigns.campaign")),
            ],
            options={
                "verbose_name": "pace",
                "verbose_name_plural": "paces",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "campaign"), name="one_pace_per_campaign")],
            },
        ),
        migrations.CreateModel(
            name="Tally",
            fields=[
                ("id", _ID),
                ("shard", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("PENDING", "Waiting"),
                            ("LEASED", "Being sent"),
                            ("SENT", "Accepted by WeChat"),
                            ("DELIVERED", "Delivered"),
                            ("REFUSED", "Refused by the person"),
                            ("FAILED", "Failed"),
                            ("UNKNOWN", "Unconfirmed"),
                            ("SUPPRESSED", "Left out"),
                        ],
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=40)),
                ("count", models.IntegerField(default=0)),
                ("brand", _BRAND),
                (
                    "campaign",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="tallies", to="campaigns.campaign"),
                ),
            ],
            options={
                "verbose_name": "tally",
                "verbose_name_plural": "tallies",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "campaign", "shard", "state", "reason"), name="tally_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="TestSend",
            fields=[
                ("id", _ID),
                ("account_id", models.BigIntegerField()),
                ("openid", models.CharField(max_length=64, verbose_name="OpenID")),
                ("outcome", models.CharField(max_length=12, verbose_name="outcome")),
                ("code", models.CharField(blank=True, max_length=40, verbose_name="code")),
                ("message", models.CharField(blank=True, max_length=300, verbose_name="answer")),
                ("msgid", models.BigIntegerField(blank=True, null=True, verbose_name="MsgID")),
                ("status", models.CharField(blank=True, max_length=100, verbose_name="result")),
                ("sent_at", models.DateTimeField(verbose_name="sent")),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="settled")),
                ("brand", _BRAND),
                (
                    "campaign",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="test_sends",
                        to="campaigns.campaign",
                        verbose_name="campaign",
                    ),
                ),
            ],
            options={
                "verbose_name": "test message",
                "verbose_name_plural": "test messages",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "campaign", "-id"], name="test_sends_newest"),
                    models.Index(fields=["brand", "msgid"], name="test_send_by_msgid"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", _ID),
                ("seq", models.PositiveIntegerField(verbose_name="number")),
                ("member_id", models.BigIntegerField()),
                ("follower_id", models.BigIntegerField(blank=True, null=True)),
                ("account_id", models.BigIntegerField()),
                ("openid", models.CharField(blank=True, max_length=64, verbose_name="OpenID")),
                ("variables", models.JSONField(default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("PENDING", "Waiting"),
                            ("LEASED", "Being sent"),
                            ("SENT", "Accepted by WeChat"),
                            ("DELIVERED", "Delivered"),
                            ("REFUSED", "Refused by the person"),
                            ("FAILED", "Failed"),
                            ("UNKNOWN", "Unconfirmed"),
                            ("SUPPRESSED", "Left out"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=40, verbose_name="reason")),
                ("attempt", models.PositiveSmallIntegerField(default=0, verbose_name="attempt")),
                ("round", models.PositiveSmallIntegerField(default=0)),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("leased_by", models.CharField(blank=True, max_length=40)),
                ("tried_at", models.DateTimeField(blank=True, null=True)),
                ("msgid", models.BigIntegerField(blank=True, null=True, verbose_name="MsgID")),
                ("sent_at", models.DateTimeField(blank=True, null=True, verbose_name="sent")),
                ("final_at", models.DateTimeField(blank=True, null=True, verbose_name="settled")),
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
                    "campaign",
                    BrandForeignKey(
                        guarded=True,
                        on_delete=models.CASCADE,
                        related_name="deliveries",
                        to="campaigns.campaign",
                        verbose_name="campaign",
                    ),
                ),
            ],
            options={
                "verbose_name": "message of a campaign",
                "verbose_name_plural": "messages of campaigns",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)),
                        fields=["brand", "campaign", "due_at"],
                        name="delivery_due",
                    ),
                    models.Index(
                        condition=models.Q(("msgid__isnull", False)),
                        fields=["brand", "msgid"],
                        name="delivery_by_msgid",
                    ),
                    models.Index(
                        condition=models.Q(("reason", ""), _negated=True),
                        fields=["brand", "campaign", "reason", "member_id"],
                        name="delivery_by_reason",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "campaign", "member_id"), name="delivery_once_per_member")
                ],
            },
        ),
        migrations.CreateModel(
            name="DeliveryAttempt",
            fields=[
                ("id", _ID),
                ("delivery_id", models.BigIntegerField()),
                ("attempt", models.PositiveSmallIntegerField(verbose_name="attempt")),
                ("outcome", models.CharField(max_length=12, verbose_name="outcome")),
                ("code", models.CharField(blank=True, max_length=40, verbose_name="code")),
                ("message", models.CharField(blank=True, max_length=300, verbose_name="answer")),
                ("msgid", models.BigIntegerField(blank=True, null=True, verbose_name="MsgID")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="when")),
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
            ],
            options={
                "verbose_name": "attempt",
                "verbose_name_plural": "attempts",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "delivery_id", "id"], name="attempts_of_delivery"),
                    models.Index(
                        condition=models.Q(("msgid__isnull", False)), fields=["brand", "msgid"], name="attempt_by_msgid"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FinishEvent",
            fields=[
                ("id", _ID),
                ("account_id", models.BigIntegerField()),
                ("msgid", models.BigIntegerField(verbose_name="MsgID")),
                ("openid", models.CharField(max_length=64, verbose_name="OpenID")),
                ("status", models.CharField(max_length=100, verbose_name="status")),
                ("event_at", models.DateTimeField(verbose_name="happened")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="received"),
                ),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "unmatched result",
                "verbose_name_plural": "unmatched results",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "due_at"], name="finish_event_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account_id", "msgid"), name="first_result_of_message")
                ],
            },
        ),
        migrations.CreateModel(
            name="Lane",
            fields=[
                ("id", _ID),
                ("number", models.PositiveSmallIntegerField()),
                ("taken_until", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("taken_by", models.CharField(blank=True, max_length=40)),
                ("brand", _BRAND),
                ("campaign", BrandForeignKey(on_delete=models.CASCADE, related_name="lanes", to="campaigns.campaign")),
            ],
            options={
                "verbose_name": "lane",
                "verbose_name_plural": "lanes",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "campaign", "number"), name="lane_once")],
            },
        ),
        migrations.CreateModel(
            name="SubscriptionStock",
            fields=[
                ("id", _ID),
                ("template_id", models.CharField(max_length=64, verbose_name="template id")),
                ("remaining", models.PositiveIntegerField(default=0, verbose_name="left")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
            ],
            options={
                "verbose_name": "agreed subscribe notifications",
                "verbose_name_plural": "agreed subscribe notifications",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "follower", "template_id"), name="one_stock_per_template")
                ],
            },
        ),
        # A freeze takes its numbers in handfuls: fetching each one costs as much as an index.
        migrations.RunSQL(
            "ALTER SEQUENCE campaigns_delivery_id_seq CACHE 1000", "ALTER SEQUENCE campaigns_delivery_id_seq CACHE 1"
        ),
        # As for brands (`SecureBrandTables`): by its statistics PostgreSQL takes a campaign that is newer than they are
        # for empty, and one it knows for so large that reading a whole small brand seems cheaper than one look-up per
        # message.
        migrations.RunSQL(
            "ALTER TABLE campaigns_delivery ALTER COLUMN campaign_id SET STATISTICS 0",
            "ALTER TABLE campaigns_delivery ALTER COLUMN campaign_id SET STATISTICS -1",
        ),
        # Kept segments follow who has agreed to subscribe notifications: whether any is left counts, not how many.
        migrations.RunSQL(*watch_followers("campaigns_subscriptionstock", "({row}.remaining > 0)")),
        SecureBrandTables("campaigns", append_only=("DeliveryAttempt",)),
    ]
