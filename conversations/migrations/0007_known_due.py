"""Write down of whom a fact has changed that reply rules ask about, so that gateways may keep facts in memory."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models.functions import Cast

from accounts.operations import SecureBrandTables
from conversations.known_due import OFF, ON

_THIS_TRANSACTION = Cast(
    Cast(models.Func(function="pg_current_xact_id", output_field=models.TextField()), models.TextField()),
    models.BigIntegerField(),
)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("conversations", "0006_person"),
        ("members", "0017_explanations"),
        ("touchpoints", "0009_left_out"),
        ("wechat_gateway", "0008_js_tickets"),
    ]

    operations = [
        migrations.CreateModel(
            name="KnownDue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account_id", models.BigIntegerField()),
                ("openid", models.CharField(max_length=64)),
                (
                    "xact",
                    models.BigIntegerField(db_default=_THIS_TRANSACTION),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "verbose_name": "person whose facts have changed",
                "verbose_name_plural": "people whose facts have changed",
                "abstract": False,
                "base_manager_name": "objects",
            },
        ),
        migrations.AddIndex(
            model_name="replyrule",
            index=models.Index(
                condition=models.Q(
                    ("is_enabled", True),
                    models.Q(models.Q(("audience_kind", ""), _negated=True), ("trigger", "REFOLLOW"), _connector="OR"),
                ),
                fields=["brand", "audience_kind"],
                name="rules_by_facts",
            ),
        ),
        migrations.AddField(
            model_name="knowndue",
            name="brand",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="accounts.brand"
            ),
        ),
        migrations.AddIndex(
            model_name="knowndue",
            index=models.Index(fields=["xact"], name="known_due_since"),
        ),
        migrations.AddIndex(
            model_name="knowndue",
            index=models.Index(fields=["brand", "at"], name="known_due_by_age"),
        ),
        SecureBrandTables("conversations"),
        migrations.RunSQL(ON, OFF),
    ]
