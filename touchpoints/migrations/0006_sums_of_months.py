"""Sums by month only: a part of a month is counted from its touches, which is far less to keep. They are made again."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("touchpoints", "0005_count_people_again")]

    operations = [
        migrations.RunSQL("TRUNCATE touchpoints_channelsum", migrations.RunSQL.noop),
        migrations.RemoveConstraint(model_name="channelsum", name="one_sum_per_key"),
        migrations.RemoveField(model_name="channelsum", name="per_month"),
        migrations.RenameField(model_name="channelsum", old_name="day", new_name="month"),
        migrations.AddConstraint(
            model_name="channelsum",
            constraint=models.UniqueConstraint(
                fields=("brand", "model", "month", "touchpoint_id", "placed_at", "cohort", "outcome"),
                name="one_sum_per_month",
            ),
        ),
    ]
