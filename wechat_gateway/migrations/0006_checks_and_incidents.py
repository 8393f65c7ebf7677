import django.db.models.deletion
from django.db import migrations, models

from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("wechat_gateway", "0005_push_brand_by_account"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccountCheck",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                ("key", models.CharField(max_length=40, verbose_name="check")),
                (
                    "result",
                    models.CharField(
                        choices=[
                            ("RUNNING", "Checking"),
                            ("PASSED", "In order"),
                            ("FAILED", "Not in order"),
                            ("UNKNOWN", "Not known yet"),
                        ],
                        max_length=12,
                        verbose_name="result",
                    ),
                ),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("reason", models.CharField(blank=True, max_length=40, verbose_name="reason")),
                ("fact", models.CharField(blank=True, max_length=200, verbose_name="fact")),
                ("seconds", models.FloatField(default=0.0, verbose_name="seconds")),
                ("at", models.DateTimeField(verbose_name="checked")),
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
                "verbose_name": "check of a connection",
                "verbose_name_plural": "checks of connections",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand", "appid", "key"), name="check_once_per_app")],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=40, verbose_name="kind")),
                ("appid", models.CharField(blank=True, max_length=32, verbose_name="AppID")),
                ("subject", models.CharField(blank=True, max_length=100, verbose_name="about")),
                ("code", models.IntegerField(blank=True, null=True, verbose_name="WeChat's code")),
                ("detail", models.CharField(blank=True, max_length=200, verbose_name="what WeChat said")),
                ("opened_at", models.DateTimeField(verbose_name="since")),
                ("seen_at", models.DateTimeField(verbose_name="last noticed")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="over")),
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
                "verbose_name": "incident",
                "verbose_name_plural": "incidents",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "-opened_at"], name="incident_newest")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("brand", "appid", "kind", "subject"),
                        name="incident_open_once",
                    )
                ],
            },
        ),
        SecureBrandTables(
            "wechat_gateway",
            # Said again, for the operation sets the rights of every table of the app anew.
            intake={"InboundPush": ("brand_id", "account_id", "dedupe_key", "digest", "reply")},
        ),
    ]
