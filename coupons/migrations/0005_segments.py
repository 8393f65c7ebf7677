"""Let kept segments follow coupons."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from members.watched import watch


class Migration(migrations.Migration):
    """Put the triggers on."""

    dependencies: ClassVar = [("coupons", "0004_gifts"), ("members", "0016_flags_watched")]
    operations: ClassVar = [migrations.RunSQL(*watch([("coupons_coupon", "member_id")]))]
