"""People: who they are, what they agreed to, tags, segments and groupings, fields, flags, erasure and requests."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models
from django.db.models.functions import MD5, Cast, Left, Reverse
from django.db.models.lookups import In

from accounts.fields import SealedTextField
from accounts.operations import ApplicationFunction, FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from members.watched import watch

# Whoever is new enters the control group in the very statement that opens their record, whoever runs it.
_NEW_MEMBERS = """
CREATE FUNCTION members_enter_control() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO members_optout (brand_id, member_id, purpose, at, withdrawn, listed, control)
    SELECT m.brand_id, m.id, 'MARKETING', m.created_at, false, false, true
    FROM fresh m JOIN members_controlgroup g ON g.brand_id = m.brand_id
    WHERE (('x' || substr(md5(g.salt || m.public_id::text), 1, 8))::bit(32)::bigint % 1000) < g.per_mille;
    RETURN NULL;
END $$;
CREATE TRIGGER members_member_control AFTER INSERT ON members_member
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION members_enter_control();
"""
_NO_NEW_MEMBERS = "DROP TRIGGER members_member_control ON members_member; DROP FUNCTION members_enter_control();"

# Consents are append-only. A merge copies them to the record that stays; only such copies can be taken away again, by
# this function of the owner, whom row security binds as well.
_TAKE_BACK = """
CREATE FUNCTION members_take_back_copies(ids bigint[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM public.members_consent c
    WHERE c.brand_id = nullif(current_setting('app.brand_id', true), '')::bigint
        AND c.id = ANY(ids) AND c.source LIKE 'merge: %';
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$
"""

# Once a day and person: when they had last been heard of before.
_ACTS = """
CREATE FUNCTION members_log_act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO members_factchange (brand_id, member_id, what, ref, before, after, source, at)
    VALUES (NEW.brand_id, NEW.id, 'act', 0,
        coalesce(to_char(OLD.last_interaction_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), ''),
        '', '', NEW.last_interaction_at);
    RETURN NULL;
END $$;
CREATE TRIGGER members_member_act_logged AFTER UPDATE OF last_interaction_at ON members_member FOR EACH ROW
    WHEN (NEW.last_interaction_at IS NOT NULL AND (OLD.last_interaction_at IS NULL OR
        (NEW.last_interaction_at AT TIME ZONE 'UTC')::date > (OLD.last_interaction_at AT TIME ZONE 'UTC')::date))
    EXECUTE FUNCTION members_log_act();
"""
_NO_ACTS = """
DROP TRIGGER members_member_act_logged ON members_member;
DROP FUNCTION members_log_act;
"""

# Who has looked at whom is append-only, and trimmed by this alone, which never touches the newest 180 days. It runs as
# the owner of the table, whom row security binds as well: only the brand in scope is touched.
_TRIM = """
CREATE FUNCTION zhiyin_trim_access(older_than timestamptz, most integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    brand bigint := nullif(current_setting('app.brand_id', true), '')::bigint;
    bound timestamptz;
    gone bigint;
BEGIN
    SELECT least(older_than, max(e.at) - interval '180 days') INTO bound
    FROM public.members_accessentry e WHERE e.brand_id = brand;
    WITH old AS (
        SELECT e.brand_id, e.id FROM public.members_accessentry e
        WHERE e.brand_id = brand AND e.at < bound
        ORDER BY e.at, e.id LIMIT most
    )
    DELETE FROM public.members_accessentry e USING old WHERE e.brand_id = old.brand_id AND e.id = old.id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$
"""

# What kept segments follow of this app: table and the column that names the person.
_WATCHED = (
    ("members_member", "id"),
    ("members_follower", "member_id"),
    ("members_consent", "member_id"),
    ("members_factchange", "member_id"),
    ("members_stagemove", "member_id"),
    ("members_profilevalue", "member_id"),
    ("members_flag", "member_id"),
)

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("members", "0001_initial"),
        ("members", "0002_mini_program_sessions"),
        ("members", "0003_plans_for_new_brands"),
        ("members", "0004_erasure_clocks"),
        ("members", "0005_tags_with_sources"),
        ("members", "0006_holds"),
        ("members", "0007_groupings"),
        ("members", "0008_pre_tags"),
        ("members", "0009_merges_and_doubts"),
        ("members", "0010_kept_segments"),
        ("members", "0011_codes_and_shown_tags"),
        ("members", "0012_preferences"),
        ("members", "0013_recipes"),
        ("members", "0014_profile_fields"),
        ("members", "0015_flags"),
        ("members", "0016_flags_watched"),
        ("members", "0017_explanations"),
        ("members", "0018_large_brands"),
        ("members", "0019_lists_of_large_brands"),
        ("members", "0020_past_acts"),
        ("members", "0021_withdrawals_apart"),
        ("members", "0022_remote_names"),
        ("members", "0023_present_people"),
        ("members", "0024_access_log"),
        ("members", "0025_text_messages_and_ended_flags"),
        ("members", "0026_sampled_people"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("stores", "0001_squashed_0002_regions_of_roles"),
        ("wechat_gateway", "0001_squashed_0009_previous_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="Member",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(unique=True)),
                ("member_no", models.CharField(max_length=20, verbose_name="member number")),
                ("name", models.CharField(blank=True, max_length=60, verbose_name="name")),
                ("phone", SealedTextField(bind=("public_id",), blank=True, null=True, verbose_name="phone")),
                ("phone_index", models.UUIDField(blank=True, null=True)),
                ("phone_tail", models.CharField(blank=True, max_length=4, verbose_name="phone tail")),
                ("phone_masked", models.CharField(blank=True, max_length=20, verbose_name="phone")),
                ("birth_mmdd", models.SmallIntegerField(blank=True, null=True, verbose_name="birthday")),
                ("city", models.CharField(blank=True, max_length=40, verbose_name="city")),
                ("joined_at", models.DateTimeField(blank=True, null=True, verbose_name="joined")),
                ("created_at", models.DateTimeField(verbose_name="first contact")),
                ("subscribed", models.BooleanField(default=False, verbose_name="following")),
                ("last_interaction_at", models.DateTimeField(blank=True, null=True, verbose_name="last interaction")),
                ("tag_ids", ArrayField(base_field=models.BigIntegerField(), blank=True, default=list, size=None)),
                ("brand", _BRAND),
                (
                    "merged_into",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="members.member"
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
                ("erased_at", models.DateTimeField(blank=True, null=True, verbose_name="personal data deleted")),
                (
                    "gender",
                    models.CharField(
                        blank=True,
                        choices=[("F", "female"), ("M", "male"), ("X", "other")],
                        db_default="",
                        max_length=1,
                        verbose_name="gender",
                    ),
                ),
            ],
            options={
                "verbose_name": "member",
                "verbose_name_plural": "members",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "phone_tail"], name="member_by_phone_tail"),
                    models.Index(fields=["brand", "name"], name="member_by_name"),
                    models.Index(fields=["brand", "last_interaction_at"], name="member_by_interaction"),
                    models.Index(fields=["brand", "store", "last_interaction_at"], name="member_of_store"),
                    models.Index(fields=["brand", "birth_mmdd"], name="member_by_birthday"),
                    GinIndex(fields=["brand", "tag_ids"], name="member_by_tags"),
                    models.Index(
                        condition=models.Q(("erased_at__isnull", True), ("merged_into__isnull", True)),
                        fields=["brand", "joined_at"],
                        name="present_by_joining",
                    ),
                    models.Index(
                        condition=models.Q(("erased_at__isnull", True), ("merged_into__isnull", True)),
                        fields=["brand", "store", "-id"],
                        name="present_of_store_newest",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("erased_at__isnull", True), ("merged_into__isnull", True), ("subscribed", False)
                        ),
                        fields=["brand", "-id"],
                        name="present_not_following",
                    ),
                    models.Index(
                        condition=models.Q(
                            In(Left(MD5(Cast("id", models.TextField())), 2), ("00", "01", "02", "03")),
                            ("erased_at__isnull", True),
                            ("merged_into__isnull", True),
                        ),
                        fields=["brand", "id"],
                        name="sampled_people",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "member_no"), name="member_no_in_brand"),
                    models.UniqueConstraint(
                        condition=models.Q(("merged_into__isnull", True), ("phone_index__isnull", False)),
                        fields=("brand", "phone_index"),
                        name="one_member_per_phone",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("OPENID", "OpenID"),
                            ("UNIONID", "UnionID"),
                            ("PHONE", "Phone"),
                            ("EXTERNAL", "WeCom contact"),
                            ("PENDING", "WeCom contact to be"),
                            ("CARD", "Member card"),
                        ],
                        max_length=20,
                        verbose_name="kind",
                    ),
                ),
                ("namespace", models.CharField(blank=True, max_length=64, verbose_name="issued by")),
                ("value", models.CharField(max_length=64, verbose_name="value")),
                ("source", models.CharField(max_length=40, verbose_name="source")),
                ("since", models.DateTimeField(verbose_name="since")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="identities", to="members.member", verbose_name="member"
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="until")),
            ],
            options={
                "verbose_name": "identity",
                "verbose_name_plural": "identities",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="identity_of_member"),
                    models.Index(
                        models.F("brand"),
                        Reverse("value"),
                        condition=models.Q(("ended_at__isnull", True), ("kind", "OPENID")),
                        name="openid_by_its_end",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("brand", "kind", "namespace", "value"),
                        name="identity_of_one_member",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Follower",
            fields=[
                ("id", _ID),
                ("openid", models.CharField(max_length=64, verbose_name="OpenID")),
                ("unionid", models.CharField(blank=True, max_length=64, verbose_name="UnionID")),
                ("subscribed", models.BooleanField(default=False, verbose_name="following")),
                ("followed_at", models.DateTimeField(blank=True, null=True, verbose_name="followed")),
                ("unfollowed_at", models.DateTimeField(blank=True, null=True, verbose_name="unfollowed")),
                ("last_interaction_at", models.DateTimeField(blank=True, null=True, verbose_name="last interaction")),
                ("follow_count", models.PositiveIntegerField(default=0, verbose_name="times followed")),
                ("follow_scene", models.CharField(blank=True, max_length=40, verbose_name="followed through")),
                ("profile_due_at", models.DateTimeField(blank=True, null=True)),
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
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="followers", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "follower",
                "verbose_name_plural": "followers",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="follower_of_member"),
                    models.Index(
                        condition=models.Q(("profile_due_at__isnull", False)),
                        fields=["brand", "profile_due_at"],
                        name="follower_profile_due",
                    ),
                    models.Index(
                        condition=models.Q(("subscribed", True)),
                        fields=["brand", "followed_at"],
                        name="following_since",
                    ),
                    models.Index(
                        condition=models.Q(("subscribed", False)), fields=["brand", "unfollowed_at"], name="gone_since"
                    ),
                    models.Index(fields=["brand", "account", "-followed_at", "-id"], name="followers_in_order"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account", "openid"), name="openid_of_account")
                ],
            },
        ),
        migrations.CreateModel(
            name="Consent",
            fields=[
                ("id", _ID),
                ("purpose", models.CharField(max_length=40, verbose_name="purpose")),
                ("granted", models.BooleanField(verbose_name="agreed")),
                ("text_version", models.CharField(max_length=20, verbose_name="text version")),
                ("source", models.CharField(max_length=40, verbose_name="source")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="consents", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "channel",
                    models.CharField(blank=True, db_default="", default="", max_length=20, verbose_name="channel"),
                ),
            ],
            options={
                "verbose_name": "consent",
                "verbose_name_plural": "consents",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "member", "purpose", "-at", "-id"], name="consent_newest")],
            },
        ),
        migrations.CreateModel(
            name="MergeRecord",
            fields=[
                ("id", _ID),
                ("evidence", models.CharField(max_length=60, verbose_name="evidence")),
                ("moved", models.JSONField(default=dict, verbose_name="moved")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "kept",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="kept"
                    ),
                ),
                (
                    "merged",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="merged"
                    ),
                ),
            ],
            options={
                "verbose_name": "merge",
                "verbose_name_plural": "merges",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "-at"], name="merge_newest")],
            },
        ),
        migrations.CreateModel(
            name="OptOut",
            fields=[
                ("id", _ID),
                ("purpose", models.CharField(max_length=40, verbose_name="purpose")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                ("control", models.BooleanField(db_default=False, default=False)),
                ("listed", models.BooleanField(db_default=False, default=False)),
                ("withdrawn", models.BooleanField(db_default=True, default=True)),
                ("minor", models.BooleanField(db_default=False, default=False)),
                ("quiet_from", models.TimeField(blank=True, null=True)),
                ("quiet_until", models.TimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "opt-out",
                "verbose_name_plural": "opt-outs",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("purpose", "PERSONAL")), fields=["brand", "member"], name="objectors"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "member", "purpose"), name="opted_out_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("withdrawn", True), ("listed", True), ("control", True), ("minor", True), _connector="OR"
                        ),
                        name="opted_out_for_a_reason",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Segment",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("rule", models.JSONField(default=dict, verbose_name="rule")),
                ("counted", models.IntegerField(blank=True, null=True, verbose_name="people")),
                ("counted_at", models.DateTimeField(blank=True, null=True, verbose_name="counted")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "freshness",
                    models.CharField(
                        choices=[("LIVE", "At every use"), ("MINUTES", "Every 5 minutes"), ("DAILY", "Every day")],
                        db_default="LIVE",
                        default="LIVE",
                        max_length=8,
                        verbose_name="brought up to date",
                    ),
                ),
                (
                    "limit_minutes",
                    models.PositiveIntegerField(db_default=0, default=0, verbose_name="oldest for sending, in minutes"),
                ),
                ("refreshed_at", models.DateTimeField(blank=True, null=True, verbose_name="people as of")),
                ("rebuild_at", models.DateTimeField(blank=True, null=True, verbose_name="found anew at")),
                (
                    "problem",
                    models.CharField(blank=True, db_default="", default="", max_length=200, verbose_name="problem"),
                ),
            ],
            options={
                "verbose_name": "segment",
                "verbose_name_plural": "segments",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "name"), name="segment_name_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="Tag",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=30, verbose_name="name")),
                ("group", models.CharField(blank=True, max_length=30, verbose_name="tag group")),
                ("meaning", models.CharField(blank=True, max_length=120, verbose_name="meaning")),
                ("sync", models.BooleanField(default=False, verbose_name="keep in step with WeChat")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("brand", _BRAND),
                ("lasts_days", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="lasts for days")),
                ("owner", models.CharField(blank=True, db_default="", max_length=40, verbose_name="owner")),
                (
                    "synonyms",
                    ArrayField(
                        base_field=models.CharField(max_length=30),
                        blank=True,
                        db_default=[],
                        default=list,
                        size=None,
                        verbose_name="also called",
                    ),
                ),
                ("is_shown", models.BooleanField(db_default=False, default=False, verbose_name="shown to the member")),
            ],
            options={
                "verbose_name": "tag",
                "verbose_name_plural": "tags",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "name"), name="tag_name_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="RemoteTag",
            fields=[
                ("id", _ID),
                ("remote_id", models.IntegerField(verbose_name="id at WeChat")),
                ("synced_at", models.DateTimeField(blank=True, null=True, verbose_name="last in step")),
                ("problem", models.CharField(blank=True, max_length=200, verbose_name="problem")),
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
                    "tag",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="remotes", to="members.tag", verbose_name="tag"
                    ),
                ),
                ("agreed_name", models.CharField(blank=True, db_default="", max_length=30)),
            ],
            options={
                "verbose_name": "tag at WeChat",
                "verbose_name_plural": "tags at WeChat",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account", "remote_id"), name="remote_tag_once"),
                    models.UniqueConstraint(fields=("brand", "account", "tag"), name="tag_once_per_account"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RemoteTagging",
            fields=[
                ("id", _ID),
                ("brand", _BRAND),
                ("follower", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.follower")),
                ("remote_tag", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.remotetag")),
            ],
            options={
                "verbose_name": "tagging at WeChat",
                "verbose_name_plural": "taggings at WeChat",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "remote_tag", "follower"), name="remote_tagging_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="MemberTag",
            fields=[
                ("id", _ID),
                ("source", models.CharField(max_length=60, verbose_name="source")),
                ("at", models.DateTimeField(verbose_name="since")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="tags", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "tag",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.tag", verbose_name="tag"),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                ("given", models.BooleanField(db_default=True, default=True)),
                (
                    "rule_ids",
                    ArrayField(base_field=models.BigIntegerField(), blank=True, db_default=[], default=list, size=None),
                ),
                ("slot", models.BigIntegerField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "tag of a member",
                "verbose_name_plural": "tags of members",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "tag", "member"], name="members_of_tag"),
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False)),
                        fields=["brand", "expires_at"],
                        name="tagging_ends",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "member", "tag"), name="tag_once_per_member"),
                    models.UniqueConstraint(
                        condition=models.Q(("slot__isnull", False)),
                        fields=("brand", "member", "slot"),
                        name="one_tag_per_slot",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("given", True), ("rule_ids__len__gt", 0), _connector="OR"),
                        name="tag_held_by_something",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MiniProgramSession",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                ("openid", models.CharField(max_length=64, verbose_name="OpenID")),
                ("session_key", SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("phone_code", models.UUIDField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(verbose_name="signed in")),
                ("expires_at", models.DateTimeField(verbose_name="until")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "mini-program session",
                "verbose_name_plural": "mini-program sessions",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="sessions_of_member"),
                    models.Index(fields=["brand", "expires_at"], name="session_over"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "public_id"), name="session_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="ErasureClock",
            fields=[
                ("id", _ID),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("UNFOLLOWED", "Unfollowed"),
                            ("REVOKED", "Withdrew an authorisation at WeChat"),
                            ("MODIFIED", "Changed the profile at WeChat"),
                            ("CANCELLED", "Closed the WeChat account"),
                        ],
                        max_length=20,
                        verbose_name="reason",
                    ),
                ),
                ("what", models.CharField(blank=True, max_length=40, verbose_name="withdrawn")),
                ("started_at", models.DateTimeField(verbose_name="since")),
                ("due_at", models.DateTimeField(verbose_name="deleted at")),
                (
                    "state",
                    models.CharField(
                        choices=[("RUNNING", "Running"), ("STOPPED", "Stopped: follows again"), ("DONE", "Done")],
                        default="RUNNING",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("erased", models.JSONField(default=dict, verbose_name="deleted")),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
                (
                    "held_for",
                    models.CharField(blank=True, db_default="", default="", max_length=200, verbose_name="waits for"),
                ),
                ("proof", models.JSONField(db_default={}, default=dict, verbose_name="proof")),
            ],
            options={
                "verbose_name": "erasure",
                "verbose_name_plural": "erasures",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "RUNNING")), fields=["brand", "due_at"], name="erasure_due"
                    ),
                    models.Index(fields=["brand", "-started_at"], name="erasure_newest"),
                    models.Index(fields=["brand", "follower"], name="erasures_of_follower"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "RUNNING")),
                        fields=("brand", "follower", "reason", "what"),
                        name="one_running_clock_each",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PrivacyPolicy",
            fields=[
                ("id", _ID),
                (
                    "unfollow_grace_days",
                    models.PositiveSmallIntegerField(default=7, verbose_name="days after an unfollow"),
                ),
                (
                    "withdrawal_days",
                    models.PositiveSmallIntegerField(default=0, verbose_name="days after a withdrawal"),
                ),
                ("updated_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "privacy policy",
                "verbose_name_plural": "privacy policies",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_privacy_policy")],
            },
        ),
        migrations.CreateModel(
            name="FactChange",
            fields=[
                ("id", _ID),
                ("what", models.CharField(max_length=20)),
                ("ref", models.BigIntegerField(default=0)),
                ("before", models.CharField(blank=True, max_length=60)),
                ("after", models.CharField(blank=True, max_length=60)),
                ("source", models.CharField(blank=True, max_length=60)),
                ("at", models.DateTimeField()),
                ("brand", _BRAND),
                ("member", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.member")),
            ],
            options={
                "verbose_name": "change of a fact",
                "verbose_name_plural": "changes of facts",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member", "what", "ref", "at", "id"], name="facts_in_the_past")
                ],
            },
        ),
        migrations.CreateModel(
            name="FactDue",
            fields=[
                ("id", _ID),
                ("kind", models.CharField(max_length=40)),
                ("at", models.DateTimeField()),
                ("brand", _BRAND),
                ("member", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.member")),
            ],
            options={
                "verbose_name": "fact to look at",
                "verbose_name_plural": "facts to look at",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "member"], name="facts_of_member")],
            },
        ),
        migrations.CreateModel(
            name="TagGroup",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=30, verbose_name="name")),
                ("meaning", models.CharField(blank=True, max_length=120, verbose_name="meaning")),
                ("is_exclusive", models.BooleanField(default=False, verbose_name="exclusive")),
                (
                    "direction",
                    models.CharField(
                        choices=[
                            ("BOTH", "both ways"),
                            ("PUSH", "only from here to WeChat"),
                            ("PULL", "only from WeChat to here"),
                        ],
                        default="BOTH",
                        max_length=10,
                        verbose_name="in step with WeChat",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "tag group",
                "verbose_name_plural": "tag groups",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "name"), name="tag_group_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="TagRule",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("rule", models.JSONField(default=dict, verbose_name="rule")),
                ("stays", models.BooleanField(default=False, verbose_name="stays once given")),
                ("is_on", models.BooleanField(default=True, verbose_name="on")),
                ("after", models.BigIntegerField(blank=True, null=True)),
                ("run_due_at", models.DateTimeField(blank=True, null=True)),
                ("ran_at", models.DateTimeField(blank=True, null=True, verbose_name="looked at everybody")),
                ("people", models.IntegerField(blank=True, null=True, verbose_name="people")),
                ("blocked", models.IntegerField(default=0)),
                ("problem", models.CharField(blank=True, max_length=200, verbose_name="problem")),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "tag",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.tag", verbose_name="tag"),
                ),
            ],
            options={
                "verbose_name": "automatic tag",
                "verbose_name_plural": "automatic tags",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("run_due_at__isnull", False)),
                        fields=["brand", "run_due_at"],
                        name="tag_rule_due",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "name"), name="tag_rule_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="ControlGroup",
            fields=[
                ("id", _ID),
                ("per_mille", models.PositiveSmallIntegerField(default=0, verbose_name="share")),
                ("salt", models.CharField(max_length=32)),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "control group",
                "verbose_name_plural": "control groups",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand",), name="one_control_group"),
                    models.CheckConstraint(condition=models.Q(("per_mille__lte", 500)), name="control_group_is_a_part"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Suppression",
            fields=[
                ("id", _ID),
                ("reason", models.CharField(max_length=120, verbose_name="reason")),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="added by")),
                ("at", models.DateTimeField(verbose_name="since")),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "entry of the do-not-send list",
                "verbose_name_plural": "do-not-send list",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-at"], name="suppressed_newest"),
                    models.Index(
                        condition=models.Q(("until__isnull", False)), fields=["brand", "until"], name="suppression_ends"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "member"), name="suppressed_once")],
            },
        ),
        migrations.CreateModel(
            name="Grouping",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("stages", models.JSONField(default=list, verbose_name="stages")),
                ("version", models.PositiveIntegerField(default=1, verbose_name="version")),
                ("is_monthly", models.BooleanField(default=True, verbose_name="snapshot every month")),
                ("problem", models.CharField(blank=True, max_length=200, verbose_name="problem")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "recipe",
                    models.CharField(blank=True, db_default="", default="", max_length=20, verbose_name="recipe"),
                ),
                ("settings", models.JSONField(blank=True, default=dict, verbose_name="settings")),
                ("tracked_at", models.DateTimeField(blank=True, null=True)),
                ("tracked_version", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "verbose_name": "grouping",
                "verbose_name_plural": "groupings",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "name"), name="grouping_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="Snapshot",
            fields=[
                ("id", _ID),
                ("version", models.PositiveIntegerField(verbose_name="version")),
                ("month", models.DateField(blank=True, null=True, verbose_name="month")),
                ("at", models.DateTimeField(verbose_name="taken")),
                ("stages", models.JSONField(default=list, verbose_name="stages")),
                ("counts", models.JSONField(default=list, verbose_name="people")),
                ("brand", _BRAND),
                (
                    "grouping",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.grouping", verbose_name="grouping"
                    ),
                ),
            ],
            options={
                "verbose_name": "snapshot",
                "verbose_name_plural": "snapshots",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "grouping", "-at"], name="snapshot_newest")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("month__isnull", False)),
                        fields=("brand", "grouping", "month"),
                        name="one_snapshot_a_month",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SnapshotMember",
            fields=[
                ("id", _ID),
                ("stage", models.SmallIntegerField()),
                ("brand", _BRAND),
                ("member", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.member")),
                ("snapshot", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.snapshot")),
            ],
            options={
                "verbose_name": "person in a snapshot",
                "verbose_name_plural": "people in snapshots",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "snapshot", "member"), name="once_in_a_snapshot")
                ],
            },
        ),
        migrations.CreateModel(
            name="PreTag",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("OPENID", "OpenID"),
                            ("UNIONID", "UnionID"),
                            ("PHONE", "Phone"),
                            ("EXTERNAL", "WeCom contact"),
                            ("PENDING", "WeCom contact to be"),
                            ("CARD", "Member card"),
                        ],
                        max_length=20,
                        verbose_name="kind",
                    ),
                ),
                ("value", models.CharField(max_length=64, verbose_name="value")),
                ("source", models.CharField(max_length=60, verbose_name="source")),
                ("valid_until", models.DateTimeField(blank=True, null=True, verbose_name="waits until")),
                ("tag_until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("applied_at", models.DateTimeField(blank=True, null=True, verbose_name="applied")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.CASCADE,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
                (
                    "tag",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.tag", verbose_name="tag"),
                ),
            ],
            options={
                "verbose_name": "waiting tag",
                "verbose_name_plural": "waiting tags",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "source"], name="waiting_tags_of_source")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("applied_at__isnull", True)),
                        fields=("brand", "kind", "value", "tag"),
                        name="waiting_tag_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Doubt",
            fields=[
                ("id", _ID),
                (
                    "reasons",
                    ArrayField(
                        base_field=models.CharField(max_length=20), default=list, size=None, verbose_name="reasons"
                    ),
                ),
                ("evidence", models.CharField(max_length=60, verbose_name="evidence")),
                (
                    "state",
                    models.CharField(
                        choices=[("OPEN", "To be decided"), ("MERGED", "Merged"), ("APART", "Kept apart")],
                        default="OPEN",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("found_at", models.DateTimeField(verbose_name="noticed")),
                ("decided_at", models.DateTimeField(blank=True, null=True, verbose_name="decided")),
                ("decided_by", models.CharField(blank=True, max_length=60, verbose_name="decided by")),
                ("note", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("brand", _BRAND),
                (
                    "one",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "other",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="other record"
                    ),
                ),
            ],
            options={
                "verbose_name": "possible merge",
                "verbose_name_plural": "possible merges",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(condition=models.Q(("state", "OPEN")), fields=["brand", "-id"], name="doubts_open"),
                    models.Index(fields=["brand", "other"], name="doubts_of_other"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "one", "other"), name="doubt_once_per_pair"),
                    models.CheckConstraint(
                        condition=models.Q(("one__lt", models.F("other"))), name="doubt_lower_first"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MergeUndo",
            fields=[
                ("id", _ID),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="by")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "record",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="undone", to="members.mergerecord", verbose_name="merge"
                    ),
                ),
            ],
            options={
                "verbose_name": "undone merge",
                "verbose_name_plural": "undone merges",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "record"), name="merge_undone_once")],
            },
        ),
        migrations.CreateModel(
            name="SegmentMember",
            fields=[
                ("id", _ID),
                ("member_id", models.BigIntegerField()),
                ("since", models.DateTimeField(verbose_name="since")),
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
                    "segment",
                    BrandForeignKey(
                        guarded=True,
                        on_delete=models.CASCADE,
                        related_name="+",
                        to="members.segment",
                        verbose_name="segment",
                    ),
                ),
            ],
            options={
                "verbose_name": "person in a segment",
                "verbose_name_plural": "people in segments",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "segment", "member_id"), name="once_in_a_segment")
                ],
            },
        ),
        migrations.CreateModel(
            name="SegmentDue",
            fields=[
                ("id", _ID),
                ("member_id", models.BigIntegerField()),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "person to look at for segments",
                "verbose_name_plural": "people to look at for segments",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="CodeUse",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("step", models.BigIntegerField()),
                ("actor", models.CharField(max_length=40, verbose_name="who")),
                ("key", models.CharField(max_length=100, verbose_name="operation key")),
                ("code_index", models.UUIDField()),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "use of a member code",
                "verbose_name_plural": "uses of member codes",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "member", "step"), name="member_code_once"),
                    models.UniqueConstraint(fields=("brand", "actor", "key"), name="member_code_operation_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ConsentPurpose",
            fields=[
                ("id", _ID),
                ("code", models.CharField(max_length=20, verbose_name="code")),
                ("name", models.CharField(max_length=30, verbose_name="name")),
                ("meaning", models.CharField(max_length=200, verbose_name="what the data is used for")),
                ("is_active", models.BooleanField(default=True, verbose_name="in use")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "purpose",
                "verbose_name_plural": "purposes",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "code"), name="consent_purpose_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="ConsentText",
            fields=[
                ("id", _ID),
                ("purpose", models.CharField(max_length=20, verbose_name="purpose")),
                ("version", models.CharField(max_length=20, verbose_name="version")),
                ("body", models.TextField(verbose_name="text")),
                ("written_by", models.CharField(max_length=60, verbose_name="written by")),
                ("effective_at", models.DateTimeField(verbose_name="from")),
                ("created_at", models.DateTimeField(verbose_name="written")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "consent text",
                "verbose_name_plural": "consent texts",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "purpose", "version"), name="consent_text_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                ("id", _ID),
                ("reason", models.CharField(max_length=120, verbose_name="reason")),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="by")),
                ("at", models.DateTimeField(verbose_name="since")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "legal hold",
                "verbose_name_plural": "legal holds",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("brand", "member"),
                        name="one_legal_hold",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RetentionRule",
            fields=[
                ("id", _ID),
                ("data_class", models.CharField(max_length=40, verbose_name="data")),
                ("days", models.PositiveSmallIntegerField(verbose_name="days")),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="by")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "retention rule",
                "verbose_name_plural": "retention rules",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "data_class"), name="retention_rule_once")],
            },
        ),
        migrations.CreateModel(
            name="RetentionRun",
            fields=[
                ("id", _ID),
                ("data_class", models.CharField(max_length=40, verbose_name="data")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("before", models.DateTimeField(verbose_name="older than")),
                ("rows", models.PositiveIntegerField(verbose_name="rows")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "retention run",
                "verbose_name_plural": "retention runs",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "data_class", "-at"], name="retention_newest")],
            },
        ),
        migrations.CreateModel(
            name="RightsRequest",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("COPY", "Copy of the personal data"),
                            ("ERASE", "Deletion of the personal data"),
                            ("CORRECT", "Correction of the personal data"),
                            ("EXPLAIN", "Explanation of automated decisions"),
                        ],
                        max_length=10,
                        verbose_name="asks for",
                    ),
                ),
                ("words", models.CharField(blank=True, max_length=200, verbose_name="in their words")),
                ("channel", models.CharField(max_length=20, verbose_name="channel")),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("due_at", models.DateTimeField(verbose_name="answer until")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("OPEN", "Open"),
                            ("READY", "Ready to be fetched"),
                            ("DONE", "Done"),
                            ("REFUSED", "Refused"),
                            ("TAKEN_BACK", "Taken back"),
                        ],
                        default="OPEN",
                        max_length=12,
                        verbose_name="state",
                    ),
                ),
                ("asked_by", models.CharField(blank=True, max_length=60, verbose_name="entered by")),
                ("answered_by", models.CharField(blank=True, max_length=60, verbose_name="answered by")),
                ("answered_at", models.DateTimeField(blank=True, null=True, verbose_name="answer given")),
                ("refusal", models.CharField(blank=True, max_length=200, verbose_name="why refused")),
                ("proof", models.JSONField(default=dict, verbose_name="proof")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "answer",
                    models.CharField(
                        blank=True, db_default="", default="", max_length=400, verbose_name="what the person is told"
                    ),
                ),
            ],
            options={
                "verbose_name": "request about personal data",
                "verbose_name_plural": "requests about personal data",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-asked_at", "-id"], name="rights_newest"),
                    models.Index(condition=models.Q(("state", "OPEN")), fields=["brand", "due_at"], name="rights_due"),
                    models.Index(fields=["brand", "member"], name="rights_of_member"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "public_id"), name="rights_request_in_brand"),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "OPEN")),
                        fields=("brand", "member", "kind"),
                        name="one_open_request",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RequestFile",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("content", SealedTextField(bind=("public_id",), blank=True, null=True)),
                ("sha256", models.CharField(max_length=64)),
                ("made_at", models.DateTimeField(verbose_name="made")),
                ("expires_at", models.DateTimeField(verbose_name="until")),
                ("fetched_at", models.DateTimeField(blank=True, null=True, verbose_name="fetched")),
                ("fetched_by", models.CharField(blank=True, max_length=60, verbose_name="fetched by")),
                ("brand", _BRAND),
                (
                    "request",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.rightsrequest", verbose_name="request"
                    ),
                ),
            ],
            options={
                "verbose_name": "copy of personal data",
                "verbose_name_plural": "copies of personal data",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "request"], name="files_of_request"),
                    models.Index(fields=["brand", "expires_at"], name="request_file_over"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "public_id"), name="request_file_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="Topic",
            fields=[
                ("id", _ID),
                ("code", models.CharField(max_length=20, verbose_name="code")),
                ("name", models.CharField(max_length=30, verbose_name="name")),
                ("meaning", models.CharField(blank=True, max_length=120, verbose_name="what it is about")),
                ("is_active", models.BooleanField(default=True, verbose_name="offered")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "topic",
                "verbose_name_plural": "topics",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "code"), name="topic_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="GroupingVersion",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("settings", models.JSONField(default=dict, verbose_name="settings")),
                ("stages", models.JSONField(default=list, verbose_name="stages")),
                ("since", models.DateTimeField(verbose_name="since")),
                ("brand", _BRAND),
                (
                    "grouping",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.grouping", verbose_name="grouping"
                    ),
                ),
            ],
            options={
                "verbose_name": "version of a grouping",
                "verbose_name_plural": "versions of groupings",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "grouping", "number"), name="grouping_version_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="StageMember",
            fields=[
                ("id", _ID),
                ("member_id", models.BigIntegerField()),
                ("stage_id", models.BigIntegerField()),
                ("since", models.DateTimeField()),
                ("brand", _BRAND),
                ("grouping", BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.grouping")),
            ],
            options={
                "verbose_name": "person in a stage",
                "verbose_name_plural": "people in stages",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "grouping", "member_id"), name="one_stage_at_a_time")
                ],
            },
        ),
        migrations.CreateModel(
            name="StageMove",
            fields=[
                ("id", _ID),
                ("member_id", models.BigIntegerField()),
                ("before_id", models.BigIntegerField(blank=True, null=True)),
                ("after_id", models.BigIntegerField()),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "grouping",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.grouping", verbose_name="grouping"
                    ),
                ),
            ],
            options={
                "verbose_name": "move between stages",
                "verbose_name_plural": "moves between stages",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member_id", "-at"], name="stage_moves_of_member"),
                    models.Index(fields=["brand", "grouping", "-at"], name="stage_moves_newest"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProfileField",
            fields=[
                ("id", _ID),
                ("key", models.SlugField(max_length=40, verbose_name="key")),
                ("label", models.CharField(max_length=30, verbose_name="name")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("TEXT", "Text"),
                            ("NUMBER", "Whole number"),
                            ("DATE", "Date"),
                            ("CHOICE", "One of a list"),
                            ("YES_NO", "Yes or no"),
                        ],
                        max_length=10,
                        verbose_name="type",
                    ),
                ),
                (
                    "choices",
                    ArrayField(
                        base_field=models.CharField(max_length=30),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="choices",
                    ),
                ),
                (
                    "sensitivity",
                    models.CharField(
                        choices=[
                            ("PLAIN", "Everybody who sees the person"),
                            ("MASKED", "Only the first letter; the rest for a reason"),
                            ("SEALED", "Only that it is there; the value for a reason"),
                        ],
                        db_default="PLAIN",
                        default="PLAIN",
                        max_length=10,
                        verbose_name="who sees it",
                    ),
                ),
                (
                    "sources",
                    ArrayField(
                        base_field=models.CharField(max_length=20),
                        default=list,
                        size=None,
                        verbose_name="precedence of sources",
                    ),
                ),
                ("fresh_days", models.PositiveIntegerField(blank=True, null=True, verbose_name="fresh for days")),
                ("by_member", models.BooleanField(default=False, verbose_name="the member may see and change it")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "profile field",
                "verbose_name_plural": "profile fields",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "key"), name="profile_field_key"),
                    models.UniqueConstraint(fields=("brand", "label"), name="profile_field_label"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProfileValue",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("key", models.CharField(max_length=40, verbose_name="key")),
                ("source", models.CharField(max_length=20, verbose_name="source")),
                ("text", models.CharField(blank=True, max_length=200, verbose_name="value")),
                ("sealed", SealedTextField(bind=("public_id",), blank=True, null=True, verbose_name="value")),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="by")),
                ("at", models.DateTimeField(verbose_name="said")),
                ("counts", models.BooleanField(db_default=False, default=False)),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "profile value",
                "verbose_name_plural": "profile values",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("counts", True)),
                        fields=["brand", "key", "text", "member"],
                        name="people_by_profile",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("brand", "member", "key", "source"), name="profile_value_per_source"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Flag",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[("STAFF", "Works here"), ("TEST", "Test person"), ("BLOCKED", "Blocked")],
                        max_length=10,
                        verbose_name="flag",
                    ),
                ),
                ("since", models.DateTimeField(blank=True, null=True, verbose_name="from")),
                ("reason", models.CharField(max_length=120, verbose_name="reason")),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="by")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
            ],
            options={
                "verbose_name": "flag",
                "verbose_name_plural": "flags",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "member"], name="flags_of_member")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("until__isnull", True)),
                        fields=("brand", "member", "kind"),
                        name="flag_holds_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessEntry",
            fields=[
                ("id", _ID),
                ("actor_label", models.CharField(max_length=120, verbose_name="who")),
                ("via", models.CharField(max_length=20, verbose_name="through")),
                ("page", models.CharField(max_length=60, verbose_name="page")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("hour", models.DateTimeField()),
                ("ip", models.CharField(blank=True, max_length=45, verbose_name="IP")),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "access",
                "verbose_name_plural": "access log",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "-at", "-id"], name="access_newest"),
                    models.Index(fields=["brand", "actor", "actor_label", "-at"], name="access_by_whom"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("brand", "member", "hour", "page", "actor", "actor_label"),
                        name="access_once_an_hour",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SmsCode",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("phone_index", models.UUIDField()),
                ("asker", models.CharField(max_length=40)),
                ("address", models.UUIDField(blank=True, null=True)),
                ("digest", models.UUIDField()),
                ("message", SealedTextField(bind=("public_id",), blank=True, null=True)),
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
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.CASCADE,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
            ],
            options={
                "verbose_name": "code by text message",
                "verbose_name_plural": "codes by text message",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "phone_index", "-asked_at"], name="codes_of_phone"),
                    models.Index(fields=["brand", "asker", "-asked_at"], name="codes_of_asker"),
                    models.Index(fields=["brand", "asked_at"], name="codes_by_time"),
                    models.Index(
                        condition=models.Q(("member__isnull", False)),
                        fields=["brand", "member"],
                        name="codes_of_member",
                    ),
                    models.Index(
                        condition=models.Q(("state", "WAITING")), fields=["brand", "asked_at"], name="codes_to_send"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SmsSettings",
            fields=[
                ("id", _ID),
                ("way", models.CharField(blank=True, max_length=20, verbose_name="way")),
                ("url", models.CharField(blank=True, max_length=300, verbose_name="address")),
                ("secret", SealedTextField(blank=True, null=True, verbose_name="secret")),
                ("signature", models.CharField(blank=True, max_length=20, verbose_name="signature")),
                ("template", models.CharField(blank=True, max_length=64, verbose_name="template")),
                ("daily_limit", models.PositiveIntegerField(default=1000, verbose_name="codes a day at most")),
                ("changed_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "text messages",
                "verbose_name_plural": "text messages",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_way_of_sms")],
            },
        ),
        migrations.RunSQL(_NEW_MEMBERS, _NO_NEW_MEMBERS),
        migrations.RunSQL(_ACTS, _NO_ACTS),
        ApplicationFunction("members_take_back_copies(bigint[])", _TAKE_BACK),
        ApplicationFunction("zhiyin_trim_access(timestamptz, integer)", _TRIM),
        migrations.RunSQL(*watch(_WATCHED)),
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
