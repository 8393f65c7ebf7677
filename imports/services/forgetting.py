"""What leaves with a person: rows that were about them, and files that may name them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from imports.models import Export, ExportState, Import, ImportChunk, ImportRow, ImportState, RowState
from members.selectors import records_of

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Follower

LEFT_FOR_EXPORTS: Final = timedelta(hours=20)  # and the sweep comes every hour: all of it is gone within a day


def forget_person(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted, what imported rows said of them goes, and the files that may name them.

    Of an import that has ended the file and its examples go at once; a written export has a day left to be fetched.
    """
    if not whole:
        return 0
    rows = ImportRow.objects.filter(member_id__in=records_of(follower.member_id))
    ended = list(
        Import.objects.filter(pk__in=rows.values("job_id"), state__in=[ImportState.DONE, ImportState.UNDONE])
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    gone = ImportChunk.objects.filter(job_id__in=ended).delete()[0]
    Import.objects.filter(pk__in=ended).update(samples=None)
    last = at + LEFT_FOR_EXPORTS
    gone += Export.objects.filter(state=ExportState.READY, delete_at__gt=last).update(delete_at=last)
    return gone + rows.update(cells=None, did=None, state=RowState.UNCHANGED, problems=[], member=None)
