"""Points as a ledger of lots, tiers and benefits, facts that other systems report, birthdays."""

import uuid

import django.core.validators
import django.db.models.expressions
from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from members.watched import watch

# Whoever is at it, owner of the tables included: what happened stays as it was written down.
_KEPT = """
CREATE FUNCTION loyalty_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format('%s of %s: rows are only ever added', TG_OP, TG_TABLE_NAME);
END $$;
"""
_KEPT_TABLE = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION loyalty_append_only();
CREATE TRIGGER {table}_append_only_whole BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty_append_only();
"""
# A fact goes along when two records become one; nothing else of it ever changes.
_FACTS = """
CREATE FUNCTION loyalty_fact_moves() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE moved loyalty_fact;
BEGIN
    moved := OLD;
    moved.member_id := NEW.member_id;
    IF moved IS DISTINCT FROM NEW THEN
        RAISE insufficient_privilege USING MESSAGE = 'a reported fact stays as it was reported';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER loyalty_fact_moves_only BEFORE UPDATE ON loyalty_fact
    FOR EACH ROW EXECUTE FUNCTION loyalty_fact_moves();
CREATE TRIGGER loyalty_fact_append_only BEFORE DELETE ON loyalty_fact
    FOR EACH ROW EXECUTE FUNCTION loyalty_append_only();
CREATE TRIGGER loyalty_fact_append_only_whole BEFORE TRUNCATE ON loyalty_fact
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty_append_only();
"""
# At the end of the transaction, when all legs are there. It reads with the rights of whoever commits: their brand.
_BALANCED = """
CREATE FUNCTION loyalty_journal_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE total bigint;
BEGIN
    SELECT coalesce(sum(points), 0) INTO total FROM loyalty_entry
        WHERE brand_id = NEW.brand_id AND journal_id = NEW.journal_id;
    IF total <> 0 THEN
        RAISE check_violation USING MESSAGE = format('the legs of journal %s sum to %s', NEW.journal_id, total);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER loyalty_entry_balanced AFTER INSERT ON loyalty_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION loyalty_journal_is_balanced();
