"""Channels and their codes, who came through which, and figures of channels.

Triggers write down, in the same transaction, of whom something changed that figures of channels depend on. They run
with the rights of whoever makes the change, so row security holds for them as well. Everything is marked by what it is,
never by what was counted so far: a change that comes while somebody counts leaves its mark all the same.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from members.watched import watch

# A person comes, is moved to another record, or is marked as staff.
_TOUCHES = """
CREATE FUNCTION touchpoints_recount_touched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO touchpoints_recount (brand_id, member_id) SELECT DISTINCT brand_id, member_id FROM fresh;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO touchpoints_recount (brand_id, member_id) SELECT DISTINCT brand_id, member_id FROM stale;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_touch_recount_new AFTER INSERT ON touchpoints_touch
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION touchpoints_recount_touched();
CREATE TRIGGER touchpoints_touch_recount_changed AFTER UPDATE ON touchpoints_touch
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION touchpoints_recount_touched();
CREATE TRIGGER touchpoints_touch_recount_gone AFTER DELETE ON touchpoints_touch
    REFERENCING OLD TABLE AS stale FOR EACH STATEMENT EXECUTE FUNCTION touchpoints_recount_touched();
"""

# Somebody left, or it turned out that they had.
_LEAVING = """
CREATE FUNCTION touchpoints_recount_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id)
    SELECT brand_id, member_id FROM members_follower
    WHERE brand_id = coalesce(NEW.brand_id, OLD.brand_id) AND id IN (NEW.follower_id, OLD.follower_id);
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_unfollow_recount AFTER INSERT OR UPDATE OR DELETE ON touchpoints_unfollow
    FOR EACH ROW EXECUTE FUNCTION touchpoints_recount_left();

CREATE FUNCTION touchpoints_recount_follower() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id) VALUES (NEW.brand_id, NEW.member_id);
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_follower_recount AFTER UPDATE ON members_follower FOR EACH ROW
    WHEN (OLD.unfollowed_at IS DISTINCT FROM NEW.unfollowed_at)
    EXECUTE FUNCTION touchpoints_recount_follower();
"""

# Somebody joined, or was heard of on a later day. Days begin at quarters of an hour in every time zone, so of all that
# somebody says within one only the first leaves a mark.
_PEOPLE = """
CREATE FUNCTION touchpoints_recount_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id) VALUES (NEW.brand_id, NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_member_recount AFTER UPDATE ON members_member FOR EACH ROW
    WHEN (OLD.joined_at IS DISTINCT FROM NEW.joined_at
        OR date_bin('15 minutes', OLD.last_interaction_at, '2000-01-01 00:00Z')
            IS DISTINCT FROM date_bin('15 minutes', NEW.last_interaction_at, '2000-01-01 00:00Z'))
    EXECUTE FUNCTION touchpoints_recount_member();
"""

# A branch moved at a moment that some touches are later than already.
_MOVES = """
CREATE FUNCTION touchpoints_recount_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id)
    SELECT DISTINCT brand_id, member_id FROM touchpoints_touch
    WHERE brand_id = NEW.brand_id AND at >= NEW.at AND touchpoint_id IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER touchpoints_move_recount AFTER INSERT ON touchpoints_move FOR EACH ROW
    WHEN (NOT NEW.restates) EXECUTE FUNCTION touchpoints_recount_moved();
"""

_GONE = """
DROP TRIGGER touchpoints_touch_recount_new ON touchpoints_touch;
DROP TRIGGER touchpoints_touch_recount_changed ON touchpoints_touch;
DROP TRIGGER touchpoints_touch_recount_gone ON touchpoints_touch;
DROP TRIGGER touchpoints_unfollow_recount ON touchpoints_unfollow;
DROP TRIGGER touchpoints_follower_recount ON members_follower;
DROP TRIGGER touchpoints_member_recount ON members_member;
DROP TRIGGER touchpoints_move_recount ON touchpoints_move;
DROP FUNCTION touchpoints_recount_touched, touchpoints_recount_left, touchpoints_recount_follower,
    touchpoints_recount_member, touchpoints_recount_moved;
