from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0004_subscriptions"),
    ]

    operations = [
        migrations.AddField(
            model_name="messagetemplate",
            name="family",
            field=models.CharField(
                choices=[
                    ("TEMPLATE", "Template message"),
                    ("NOTICE_ONCE", "Subscribe notification, once"),
                    ("NOTICE_LONG", "Subscribe notification, long-term"),
                ],
                db_default="TEMPLATE",
                default="TEMPLATE",
                max_length=12,
                verbose_name="kind",
            ),
        ),
    ]
