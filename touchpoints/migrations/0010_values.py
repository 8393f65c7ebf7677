"""What people bring within 30 and 90 days of their follow. The sums are made again by themselves."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("touchpoints", "0009_left_out")]

    operations = [
        migrations.AddField(model_name="countedtouch", name="value_30", field=models.BigIntegerField(default=0)),
        migrations.AddField(model_name="countedtouch", name="value_90", field=models.BigIntegerField(default=0)),
    ]
