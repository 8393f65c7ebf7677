from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("library", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="mediacopy",
            name="ordered_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
