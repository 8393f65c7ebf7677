import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("campaigns", "0001_initial"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="delivery", name="delivery_number"),
        migrations.RemoveIndex(model_name="delivery", name="delivery_by_reason"),
        migrations.AlterField(
            model_name="delivery",
            name="campaign",
            field=accounts.tenancy.BrandForeignKey(
                db_constraint=False,
                db_index=False,
                guarded=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="campaigns.campaign",
                verbose_name="campaign",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("reason", ""), _negated=True),
                fields=["brand", "campaign", "reason", "member_id"],
                name="delivery_by_reason",
            ),
        ),
        # A freeze takes its numbers in handfuls: fetching each one costs as much as an index.
        migrations.RunSQL(
            "ALTER SEQUENCE campaigns_delivery_id_seq CACHE 1000",
            "ALTER SEQUENCE campaigns_delivery_id_seq CACHE 1",
        ),
        SecureBrandTables("campaigns", append_only=("DeliveryAttempt",)),
    ]
