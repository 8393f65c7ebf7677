"""Work of imports and exports in the background, and the sweep that picks up what was left lying."""

from __future__ import annotations

from datetime import timedelta

from accounts.tasks_base import brand_task, global_task, ring
from accounts.tenancy import every_brand
from common import clock

QUIET = timedelta(seconds=60)  # a batch takes seconds; whoever is silent for longer is gone


@brand_task(name="imports.tasks.try_out")
def try_out(brand_id: int, import_id: int) -> None:
    """Try an uploaded table out."""
    from imports import services

    services.try_out(brand_id=brand_id, job_id=import_id)


@brand_task(name="imports.tasks.run_import")
def run_import(brand_id: int, import_id: int) -> None:
    """Import the rows of a table."""
    from imports import services

    services.importing(brand_id=brand_id, job_id=import_id)


@brand_task(name="imports.tasks.undo_rows")
def undo_rows(brand_id: int, import_id: int) -> None:
    """Take an import back."""
    from imports import services

    services.undoing(brand_id=brand_id, job_id=import_id)


@brand_task(name="imports.tasks.write_export")
def write_export(brand_id: int, export_id: int) -> None:
    """Write the file of an export."""
    from imports import services

    services.write_export(brand_id=brand_id, export_id=export_id)


@brand_task(name="imports.tasks.delete_old")
def delete_old(brand_id: int) -> None:
    """Delete files whose time is over."""
    from imports import services

    at = clock.now()
    services.delete_old_files(brand_id, at=at)
    services.delete_old_exports(brand_id, at=at)


@global_task(name="imports.tasks.sweep")
def sweep() -> None:
    """Ring for work that nobody is at any more, and for files whose time is over."""
    from imports.models import Export, ExportState, Import, ImportState

    at = clock.now()
    stages = {ImportState.CHECKING: try_out, ImportState.RUNNING: run_import, ImportState.UNDOING: undo_rows}
    with every_brand(reason="imports and exports that were left lying"):
        jobs = list(
            Import.objects.filter(state__in=list(stages), touched_at__lt=at - QUIET)
            .order_by("brand_id", "pk")
            .values_list("brand_id", "pk", "state")
        )
        lists = list(
            Export.objects.filter(state=ExportState.WAITING, asked_at__lt=at - QUIET)
            .order_by("brand_id", "pk")
            .values_list("brand_id", "pk")
        )
        old = set(
            Import.objects.filter(deleted_at__isnull=True, delete_at__lte=at)
            .order_by()
            .values_list("brand_id", flat=True)
        ) | set(
            Export.objects.filter(state=ExportState.READY, delete_at__lte=at)
            .order_by()
            .values_list("brand_id", flat=True)
        )
    for brand_id, pk, state in jobs:
        ring(stages[ImportState(state)], brand_id, pk)
    for brand_id, pk in lists:
        ring(write_export, brand_id, pk)
    for brand_id in sorted(old):
        ring(delete_old, brand_id)
