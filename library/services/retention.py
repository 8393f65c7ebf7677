"""What leaves the library: ids of copies that WeChat forgot long ago. Unused files are only named, people decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from library.models import MediaCopy, MediaItem
from library.uses import uses_of

if TYPE_CHECKING:
    from datetime import datetime

EXPIRED_KEPT: Final = timedelta(days=30)
UNUSED_AFTER: Final = timedelta(days=180)
_A_ROUND: Final = 5_000
_NAMED: Final = 1_000


@dataclass(frozen=True)
class Tidied:
    """What tidying does (or did): ids of expired copies that go, and files nobody has used, which stay."""

    expired: int
    unused: tuple[MediaItem, ...]


def tidy_library(*, at: datetime, unused_after: timedelta = UNUSED_AFTER, dry_run: bool = False) -> Tidied:
    """Drop the ids of three-day copies that ended 30 days ago, in the brand in scope; the files stay.

    Names the files that were added before `unused_after`, never sent, that nothing uses and no account keeps. Nothing
    deletes those: somebody puts them away on their page.
    """
    rows = MediaCopy.objects.filter(permanent=False, expires_at__lt=at - EXPIRED_KEPT).order_by("pk")
    old = list(rows.values_list("pk", flat=True)[:_A_ROUND])
    if not dry_run:
        MediaCopy.objects.filter(pk__in=old).delete()
    return Tidied(len(old), tuple(unused_files(at=at, unused_after=unused_after)))


def unused_files(*, at: datetime, unused_after: timedelta = UNUSED_AFTER) -> list[MediaItem]:
    """Give the files that nobody ever used, oldest first."""
    rows = MediaItem.objects.filter(archived_at__isnull=True, sent=0, created_at__lt=at - unused_after)
    rows = rows.exclude(copies__permanent=True).order_by("created_at", "pk")
    found = list(rows[:_NAMED])
    uses = uses_of([item.pk for item in found])
    return [item for item in found if not uses[item.pk]]
