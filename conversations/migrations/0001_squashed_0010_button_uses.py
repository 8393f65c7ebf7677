"""Menus, rules of replies and what they answered, dialogues; of whom gateways must forget what they keep in memory."""

import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models.functions import Cast

import conversations.answers
from accounts.operations import ApplicationFunction, FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from conversations.known_due import OFF, ON, TIERS_OFF, TIERS_ON

# What rules always ask about a person, as a function: PostgreSQL keeps its plan, a statement sent as text is planned
# anew. It runs as the caller, so row security holds; the brand is the one in scope.
_PERSON = """
CREATE FUNCTION conversations_person(wanted_account bigint, wanted_openid text, with_touches boolean)
RETURNS TABLE (member_id bigint, left_at timestamptz, tag_ids bigint[], touchpoint_ids bigint[])
LANGUAGE plpgsql STABLE SECURITY INVOKER AS $$
DECLARE
    brand bigint := nullif(current_setting('app.brand_id', true), '')::bigint;
BEGIN
    RETURN QUERY
    SELECT m.id, f.unfollowed_at, m.tag_ids, CASE WHEN with_touches THEN ARRAY(
        SELECT DISTINCT t.touchpoint_id FROM touchpoints_touch t
        WHERE t.brand_id = brand AND t.member_id = m.id AND t.touchpoint_id IS NOT NULL
    ) END
    FROM members_follower f JOIN members_member m ON m.brand_id = f.brand_id AND m.id = f.member_id
    WHERE f.brand_id = brand AND f.account_id = wanted_account AND f.openid = wanted_openid;
END
$$
"""

