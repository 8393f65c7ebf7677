import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_desk_and_region_roles"), ("stores", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="RegionGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                    "grant",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="regions",
                        to="accounts.rolegrant",
                        verbose_name="role",
                    ),
                ),
                (
                    "region",
                    accounts.tenancy.BrandForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="stores.region",
                        verbose_name="region",
                    ),
                ),
            ],
            options={
                "verbose_name": "region of a role",
                "verbose_name_plural": "regions of a role",
                "abstract": False,
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(fields=("brand", "grant", "region"), name="region_of_grant_once")
                ],
            },
        ),
        SecureBrandTables("stores"),
    ]
