import django.db.models.deletion
from django.db import migrations, models

# The account's key (brand, account) implies the brand's; each key is checked for every push.


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial"), ("wechat_gateway", "0004_indexes_without_id")]

    operations = [
        migrations.AlterField(
            model_name="inboundpush",
            name="brand",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="accounts.brand",
            ),
        ),
    ]
