"""What leaves with a person: rows that were about them, and files that may name them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Q

from imports.models import Export, ExportState, Import, ImportChunk, ImportRow, ImportState, RowState
from imports.services.naming import names_of_people, prints_of
from members.selectors import records_of

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Follower

LEFT_FOR_FILES: Final = timedelta(hours=20)  # and the sweep comes every hour: all of it is gone within a day


def forget_person(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted, what imported rows said of them goes, and the files that may name them.

    Rows that are about nobody known, refused ones above all, are found by what they name. Of an import that has ended
    the file and its examples go at once; one that has not, and a written export, have a day left.
    """
    if not whole:
        return 0
    records = records_of(follower.member_id)
    (prints,) = prints_of([names_of_people(records)])
    rows = ImportRow.objects.filter(
        Q(member_id__in=records) | Q(member=None, cells__isnull=False, named__overlap=prints)
    )
    jobs = Import.objects.order_by("pk")
    over = [ImportState.DONE, ImportState.UNDONE]
    ended = list(jobs.filter(pk__in=rows.values("job_id"), state__in=over).values_list("pk", flat=True))
    gone = ImportChunk.objects.filter(job_id__in=ended).delete()[0]
    Import.objects.filter(pk__in=ended).update(samples=None)
    last = at + LEFT_FOR_FILES
    gone += jobs.filter(deleted_at=None, delete_at__gt=last).exclude(state__in=over).update(delete_at=last)
    gone += Export.objects.filter(state=ExportState.READY, delete_at__gt=last).update(delete_at=last)
    return gone + rows.update(cells=None, did=None, state=RowState.UNCHANGED, problems=[], named=[], member=None)
