from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("loyalty", "0006_told_birthdays_and_used_benefits"),
    ]

    operations = [
        migrations.AddField(
            model_name="pointspolicy",
            name="past_costs",
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list, editable=False),
        ),
    ]
