from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="rolegrant",
            name="role",
            field=models.CharField(
                choices=[
                    ("OWNER", "Owner"),
                    ("MARKETER", "Marketer"),
                    ("REGION_MANAGER", "Region manager"),
                    ("STORE_MANAGER", "Store manager"),
                    ("GUIDE", "Guide"),
                    ("SERVICE_DESK", "Service desk"),
                    ("ANALYST", "Analyst"),
                    ("AUDITOR", "Auditor"),
                ],
                max_length=20,
                verbose_name="role",
            ),
        ),
    ]