"""

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("touchpoints", "0001_initial"),
        ("touchpoints", "0002_plans_for_new_brands"),
        ("touchpoints", "0003_tree_codes_figures"),
        ("touchpoints", "0004_sums_orders_openings"),
        ("touchpoints", "0005_count_people_again"),
        ("touchpoints", "0006_sums_of_months"),
        ("touchpoints", "0007_sums_of_all_figures"),
        ("touchpoints", "0008_segments"),
        ("touchpoints", "0009_left_out"),
        ("touchpoints", "0010_values"),
        ("touchpoints", "0011_code_benefits"),
        ("touchpoints", "0012_people_without_codes"),
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
            name="Touchpoint",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("scene", models.CharField(blank=True, max_length=64, verbose_name="scene")),
                ("welcome", models.TextField(blank=True, max_length=600, verbose_name="welcome")),
                ("is_permanent", models.BooleanField(default=False, verbose_name="permanent code")),
                ("ticket", models.CharField(blank=True, max_length=200)),
                ("code_url", models.CharField(blank=True, max_length=200)),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="code ends")),
                ("problem", models.CharField(blank=True, max_length=200, verbose_name="problem")),
                ("is_active", models.BooleanField(default=True, verbose_name="in use")),
                ("created_at", models.DateTimeField(verbose_name="created")),
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
                (
                    "parent",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="touchpoints.touchpoint",
                        verbose_name="below",
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
                ("archived_at", models.DateTimeField(blank=True, null=True, verbose_name="archived")),
                ("benefit", models.CharField(blank=True, max_length=120, verbose_name="benefit")),
                ("ends_at", models.DateTimeField(blank=True, null=True, verbose_name="in use until")),
                ("owner_id", models.BigIntegerField(blank=True, null=True, verbose_name="owner")),
                ("owner_kind", models.CharField(blank=True, max_length=20, verbose_name="kind of owner")),
                ("benefit_id", models.BigIntegerField(blank=True, null=True, verbose_name="what scanning it gives")),
                (
                    "benefit_kind",
                    models.CharField(blank=True, db_default="", max_length=20, verbose_name="kind of benefit"),
                ),
                ("origin", models.CharField(blank=True, db_default="", max_length=40)),
            ],
            options={
                "verbose_name": "channel",
                "verbose_name_plural": "channels",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "parent", "name"], name="touchpoint_tree")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("scene", ""), _negated=True),
                        fields=("brand", "account", "scene"),
                        name="scene_of_account",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("origin", ""), _negated=True),
                        fields=("brand", "origin"),
                        name="origin_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TouchpointTag",
            fields=[
                ("id", _ID),
                ("brand", _BRAND),
                (
                    "tag",
                    BrandForeignKey(on_delete=models.CASCADE, related_name="+", to="members.tag", verbose_name="tag"),
                ),
                (
                    "touchpoint",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="tags",
                        to="touchpoints.touchpoint",
                        verbose_name="channel",
                    ),
                ),
            ],
            options={
                "verbose_name": "tag of a channel",
                "verbose_name_plural": "tags of channels",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "touchpoint", "tag"), name="tag_once_per_touchpoint")
                ],
            },
        ),
        migrations.CreateModel(
            name="Cost",
            fields=[
                ("id", _ID),
                ("amount", models.BigIntegerField(verbose_name="amount (fen)")),
                ("starts_on", models.DateField(verbose_name="from")),
                ("ends_on", models.DateField(verbose_name="to")),
                ("note", models.CharField(blank=True, max_length=60, verbose_name="for what")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("brand", _BRAND),
                (
                    "touchpoint",
                    BrandForeignKey(
                        on_delete=models.CASCADE,
                        related_name="costs",
                        to="touchpoints.touchpoint",
                        verbose_name="channel",
                    ),
                ),
            ],
            options={
                "verbose_name": "cost of a channel",
                "verbose_name_plural": "costs of channels",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "touchpoint"], name="cost_of_touchpoint")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0), ("ends_on__gte", models.F("starts_on"))),
                        name="cost_of_some_days",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MiniCode",
            fields=[
                ("id", _ID),
                ("code", models.CharField(max_length=8, verbose_name="short scene")),
                ("page", models.CharField(max_length=128, verbose_name="page")),
                ("picture", models.BinaryField(blank=True, null=True)),
                ("problem", models.CharField(blank=True, max_length=200, verbose_name="problem")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("ends_at", models.DateTimeField(blank=True, null=True, verbose_name="in use until")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("brand", _BRAND),
                (
                    "program",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="wechat_gateway.miniprogram",
                        verbose_name="mini program",
                    ),
                ),
                (
                    "touchpoint",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="touchpoints.touchpoint", verbose_name="channel"
                    ),
                ),
                (
                    "sent_by",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("KEYWORD", "Keyword reply"),
                            ("WELCOME", "Welcome"),
                            ("MENU", "Menu"),
                            ("REPLY", "Automatic reply"),
                        ],
                        db_default="",
                        max_length=10,
                        verbose_name="sent by",
                    ),
                ),
                ("sender", models.CharField(blank=True, db_default="", max_length=60)),
            ],
            options={
                "verbose_name": "mini-program code",
                "verbose_name_plural": "mini-program codes",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "touchpoint"], name="mini_code_of_touchpoint")],
                "constraints": [models.UniqueConstraint(fields=("brand", "code"), name="short_scene_once")],
            },
        ),
        migrations.CreateModel(
            name="Move",
            fields=[
                ("id", _ID),
                ("restates", models.BooleanField(default=False, verbose_name="past counted at the new place")),
                ("at", models.DateTimeField(verbose_name="when")),
                (
                    "after",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="touchpoints.touchpoint"
                    ),
                ),
                (
                    "before",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="touchpoints.touchpoint"
                    ),
                ),
                ("brand", _BRAND),
                (
                    "touchpoint",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="touchpoints.touchpoint", verbose_name="channel"
                    ),
                ),
            ],
            options={
                "verbose_name": "move of a channel",
                "verbose_name_plural": "moves of channels",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "touchpoint", "at"], name="move_of_touchpoint")],
            },
        ),
        migrations.CreateModel(
            name="StaffPerson",
            fields=[
                ("id", _ID),
                ("since", models.DateTimeField(verbose_name="since")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "person of the staff",
                "verbose_name_plural": "people of the staff",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "member"), name="staff_person_once")],
            },
        ),
        migrations.CreateModel(
            name="Unfollow",
            fields=[
                ("id", _ID),
                ("at", models.DateTimeField(verbose_name="when")),
                ("push_id", models.BigIntegerField(blank=True, null=True)),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.follower", verbose_name="follower"
                    ),
                ),
            ],
            options={
                "verbose_name": "unfollow",
                "verbose_name_plural": "unfollows",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "follower", "at"], name="unfollow_of_follower")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("push_id__isnull", False)),
                        fields=("brand", "push_id"),
                        name="one_unfollow_per_push",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CodeIssue",
            fields=[
                ("id", _ID),
                ("ticket", models.CharField(max_length=200)),
                ("url", models.CharField(max_length=200)),
                ("is_permanent", models.BooleanField(default=False, verbose_name="permanent code")),
                ("issued_at", models.DateTimeField(verbose_name="made")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="ends")),
                ("printed_at", models.DateTimeField(blank=True, null=True, verbose_name="downloaded for print")),
                (
                    "account",
                    BrandForeignKey(on_delete=models.PROTECT, related_name="+", to="wechat_gateway.officialaccount"),
                ),
                ("brand", _BRAND),
                (
                    "touchpoint",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="touchpoints.touchpoint", verbose_name="channel"
                    ),
                ),
            ],
            options={
                "verbose_name": "code picture",
                "verbose_name_plural": "code pictures",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_permanent", True)), fields=["brand", "account"], name="permanent_codes"
                    ),
                    models.Index(
                        condition=models.Q(("printed_at__isnull", False)),
                        fields=["brand", "expires_at"],
                        name="prints_by_end",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "touchpoint", "ticket"), name="ticket_once_per_touchpoint")
                ],
            },
        ),
        migrations.CreateModel(
            name="Touch",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("FOLLOW", "New follower"),
                            ("REFOLLOW", "Came back"),
                            ("SCAN", "Already following"),
                            ("OPEN", "Opened the mini program"),
                            ("CONTACT", "Added a guide in WeCom"),
                        ],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("scene", models.CharField(blank=True, max_length=64, verbose_name="scene")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("push_id", models.BigIntegerField(blank=True, null=True)),
                ("brand", _BRAND),
                (
                    "follower",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="members.follower",
                        verbose_name="follower",
                    ),
                ),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="touches", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "touchpoint",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="touchpoints.touchpoint",
                        verbose_name="channel",
                    ),
                ),
                (
                    "case",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("NEW", "New follower"),
                            ("RETURNING", "Came back"),
                            ("FOLLOWING", "Already following"),
                            ("MEMBER", "Already a member"),
                            ("VISITOR", "Not following"),
                            ("STAFF", "Staff"),
                        ],
                        max_length=10,
                        verbose_name="who scanned",
                    ),
                ),
                (
                    "issue",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="touchpoints.codeissue"
                    ),
                ),
                (
                    "mini_code",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="touchpoints.minicode"
                    ),
                ),
                ("opening", models.CharField(blank=True, max_length=100)),
                ("seen_as", models.CharField(blank=True, db_default="", max_length=10)),
            ],
            options={
                "verbose_name": "touch",
                "verbose_name_plural": "touches",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "touchpoint", "-at"], name="touch_of_point"),
                    models.Index(fields=["brand", "member", "-at"], name="touch_of_member"),
                    models.Index(fields=["brand", "at"], name="touch_of_time"),
                    models.Index(
                        condition=models.Q(("case", "STAFF")),
                        fields=["brand", "touchpoint", "at"],
                        name="touch_of_staff",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("push_id__isnull", False)),
                        fields=("brand", "push_id"),
                        name="one_touch_per_push",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("opening", ""), _negated=True),
                        fields=("brand", "opening"),
                        name="one_touch_per_opening",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("follower__isnull", False), ("kind__in", ["OPEN", "CONTACT"]), _connector="OR"
                        ),
                        name="scan_of_a_follower",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CodeOrder",
            fields=[
                ("id", _ID),
                ("is_permanent", models.BooleanField(default=False, verbose_name="permanent code")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("ASKED", "asked"),
                            ("MADE", "made"),
                            ("REFUSED", "refused"),
                            ("LOST", "answer lost"),
                            ("FOUND", "found again"),
                        ],
                        default="ASKED",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("answered_at", models.DateTimeField(blank=True, null=True, verbose_name="answered")),
                (
                    "account",
                    BrandForeignKey(on_delete=models.PROTECT, related_name="+", to="wechat_gateway.officialaccount"),
                ),
                ("brand", _BRAND),
                (
                    "touchpoint",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="+", to="touchpoints.touchpoint", verbose_name="channel"
                    ),
                ),
            ],
            options={
                "verbose_name": "order of a code",
                "verbose_name_plural": "orders of codes",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_permanent", True), ("state", "LOST")),
                        fields=["brand", "account"],
                        name="lost_orders",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "ASKED")),
                        fields=("brand", "touchpoint"),
                        name="one_open_order_per_touchpoint",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CodeAllowance",
            fields=[
                ("id", _ID),
                ("permanent_codes", models.PositiveIntegerField(verbose_name="permanent codes in all")),
                ("made_elsewhere", models.PositiveIntegerField(default=0, verbose_name="made elsewhere")),
                (
                    "repeats_are_free",
                    models.BooleanField(default=True, verbose_name="the same scene asked for again costs nothing"),
                ),
                ("changed_at", models.DateTimeField(verbose_name="changed")),
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
                "verbose_name": "allowance of codes",
                "verbose_name_plural": "allowances of codes",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "account"), name="allowance_of_account")],
            },
        ),
        migrations.CreateModel(
            name="CountedTouch",
            fields=[
                ("id", _ID),
                ("touch_id", models.BigIntegerField()),
                ("member_id", models.BigIntegerField()),
                ("touchpoint_id", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                ("day", models.DateField()),
                ("previous_day", models.DateField(null=True)),
                ("seq", models.IntegerField()),
                ("total", models.IntegerField()),
                ("case", models.CharField(max_length=10)),
                ("placed_at", models.DateTimeField()),
                ("followed_at", models.DateTimeField(null=True)),
                ("left_at", models.DateTimeField(null=True)),
                ("cohort", models.IntegerField(default=0)),
                ("outcome", models.IntegerField(default=0)),
                ("due_at", models.DateTimeField(null=True)),
                ("brand", _BRAND),
                ("value_30", models.BigIntegerField(default=0)),
                ("value_90", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name": "counted touch",
                "verbose_name_plural": "counted touches",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member_id", "seq"], name="counted_of_member"),
                    models.Index(fields=["brand", "touchpoint_id", "-at", "-touch_id"], name="counted_of_point"),
                    models.Index(fields=["brand", "-at", "-touch_id"], name="counted_newest"),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["brand", "due_at"], name="counted_due"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "touch_id"), name="touch_counted_once")],
            },
        ),
        migrations.CreateModel(
            name="ChannelSum",
            fields=[
                ("id", _ID),
                ("model", models.CharField(blank=True, max_length=20)),
                ("touchpoint_id", models.BigIntegerField()),
                ("placed_at", models.DateTimeField()),
                ("cohort", models.IntegerField(default=0)),
                ("brand", _BRAND),
                ("month", models.DateField()),
                ("parts", ArrayField(base_field=models.BigIntegerField(), size=None)),
            ],
            options={
                "verbose_name": "sum of a channel",
                "verbose_name_plural": "sums of channels",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("brand", "model", "cohort", "month", "touchpoint_id", "placed_at"),
                        name="one_sum_per_cohort",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Recount",
            fields=[
                ("id", _ID),
                ("member_id", models.BigIntegerField()),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "person to be counted again",
                "verbose_name_plural": "people to be counted again",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="FigureState",
            fields=[
                ("id", _ID),
                ("meaning", models.CharField(blank=True, max_length=64)),
                ("is_complete", models.BooleanField(default=False)),
                ("counted_at", models.DateTimeField(null=True)),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "state of figures",
                "verbose_name_plural": "states of figures",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_figure_state")],
            },
        ),
        migrations.RunSQL(_TOUCHES + _LEAVING + _PEOPLE + _MOVES, _GONE),
        migrations.RunSQL(*watch([("touchpoints_touch", "member_id")])),
        SecureBrandTables("touchpoints"),
    ]
