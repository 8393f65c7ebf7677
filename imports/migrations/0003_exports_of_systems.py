"""Exports can be asked for by the brand's other systems, once for each of their keys."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_trim_audit"),
        ("imports", "0002_export_fields"),
        ("members", "0019_lists_of_large_brands"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="export",
            name="api_key",
            field=accounts.tenancy.BrandForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.apikey",
                verbose_name="API key",
            ),
        ),
        migrations.AddField(
            model_name="export",
            name="idempotency",
            field=models.CharField(blank=True, editable=False, max_length=80),
        ),
        migrations.AlterField(
            model_name="export",
            name="role",
            field=models.CharField(
                blank=True,
                choices=[
                    ("OWNER", "Owner"),
                    ("MARKETER", "Marketer"),
                    ("REGION_MANAGER", "Region manager"),
                    ("STORE_MANAGER", "Store manager"),
                    ("GUIDE", "Guide"),
                    ("SERVICE_DESK", "Service desk"),
                    ("ANALYST", "Analyst"),
                    ("AUDITOR", "Auditor"),
                ],
                max_length=20,
                verbose_name="role",
            ),
        ),
        migrations.AddConstraint(
            model_name="export",
            constraint=models.UniqueConstraint(
                condition=models.Q(("api_key__isnull", False), models.Q(("idempotency", ""), _negated=True)),
                fields=("brand", "api_key", "idempotency"),
                name="export_once_per_key",
            ),
        ),
        SecureBrandTables("imports"),
    ]
