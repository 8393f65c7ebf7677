"""The index of the fixed sample by which large brands estimate a segment that is being typed: one person in 64."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import MD5, Cast, Left
from django.db.models.lookups import In


class Migration(migrations.Migration):
    atomic = False  # the index is built while people are served: the table may have millions of rows

    dependencies = [("members", "0025_text_messages_and_ended_flags")]

    operations = [
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                fields=["brand", "id"],
                condition=models.Q(
                    In(Left(MD5(Cast("id", models.TextField())), 2), ("00", "01", "02", "03")),
                    ("erased_at__isnull", True),
                    ("merged_into__isnull", True),
                ),
                name="sampled_people",
            ),
        ),
    ]
