"""Tables as people send them, and an import from upload to end in one call."""

from __future__ import annotations

import io

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from imports import services
from imports.models import Import, ImportRow
from tests.console.conftest import (  # noqa: F401 - fixtures
    as_guide,
    as_manager,
    as_marketer,
    as_owner,
    guide_user,
    manager,
    marketer,
    ours,
    owner,
    theirs,
)


def csv_of(*rows, encoding="utf-8"):
    """A CSV of rows of texts."""
    return "\r\n".join(",".join(row) for row in rows).encode(encoding)


def xlsx_of(*rows, merge=""):
    """A workbook as a spreadsheet program writes it, with real numbers, days and formulas."""
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    if merge:
        book.active.merge_cells(merge)
    packed = io.BytesIO()
    book.save(packed)
    return packed.getvalue()


def uploaded(brand, body, kind="members", **options):
    """An import that was tried out."""
    with brand_scope(brand.pk):
        job = services.take_file(name="members.csv", body=body, kind=kind, at=now())
        services.begin_dry_run(job_id=job.pk, columns=job.columns, options=options, at=now())
    services.try_out(brand_id=brand.pk, job_id=job.pk)
    return again(brand, job)


def ran(brand, job):
    """The import after it was run."""
    with brand_scope(brand.pk):
        services.start_import(job_id=job.pk, at=now())
    services.importing(brand_id=brand.pk, job_id=job.pk)
    return again(brand, job)


def undone(brand, job):
    """The import after it was taken back."""
    with brand_scope(brand.pk):
        services.undo_import(job_id=job.pk, at=now())
    services.undoing(brand_id=brand.pk, job_id=job.pk)
    return again(brand, job)


def again(brand, job):
    with brand_scope(brand.pk):
        return Import.objects.get(pk=job.pk)


def verdicts(brand, job):
    """{row of the file: (state, [(field, code)])}"""
    with brand_scope(brand.pk):
        rows = ImportRow.objects.filter(job=job).order_by("number")
        return {row.number: (row.state, [(each["field"], each["code"]) for each in row.problems]) for row in rows}


@pytest.fixture
def quiet(monkeypatch):
    """Nothing is rung: the test does the work of the workers itself."""
    monkeypatch.setattr("imports.tasks.ring", lambda *args, **kwargs: None)
