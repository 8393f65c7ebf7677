from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inbox", "0003_library")]

    operations = [
        migrations.AddField(
            model_name="answer",
            name="office_seconds",
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name="seconds within hours"),
        ),
        migrations.RemoveIndex(model_name="answer", name="answers_by_time"),
        migrations.AddIndex(
            model_name="answer",
            index=models.Index(
                condition=models.Q(("is_first", True)),
                fields=["brand", "at"],
                include=("store", "staff_user", "office_seconds", "seconds"),
                name="first_answers",
            ),
        ),
    ]
