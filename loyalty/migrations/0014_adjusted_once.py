"""An adjustment carries the key of the form it came from, so that tapping twice moves points once."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the key."""

    dependencies = [
        ("loyalty", "0013_news"),
    ]

    operations = [
        migrations.AddField(
            model_name="adjustment",
            name="key",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=80),
        ),
        migrations.AddConstraint(
            model_name="adjustment",
            constraint=models.UniqueConstraint(
                condition=~models.Q(key=""), fields=["brand", "asked_by", "key"], name="adjustment_once"
            ),
        ),
    ]
