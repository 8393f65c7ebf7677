from django.db import migrations

from members.watched import watch


class Migration(migrations.Migration):
    dependencies = [
        ("touchpoints", "0007_sums_of_all_figures"),
        ("members", "0010_kept_segments"),
    ]

    operations = [migrations.RunSQL(*watch([("touchpoints_touch", "member_id")]))]
