from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("members", "0021_withdrawals_apart")]

    operations = [
        migrations.AddField(
            model_name="remotetag",
            name="agreed_name",
            field=models.CharField(blank=True, db_default="", max_length=30),
        ),
    ]
