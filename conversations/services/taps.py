"""Which buttons of menus are tapped at all: one row a button and day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conversations.models import ButtonTap
from wechat_gateway.quotas import SHANGHAI

if TYPE_CHECKING:
    from datetime import datetime

LONGEST: Final = 300


def note_tap(*, account_id: int, key: str, at: datetime) -> None:
    """Note that a button was tapped on this day; the second tap of a day writes nothing."""
    known = {"account_id": account_id, "key": key[:LONGEST], "day": at.astimezone(SHANGHAI).date()}
    if not key or ButtonTap.objects.filter(**known).exists():
        return
    ButtonTap.objects.bulk_create([ButtonTap(**known)], ignore_conflicts=True)
