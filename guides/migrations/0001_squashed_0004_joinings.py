"""Guides, whom they look after, and with which of them somebody joined."""

from django.conf import settings
from django.db import migrations, models

from accounts.operations import FirstMigration, SecureBrandTables
from accounts.tenancy import BrandForeignKey
from members.watched import watch

# What the tables have in common.
_ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")
_BRAND = models.ForeignKey(db_index=False, on_delete=models.DO_NOTHING, related_name="+", to="accounts.brand")


class Migration(FirstMigration):
    replaces = [
        ("guides", "0001_initial"),
        ("guides", "0002_segments"),
        ("guides", "0003_rules"),
        ("guides", "0004_joinings"),
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
            name="Guide",
            fields=[
                ("id", _ID),
                ("staff_no", models.CharField(max_length=20, verbose_name="staff number")),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                ("is_active", models.BooleanField(default=True, verbose_name="working")),
                ("created_at", models.DateTimeField(verbose_name="since")),
                ("brand", _BRAND),
                (
                    "staff_user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="signs in as",
                    ),
                ),
                (
                    "store",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="stores.store", verbose_name="store"
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
                        verbose_name="code",
                    ),
                ),
            ],
            options={
                "verbose_name": "guide",
                "verbose_name_plural": "guides",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "store"], name="guide_of_store")],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "staff_no"), name="staff_no_in_brand"),
                    models.UniqueConstraint(
                        condition=models.Q(("touchpoint__isnull", False)),
                        fields=("brand", "touchpoint"),
                        name="one_guide_per_code",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                ("id", _ID),
                ("since", models.DateTimeField(verbose_name="from")),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                ("reason", models.CharField(max_length=120, verbose_name="reason")),
                ("brand", _BRAND),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="assignments", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "guide",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="assignments", to="guides.guide", verbose_name="guide"
                    ),
                ),
            ],
            options={
                "verbose_name": "assignment",
                "verbose_name_plural": "assignments",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "guide", "until"], name="members_of_guide"),
                    models.Index(
                        condition=models.Q(("until__isnull", True)),
                        fields=["brand", "since"],
                        name="assignments_by_age",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("until__isnull", True)),
                        fields=("brand", "member"),
                        name="one_guide_at_a_time",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="GuidePolicy",
            fields=[
                ("id", _ID),
                (
                    "protected_days",
                    models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="protected for so many days"),
                ),
                (
                    "valid_days",
                    models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="valid for so many days"),
                ),
                ("changed_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
                ("brand", _BRAND),
            ],
            options={
                "verbose_name": "rules of exclusive guides",
                "verbose_name_plural": "rules of exclusive guides",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_guide_policy")],
            },
        ),
        migrations.CreateModel(
            name="Joining",
            fields=[
                ("id", _ID),
                (
                    "way",
                    models.CharField(
                        choices=[
                            ("SMS", "Code by text message, entered by the guide"),
                            ("SCAN", "Join code of the guide, scanned"),
                        ],
                        max_length=10,
                        verbose_name="how",
                    ),
                ),
                ("operation", models.UUIDField(blank=True, null=True)),
                ("by", models.CharField(blank=True, max_length=60, verbose_name="by")),
                ("at", models.DateTimeField(verbose_name="when")),
                ("brand", _BRAND),
                (
                    "guide",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="guides.guide", verbose_name="guide"
                    ),
                ),
                (
                    "member",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="members.member", verbose_name="member"
                    ),
                ),
                (
                    "store",
                    BrandForeignKey(
                        on_delete=models.PROTECT, related_name="+", to="stores.store", verbose_name="store"
                    ),
                ),
            ],
            options={
                "verbose_name": "joining",
                "verbose_name_plural": "joinings",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "member"], name="joining_of_member"),
                    models.Index(fields=["brand", "guide", "-at"], name="joinings_of_guide"),
                ],
            },
        ),
        migrations.RunSQL(*watch([("guides_assignment", "member_id")])),
        SecureBrandTables("guides"),
    ]
