"""Rows keep fingerprints of everything in them that identifies somebody; the one of their first name goes."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_forget_profiles_in_audit"),
        ("imports", "0004_people_of_a_file"),
        ("members", "0030_lists_that_were_shown"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="importrow",
            name="import_rows_of_person",
        ),
        migrations.RemoveField(
            model_name="importrow",
            name="person",
        ),
        migrations.AddField(
            model_name="importrow",
            name="named",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(), db_default=[], default=list, editable=False, size=None
            ),
        ),
        migrations.AddIndex(
            model_name="importrow",
            index=django.contrib.postgres.indexes.GinIndex(
                condition=models.Q(("cells__isnull", False), ("member__isnull", True)),
                fields=["named"],
                name="import_rows_naming",
            ),
        ),
    ]