"""
_LEDGER = ("loyalty_journal", "loyalty_entry", "loyalty_tierchange")
_GUARDS = _KEPT + "".join(_KEPT_TABLE.format(table=table) for table in _LEDGER) + _FACTS + _BALANCED
_GONE = "DROP FUNCTION loyalty_append_only, loyalty_fact_moves, loyalty_journal_is_balanced CASCADE"

# People are counted again in the figures of channels, in the transaction that changes their purchases or visits.
_RECOUNT = """
CREATE FUNCTION loyalty_recount_buyers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touchpoints_recount (brand_id, member_id)
    SELECT DISTINCT brand_id, member_id FROM fresh WHERE kind IN ('PURCHASE', 'REFUND', 'VISIT');
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO touchpoints_recount (brand_id, member_id)
        SELECT DISTINCT brand_id, member_id FROM stale WHERE kind IN ('PURCHASE', 'REFUND', 'VISIT');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER loyalty_fact_recount_new AFTER INSERT ON loyalty_fact
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION loyalty_recount_buyers();
CREATE TRIGGER loyalty_fact_recount_moved AFTER UPDATE ON loyalty_fact
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION loyalty_recount_buyers();
"""
_NO_RECOUNT = """
DROP TRIGGER loyalty_fact_recount_new ON loyalty_fact;
DROP TRIGGER loyalty_fact_recount_moved ON loyalty_fact;
DROP FUNCTION loyalty_recount_buyers;
"""

# What kept segments follow of this app: table and the column that names the person.
_WATCHED = (
    ("loyalty_account", "member_id"),
    ("loyalty_fact", "member_id"),
    ("loyalty_lot", "member_id"),
    ("loyalty_standing", "member_id"),
)

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("loyalty", "0001_initial"),
        ("loyalty", "0002_segments"),
        ("loyalty", "0003_birthdays"),
        ("loyalty", "0004_told_warnings"),
        ("loyalty", "0005_channel_figures"),
        ("loyalty", "0006_told_birthdays_and_used_benefits"),
        ("loyalty", "0007_dated_costs"),
        ("loyalty", "0008_visits_in_channel_figures"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("members", "0001_squashed_0026_sampled_people"),
        ("stores", "0001_squashed_0002_regions_of_roles"),
        ("touchpoints", "0001_squashed_0012_people_without_codes"),
    ]

    operations = [
        migrations.CreateModel(
            name="EarnRule",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("kind", models.CharField(max_length=20, verbose_name="kind")),
                (
                    "state",
                    models.CharField(
                        choices=[("DRAFT", "Draft"), ("ACTIVE", "Active"), ("STOPPED", "Stopped")],
                        default="DRAFT",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("draft", models.JSONField(default=dict, verbose_name="draft")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "earn rule",
                "verbose_name_plural": "earn rules",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "name"), name="earn_rule_name_in_brand")],
            },
        ),
        migrations.CreateModel(
            name="EarnRuleVersion",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("params", models.JSONField(verbose_name="settings")),
                ("since", models.DateTimeField(verbose_name="from")),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                ("brand", _BRAND),
                (
                    "rule",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="versions",
                        to="loyalty.earnrule",
                        verbose_name="earn rule",
                    ),
                ),
            ],
            options={
                "verbose_name": "version of an earn rule",
                "verbose_name_plural": "versions of earn rules",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "rule", "number"), name="earn_rule_version_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("until__isnull", True)),
                        fields=("brand", "rule"),
                        name="one_version_in_force",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExpiryWarning",
            fields=[
                ("id", _ID),
                ("day", models.DateField(verbose_name="day")),
                ("points", models.BigIntegerField(verbose_name="points")),
                ("lots", models.JSONField(default=list, verbose_name="lots of points")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                ("tried_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("way", models.CharField(blank=True, db_default="", default="", max_length=40, verbose_name="told by")),
                (
                    "why",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("REFUSED", "Wants no service notices"),
                            ("NOT_FOLLOWING", "Follows no service account"),
                            ("NO_WINDOW", "Has not written or tapped lately, so WeChat lets no message through"),
                        ],
                        db_default="",
                        default="",
                        max_length=14,
                        verbose_name="why not",
                    ),
                ),
            ],
            options={
                "verbose_name": "warning that points expire",
                "verbose_name_plural": "warnings that points expire",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("way", "")), fields=["brand", "day", "id"], name="warnings_to_carry"
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "member", "day"), name="warned_once_a_day")],
            },
        ),
        migrations.CreateModel(
            name="Fact",
            fields=[
                ("id", _ID),
                ("system", models.CharField(max_length=20, verbose_name="reported by")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("PURCHASE", "Purchase"),
                            ("REFUND", "Refund"),
                            ("VISIT", "Visit to a store"),
                            ("CHECK_IN", "Daily check-in"),
                            ("PROFILE", "Profile completed"),
                            ("REFERRAL", "Referral"),
                            ("EVENT", "Event"),
                        ],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("number", models.CharField(max_length=64, verbose_name="number")),
                ("fingerprint", models.UUIDField()),
                ("amount", models.BigIntegerField(default=0, verbose_name="amount")),
                ("body", models.JSONField(default=dict, verbose_name="details")),
                ("happened_at", models.DateTimeField(verbose_name="happened")),
                ("received_at", models.DateTimeField(verbose_name="reported")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "refers",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="loyalty.fact",
                        verbose_name="purchase",
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
                "verbose_name": "reported fact",
                "verbose_name_plural": "reported facts",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member", "kind", "happened_at"], name="reported_of_member"),
                    models.Index(
                        condition=models.Q(("refers__isnull", False)),
                        fields=["brand", "refers"],
                        name="refunds_of_purchase",
                    ),
                    models.Index(fields=["brand", "kind", "happened_at"], name="reported_by_time"),
                    GinIndex(
                        condition=models.Q(("kind", "PURCHASE")),
                        fields=["brand", "body"],
                        name="bought_goods",
                        opclasses=["int8_ops", "jsonb_path_ops"],
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "system", "kind", "number"), name="fact_once"),
                    models.CheckConstraint(condition=models.Q(("amount__gte", 0)), name="fact_amount_is_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "REFUND"), ("refers__isnull", False)),
                            models.Q(models.Q(("kind", "REFUND"), _negated=True), ("refers__isnull", True)),
                            _connector="OR",
                        ),
                        name="refund_refers",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Journal",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("EARN", "Earned"),
                            ("BURN", "Spent"),
                            ("FREEZE", "Frozen"),
                            ("CAPTURE", "Frozen points spent"),
                            ("RELEASE", "Released"),
                            ("RETURN", "Returned"),
                            ("CLAWBACK", "Taken back"),
                            ("EXPIRE", "Expired"),
                            ("REINSTATE", "Reinstated"),
                            ("ADJUST", "Adjusted"),
                            ("GIFT", "Given away"),
                            ("MERGE", "Records merged"),
                            ("UNMERGE", "Merge undone"),
                            ("ERASE", "Lapsed with the personal data"),
                        ],
                        max_length=10,
                        verbose_name="what happened",
                    ),
                ),
                ("actor", models.CharField(max_length=40, verbose_name="who")),
                ("key", models.CharField(max_length=120, verbose_name="operation key")),
                ("fingerprint", models.UUIDField()),
                ("points", models.BigIntegerField(verbose_name="points")),
                ("source", models.CharField(max_length=40, verbose_name="source")),
                ("number", models.CharField(blank=True, max_length=64, verbose_name="number")),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("detail", models.JSONField(default=dict, verbose_name="details")),
                ("available", models.BigIntegerField(verbose_name="available afterwards")),
                ("held", models.BigIntegerField(verbose_name="frozen afterwards")),
                ("owed", models.BigIntegerField(verbose_name="owed afterwards")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "other",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="members.member",
                        verbose_name="other side",
                    ),
                ),
                (
                    "reverses",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="loyalty.journal"
                    ),
                ),
            ],
            options={
                "verbose_name": "entry of the points ledger",
                "verbose_name_plural": "points ledger",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member", "-id"], name="journals_of_member"),
                    models.Index(
                        condition=models.Q(("reverses__isnull", False)),
                        fields=["brand", "reverses"],
                        name="journal_reversals",
                    ),
                    models.Index(
                        condition=models.Q(("number", ""), _negated=True),
                        fields=["brand", "source", "number"],
                        name="journal_by_number",
                    ),
                    models.Index(
                        condition=models.Q(("kind", "GIFT")), fields=["brand", "other", "member"], name="journal_gifts"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "actor", "key"), name="journal_operation_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "points",
                    models.BigIntegerField(
                        validators=[django.core.validators.MinValueValidator(1)], verbose_name="points"
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("HELD", "Frozen"), ("CAPTURED", "Spent"), ("RELEASED", "Released")],
                        default="HELD",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("until", models.DateTimeField(verbose_name="released at")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "journal",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="loyalty.journal", verbose_name="frozen by"
                    ),
                ),
            ],
            options={
                "verbose_name": "freeze of points",
                "verbose_name_plural": "freezes of points",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "HELD")), fields=["brand", "until"], name="holds_to_release"
                    ),
                    models.Index(
                        condition=models.Q(("state", "HELD")), fields=["brand", "member"], name="holds_of_member"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Adjustment",
            fields=[
                ("id", _ID),
                ("points", models.BigIntegerField(verbose_name="points")),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[("PENDING", "Waits for approval"), ("DONE", "Done"), ("REJECTED", "Rejected")],
                        default="PENDING",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("asked_at", models.DateTimeField(verbose_name="asked")),
                ("decided_at", models.DateTimeField(blank=True, null=True, verbose_name="decided")),
                ("note", models.CharField(blank=True, max_length=200, verbose_name="note")),
                (
                    "asked_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked by",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="decided by",
                    ),
                ),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "journal",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="loyalty.journal"
                    ),
                ),
            ],
            options={
                "verbose_name": "points adjustment",
                "verbose_name_plural": "points adjustments",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "PENDING")), fields=["brand", "-id"], name="adjustments_waiting"
                    ),
                    models.Index(fields=["brand", "member"], name="adjustments_of_member"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("points", 0), _negated=True), name="adjustment_moves_something"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("decided_by__isnull", True),
                            ("asked_by__isnull", True),
                            models.Q(("decided_by", models.F("asked_by")), _negated=True),
                            _connector="OR",
                        ),
                        name="adjustment_by_two_people",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Lot",
            fields=[
                ("id", _ID),
                ("granted", models.BigIntegerField(verbose_name="points")),
                ("remaining", models.BigIntegerField(verbose_name="left")),
                ("held", models.BigIntegerField(default=0, verbose_name="frozen")),
                ("earned_at", models.DateTimeField(verbose_name="earned")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires")),
                ("brand", _BRAND),
                (
                    "journal",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="loyalty.journal", verbose_name="came by"
                    ),
                ),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "lot of points",
                "verbose_name_plural": "lots of points",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("remaining__gt", 0)),
                        fields=["brand", "member", "expires_at"],
                        name="lots_to_spend",
                    ),
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False), ("remaining__gt", 0)),
                        fields=["brand", "expires_at"],
                        name="lots_to_expire",
                    ),
                    models.Index(fields=["brand", "member"], name="lots_of_member"),
                    models.Index(fields=["brand", "journal"], name="lots_of_journal"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("granted__gt", 0),
                            ("held__gte", 0),
                            ("remaining__gte", 0),
                            (
                                "granted__gte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("remaining"), "+", models.F("held")
                                ),
                            ),
                        ),
                        name="lot_is_whole",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", _ID),
                (
                    "pocket",
                    models.CharField(
                        choices=[
                            ("AVAILABLE", "available"),
                            ("HELD", "frozen"),
                            ("OWED", "owed by the member"),
                            ("ISSUED", "issued"),
                            ("REDEEMED", "redeemed"),
                            ("EXPIRED", "expired"),
                            ("ADJUSTED", "adjusted"),
                            ("FORGIVEN", "not taken back"),
                        ],
                        max_length=10,
                        verbose_name="pocket",
                    ),
                ),
                ("points", models.BigIntegerField(verbose_name="points")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
                (
                    "journal",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="entries",
                        to="loyalty.journal",
                        verbose_name="entry of the points ledger",
                    ),
                ),
                (
                    "lot",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="loyalty.lot",
                        verbose_name="lot of points",
                    ),
                ),
            ],
            options={
                "verbose_name": "leg of the points ledger",
                "verbose_name_plural": "legs of the points ledger",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "journal"], name="entries_of_journal"),
                    models.Index(
                        condition=models.Q(("lot__isnull", False)), fields=["brand", "lot"], name="entries_of_lot"
                    ),
                    models.Index(fields=["brand", "at", "pocket"], include=("points",), name="entries_by_time"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("points", 0), _negated=True), name="entry_moves_something"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lot__isnull", False), ("member__isnull", False), ("pocket__in", ["AVAILABLE", "HELD"])
                            ),
                            models.Q(("lot__isnull", True), ("member__isnull", False), ("pocket", "OWED")),
                            models.Q(
                                models.Q(("pocket__in", ["AVAILABLE", "HELD", "OWED"]), _negated=True),
                                ("lot__isnull", True),
                                ("member__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="entry_in_its_pocket",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MergedAssets",
            fields=[
                ("id", _ID),
                ("moved", models.JSONField(default=dict, verbose_name="moved")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("undone_at", models.DateTimeField(blank=True, null=True, verbose_name="undone")),
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
                "verbose_name": "points of merged records",
                "verbose_name_plural": "points of merged records",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "merged", "-id"], name="assets_of_merged")],
            },
        ),
        migrations.CreateModel(
            name="PointsPolicy",
            fields=[
                ("id", _ID),
                (
                    "expiry",
                    models.CharField(
                        choices=[
                            ("NEVER", "Never"),
                            ("ROLLING", "So many months after they were earned"),
                            ("MONTH_END", "At the end of the month, so many months later"),
                            ("YEAR_END", "At the end of the year, so many years later"),
                            ("ACTIVITY", "So many months after the last time points were earned or spent"),
                        ],
                        default="YEAR_END",
                        max_length=10,
                        verbose_name="points expire",
                    ),
                ),
                (
                    "expiry_span",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(120),
                        ],
                        verbose_name="months (years)",
                    ),
                ),
                (
                    "warn_days",
                    models.PositiveSmallIntegerField(
                        default=30,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(180),
                        ],
                        verbose_name="days of warning",
                    ),
                ),
                (
                    "reinstate_days",
                    models.PositiveSmallIntegerField(
                        default=14,
                        validators=[django.core.validators.MaxValueValidator(365)],
                        verbose_name="days in which expired points can come back",
                    ),
                ),
                (
                    "negative",
                    models.CharField(
                        choices=[
                            ("CAP", "Take back what is there; the rest is the brand's cost"),
                            ("ALLOW", "They owe the rest; what they earn next pays it"),
                            ("BLOCK", "Refuse the refund"),
                        ],
                        default="CAP",
                        max_length=6,
                        verbose_name="when points are missing",
                    ),
                ),
                (
                    "adjust_limit",
                    models.PositiveIntegerField(default=1000, verbose_name="adjusted without a second person, up to"),
                ),
                (
                    "hold_minutes",
                    models.PositiveIntegerField(
                        default=60,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(43200),
                        ],
                        verbose_name="minutes until frozen points are released",
                    ),
                ),
                ("cost_per_100", models.PositiveIntegerField(default=100, verbose_name="cost of 100 points, in fen")),
                (
                    "tier_months",
                    models.PositiveSmallIntegerField(
                        default=12,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(60),
                        ],
                        verbose_name="months a tier lasts",
                    ),
                ),
                (
                    "tier_grace_days",
                    models.PositiveSmallIntegerField(
                        default=90,
                        validators=[django.core.validators.MaxValueValidator(365)],
                        verbose_name="days of grace",
                    ),
                ),
                ("updated_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "warn_text",
                    models.CharField(
                        blank=True,
                        default="您有 {points} 积分即将到期：{lots}。记得使用。",
                        max_length=200,
                        verbose_name="what they are told",
                    ),
                ),
                (
                    "past_costs",
                    models.JSONField(db_default=models.Value([], models.JSONField()), default=list, editable=False),
                ),
            ],
            options={
                "verbose_name": "points settings",
                "verbose_name_plural": "points settings",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_points_policy")],
            },
        ),
        migrations.CreateModel(
            name="Tier",
            fields=[
                ("id", _ID),
                ("name", models.CharField(max_length=20, verbose_name="name")),
                (
                    "threshold",
                    models.PositiveIntegerField(
                        validators=[django.core.validators.MinValueValidator(0)], verbose_name="qualifying value from"
                    ),
                ),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "tier",
                "verbose_name_plural": "tiers",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "name"), name="tier_name_in_brand"),
                    models.UniqueConstraint(fields=("brand", "threshold"), name="tier_threshold_in_brand"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Standing",
            fields=[
                ("id", _ID),
                ("since", models.DateTimeField(verbose_name="since")),
                ("evaluates_at", models.DateTimeField(blank=True, null=True, verbose_name="next evaluation")),
                ("in_grace", models.BooleanField(default=False, verbose_name="in grace")),
                ("locked_until", models.DateTimeField(blank=True, null=True, verbose_name="locked until")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "tier",
                    BrandForeignKey(on_delete=models.PROTECT, related_name="+", to="loyalty.tier", verbose_name="tier"),
                ),
            ],
            options={
                "verbose_name": "tier of a member",
                "verbose_name_plural": "tiers of members",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("evaluates_at__isnull", False)),
                        fields=["brand", "evaluates_at"],
                        name="standing_due",
                    ),
                    models.Index(fields=["brand", "tier"], name="members_of_tier"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "member"), name="one_standing")],
            },
        ),
        migrations.CreateModel(
            name="Benefit",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("PRICE", "Member price (percent off)"),
                            ("FREE_SHIPPING", "Free shipping from an amount"),
                            ("EARLY_ACCESS", "Early access (hours)"),
                            ("EXCLUSIVE_GUIDE", "Exclusive guide"),
                            ("BIRTHDAY", "Points multiplied in the month of birth (percent)"),
                            ("POINTS", "Points multiplied (percent)"),
                        ],
                        max_length=20,
                        verbose_name="kind",
                    ),
                ),
                ("value", models.PositiveIntegerField(default=0, verbose_name="value")),
                ("used", models.PositiveBigIntegerField(default=0, editable=False, verbose_name="times used")),
                ("brand", _BRAND),
                (
                    "tier",
                    BrandForeignKey(
                        on_delete=models.CASCADE, related_name="benefits", to="loyalty.tier", verbose_name="tier"
                    ),
                ),
            ],
            options={
                "verbose_name": "benefit",
                "verbose_name_plural": "benefits",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "tier", "kind"), name="benefit_once_per_tier")
                ],
            },
        ),
        migrations.CreateModel(
            name="TierChange",
            fields=[
                ("id", _ID),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("ENTER", "Entered"),
                            ("UPGRADE", "Upgraded"),
                            ("KEEP", "Kept"),
                            ("GRACE", "Grace began"),
                            ("DOWNGRADE", "Downgraded"),
                            ("LOCK", "Locked"),
                            ("UNLOCK", "Unlocked"),
                        ],
                        max_length=10,
                        verbose_name="what happened",
                    ),
                ),
                ("before", models.CharField(blank=True, max_length=20, verbose_name="before")),
                ("after", models.CharField(max_length=20, verbose_name="after")),
                ("value", models.BigIntegerField(verbose_name="qualifying value")),
                ("window_from", models.DateTimeField(verbose_name="counted from")),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "change of tier",
                "verbose_name_plural": "changes of tiers",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "member", "-id"], name="tier_changes_of_member")],
            },
        ),
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", _ID),
                ("available", models.BigIntegerField(default=0, verbose_name="available")),
                ("held", models.BigIntegerField(default=0, verbose_name="frozen")),
                ("owed", models.BigIntegerField(default=0, verbose_name="owed")),
                ("active_at", models.DateTimeField(blank=True, null=True, verbose_name="last earned or spent")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "points account",
                "verbose_name_plural": "points accounts",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "member"), name="one_points_account"),
                    models.CheckConstraint(
                        condition=models.Q(("available__gte", 0), ("held__gte", 0), ("owed__gte", 0)),
                        name="account_is_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BirthdayGrant",
            fields=[
                ("id", _ID),
                ("year", models.PositiveSmallIntegerField(verbose_name="birthday in")),
                ("given_year", models.PositiveSmallIntegerField()),
                ("day", models.DateField(verbose_name="given on")),
                ("benefit", models.CharField(max_length=20, verbose_name="benefit")),
                ("params", models.JSONField(default=dict, verbose_name="settings")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DUE", "Being given"),
                            ("GIVEN", "Given"),
                            ("DROPPED", "Not given: no member any more"),
                        ],
                        default="DUE",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("reference", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                ("tried_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("way", models.CharField(blank=True, db_default="", default="", max_length=40, verbose_name="told by")),
                (
                    "why",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("REFUSED", "Wants no service notices"),
                            ("NOT_FOLLOWING", "Follows no service account"),
                            ("NO_WINDOW", "Has not written or tapped lately, so WeChat lets no message through"),
                        ],
                        db_default="",
                        default="",
                        max_length=14,
                        verbose_name="why not",
                    ),
                ),
            ],
            options={
                "verbose_name": "given birthday benefit",
                "verbose_name_plural": "given birthday benefits",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "DUE")), fields=["brand", "id"], name="birthdays_to_give"
                    ),
                    models.Index(fields=["brand", "-day", "-id"], name="birthdays_newest"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "member", "year"), name="birthday_benefit_once"),
                    models.UniqueConstraint(
                        fields=("brand", "member", "given_year"), name="birthday_benefit_once_a_year"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BirthdayProgramme",
            fields=[
                ("id", _ID),
                ("is_on", models.BooleanField(default=False, verbose_name="on")),
                ("benefit", models.CharField(default="points", max_length=20, verbose_name="benefit")),
                ("params", models.JSONField(default=dict, verbose_name="settings")),
                (
                    "mode",
                    models.CharField(
                        choices=[("DAY", "the day itself"), ("MONTH", "the whole month")],
                        default="DAY",
                        max_length=5,
                        verbose_name="counts",
                    ),
                ),
                (
                    "days_before",
                    models.PositiveSmallIntegerField(
                        default=0, validators=[django.core.validators.MaxValueValidator(30)], verbose_name="days before"
                    ),
                ),
                (
                    "days_after",
                    models.PositiveSmallIntegerField(
                        default=7, validators=[django.core.validators.MaxValueValidator(30)], verbose_name="days after"
                    ),
                ),
                (
                    "leap",
                    models.CharField(
                        choices=[("FEB28", "28 February"), ("MAR1", "1 March")],
                        default="FEB28",
                        max_length=5,
                        verbose_name="29 February is, in other years,",
                    ),
                ),
                ("last_day", models.DateField(blank=True, editable=False, null=True)),
                ("updated_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "tier",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="loyalty.tier",
                        verbose_name="from this tier on",
                    ),
                ),
                (
                    "text",
                    models.CharField(
                        blank=True, db_default="", default="", max_length=200, verbose_name="what they are told"
                    ),
                ),
            ],
            options={
                "verbose_name": "birthday benefit",
                "verbose_name_plural": "birthday benefits",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_birthday_programme")],
            },
        ),
        migrations.CreateModel(
            name="BenefitUse",
            fields=[
                ("id", _ID),
                ("actor", models.CharField(max_length=60)),
                ("key", models.CharField(max_length=120)),
                ("fingerprint", models.UUIDField()),
                ("number", models.CharField(max_length=64, verbose_name="order number")),
                ("amount", models.BigIntegerField(verbose_name="amount")),
                ("applied", models.JSONField(default=list, verbose_name="benefits")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
            ],
            options={
                "verbose_name": "use of benefits",
                "verbose_name_plural": "uses of benefits",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "member", "-at"], name="benefit_uses_of_member")],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "actor", "key"), name="benefit_use_once"),
                    models.UniqueConstraint(fields=("brand", "actor", "number"), name="benefit_use_of_order"),
                ],
            },
        ),
        migrations.RunSQL(_GUARDS, _GONE),
        migrations.RunSQL(_RECOUNT, _NO_RECOUNT),
        migrations.RunSQL(*watch(_WATCHED)),
        SecureBrandTables("loyalty", append_only=("Journal", "Entry", "TierChange")),
    ]
