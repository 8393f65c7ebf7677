"""When an automatic answer is tried again that could not be sent."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0007_known_due")]
    operations = [
        migrations.AddField(
            model_name="replyrecord",
            name="due_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
