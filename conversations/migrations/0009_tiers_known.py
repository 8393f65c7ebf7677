"""Write down whose tier has changed, so that gateways may keep tiers in memory; new tiers compile rules anew."""

from django.db import migrations

from conversations.known_due import TIERS_OFF, TIERS_ON


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0008_reply_due"),
        ("loyalty", "0005_channel_figures"),
        ("members", "0001_initial"),
        ("wechat_gateway", "0008_js_tickets"),
    ]

    operations = [migrations.RunSQL(TIERS_ON, TIERS_OFF)]
