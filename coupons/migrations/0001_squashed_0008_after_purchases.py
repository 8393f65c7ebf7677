"""Coupons, their templates and codes, whom they are given to by which way, and every move of theirs."""

import uuid

import django.core.validators
from django.conf import settings
from django.db import migrations, models

from accounts.fields import SealedTextField
from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from members.watched import watch

# Whoever is at it, owner of the tables included: what happened stays as it was written down.
_GUARDS = """
CREATE FUNCTION coupons_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format('%s of %s: rows are only ever added', TG_OP, TG_TABLE_NAME);
END $$;
""" + "".join(
    f"""
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION coupons_append_only();
CREATE TRIGGER {table}_append_only_whole BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION coupons_append_only();
"""
    for table in ("coupons_move", "coupons_templateversion")
)
_GONE = "DROP FUNCTION coupons_append_only CASCADE"

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("coupons", "0001_initial"),
        ("coupons", "0002_leaner_codes"),
        ("coupons", "0003_pushes"),
        ("coupons", "0004_gifts"),
        ("coupons", "0005_segments"),
        ("coupons", "0006_moves_followed"),
        ("coupons", "0007_scan_grants"),
        ("coupons", "0008_after_purchases"),
    ]

    initial = True

    dependencies = [
        ("accounts", "0001_squashed_0007_brand_keys"),
        ("loyalty", "0001_squashed_0008_visits_in_channel_figures"),
        ("members", "0001_squashed_0026_sampled_people"),
        ("stores", "0001_squashed_0002_regions_of_roles"),
        ("touchpoints", "0001_squashed_0012_people_without_codes"),
    ]

    operations = [
        migrations.CreateModel(
            name="Template",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=40, verbose_name="name")),
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
                (
                    "total",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="coupons at most",
                    ),
                ),
                (
                    "per_member",
                    models.PositiveIntegerField(
                        blank=True,
                        default=1,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="coupons for a member at most",
                    ),
                ),
                ("taken", models.PositiveIntegerField(default=0, editable=False, verbose_name="given or printed")),
                ("claimable", models.BooleanField(default=False, verbose_name="members can claim it")),
                ("by_guides", models.BooleanField(default=False, verbose_name="guides can hand it out")),
                (
                    "points_price",
                    models.PositiveIntegerField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="price in points",
                    ),
                ),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "coupon template",
                "verbose_name_plural": "coupon templates",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "name"), name="coupon_template_name_in_brand"),
                    models.CheckConstraint(
                        condition=models.Q(("total__isnull", True), ("taken__lte", models.F("total")), _connector="OR"),
                        name="coupon_budget_is_kept",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TemplateVersion",
            fields=[
                ("id", _ID),
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("rule", models.JSONField(verbose_name="rule")),
                ("since", models.DateTimeField(verbose_name="from")),
                ("brand", _BRAND),
                (
                    "template",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="versions",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
            ],
            options={
                "verbose_name": "version of a coupon template",
                "verbose_name_plural": "versions of coupon templates",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "template", "number"), name="coupon_version_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Coupon",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("nth", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "way",
                    models.CharField(
                        choices=[
                            ("CLAIM", "Claimed"),
                            ("PUSH", "Given by the brand"),
                            ("GUIDE", "Handed out"),
                            ("CODE", "By a code"),
                            ("EXCHANGE", "For points"),
                            ("SYSTEM", "By another system"),
                            ("TIER", "Benefit of a tier"),
                            ("SCAN", "By scanning a channel code"),
                            ("PURCHASE", "After a purchase"),
                            ("BIRTHDAY", "For a birthday"),
                        ],
                        max_length=10,
                        verbose_name="came by",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("UNUSED", "Not used"),
                            ("HELD", "Set aside for an order"),
                            ("USED", "Used"),
                            ("EXPIRED", "Expired"),
                            ("VOID", "Taken back"),
                        ],
                        default="UNUSED",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("valid_from", models.DateTimeField(verbose_name="can be used from")),
                ("valid_until", models.DateTimeField(verbose_name="can be used until")),
                ("issued_at", models.DateTimeField(verbose_name="given")),
                ("order", models.CharField(blank=True, max_length=64, verbose_name="order")),
                ("held_until", models.DateTimeField(blank=True, null=True, verbose_name="set aside until")),
                ("used_at", models.DateTimeField(blank=True, null=True, verbose_name="used")),
                ("saved", models.BigIntegerField(default=0, verbose_name="taken off")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "points_hold",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="loyalty.hold"
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
                (
                    "template",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
                ("version", BrandForeignKey(on_delete=models.PROTECT, related_name="+", to="coupons.templateversion")),
            ],
            options={
                "verbose_name": "coupon",
                "verbose_name_plural": "coupons",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member", "-id"], name="coupons_of_member"),
                    models.Index(
                        condition=models.Q(("state", "HELD")), fields=["brand", "held_until"], name="coupons_to_release"
                    ),
                    models.Index(
                        condition=models.Q(("state", "UNUSED")),
                        fields=["brand", "valid_until"],
                        name="coupons_to_expire",
                    ),
                    models.Index(fields=["brand", "template", "state"], name="coupons_of_template"),
                    models.Index(
                        condition=models.Q(("order", ""), _negated=True),
                        fields=["brand", "order"],
                        name="coupons_of_order",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "template", "member", "nth"), name="coupon_within_limit"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("held_until__isnull", False), ("state", "HELD"), models.Q(("order", ""), _negated=True)
                            ),
                            models.Q(models.Q(("state", "HELD"), _negated=True), ("held_until__isnull", True)),
                            _connector="OR",
                        ),
                        name="coupon_held_for_an_order",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "USED"), ("used_at__isnull", False)),
                            models.Q(models.Q(("state", "USED"), _negated=True), ("used_at__isnull", True)),
                            _connector="OR",
                        ),
                        name="coupon_used_at_a_moment",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("saved__gte", 0)), name="coupon_saves_nothing_below_zero"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CodeBatch",
            fields=[
                ("id", _ID),
                ("label", models.CharField(max_length=60, verbose_name="what for")),
                (
                    "count",
                    models.PositiveIntegerField(
                        validators=[django.core.validators.MinValueValidator(1)], verbose_name="codes"
                    ),
                ),
                ("made", models.PositiveIntegerField(default=0, verbose_name="codes made")),
                ("next_serial", models.PositiveIntegerField(default=0)),
                ("redeemed", models.PositiveIntegerField(default=0, verbose_name="codes used")),
                ("secret", SealedTextField(blank=True, null=True)),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="can be entered until")),
                ("stopped_at", models.DateTimeField(blank=True, null=True, verbose_name="stopped")),
                ("created_at", models.DateTimeField(verbose_name="made")),
                ("brand", _BRAND),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="made by",
                    ),
                ),
                (
                    "template",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="batches",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
                ("version", BrandForeignKey(on_delete=models.PROTECT, related_name="+", to="coupons.templateversion")),
            ],
            options={
                "verbose_name": "batch of coupon codes",
                "verbose_name_plural": "batches of coupon codes",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "template"], name="batches_of_template"),
                    models.Index(
                        condition=models.Q(("made__lt", models.F("count")), ("stopped_at__isnull", True)),
                        fields=["brand", "id"],
                        name="batches_to_make",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("made__lte", models.F("count")), ("redeemed__lte", models.F("made"))),
                        name="code_batch_adds_up",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CounterCode",
            fields=[
                ("id", _ID),
                ("fingerprint", models.UUIDField()),
                ("since", models.DateTimeField(verbose_name="from")),
                ("until", models.DateTimeField(verbose_name="until")),
                ("brand", _BRAND),
                (
                    "coupon",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="coupons.coupon", verbose_name="coupon"
                    ),
                ),
            ],
            options={
                "verbose_name": "counter code",
                "verbose_name_plural": "counter codes",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "coupon", "-until"], name="counter_codes_of_coupon"),
                    models.Index(fields=["brand", "until"], name="counter_codes_to_forget"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "fingerprint"), name="counter_code_once")],
            },
        ),
        migrations.CreateModel(
            name="Code",
            fields=[
                ("id", _ID),
                ("serial", models.PositiveIntegerField()),
                ("fingerprint", models.UUIDField()),
                ("redeemed_at", models.DateTimeField(blank=True, null=True)),
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
                    "batch",
                    BrandForeignKey(
                        guarded=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.codebatch",
                        verbose_name="batch of coupon codes",
                    ),
                ),
                (
                    "coupon",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="coupons.coupon"
                    ),
                ),
            ],
            options={
                "verbose_name": "coupon code",
                "verbose_name_plural": "coupon codes",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "batch", "serial"], name="codes_of_batch"),
                    models.Index(
                        condition=models.Q(("coupon__isnull", False)), fields=["brand", "coupon"], name="code_of_coupon"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "fingerprint"), name="coupon_code_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("coupon__isnull", True), ("redeemed_at__isnull", True)),
                            models.Q(("coupon__isnull", False), ("redeemed_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="redeemed_code_has_a_coupon",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Move",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("ISSUE", "Given"),
                            ("HOLD", "Set aside"),
                            ("RELEASE", "Free again"),
                            ("REDEEM", "Redeemed"),
                            ("RETURN", "Returned"),
                            ("EXPIRE", "Expired"),
                            ("VOID", "Taken back"),
                            ("UNDO", "Redemption undone"),
                            ("MERGE", "Records merged"),
                            ("UNMERGE", "Merge undone"),
                        ],
                        max_length=10,
                        verbose_name="what happened",
                    ),
                ),
                (
                    "after",
                    models.CharField(
                        choices=[
                            ("UNUSED", "Not used"),
                            ("HELD", "Set aside for an order"),
                            ("USED", "Used"),
                            ("EXPIRED", "Expired"),
                            ("VOID", "Taken back"),
                        ],
                        max_length=10,
                        verbose_name="state afterwards",
                    ),
                ),
                ("actor", models.CharField(max_length=40, verbose_name="who")),
                ("key", models.CharField(max_length=120, verbose_name="operation key")),
                ("fingerprint", models.UUIDField()),
                ("order", models.CharField(blank=True, max_length=64, verbose_name="order")),
                ("saved", models.BigIntegerField(default=0, verbose_name="taken off")),
                ("reason", models.CharField(blank=True, max_length=200, verbose_name="reason")),
                ("detail", models.JSONField(default=dict, verbose_name="details")),
                ("valid_until", models.DateTimeField(verbose_name="can be used until")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "coupon",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="moves", to="coupons.coupon", verbose_name="coupon"
                    ),
                ),
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
                        verbose_name="other record",
                    ),
                ),
                (
                    "staff",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="staff",
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
                "verbose_name": "move of a coupon",
                "verbose_name_plural": "moves of coupons",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "coupon", "id"], name="moves_of_coupon"),
                    models.Index(fields=["brand", "member", "-id"], name="coupon_moves_of_member"),
                    models.Index(
                        condition=models.Q(("kind", "REDEEM"), ("store__isnull", False)),
                        fields=["brand", "store", "-id"],
                        name="redeemed_in_store",
                    ),
                    models.Index(fields=["brand", "kind", "at"], name="coupon_moves_by_time"),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "actor", "key"), name="coupon_move_once")],
            },
        ),
        migrations.CreateModel(
            name="Push",
            fields=[
                ("id", _ID),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("reason", models.CharField(max_length=100, verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DRAFT", "To be confirmed"),
                            ("WAITING", "Begins"),
                            ("RUNNING", "Under way"),
                            ("DONE", "Done"),
                            ("STOPPED", "Stopped"),
                        ],
                        default="DRAFT",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("actor", models.CharField(max_length=40, verbose_name="who")),
                ("key", models.CharField(max_length=120, verbose_name="operation key")),
                ("fingerprint", models.UUIDField()),
                ("total", models.PositiveIntegerField(default=0, verbose_name="people")),
                ("done", models.PositiveIntegerField(default=0, verbose_name="people it has come to")),
                ("reached", models.BigIntegerField(default=0)),
                ("tally", models.JSONField(default=dict)),
                ("problem", models.CharField(blank=True, default="", max_length=200, verbose_name="problem")),
                ("created_at", models.DateTimeField(verbose_name="made")),
                ("touched_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended")),
                ("brand", _BRAND),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="made by",
                    ),
                ),
                (
                    "segment",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.segment", verbose_name="segment"
                    ),
                ),
                (
                    "template",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
                (
                    "version",
                    BrandForeignKey(
                        blank=True, null=True, on_delete=models.PROTECT, related_name="+", to="coupons.templateversion"
                    ),
                ),
            ],
            options={
                "verbose_name": "coupon for a segment",
                "verbose_name_plural": "coupons for segments",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["WAITING", "RUNNING"])),
                        fields=["brand", "touched_at"],
                        name="pushes_to_go_on",
                    ),
                    models.Index(fields=["brand", "template", "-id"], name="pushes_of_template"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "actor", "key"), name="coupon_push_once"),
                    models.CheckConstraint(
                        condition=models.Q(("done__lte", models.F("total"))), name="coupon_push_adds_up"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["DRAFT", "STOPPED"]), ("version__isnull", False), _connector="OR"
                        ),
                        name="coupon_push_has_a_version",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PushPerson",
            fields=[
                ("id", _ID),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("GIVEN", "Given"),
                            ("HAD_IT", "Has as many as one may have"),
                            ("NONE_LEFT", "None were left"),
                            ("CLOSED", "The coupon was turned off or its last day was over"),
                            ("FLAGGED", "Left out: works here, test person or blocked"),
                            ("MINOR", "Under 14"),
                            ("ON_LIST", "On the do-not-send list"),
                            ("CONTROL", "In the control group"),
                            ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                            ("TAKEN_BACK", "Taken back after a refund"),
                            ("REFUNDED", "Refunded before it was given"),
                            ("GONE", "The personal data was deleted"),
                            ("MERGED", "Got it under another record"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="what came of it",
                    ),
                ),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "push",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.push",
                        verbose_name="coupon for a segment",
                    ),
                ),
            ],
            options={
                "verbose_name": "person of a coupon push",
                "verbose_name_plural": "people of coupon pushes",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="pushes_of_member"),
                    models.Index(
                        condition=models.Q(("outcome__in", ["", "GIVEN"]), _negated=True),
                        fields=["brand", "push", "outcome", "member"],
                        name="left_out_of_a_push",
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "push", "member"), name="once_in_a_push")],
            },
        ),
        migrations.CreateModel(
            name="TierGift",
            fields=[
                ("id", _ID),
                (
                    "period",
                    models.CharField(
                        choices=[
                            ("ONCE", "Once"),
                            ("MONTH", "Every month"),
                            ("QUARTER", "Every quarter"),
                            ("YEAR", "Every year"),
                        ],
                        default="MONTH",
                        max_length=10,
                        verbose_name="how often",
                    ),
                ),
                ("is_on", models.BooleanField(default=True, verbose_name="is given")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "template",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
                (
                    "tier",
                    BrandForeignKey(on_delete=models.PROTECT, related_name="+", to="loyalty.tier", verbose_name="tier"),
                ),
            ],
            options={
                "verbose_name": "coupon of a tier",
                "verbose_name_plural": "coupons of tiers",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "tier", "template"), name="tier_gift_once")],
            },
        ),
        migrations.CreateModel(
            name="TierGrant",
            fields=[
                ("id", _ID),
                ("period", models.CharField(max_length=10, verbose_name="period")),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("GIVEN", "Given"),
                            ("HAD_IT", "Has as many as one may have"),
                            ("NONE_LEFT", "None were left"),
                            ("CLOSED", "The coupon was turned off or its last day was over"),
                            ("FLAGGED", "Left out: works here, test person or blocked"),
                            ("MINOR", "Under 14"),
                            ("ON_LIST", "On the do-not-send list"),
                            ("CONTROL", "In the control group"),
                            ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                            ("TAKEN_BACK", "Taken back after a refund"),
                            ("REFUNDED", "Refunded before it was given"),
                            ("GONE", "The personal data was deleted"),
                            ("MERGED", "Got it under another record"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="what came of it",
                    ),
                ),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "coupon",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.coupon",
                        verbose_name="coupon",
                    ),
                ),
                (
                    "gift",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.tiergift",
                        verbose_name="coupon of a tier",
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
                "verbose_name": "coupon a tier gave",
                "verbose_name_plural": "coupons tiers gave",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="tier_grants_of_member"),
                    models.Index(
                        condition=models.Q(("outcome", "")), fields=["brand", "id"], name="tier_grants_to_give"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "gift", "member", "period"), name="tier_grant_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="ScanGrant",
            fields=[
                ("id", _ID),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("GIVEN", "Given"),
                            ("HAD_IT", "Has as many as one may have"),
                            ("NONE_LEFT", "None were left"),
                            ("CLOSED", "The coupon was turned off or its last day was over"),
                            ("FLAGGED", "Left out: works here, test person or blocked"),
                            ("MINOR", "Under 14"),
                            ("ON_LIST", "On the do-not-send list"),
                            ("CONTROL", "In the control group"),
                            ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                            ("TAKEN_BACK", "Taken back after a refund"),
                            ("REFUNDED", "Refunded before it was given"),
                            ("GONE", "The personal data was deleted"),
                            ("MERGED", "Got it under another record"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="what came of it",
                    ),
                ),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "coupon",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.coupon",
                        verbose_name="coupon",
                    ),
                ),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "template",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
                (
                    "touchpoint",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="touchpoints.touchpoint", verbose_name="channel"
                    ),
                ),
            ],
            options={
                "verbose_name": "coupon a code gave",
                "verbose_name_plural": "coupons codes gave",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="scan_grants_of_member"),
                    models.Index(
                        condition=models.Q(("outcome", "")), fields=["brand", "id"], name="scan_grants_to_give"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "touchpoint", "member"), name="scan_grant_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="PurchaseGift",
            fields=[
                ("id", _ID),
                (
                    "at_least",
                    models.PositiveIntegerField(
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="from this amount on (fen)",
                    ),
                ),
                ("first_day", models.DateField(verbose_name="first day")),
                ("last_day", models.DateField(blank=True, null=True, verbose_name="last day")),
                ("takes_back", models.BooleanField(default=True, verbose_name="taken back after a refund")),
                ("is_on", models.BooleanField(default=True, verbose_name="is given")),
                ("updated_at", models.DateTimeField(verbose_name="changed")),
                ("brand", _BRAND),
                (
                    "template",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.template",
                        verbose_name="coupon template",
                    ),
                ),
            ],
            options={
                "verbose_name": "coupon after a purchase",
                "verbose_name_plural": "coupons after purchases",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("at_least__gt", 0)), name="purchase_gift_has_an_amount"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("last_day__isnull", True), ("last_day__gte", models.F("first_day")), _connector="OR"
                        ),
                        name="purchase_gift_days_in_order",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PurchaseGrant",
            fields=[
                ("id", _ID),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("GIVEN", "Given"),
                            ("HAD_IT", "Has as many as one may have"),
                            ("NONE_LEFT", "None were left"),
                            ("CLOSED", "The coupon was turned off or its last day was over"),
                            ("FLAGGED", "Left out: works here, test person or blocked"),
                            ("MINOR", "Under 14"),
                            ("ON_LIST", "On the do-not-send list"),
                            ("CONTROL", "In the control group"),
                            ("NOT_CHOSEN", "Does not want to be chosen by a rule"),
                            ("TAKEN_BACK", "Taken back after a refund"),
                            ("REFUNDED", "Refunded before it was given"),
                            ("GONE", "The personal data was deleted"),
                            ("MERGED", "Got it under another record"),
                        ],
                        default="",
                        max_length=10,
                        verbose_name="what came of it",
                    ),
                ),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "coupon",
                    BrandForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.coupon",
                        verbose_name="coupon",
                    ),
                ),
                (
                    "fact",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="loyalty.fact", verbose_name="purchase"
                    ),
                ),
                (
                    "gift",
                    BrandForeignKey(
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="coupons.purchasegift",
                        verbose_name="coupon after a purchase",
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
                "verbose_name": "coupon a purchase brought",
                "verbose_name_plural": "coupons purchases brought",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="purchase_grants_of_member"),
                    models.Index(fields=["brand", "gift", "outcome"], name="purchase_grants_counted"),
                    models.Index(
                        condition=models.Q(("outcome", "")), fields=["brand", "id"], name="purchase_grants_to_give"
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("brand", "fact", "gift"), name="purchase_grant_once")],
            },
        ),
        migrations.RunSQL(_GUARDS, _GONE),
        # A batch takes its numbers in handfuls: fetching each one costs as much as an index.
        migrations.RunSQL(
            "ALTER SEQUENCE coupons_code_id_seq CACHE 1000", "ALTER SEQUENCE coupons_code_id_seq CACHE 1"
        ),
        migrations.RunSQL(*watch([("coupons_coupon", "member_id"), ("coupons_move", "member_id")])),
        SecureBrandTables("coupons", append_only=("Move", "TemplateVersion")),
    ]
