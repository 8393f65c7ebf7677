"""Keeping data no longer than it is needed: one schedule for all classes, a piece a transaction, with a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from common.failpoints import point
from members.errors import RetentionInvalid
from members.models import RetentionRule, RetentionRun
from members.retention import classes

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PIECES: Final = 200
_COUNTED: Final = 100_000


@dataclass(frozen=True)
class Preview:
    """What a run would take away now: rows older than `before`; `more`: there are even more than were counted."""

    before: datetime
    rows: int
    more: bool


def keep_days(key: str, *, chosen: Mapping[str, int] | None = None) -> int:
    """For how many days the brand in scope keeps a class of data."""
    data = classes.get(key)
    if data.days is not None:
        return data.days()
    known = chosen if chosen is not None else chosen_days()
    return known.get(key, data.proposed)


def chosen_days() -> dict[str, int]:
    """What the brand has chosen itself."""
    return dict(RetentionRule.objects.order_by("data_class").values_list("data_class", "days"))


@transaction.atomic
def set_retention(*, key: str, days: int, by: str, at: datetime) -> RetentionRule:
    """Choose how long a class is kept, within what the law asks and allows. Raises `RetentionInvalid`."""
    data = classes.get(key)
    if not data.can_change or not data.least <= days <= data.most:
        raise RetentionInvalid(data.least, data.most)
    before = keep_days(key)
    row, _created = RetentionRule.objects.update_or_create(
        data_class=key, defaults={"days": days, "by": by[:60], "updated_at": at}
    )
    if before != days:
        record_audit(action="change retention", obj=row, changes={key: [before, days]})
    return row


def preview(key: str, *, at: datetime, days: int | None = None) -> Preview:
    """Say what would go now if a class were kept for so many days (or as it is); nothing changes."""
    data = classes.get(key)
    before = at - timedelta(days=keep_days(key) if days is None else days)
    rows = data.old(before).order_by()[: _COUNTED + 1].count()
    return Preview(before, min(rows, _COUNTED), rows > _COUNTED)


def retain(brand_id: int, *, at: datetime) -> dict[str, int]:
    """Take away what is older than a brand keeps it; gives how many rows of each class. Safe to kill and to repeat.

    Each piece is a transaction of its own, so nobody waits for long; what is left waits for the next round.
    """
    done = {}
    for key, data in classes.items():
        if data.drop is None:
            continue
        with brand_scope(brand_id):
            before = at - timedelta(days=keep_days(key))
        rows = drop_old(brand_id, key, before=before)
        if rows:
            with brand_scope(brand_id):
                RetentionRun.objects.create(data_class=key, at=at, before=before, rows=rows)
            done[key] = rows
    return done


def drop_old(brand_id: int, key: str, *, before: datetime) -> int:
    """Take away the rows of one class that are older than a moment, piece by piece; gives how many went."""
    data, rows = classes.get(key), 0
    for _piece in range(_MOST_PIECES):
        with brand_scope(brand_id):
            gone = data.drop(before) if data.drop else 0
            point("retention: piece gone, not committed")
        rows += gone
        if not gone:
            break
    return rows
