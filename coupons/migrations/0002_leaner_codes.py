import django.db.models.deletion
from django.db import migrations, models

import accounts.tenancy
from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_forget_in_audit"),
        ("coupons", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="code",
            name="brand",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.brand",
            ),
        ),
        migrations.AlterField(
            model_name="code",
            name="batch",
            field=accounts.tenancy.BrandForeignKey(
                db_constraint=False,
                db_index=False,
                guarded=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="coupons.codebatch",
                verbose_name="batch of coupon codes",
            ),
        ),
        # A batch takes its numbers in handfuls: fetching each one costs as much as an index.
        migrations.RunSQL(
            "ALTER SEQUENCE coupons_code_id_seq CACHE 1000",
            "ALTER SEQUENCE coupons_code_id_seq CACHE 1",
        ),
        SecureBrandTables("coupons", append_only=("Move", "TemplateVersion")),
    ]
