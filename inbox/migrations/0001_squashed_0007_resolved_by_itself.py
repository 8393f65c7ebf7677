"""Conversations with people: messages, who answers, within which hours and how soon."""

import django.core.validators
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from members.watched import watch_followers

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("inbox", "0001_initial"),
        ("inbox", "0002_newest_messages"),
        ("inbox", "0003_library"),
        ("inbox", "0004_time_within_hours"),
        ("inbox", "0005_retention"),
        ("inbox", "0006_segments"),
        ("inbox", "0007_resolved_by_itself"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("members", "0001_squashed_0026_sampled_people"),
        ("stores", "0001_squashed_0002_regions_of_roles"),
        ("wechat_gateway", "0001_squashed_0009_previous_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="Attachment",
            fields=[
                ("id", _ID),
                ("media_id", models.CharField(max_length=256)),
                (
                    "state",
                    models.CharField(
                        choices=[("WAITING", "Being fetched"), ("STORED", "Stored"), ("REFUSED", "Not stored")],
                        default="WAITING",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("content_type", models.CharField(blank=True, max_length=40)),
                ("size", models.PositiveIntegerField(default=0, verbose_name="bytes")),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("path", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=40, verbose_name="reason")),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(verbose_name="received")),
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
            ],
            options={
                "verbose_name": "attachment",
                "verbose_name_plural": "attachments",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["brand", "due_at"], name="attachment_due"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CannedReply",
            fields=[
                ("id", _ID),
                ("shortcut", models.CharField(max_length=20, verbose_name="shortcut")),
                ("title", models.CharField(max_length=40, verbose_name="title")),
                ("text", models.TextField(max_length=600, verbose_name="text")),
                ("used", models.PositiveIntegerField(default=0, verbose_name="used")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "canned reply",
                "verbose_name_plural": "canned replies",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "shortcut"), name="shortcut_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", _ID),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("WAITING", "Waiting for a reply"),
                            ("OPEN", "Answered"),
                            ("SNOOZED", "Snoozed"),
                            ("RESOLVED", "Resolved"),
                        ],
                        default="RESOLVED",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                (
                    "level",
                    models.CharField(
                        choices=[
                            ("GUIDE", "Exclusive guide"),
                            ("STORE", "Store"),
                            ("REGION", "Region"),
                            ("DESK", "Service desk"),
                        ],
                        default="DESK",
                        max_length=10,
                        verbose_name="with",
                    ),
                ),
                ("assigned_at", models.DateTimeField(blank=True, null=True, verbose_name="assigned")),
                ("return_at", models.DateTimeField(blank=True, null=True, verbose_name="goes back to the queue")),
                ("returned_from", models.BigIntegerField(blank=True, null=True)),
                ("returned_at", models.DateTimeField(blank=True, null=True)),
                ("opened_at", models.DateTimeField(verbose_name="opened")),
                ("waiting_since", models.DateTimeField(blank=True, null=True, verbose_name="waiting since")),
                ("first_answered", models.BooleanField(default=False)),
                ("snoozed_until", models.DateTimeField(blank=True, null=True, verbose_name="snoozed until")),
                ("promised_at", models.DateTimeField(blank=True, null=True, verbose_name="promised")),
                ("resolved_at", models.DateTimeField(blank=True, null=True, verbose_name="resolved")),
                ("last_at", models.DateTimeField(verbose_name="last message")),
                ("last_text", models.CharField(blank=True, max_length=120)),
                ("last_inbound", models.BooleanField(default=True)),
                ("inbound_count", models.PositiveIntegerField(default=0)),
                ("outbound_count", models.PositiveIntegerField(default=0)),
                ("version", models.PositiveBigIntegerField(default=0)),
                (
                    "account",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
                (
                    "assignee",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="assigned to",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
                (
                    "store",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="stores.store",
                        verbose_name="store",
                    ),
                ),
            ],
            options={
                "verbose_name": "conversation",
                "verbose_name_plural": "conversations",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-last_at", "-id"], name="conversation_newest"),
                    models.Index(fields=["brand", "follower"], name="conversation_of_follower"),
                    models.Index(
                        condition=models.Q(("state__in", ["WAITING", "OPEN"])),
                        fields=["brand", "assignee", "waiting_since"],
                        name="conversation_of_agent",
                    ),
                    models.Index(
                        condition=models.Q(("state", "WAITING")),
                        fields=["brand", "waiting_since", "id"],
                        name="conversation_waiting",
                    ),
                    models.Index(
                        condition=models.Q(("return_at__isnull", False)),
                        fields=["brand", "return_at"],
                        name="conversation_return_due",
                    ),
                    models.Index(
                        condition=models.Q(("state", "SNOOZED")),
                        fields=["brand", "snoozed_until"],
                        name="conversation_snooze_due",
                    ),
                    models.Index(
                        condition=models.Q(("promised_at__isnull", False)),
                        fields=["brand", "promised_at"],
                        name="conversation_promise_due",
                    ),
                    models.Index(fields=["brand", "store", "-last_at"], name="conversation_of_store"),
                    models.Index(
                        condition=models.Q(("state", "OPEN")),
                        fields=["brand", "last_at", "id"],
                        name="conversation_answered",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("brand", "account", "follower"), name="one_conversation_per_follower"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AgentTask",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("PROMISE", "Promised reply"),
                            ("FOLLOW_UP", "Guide task"),
                            ("WRITES_AGAIN", "When they write again"),
                        ],
                        max_length=14,
                        verbose_name="kind",
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=200, verbose_name="what to do")),
                ("due_at", models.DateTimeField(blank=True, null=True, verbose_name="due")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("done_at", models.DateTimeField(blank=True, null=True, verbose_name="done")),
                ("brand", _BRAND),
                (
                    "staff_user",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="for",
                    ),
                ),
                (
                    "conversation",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="tasks", to="inbox.conversation"),
                ),
            ],
            options={
                "verbose_name": "task",
                "verbose_name_plural": "tasks",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("done_at__isnull", True)),
                        fields=["brand", "due_at", "id"],
                        name="agent_task_due",
                    ),
                    models.Index(fields=["brand", "conversation"], name="agent_tasks_of_conversation"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Hop",
            fields=[
                ("id", _ID),
                ("at", models.DateTimeField(verbose_name="when")),
                (
                    "level",
                    models.CharField(
                        choices=[
                            ("GUIDE", "Exclusive guide"),
                            ("STORE", "Store"),
                            ("REGION", "Region"),
                            ("DESK", "Service desk"),
                        ],
                        max_length=10,
                    ),
                ),
                ("taken", models.BooleanField(default=False)),
                ("reason", models.CharField(max_length=30)),
                ("facts", models.JSONField(blank=True, default=dict)),
                ("brand", _BRAND),
                (
                    "conversation",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="hops", to="inbox.conversation"),
                ),
            ],
            options={
                "verbose_name": "routing step",
                "verbose_name_plural": "routing steps",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "conversation", "-id"], name="hops_of_conversation")],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", _ID),
                (
                    "direction",
                    models.CharField(
                        choices=[
                            ("IN", "Received"),
                            ("OUT", "Sent"),
                            ("EVENT", "Event"),
                            ("NOTE", "Internal note"),
                            ("SYSTEM", "System"),
                        ],
                        max_length=8,
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("text", models.TextField(blank=True)),
                ("facts", models.JSONField(blank=True, default=dict)),
                ("grams", ArrayField(base_field=models.CharField(max_length=32), blank=True, default=list, size=None)),
                ("at", models.DateTimeField(verbose_name="when")),
                ("push_id", models.BigIntegerField(blank=True, null=True)),
                ("client_key", models.UUIDField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("QUEUED", "Being sent"),
                            ("SENDING", "Sending"),
                            ("SENT", "Sent"),
                            ("REFUSED", "Not sent"),
                            ("UNKNOWN", "Unconfirmed"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("reserved_at", models.DateTimeField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("cause", models.CharField(blank=True, max_length=40, verbose_name="cause")),
                (
                    "attachment",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="inbox.attachment"
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "conversation",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="messages", to="inbox.conversation"),
                ),
            ],
            options={
                "verbose_name": "message",
                "verbose_name_plural": "messages",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "conversation", "-at", "-id"], name="message_of_conversation"),
                    models.Index(
                        condition=models.Q(("state__in", ["QUEUED", "SENDING"])),
                        fields=["brand", "at"],
                        name="message_under_way",
                    ),
                    GinIndex(fields=["brand", "grams"], name="message_words"),
                    models.Index(fields=["brand", "-at", "-id"], name="message_newest"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("push_id__isnull", False)),
                        fields=("brand", "push_id", "direction"),
                        name="one_message_per_push",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("client_key__isnull", False)),
                        fields=("brand", "client_key"),
                        name="one_message_per_click",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Answer",
            fields=[
                ("id", _ID),
                ("since", models.DateTimeField(verbose_name="waiting since")),
                ("at", models.DateTimeField(verbose_name="answered")),
                ("seconds", models.PositiveIntegerField(verbose_name="seconds")),
                ("is_first", models.BooleanField(default=False)),
                ("brand", _BRAND),
                (
                    "staff_user",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "store",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="stores.store",
                        verbose_name="store",
                    ),
                ),
                ("conversation", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="inbox.conversation")),
                ("message", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="inbox.message")),
                (
                    "office_seconds",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="seconds within hours"),
                ),
            ],
            options={
                "verbose_name": "answer",
                "verbose_name_plural": "answers",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_first", True)),
                        fields=["brand", "at"],
                        include=("store", "staff_user", "office_seconds", "seconds"),
                        name="first_answers",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "message"), name="answer_once")],
            },
        ),
        migrations.CreateModel(
            name="ReplyLedger",
            fields=[
                ("id", _ID),
                ("message_at", models.DateTimeField(blank=True, null=True, verbose_name="last message")),
                ("menu_at", models.DateTimeField(blank=True, null=True, verbose_name="last menu tap")),
                ("follow_at", models.DateTimeField(blank=True, null=True, verbose_name="last follow")),
                ("scan_at", models.DateTimeField(blank=True, null=True, verbose_name="last scan")),
                ("left_at", models.DateTimeField(blank=True, null=True, verbose_name="unfollowed")),
                ("sends", ArrayField(base_field=models.DateTimeField(), blank=True, default=list, size=None)),
                ("open_until", models.DateTimeField(blank=True, null=True, verbose_name="may be written to until")),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
            ],
            options={
                "verbose_name": "reply window",
                "verbose_name_plural": "reply windows",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("open_until__isnull", False)),
                        fields=["brand", "open_until"],
                        name="ledger_open",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "follower"), name="one_ledger_per_follower")],
            },
        ),
        migrations.CreateModel(
            name="ServiceHours",
            fields=[
                ("id", _ID),
                (
                    "weekday",
                    models.SmallIntegerField(
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(6),
                        ],
                        verbose_name="weekday",
                    ),
                ),
                ("opens", models.TimeField(verbose_name="opens")),
                ("closes", models.TimeField(verbose_name="closes")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "service hours",
                "verbose_name_plural": "service hours",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "weekday", "opens"), name="service_span_of_day"),
                    models.CheckConstraint(
                        condition=models.Q(("weekday__gte", 0), ("weekday__lte", 6)), name="service_weekday_exists"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Agent",
            fields=[
                ("id", _ID),
                (
                    "level",
                    models.CharField(
                        choices=[
                            ("GUIDE", "Exclusive guide"),
                            ("STORE", "Store"),
                            ("REGION", "Region"),
                            ("DESK", "Service desk"),
                        ],
                        max_length=10,
                        verbose_name="answers as",
                    ),
                ),
                ("store_ids", ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, size=None)),
                (
                    "capacity",
                    models.PositiveSmallIntegerField(
                        default=8,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                        verbose_name="conversations at once",
                    ),
                ),
                ("on_duty", models.BooleanField(default=False, verbose_name="on duty")),
                ("seen_at", models.DateTimeField(blank=True, null=True, verbose_name="last seen")),
                ("last_assigned_at", models.DateTimeField(blank=True, null=True, verbose_name="last assigned")),
                ("brand", _BRAND),
                (
                    "staff_user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="staff member",
                    ),
                ),
            ],
            options={
                "verbose_name": "agent",
                "verbose_name_plural": "agents",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "staff_user"), name="one_agent_per_person")],
            },
        ),
        migrations.CreateModel(
            name="InboxPolicy",
            fields=[
                ("id", _ID),
                (
                    "keep_days",
                    models.PositiveSmallIntegerField(default=180, verbose_name="days conversations are kept"),
                ),
                ("updated_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "resolve_days",
                    models.PositiveSmallIntegerField(
                        db_default=7, default=7, verbose_name="resolved after days without a reply"
                    ),
                ),
            ],
            options={
                "verbose_name": "retention of conversations",
                "verbose_name_plural": "retention of conversations",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_inbox_policy")],
            },
        ),
        # Kept segments follow until when somebody may be written to, not each message.
        migrations.RunSQL(*watch_followers("inbox_replyledger", "{row}.open_until")),
        SecureBrandTables("inbox"),
    ]
