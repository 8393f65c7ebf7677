from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # indexes are built while people are served: these tables may have millions of rows

    dependencies = [("members", "0018_large_brands")]

    operations = [
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                fields=["brand", "store", "-id"],
                condition=models.Q(("merged_into__isnull", True)),
                name="people_of_store_newest",
            ),
        ),
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                fields=["brand", "-id"],
                condition=models.Q(("merged_into__isnull", True), ("subscribed", False)),
                name="people_not_following",
            ),
        ),
        AddIndexConcurrently(
            model_name="follower",
            index=models.Index(
                fields=["brand", "unfollowed_at"], condition=models.Q(("subscribed", False)), name="gone_since"
            ),
        ),
        AddIndexConcurrently(
            model_name="follower",
            index=models.Index(fields=["brand", "account", "-followed_at", "-id"], name="followers_in_order"),
        ),
        RemoveIndexConcurrently(model_name="follower", name="follower_newest"),
    ]
