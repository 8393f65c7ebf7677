from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("welcomes", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="sequence",
            name="quiet_from",
            field=models.TimeField(blank=True, null=True, verbose_name="quiet from"),
        ),
        migrations.AddField(
            model_name="sequence",
            name="quiet_until",
            field=models.TimeField(blank=True, null=True, verbose_name="quiet until"),
        ),
    ]
