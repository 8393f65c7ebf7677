"""Let kept segments follow flags."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

from members.watched import watch


class Migration(migrations.Migration):
    """Put the triggers on."""

    dependencies: ClassVar = [("members", "0015_flags")]
    operations: ClassVar = [migrations.RunSQL(*watch([("members_flag", "member_id")]))]
