"""Changes to stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from accounts.services import record_audit
from stores.models import OpeningHours, Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import time


@transaction.atomic
def set_week(*, store: Store, spans: Sequence[tuple[int, time, time]]) -> None:
    """Replace a store's week. A span is (weekday with Monday = 0, opens, closes)."""
    before = [f"{row.weekday} {row}" for row in OpeningHours.objects.filter(store=store).order_by("weekday", "opens")]
    OpeningHours.objects.filter(store=store).delete()
    OpeningHours.objects.bulk_create(
        OpeningHours(store=store, weekday=weekday, opens=opens, closes=closes) for weekday, opens, closes in spans
    )
    after = [f"{weekday} {opens:%H:%M}–{closes:%H:%M}" for weekday, opens, closes in sorted(spans)]
    record_audit(action="change opening hours", obj=store, changes={"week": [before, after]})
