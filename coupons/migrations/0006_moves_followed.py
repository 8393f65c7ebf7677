"""Let kept segments follow what people did with coupons."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

from members.watched import watch


class Migration(migrations.Migration):
    """Put the triggers on, and let the moves of some minutes be found."""

    dependencies: ClassVar = [("coupons", "0005_segments")]
    operations: ClassVar = [
        migrations.AddIndex(
            model_name="move",
            index=models.Index(fields=["brand", "kind", "at"], name="coupon_moves_by_time"),
        ),
        migrations.RunSQL(*watch([("coupons_move", "member_id")])),
    ]
