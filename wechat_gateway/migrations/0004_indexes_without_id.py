import django.db.models as models
from django.db import migrations

from accounts.operations import SecureBrandTables

# With the id in them these indexes seemed to answer "these ids of this brand" as well as the primary key does.


class Migration(migrations.Migration):
    dependencies = [("wechat_gateway", "0003_push_of_follower")]

    operations = [
        migrations.RemoveIndex(model_name="inboundpush", name="push_waiting"),
        migrations.RemoveIndex(model_name="inboundpush", name="push_of_follower"),
        migrations.AddIndex(
            model_name="inboundpush",
            index=models.Index(
                fields=["brand", "lane", "event_at"], name="push_waiting", condition=models.Q(state="NEW")
            ),
        ),
        migrations.AddIndex(
            model_name="inboundpush",
            index=models.Index(fields=["brand", "openid", "-received_at"], name="push_of_follower"),
        ),
        SecureBrandTables(
            "wechat_gateway",
            intake={"InboundPush": ("brand_id", "account_id", "dedupe_key", "digest", "reply")},
        ),
    ]
