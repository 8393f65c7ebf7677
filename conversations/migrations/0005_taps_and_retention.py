import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("conversations", "0004_dialogues"),
        ("wechat_gateway", "0008_js_tickets"),
    ]

    operations = [
        migrations.AddField(
            model_name="menu",
            name="taps_since",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.CreateModel(
            name="ButtonTap",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=300, verbose_name="key")),
                ("day", models.DateField(verbose_name="day")),
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
            ],
            options={
                "verbose_name": "tap on the menu",
                "verbose_name_plural": "taps on the menu",
                "abstract": False,
                "base_manager_name": "objects",
                "indexes": [models.Index(fields=["brand", "day"], name="taps_by_age")],
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "account", "key", "day"), name="tap_once_a_day"),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="dialoguerun",
            index=models.Index(
                condition=models.Q(("answers", {}), _negated=True),
                fields=["brand", "updated_at"],
                name="talks_with_answers",
            ),
        ),
        SecureBrandTables("conversations"),
    ]
