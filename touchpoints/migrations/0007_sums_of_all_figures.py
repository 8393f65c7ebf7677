"""One row for all figures of a month instead of one for each outcome: far fewer to read. The sums are made again."""

from __future__ import annotations

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("touchpoints", "0006_sums_of_months")]

    operations = [
        migrations.RunSQL("TRUNCATE touchpoints_channelsum", migrations.RunSQL.noop),
        migrations.RemoveConstraint(model_name="channelsum", name="one_sum_per_month"),
        migrations.RemoveField(model_name="channelsum", name="outcome"),
        migrations.RemoveField(model_name="channelsum", name="parts"),
        migrations.AddField(
            model_name="channelsum",
            name="parts",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), default=list, size=None
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="channelsum",
            constraint=models.UniqueConstraint(
                fields=("brand", "model", "cohort", "month", "touchpoint_id", "placed_at"), name="one_sum_per_cohort"
            ),
        ),
    ]
