from django.db import migrations

# As for brands (`SecureBrandTables`): by its statistics PostgreSQL takes a campaign that is newer than they are for
# empty, and one it knows for so large that reading a whole small brand seems cheaper than one look-up per message.


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0002_leaner_delivery")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE campaigns_delivery ALTER COLUMN campaign_id SET STATISTICS 0",
            "ALTER TABLE campaigns_delivery ALTER COLUMN campaign_id SET STATISTICS -1",
        ),
    ]
