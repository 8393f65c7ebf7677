"""Files of imports: taken, sealed in pieces, read row by row, and deleted when their time is over."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.sealing import blind_index
from accounts.services import record_audit
from accounts.tenancy import brand_scope, current_brand_id
from accounts.viewer import current_viewer
from common.spreadsheets import Bounds, TableUnreadable, iter_table, merged_cells
from imports.columns import guess
from imports.errors import FileRefused, KeyTaken
from imports.kinds import kinds
from imports.models import Import, ImportChunk, ImportRow, ImportState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

LARGEST: Final = 30_000_000
MOST_ROWS: Final = 200_000
BOUNDS: Final = Bounds(largest=LARGEST, unpacked=600_000_000, rows=MOST_ROWS + 1, blank=1_100_000)
KEPT: Final = timedelta(days=30)
PIECE: Final = 1_000_000
SAMPLES: Final = 3
HEADER_WITHIN: Final = 10  # a table may have a title or blank rows above its header


@dataclass(frozen=True)
class Head:
    """The first rows of a file: in which row the titles stand, the titles, and some rows below."""

    row: int
    titles: tuple[str, ...]
    samples: tuple[tuple[str, ...], ...]


@transaction.atomic
def take_file(*, name: str, body: bytes, kind: str, at: datetime, key: str = "") -> Import:
    """Take a file: what can be read of it is looked at, its columns are guessed, nothing is imported yet.

    The same idempotency key of the same caller gives the first import. Raises FileRefused, TableUnreadable, KeyTaken.
    """
    found = kinds.find(kind)
    if found is None:
        raise FileRefused(_("Nothing was taken. This kind of table is unknown."))
    content = blind_index(current_brand_id(), "import file", base64.b64encode(body).decode())
    viewer = current_viewer()
    label = (viewer.label if viewer else "")[:80]
    if key:
        known = Import.objects.filter(asked_label=label, key=key[:80]).first()
        if known is not None:
            if known.content != content or known.kind != kind:
                raise KeyTaken
            return known
    head = head_of(body)
    merged = merged_cells(body)
    job = Import.objects.create(
        kind=kind,
        name=name[-120:] or "table",
        size=len(body),
        content=content,
        key=key[:80],
        header=list(head.titles),
        samples=json.dumps(head.samples, ensure_ascii=False),
        columns=guess(head.titles, found.columns),
        notes=[{"code": "merged", "about": ", ".join(merged)}] if merged else [],
        asked_by_id=viewer.staff_id if viewer else None,
        asked_label=label,
        created_at=at,
        touched_at=at,
        delete_at=at + KEPT,
    )
    for number, start in enumerate(range(0, len(body), PIECE)):
        piece = base64.b64encode(body[start : start + PIECE]).decode()
        ImportChunk.objects.create(job=job, number=number, body=piece)
    record_audit(action="upload table", obj=job, changes={"kind": [None, kind], "bytes": [None, len(body)]})
    return job


def head_of(body: bytes) -> Head:
    """Read the titles and the first rows. Raises TableUnreadable, FileRefused."""
    seen: list[list[str]] = []
    for row in iter_table(body, bounds=BOUNDS, mark_formulas=True):
        seen.append(row)
        if len(seen) > HEADER_WITHIN + SAMPLES:
            break
    index = _header_index(seen)
    if index is None:
        raise FileRefused(_("The file has no rows."), _("The first row holds the titles of the columns."))
    titles = seen[index]
    while titles and not titles[-1]:
        titles = titles[:-1]
    if len(titles) > 60:
        raise FileRefused(_("The table has more than 60 columns."), _("Leave out the columns nobody needs."))
    samples = [tuple(each[: len(titles)]) for each in seen[index + 1 :] if any(each)][:SAMPLES]
    return Head(index + 1, tuple(title[:60] for title in titles), tuple(samples))


def _header_index(rows: list[list[str]]) -> int | None:
    """Find the row of titles: the first with two filled cells, else the first with any."""
    filled = [index for index, row in enumerate(rows[:HEADER_WITHIN]) if any(row)]
    wide = [index for index in filled if sum(bool(cell) for cell in rows[index]) > 1]
    return next(iter(wide or filled), None)


def body_of(job: Import) -> bytes:
    """Give the file of an import; empty when its time is over."""
    return b"".join(
        base64.b64decode(chunk.body.reveal())
        for chunk in ImportChunk.objects.filter(job=job).order_by("number").iterator(chunk_size=4)
    )


def rows_of(body: bytes, head: Head, after: int) -> Iterator[tuple[int, list[str]]]:
    """Give (row of the file, cells) below the titles and after a row. Raises TableUnreadable."""
    for number, row in enumerate(iter_table(body, bounds=BOUNDS, mark_formulas=True), 1):
        if number > head.row and number > after:
            yield number, row


def samples_of(job: Import) -> list[list[str]]:
    """Give the first rows of an import's file, for choosing columns."""
    found: list[list[str]] = json.loads(job.samples.reveal()) if job.samples else []
    return found


def delete_old_files(brand_id: int, *, at: datetime) -> int:
    """Delete the files and rows of imports whose time is over, a part at a time; gives how many imports."""
    ended = 0
    while True:
        with brand_scope(brand_id):
            job = (
                Import.objects.select_for_update(skip_locked=True)
                .filter(deleted_at__isnull=True, delete_at__lte=at)
                .exclude(state__in=[ImportState.CHECKING, ImportState.RUNNING, ImportState.UNDOING])
                .order_by("delete_at", "pk")
                .first()
            )
            if job is None:
                return ended
            if not clear(job):
                ImportChunk.objects.filter(job=job).delete()
                Import.objects.filter(pk=job.pk).update(deleted_at=at, header=[], notes=[], samples=None)
                ended += 1


def clear(job: Import, *, limit: int = 5000) -> int:
    """Delete some rows of an import; gives how many."""
    some = ImportRow.objects.filter(job=job).order_by("pk").values_list("pk", flat=True)[:limit]
    gone: Any = ImportRow.objects.filter(pk__in=list(some)).delete()
    return int(gone[0])


__all__ = ["BOUNDS", "TableUnreadable", "body_of", "delete_old_files", "head_of", "rows_of", "samples_of", "take_file"]
