import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("members", "0007_groupings"),
    ]

    operations = [
        migrations.CreateModel(
            name="PreTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("OPENID", "OpenID"), ("UNIONID", "UnionID"), ("PHONE", "Phone")],
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
                    "member",
                    accounts.tenancy.BrandForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.member",
                        verbose_name="member",
                    ),
                ),
                (
                    "tag",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.tag",
                        verbose_name="tag",
                    ),
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
        SecureBrandTables("members", append_only=("Consent", "MergeRecord", "SnapshotMember")),
    ]
