from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("members", "0020_past_acts")]

    operations = [
        migrations.AddConstraint(
            model_name="erasureclock",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "RUNNING")),
                fields=("brand", "follower", "reason", "what"),
                name="one_running_clock_each",
            ),
        ),
        migrations.RemoveConstraint(model_name="erasureclock", name="one_running_clock"),
    ]
