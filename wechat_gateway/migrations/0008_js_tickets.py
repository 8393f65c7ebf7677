import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import accounts.fields
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("wechat_gateway", "0007_third_party_platform"),
    ]

    operations = [
        migrations.AddField(
            model_name="officialaccount",
            name="js_domains",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=100),
                blank=True,
                default=list,
                size=None,
                verbose_name="JS-safe domains",
            ),
        ),
        migrations.CreateModel(
            name="JsTicket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("appid", models.CharField(max_length=32, verbose_name="AppID")),
                ("ticket", accounts.fields.SealedTextField(bind=("appid",), blank=True, null=True)),
                ("fetched_at", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
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
                "verbose_name": "JS-SDK ticket",
                "verbose_name_plural": "JS-SDK tickets",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "appid"), name="one_js_ticket_per_appid"),
                ],
            },
        ),
        SecureBrandTables(
            "wechat_gateway",
            # Said again, for the operation sets the rights of every table of the app anew.
            intake={"InboundPush": ("brand_id", "account_id", "dedupe_key", "digest", "reply")},
        ),
    ]
