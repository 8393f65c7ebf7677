import django.db.models.deletion
from django.db import migrations, models

from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial"), ("inbox", "0004_time_within_hours")]

    operations = [
        migrations.CreateModel(
            name="InboxPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "keep_days",
                    models.PositiveSmallIntegerField(default=180, verbose_name="days conversations are kept"),
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
                "verbose_name": "retention of conversations",
                "verbose_name_plural": "retention of conversations",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [models.UniqueConstraint(fields=("brand",), name="one_inbox_policy")],
            },
        ),
        SecureBrandTables("inbox"),
    ]
