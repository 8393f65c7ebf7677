from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

_PRESENT = {"erased_at__isnull": True, "merged_into__isnull": True}


class Migration(migrations.Migration):
    atomic = False  # indexes are built while people are served: the table may have millions of rows

    dependencies = [("members", "0022_remote_names")]

    operations = [
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                fields=["brand", "joined_at"], condition=models.Q(**_PRESENT), name="present_by_joining"
            ),
        ),
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                fields=["brand", "store", "-id"], condition=models.Q(**_PRESENT), name="present_of_store_newest"
            ),
        ),
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                fields=["brand", "-id"],
                condition=models.Q(**_PRESENT, subscribed=False),
                name="present_not_following",
            ),
        ),
        RemoveIndexConcurrently(model_name="member", name="people_by_joining"),
        RemoveIndexConcurrently(model_name="member", name="people_of_store_newest"),
        RemoveIndexConcurrently(model_name="member", name="people_not_following"),
    ]
