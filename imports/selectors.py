"""Questions about imports and exports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imports import problems
from imports.columns import ORDER_COLUMNS
from imports.kinds import kinds
from imports.models import Export, Import, ImportRow, RowState
from imports.values import shown_phone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from accounts.viewer import Viewer

REFUSED_STATES = (RowState.ERROR, RowState.CONFLICT, RowState.LEFT)


@dataclass(frozen=True)
class Finding:
    """What is wrong with one cell of a row: where, what stands there, why it is not taken, what to do."""

    row: int
    state: str
    column: str
    what: str
    why: str
    todo: str


def imports() -> QuerySet[Import]:
    """Give the imports of the brand, newest first."""
    return Import.objects.order_by("-pk")


def exports_of(viewer: Viewer) -> QuerySet[Export]:
    """Give the exports a viewer may see: their own; those who read the audit log see everybody's."""
    rows = Export.objects.order_by("-pk")
    return rows if viewer.can("audit.view") else rows.filter(asked_by_id=viewer.staff_id)


def findings(job: Import, *, after: int = 0, limit: int = 50, full: bool = False) -> list[Finding]:
    """Give what is wrong in the rows of an import, in the order of the file; `limit` counts rows.

    Phones are masked unless `full`; what stands in fields that not everybody may see is never told.
    """
    rows = ImportRow.objects.filter(job=job, state__in=REFUSED_STATES, number__gt=after).order_by("number")[:limit]
    return [finding for row in rows for finding in _findings_of(job, row, full=full)]


def every_finding(job: Import) -> Iterator[list[str]]:
    """Give everything that is wrong in an import as the rows of a table, values as they were written."""
    after = 0
    while True:
        some = findings(job, after=after, limit=1000, full=True)
        if not some:
            return
        for each in some:
            yield [str(each.row), each.column, each.what, each.why, each.todo]
        after = some[-1].row


def _findings_of(job: Import, row: ImportRow, *, full: bool) -> list[Finding]:
    columns = (*kinds.get(job.kind).columns, *ORDER_COLUMNS)
    labels = {column.key: str(column.label) for column in columns}
    sensitive = {column.key for column in columns if column.sensitive}
    told: dict[str, Any] = json.loads(row.cells.reveal()).get("told", {}) if row.cells else {}
    found = []
    for problem in row.problems:
        key = str(problem.get("field", ""))
        what = str(told.get(key) or "")
        if what and key in sensitive:
            what = "***"
        if key == "phone" and not full and problem.get("code") != "scientific":
            what = _masked(what)
        found.append(
            Finding(
                row.number, row.state, labels.get(key, key), what[:60], problems.why(problem), problems.todo(problem)
            )
        )
    return found


def _masked(text: str) -> str:
    digits = "".join(each for each in text if each.isdigit())
    return shown_phone(text) if len(digits) >= 7 else text
