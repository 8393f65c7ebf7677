import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("members", "0003_plans_for_new_brands"),
    ]

    operations = [
        migrations.AddField(
            model_name="member",
            name="erased_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="personal data deleted"),
        ),
        migrations.CreateModel(
            name="ErasureClock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                    "follower",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="members.follower",
                        verbose_name="follower",
                    ),
                ),
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
                        fields=("brand", "follower", "reason"),
                        name="one_running_clock",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PrivacyPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "unfollow_grace_days",
                    models.PositiveSmallIntegerField(default=7, verbose_name="days after an unfollow"),
                ),
                (
                    "withdrawal_days",
                    models.PositiveSmallIntegerField(default=0, verbose_name="days after a withdrawal"),
                ),
                ("updated_at", models.DateTimeField(blank=True, null=True, verbose_name="changed")),
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
                "verbose_name": "privacy policy",
                "verbose_name_plural": "privacy policies",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_privacy_policy")],
            },
        ),
        SecureBrandTables("members", append_only=("Consent", "MergeRecord")),
    ]