_THIS_TRANSACTION = Cast(
    Cast(models.Func(function="pg_current_xact_id", output_field=models.TextField()), models.TextField()),
    models.BigIntegerField(),
)

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("conversations", "0001_initial"),
        ("conversations", "0002_replies"),
        ("conversations", "0003_menus"),
        ("conversations", "0004_dialogues"),
        ("conversations", "0005_taps_and_retention"),
        ("conversations", "0006_person"),
        ("conversations", "0007_known_due"),
        ("conversations", "0008_reply_due"),
        ("conversations", "0009_tiers_known"),
        ("conversations", "0010_button_uses"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("loyalty", "0001_squashed_0008_visits_in_channel_figures"),
        ("members", "0001_squashed_0026_sampled_people"),
        ("touchpoints", "0001_squashed_0012_people_without_codes"),
        ("wechat_gateway", "0001_squashed_0009_previous_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="Menu",
            fields=[
                ("id", _ID),
                ("draft", models.JSONField(default=list, verbose_name="draft")),
                ("published", models.JSONField(default=list, verbose_name="published")),
                ("published_at", models.DateTimeField(blank=True, null=True, verbose_name="published at")),
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
                ("claimed_at", models.DateTimeField(blank=True, null=True)),
                ("fetched", models.JSONField(blank=True, default=list)),
                ("fetched_at", models.DateTimeField(blank=True, null=True, verbose_name="compared at")),
                ("problem", models.CharField(blank=True, max_length=300, verbose_name="problem")),
                ("remote", models.JSONField(blank=True, default=list)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("IDLE", "Nothing to publish"),
                            ("WAITING", "To be published"),
                            ("PUBLISHING", "Publishing"),
                            ("FAILED", "Not published"),
                        ],
                        default="IDLE",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("wanted", models.JSONField(blank=True, default=dict)),
                ("wanted_at", models.DateTimeField(blank=True, null=True, verbose_name="publish at")),
                ("taps_since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "verbose_name": "menu",
                "verbose_name_plural": "menus",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["WAITING", "PUBLISHING"])),
                        fields=["brand", "wanted_at"],
                        name="menus_to_publish",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "account"), name="one_menu_per_account")],
            },
        ),
        migrations.CreateModel(
            name="ReplyRule",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                (
                    "trigger",
                    models.CharField(
                        choices=[
                            ("FOLLOW", "Reply to a follow"),
                            ("REFOLLOW", "Reply to a return"),
                            ("KEYWORD", "Keyword reply"),
                            ("CLICK", "Menu button"),
                            ("DEFAULT", "Reply to any message"),
                        ],
                        max_length=10,
                        verbose_name="answers",
                    ),
                ),
                (
                    "match",
                    models.CharField(
                        choices=[
                            ("EXACT", "Equals"),
                            ("PREFIX", "Begins with"),
                            ("CONTAINS", "Contains"),
                            ("REGEX", "Regular expression"),
                        ],
                        default="EXACT",
                        max_length=10,
                        verbose_name="match",
                    ),
                ),
                ("keywords", models.JSONField(blank=True, default=list, verbose_name="keywords")),
                (
                    "reply_kind",
                    models.CharField(
                        choices=conversations.answers.kind_choices, default="TEXT", max_length=10, verbose_name="answer"
                    ),
                ),
                ("text", models.TextField(blank=True, max_length=2000, verbose_name="text")),
                ("title", models.CharField(blank=True, max_length=64, verbose_name="title")),
                ("url", models.URLField(blank=True, max_length=500, verbose_name="link")),
                ("picture_url", models.URLField(blank=True, max_length=500, verbose_name="picture")),
                ("position", models.PositiveIntegerField(default=100, verbose_name="order")),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
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
                ("audience_id", models.BigIntegerField(blank=True, null=True)),
                ("audience_kind", models.CharField(blank=True, max_length=20, verbose_name="for")),
                ("from_date", models.DateField(blank=True, null=True, verbose_name="first day")),
                ("from_time", models.TimeField(blank=True, null=True, verbose_name="from")),
                ("media_id", models.CharField(blank=True, max_length=200, verbose_name="media_id")),
                ("mini_appid", models.CharField(blank=True, max_length=32, verbose_name="mini-program's AppID")),
                ("mini_page", models.CharField(blank=True, max_length=200, verbose_name="mini-program's page")),
                ("more", models.JSONField(blank=True, default=list, verbose_name="further answers")),
                (
                    "pick",
                    models.CharField(
                        choices=[("ALL", "all of them, one after the other"), ("ONE", "one of them by chance")],
                        default="ALL",
                        max_length=4,
                        verbose_name="several answers",
                    ),
                ),
                ("until_date", models.DateField(blank=True, null=True, verbose_name="last day")),
                ("until_time", models.TimeField(blank=True, null=True, verbose_name="until")),
                ("weekdays", models.JSONField(blank=True, default=list, verbose_name="weekdays")),
            ],
            options={
                "verbose_name": "reply rule",
                "verbose_name_plural": "reply rules",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "account", "trigger", "position", "id"], name="rules_in_order"),
                    models.Index(
                        condition=models.Q(
                            ("is_enabled", True),
                            models.Q(
                                models.Q(("audience_kind", ""), _negated=True), ("trigger", "REFOLLOW"), _connector="OR"
                            ),
                        ),
                        fields=["brand", "audience_kind"],
                        name="rules_by_facts",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReplyRecord",
            fields=[
                ("id", _ID),
                ("push_id", models.BigIntegerField()),
                (
                    "trigger",
                    models.CharField(
                        choices=[
                            ("FOLLOW", "Reply to a follow"),
                            ("REFOLLOW", "Reply to a return"),
                            ("KEYWORD", "Keyword reply"),
                            ("CLICK", "Menu button"),
                            ("DEFAULT", "Reply to any message"),
                            ("SCAN", "Scanned a code while following"),
                        ],
                        max_length=10,
                        verbose_name="answers",
                    ),
                ),
                (
                    "way",
                    models.CharField(
                        choices=[
                            ("PASSIVE", "Passive reply"),
                            ("SERVICE", "Customer-service message"),
                            ("PERSON", "Left to a person"),
                        ],
                        max_length=10,
                        verbose_name="way",
                    ),
                ),
                ("why", models.CharField(max_length=20, verbose_name="why")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DONE", "Done"),
                            ("WAITING", "Waiting"),
                            ("SENDING", "Sending"),
                            ("FAILED", "Failed"),
                            ("UNKNOWN", "May have arrived"),
                        ],
                        default="DONE",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("waiting", models.JSONField(default=list)),
                ("sent", models.PositiveSmallIntegerField(default=0)),
                ("until", models.DateTimeField(blank=True, null=True)),
                ("claimed_at", models.DateTimeField(blank=True, null=True)),
                ("problem", models.CharField(blank=True, max_length=200, verbose_name="problem")),
                ("at", models.DateTimeField(verbose_name="when")),
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
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
                (
                    "rule",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.CASCADE,
                        related_name="records",
                        to="conversations.replyrule",
                        verbose_name="reply rule",
                    ),
                ),
                ("due_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "automatic answer",
                "verbose_name_plural": "automatic answers",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "rule", "-at"], name="records_of_rule"),
                    models.Index(fields=["brand", "at"], name="records_by_age"),
                    models.Index(
                        condition=models.Q(("state__in", ["WAITING", "SENDING"])),
                        fields=["brand", "at", "id"],
                        name="records_to_send",
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "push_id"), name="one_record_per_push")],
            },
        ),
        migrations.CreateModel(
            name="Suggestion",
            fields=[
                ("id", _ID),
                ("week", models.DateField(verbose_name="week from")),
                ("keyword", models.CharField(max_length=20, verbose_name="keyword")),
                ("count", models.PositiveIntegerField(verbose_name="messages")),
                ("examples", models.JSONField(default=list, verbose_name="examples")),
                (
                    "state",
                    models.CharField(
                        choices=[("OPEN", "Open"), ("TAKEN", "Rule made"), ("IGNORED", "Left aside")],
                        default="OPEN",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
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
            ],
            options={
                "verbose_name": "suggested rule",
                "verbose_name_plural": "suggested rules",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("brand", "account", "week", "keyword"), name="suggested_once_a_week"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UnmatchedPhrase",
            fields=[
                ("id", _ID),
                ("week", models.DateField(verbose_name="week from")),
                ("text", models.CharField(max_length=60, verbose_name="text")),
                ("count", models.PositiveIntegerField(default=0, verbose_name="times")),
                ("last_at", models.DateTimeField(verbose_name="last")),
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
            ],
            options={
                "verbose_name": "unmatched message",
                "verbose_name_plural": "unmatched messages",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account", "week", "text"), name="unmatched_once_a_week")
                ],
            },
        ),
        migrations.CreateModel(
            name="LastTag",
            fields=[
                ("id", _ID),
                ("remote_tag_id", models.IntegerField()),
                ("remote_tag_ids", models.JSONField(default=list)),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
            ],
            options={
                "verbose_name": "last tag",
                "verbose_name_plural": "last tags",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "follower"), name="one_last_tag")],
            },
        ),
        migrations.CreateModel(
            name="MenuVersion",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("buttons", models.JSONField(default=list)),
                ("tag_menus", models.JSONField(default=list)),
                ("published_at", models.DateTimeField(verbose_name="published at")),
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
            ],
            options={
                "verbose_name": "menu version",
                "verbose_name_plural": "menu versions",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account", "number"), name="menu_version_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="TagMenu",
            fields=[
                ("id", _ID),
                ("position", models.PositiveIntegerField(default=100, verbose_name="order")),
                ("draft", models.JSONField(default=list, verbose_name="draft")),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
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
                (
                    "tag",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.tag", verbose_name="tag"),
                ),
            ],
            options={
                "verbose_name": "personalised menu",
                "verbose_name_plural": "personalised menus",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "account", "tag"), name="one_menu_per_tag")],
            },
        ),
        migrations.CreateModel(
            name="Dialogue",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("keywords", models.JSONField(blank=True, default=list, verbose_name="begins with")),
                ("draft", models.JSONField(blank=True, default=list, verbose_name="steps")),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
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
            ],
            options={
                "verbose_name": "dialogue",
                "verbose_name_plural": "dialogues",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="DialogueVersion",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("steps", models.JSONField(default=list, verbose_name="steps")),
                ("published_at", models.DateTimeField(verbose_name="published at")),
                ("brand", _BRAND),
                (
                    "dialogue",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="versions",
                        to="conversations.dialogue",
                        verbose_name="dialogue",
                    ),
                ),
            ],
            options={
                "verbose_name": "dialogue version",
                "verbose_name_plural": "dialogue versions",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "dialogue", "number"), name="dialogue_version_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="DialogueRun",
            fields=[
                ("id", _ID),
                ("step", models.CharField(max_length=10, verbose_name="step")),
                ("answers", models.JSONField(default=dict, verbose_name="answers")),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ACTIVE", "Going on"),
                            ("DONE", "Finished"),
                            ("LEFT", "Left"),
                            ("GAVE_UP", "Not understood"),
                        ],
                        default="ACTIVE",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("updated_at", models.DateTimeField(verbose_name="last answer")),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
                (
                    "version",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="runs",
                        to="conversations.dialogueversion",
                        verbose_name="dialogue version",
                    ),
                ),
            ],
            options={
                "verbose_name": "talk",
                "verbose_name_plural": "talks",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "version", "state"], name="talks_of_version"),
                    models.Index(
                        condition=models.Q(("answers", {}), _negated=True),
                        fields=["brand", "updated_at"],
                        name="talks_with_answers",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "ACTIVE")), fields=("brand", "follower"), name="one_talk_at_a_time"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ButtonTap",
            fields=[
                ("id", _ID),
                ("key", models.CharField(max_length=300, verbose_name="key")),
                ("day", models.DateField(verbose_name="day")),
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
            ],
            options={
                "verbose_name": "tap on the menu",
                "verbose_name_plural": "taps on the menu",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "day"], name="taps_by_age")],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account", "key", "day"), name="tap_once_a_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="KnownDue",
            fields=[
                ("id", _ID),
                ("account_id", models.BigIntegerField()),
                ("openid", models.CharField(max_length=64)),
                ("xact", models.BigIntegerField(db_default=_THIS_TRANSACTION)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "person whose facts have changed",
                "verbose_name_plural": "people whose facts have changed",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["xact"], name="known_due_since"),
                    models.Index(fields=["brand", "at"], name="known_due_by_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ButtonUse",
            fields=[
                ("id", _ID),
                ("key", models.CharField(max_length=300, verbose_name="key")),
                ("day", models.DateField(verbose_name="day")),
                ("taps", models.PositiveIntegerField(db_default=0, default=0, verbose_name="taps")),
                ("answered", models.PositiveIntegerField(db_default=0, default=0)),
                ("opened", models.PositiveIntegerField(db_default=0, default=0)),
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
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
            ],
            options={
                "verbose_name": "use of a menu button",
                "verbose_name_plural": "uses of menu buttons",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "account", "day"], name="uses_of_menu"),
                    models.Index(fields=["brand", "day"], name="uses_by_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "follower", "day", "key"), name="button_use_once_a_day")
                ],
            },
        ),
        ApplicationFunction("conversations_person(bigint, text, boolean)", _PERSON),
        # Of whom a fact or the tier has changed that rules ask about.
        migrations.RunSQL(ON, OFF),
        migrations.RunSQL(TIERS_ON, TIERS_OFF),
        SecureBrandTables("conversations"),
    ]
