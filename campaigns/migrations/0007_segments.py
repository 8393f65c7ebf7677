"""Let kept segments follow who has agreed to subscribe notifications."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from members.watched import watch_followers


class Migration(migrations.Migration):
    """Put the triggers on: whether any is left counts, not how many."""

    dependencies: ClassVar = [("campaigns", "0006_preferences"), ("members", "0018_large_brands")]
    operations: ClassVar = [migrations.RunSQL(*watch_followers("campaigns_subscriptionstock", "({row}.remaining > 0)"))]
