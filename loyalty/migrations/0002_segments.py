import django.contrib.postgres.indexes
from django.db import migrations, models

from members.watched import watch

_WATCHED = (
    ("loyalty_account", "member_id"),
    ("loyalty_fact", "member_id"),
    ("loyalty_lot", "member_id"),
    ("loyalty_standing", "member_id"),
)


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0001_initial"),
        ("members", "0010_kept_segments"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="fact",
            index=django.contrib.postgres.indexes.GinIndex(
                condition=models.Q(("kind", "PURCHASE")),
                fields=["brand", "body"],
                name="bought_goods",
                opclasses=["int8_ops", "jsonb_path_ops"],
            ),
        ),
        migrations.RunSQL(*watch(_WATCHED)),
    ]
