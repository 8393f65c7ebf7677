from django.db import migrations

from members.watched import watch


class Migration(migrations.Migration):
    dependencies = [
        ("guides", "0001_initial"),
        ("members", "0010_kept_segments"),
    ]

    operations = [migrations.RunSQL(*watch([("guides_assignment", "member_id")]))]
