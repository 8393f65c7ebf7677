import django.db.models.deletion
from django.db import migrations

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("members", "0017_explanations"),
        ("welcomes", "0002_quiet_hours"),
    ]

    operations = [
        migrations.AddField(
            model_name="sequence",
            name="topic",
            field=accounts.tenancy.BrandForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="members.topic",
                verbose_name="topic of the sequence",
            ),
        ),
        SecureBrandTables("welcomes"),
    ]
