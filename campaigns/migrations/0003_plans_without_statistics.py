from django.db import migrations

# By its statistics PostgreSQL takes a brand or campaign that is newer than they are for empty. Then reading all of it
# for every batch seems as cheap as looking each message up by its key, and sending becomes quadratic. Without
# statistics on these two columns it always expects a share of the table, and uses the keys.
COLUMNS = (
    ("campaigns_delivery", "brand_id"),
    ("campaigns_delivery", "campaign_id"),
    ("campaigns_deliveryattempt", "brand_id"),
    ("campaigns_finishevent", "brand_id"),
)


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0002_leaner_delivery")]

    operations = [
        migrations.RunSQL(
            [f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0" for table, column in COLUMNS],
            [f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS -1" for table, column in COLUMNS],
        ),
    ]
