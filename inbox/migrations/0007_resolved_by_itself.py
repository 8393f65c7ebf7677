"""After how many days without a reply an answered conversation is resolved by itself, and how such ones are found."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("inbox", "0006_segments")]

    operations = [
        migrations.AddField(
            model_name="inboxpolicy",
            name="resolve_days",
            field=models.PositiveSmallIntegerField(
                db_default=7, default=7, verbose_name="resolved after days without a reply"
            ),
        ),
        AddIndexConcurrently(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("state", "OPEN")), fields=["brand", "last_at", "id"], name="conversation_answered"
            ),
        ),
    ]
