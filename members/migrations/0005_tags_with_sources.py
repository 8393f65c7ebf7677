import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("members", "0004_erasure_clocks"),
    ]

    operations = [
        migrations.CreateModel(
            name="FactChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("what", models.CharField(max_length=20)),
                ("ref", models.BigIntegerField(default=0)),
                ("before", models.CharField(blank=True, max_length=60)),
                ("after", models.CharField(blank=True, max_length=60)),
                ("source", models.CharField(blank=True, max_length=60)),
                ("at", models.DateTimeField()),
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
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.member",
                    ),
                ),
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=40)),
                ("at", models.DateTimeField()),
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
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.member",
                    ),
                ),
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                (
                    "brand",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
        migrations.AddField(
            model_name="membertag",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="until"),
        ),
        migrations.AddField(
            model_name="membertag",
            name="given",
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name="membertag",
            name="rule_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="membertag",
            name="slot",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tag",
            name="lasts_days",
            field=models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="lasts for days"),
        ),
        migrations.AddField(
            model_name="tag",
            name="owner",
            field=models.CharField(blank=True, db_default="", max_length=40, verbose_name="owner"),
        ),
        migrations.AddField(
            model_name="tag",
            name="synonyms",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=30),
                blank=True,
                db_default=[],
                default=list,
                size=None,
                verbose_name="also called",
            ),
        ),
        migrations.AddIndex(
            model_name="membertag",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)), fields=["brand", "expires_at"], name="tagging_ends"
            ),
        ),
        migrations.AddConstraint(
            model_name="membertag",
            constraint=models.UniqueConstraint(
                condition=models.Q(("slot__isnull", False)), fields=("brand", "member", "slot"), name="one_tag_per_slot"
            ),
        ),
        migrations.AddConstraint(
            model_name="membertag",
            constraint=models.CheckConstraint(
                condition=models.Q(("given", True), ("rule_ids__len__gt", 0), _connector="OR"),
                name="tag_held_by_something",
            ),
        ),
        SecureBrandTables("members", append_only=("Consent", "MergeRecord")),
    ]
