from django.db import migrations

from accounts.operations import SecureBrandTables


class Migration(migrations.Migration):
    dependencies = [("members", "0002_mini_program_sessions")]

    operations = [SecureBrandTables("members", append_only=("Consent", "MergeRecord"))]
