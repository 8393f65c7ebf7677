import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables
from members.watched import watch

_WATCHED = (
    ("members_member", "id"),
    ("members_follower", "member_id"),
    ("members_consent", "member_id"),
    ("members_factchange", "member_id"),
)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("members", "0009_merges_and_doubts"),
    ]

    operations = [
        migrations.AddField(
            model_name="segment",
            name="freshness",
            field=models.CharField(
                choices=[("LIVE", "At every use"), ("MINUTES", "Every 5 minutes"), ("DAILY", "Every day")],
                db_default="LIVE",
                default="LIVE",
                max_length=8,
                verbose_name="brought up to date",
            ),
        ),
        migrations.AddField(
            model_name="segment",
            name="limit_minutes",
            field=models.PositiveIntegerField(db_default=0, default=0, verbose_name="oldest for sending, in minutes"),
        ),
        migrations.AddField(
            model_name="segment",
            name="refreshed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="people as of"),
        ),
        migrations.AddField(
            model_name="segment",
            name="rebuild_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="found anew at"),
        ),
        migrations.AddField(
            model_name="segment",
            name="problem",
            field=models.CharField(blank=True, db_default="", default="", max_length=200, verbose_name="problem"),
        ),
        migrations.CreateModel(
            name="SegmentMember",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("member_id", models.BigIntegerField()),
                ("since", models.DateTimeField(verbose_name="since")),
                (
                    "brand",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.brand",
                    ),
                ),
                (
                    "segment",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        guarded=True,
                        on_delete=django.db.models.deletion.CASCADE,
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
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("member_id", models.BigIntegerField()),
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
                "verbose_name": "person to look at for segments",
                "verbose_name_plural": "people to look at for segments",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        SecureBrandTables("members", append_only=("Consent", "MergeRecord", "MergeUndo", "SnapshotMember")),
        migrations.RunSQL(*watch(_WATCHED)),
    ]
