from django.db import migrations

from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [("touchpoints", "0001_initial")]

    operations = [SecureBrandTables("touchpoints")]
