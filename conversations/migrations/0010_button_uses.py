"""How often each person taps which button of the menu; answers to scans of those who follow already."""

import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("conversations", "0009_tiers_known"),
        ("members", "0001_initial"),
        ("wechat_gateway", "0008_js_tickets"),
    ]

    operations = [
        migrations.CreateModel(
            name="ButtonUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=300, verbose_name="key")),
                ("day", models.DateField(verbose_name="day")),
                ("taps", models.PositiveIntegerField(db_default=0, default=0, verbose_name="taps")),
                ("answered", models.PositiveIntegerField(db_default=0, default=0)),
                ("opened", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "account",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="wechat_gateway.officialaccount",
                        verbose_name="service account",
                    ),
                ),
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
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="members.follower",
                        verbose_name="follower",
                    ),
                ),
            ],
            options={
                "verbose_name": "use of a menu button",
                "verbose_name_plural": "uses of menu buttons",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["brand", "account", "day"], name="uses_of_menu"),
                    models.Index(fields=["brand", "day"], name="uses_by_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "follower", "day", "key"), name="button_use_once_a_day"),
                ],
            },
        ),
        migrations.AlterField(
            model_name="replyrecord",
            name="trigger",
            field=models.CharField(
                choices=[
                    ("FOLLOW", "Reply to a follow"),
                    ("REFOLLOW", "Reply to a return"),
                    ("KEYWORD", "Keyword reply"),
                    ("CLICK", "Menu button"),
                    ("DEFAULT", "Reply to any message"),
                    ("SCAN", "Scanned a code while following"),
                ],
                max_length=10,
                verbose_name="answers",
            ),
        ),
        SecureBrandTables("conversations"),
    ]
