"""With which guide somebody joined."""

import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("guides", "0003_rules"),
        ("members", "0024_access_log"),
        ("stores", "0002_regions_of_roles"),
    ]

    operations = [
        migrations.CreateModel(
            name="Joining",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
                (
                    "guide",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="guides.guide",
                        verbose_name="guide",
                    ),
                ),
                (
                    "member",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
                (
                    "store",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="stores.store",
                        verbose_name="store",
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
        SecureBrandTables("guides"),
    ]
