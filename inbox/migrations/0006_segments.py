"""Let kept segments follow whom a customer-service message may reach."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from members.watched import watch_followers


class Migration(migrations.Migration):
    """Put the triggers on: only until when somebody may be written to counts, not each message."""

    dependencies: ClassVar = [("inbox", "0005_retention"), ("members", "0018_large_brands")]
    operations: ClassVar = [migrations.RunSQL(*watch_followers("inbox_replyledger", "{row}.open_until"))]
