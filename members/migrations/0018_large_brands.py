from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Reverse


class Migration(migrations.Migration):
    atomic = False  # indexes are built while people are served: these tables may have millions of rows

    dependencies = [("members", "0017_explanations")]

    operations = [
        AddIndexConcurrently(
            model_name="identity",
            index=models.Index(
                "brand",
                Reverse("value"),
                condition=models.Q(("ended_at__isnull", True), ("kind", "OPENID")),
                name="openid_by_its_end",
            ),
        ),
        AddIndexConcurrently(
            model_name="follower",
            index=models.Index(
                fields=["brand", "followed_at"], condition=models.Q(("subscribed", True)), name="following_since"
            ),
        ),
        AddIndexConcurrently(
            model_name="member",
            index=models.Index(
                fields=["brand", "joined_at"],
                condition=models.Q(("merged_into__isnull", True)),
                name="people_by_joining",
            ),
        ),
        RemoveIndexConcurrently(model_name="member", name="member_by_joining"),
    ]
