"""The token before a rotation, accepted for the same hour as the message key before it."""

from django.db import migrations

import accounts.fields
import wechat_gateway.fields


class Migration(migrations.Migration):
    dependencies = [
        ("wechat_gateway", "0008_js_tickets"),
    ]

    operations = [
        migrations.AddField(
            model_name="officialaccount",
            name="previous_callback_token",
            field=accounts.fields.SealedTextField(
                bind=("appid",), blank=True, null=True, verbose_name="previous token"
            ),
        ),
        migrations.AddField(
            model_name="platform",
            name="previous_callback_token",
            field=wechat_gateway.fields.InstallationSecretField(blank=True, null=True, verbose_name="previous token"),
        ),
    ]
