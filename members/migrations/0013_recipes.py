import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables
from members.watched import watch


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("members", "0012_preferences"),
    ]

    operations = [
        migrations.AddField(
            model_name="grouping",
            name="recipe",
            field=models.CharField(blank=True, db_default="", default="", max_length=20, verbose_name="recipe"),
        ),
        migrations.AddField(
            model_name="grouping",
            name="settings",
            field=models.JSONField(blank=True, default=dict, verbose_name="settings"),
        ),
        migrations.AddField(
            model_name="grouping",
            name="tracked_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="grouping",
            name="tracked_version",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.CreateModel(
            name="GroupingVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(verbose_name="version")),
                ("settings", models.JSONField(default=dict, verbose_name="settings")),
                ("stages", models.JSONField(default=list, verbose_name="stages")),
                ("since", models.DateTimeField(verbose_name="since")),
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
                    "grouping",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.grouping",
                        verbose_name="grouping",
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("member_id", models.BigIntegerField()),
                ("stage_id", models.BigIntegerField()),
                ("since", models.DateTimeField()),
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
                    "grouping",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.grouping",
                    ),
                ),
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("member_id", models.BigIntegerField()),
                ("before_id", models.BigIntegerField(blank=True, null=True)),
                ("after_id", models.BigIntegerField()),
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
                    "grouping",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.grouping",
                        verbose_name="grouping",
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
        SecureBrandTables(
            "members",
            append_only=("Consent", "ConsentText", "GroupingVersion", "MergeRecord", "MergeUndo", "SnapshotMember"),
        ),
        migrations.RunSQL(*watch([("members_stagemove", "member_id")])),
    ]
