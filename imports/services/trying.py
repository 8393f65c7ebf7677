"""The dry run: every row is read and compared with what is known; nothing but the report is written."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.bulk import insert_many
from accounts.sealing import blind_indexes, seal
from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id
from common import clock
from common.failpoints import point
from common.spreadsheets import TableUnreadable
from imports import tasks, values
from imports.columns import doubles
from imports.errors import ColumnsInvalid, NotNow
from imports.kinds import Row, Run, kinds, refused
from imports.models import Import, ImportRow, ImportState, RowState
from imports.problems import Problem
from imports.services.files import body_of, clear, head_of, rows_of
from imports.services.naming import names_in, prints_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from imports.kinds import Kind, Verdict

AT_ONCE: Final = 1000
OPTIONS: Final = frozenset({"create_tags", "overwrite", "source", "system", "give_points", "start"})


def run_of(job: Import) -> Run:
    """Give an import as kinds see it."""
    options = job.options
    return Run(
        job.pk,
        create_tags=bool(options.get("create_tags")),
        overwrite=bool(options.get("overwrite")),
        source=str(options.get("source") or "")[:30],
        system=str(options.get("system") or "import")[:20],
        give_points=bool(options.get("give_points")),
    )


@transaction.atomic
def begin_dry_run(*, job_id: int, columns: Sequence[str], options: dict[str, Any], at: datetime) -> Import:
    """Fix what the columns are and have every row looked at; an earlier dry run is thrown away.

    Raises NotNow, ColumnsInvalid.
    """
    job = Import.objects.select_for_update().get(pk=job_id)
    if job.state not in (ImportState.UPLOADED, ImportState.CHECKED) or job.deleted_at is not None:
        raise NotNow(_("Nothing was tried out. This import is at another stage."))
    kind = kinds.get(job.kind)
    check_columns(kind, columns, len(job.header))
    job.columns, job.state = list(columns), ImportState.CHECKING
    job.options = {key: value for key, value in options.items() if key in OPTIONS and value}
    job.read, job.total, job.done, job.found, job.problem = 0, 0, 0, {}, ""
    job.touched_at = at
    job.save()
    record_audit(action="try import out", obj=job)
    ring(tasks.try_out, current_brand_id(), job.pk)
    return job


def check_columns(kind: Kind, columns: Sequence[str], width: int) -> None:
    """Check that every column is one of the kind, none is there twice, and nothing needed is missing."""
    labels = {column.key: str(column.label) for column in kind.columns}
    if len(columns) != width or any(key and key not in labels for key in columns):
        raise ColumnsInvalid(_("Not tried out. The columns do not belong to this file."), _("Open the import again."))
    for key, numbers in doubles(columns).items():
        shown = _(", ").join(str(number) for number in numbers)
        raise ColumnsInvalid(
            _("Not tried out. “%(label)s” is said of the columns %(numbers)s.")
            % {"label": labels[key], "numbers": shown},
            _("Leave all but one of them out."),
        )
    for group in kind.needs:
        if not set(group) & set(columns):
            names = _(" or ").join(labels[key] for key in group)
            raise ColumnsInvalid(
                ngettext(
                    "Not tried out. No column is taken for: %(names)s.",
                    "Not tried out. No column is taken for any of: %(names)s.",
                    len(group),
                )
                % {"names": names},
                _("Choose which column it is, or download the template."),
            )


def try_out(*, brand_id: int, job_id: int) -> None:
    """Look at all rows, a thousand in a transaction; killed and begun again it goes on where it was."""
    with brand_scope(brand_id):
        job = Import.objects.filter(pk=job_id, state=ImportState.CHECKING).first()
        if job is None:
            return
        body = body_of(job)
    while job.read == 0:
        with brand_scope(brand_id):
            if not clear(job):
                break
    try:
        head = head_of(body)
        rows = rows_of(body, head, job.read)
        seen = _seen_before(brand_id, job)
        while some := list(islice(rows, AT_ONCE)):
            with brand_scope(brand_id):
                if not _look_at(job_id, job.read, some, seen):
                    return
                point("imports: looked at some, not committed")
            job.read = some[-1][0]
    except TableUnreadable as error:
        _refuse(brand_id, job_id, error)
        return
    with brand_scope(brand_id):
        job = Import.objects.select_for_update().get(pk=job_id)
        if job.state != ImportState.CHECKING:
            return
        job.state, job.done, job.touched_at = ImportState.CHECKED, 0, clock.now()
        job.save(update_fields=["state", "done", "touched_at"])
        if job.options.get("start") and not _stopped_by(job):
            from imports.services.running import start_import

            start_import(job_id=job_id, at=clock.now())


def _stopped_by(job: Import) -> bool:
    return bool(job.found.get(RowState.ERROR) or job.found.get(RowState.CONFLICT)) or not job.total


def _refuse(brand_id: int, job_id: int, error: TableUnreadable) -> None:
    with brand_scope(brand_id):
        Import.objects.filter(pk=job_id, state=ImportState.CHECKING).update(
            state=ImportState.REFUSED, problem=f"{error.message} {error.hint}".strip()[:300], touched_at=clock.now()
        )


def _look_at(job_id: int, expected: int, some: Sequence[tuple[int, list[str]]], seen: dict[str, int]) -> bool:
    """Judge some rows of the file and keep the verdicts; False when another worker is at it.

    `seen` has what earlier rows are about, and gets what these are.
    """
    job = Import.objects.select_for_update().get(pk=job_id)
    if job.state != ImportState.CHECKING or job.read != expected:
        return False
    kind, run, at = kinds.get(job.kind), run_of(job), clock.now()
    known = {column.key: column.read for column in kind.columns}
    read: list[tuple[Row, list[Problem], list[str]]] = []
    for number, texts in some:
        if any(texts):
            read.append(_read(number, texts, job.columns, known))
    verdicts = _judged(kind, run, read, at)
    verdicts = _without_doubles(kind, verdicts, seen)
    _store(job, verdicts, [texts for _row, _problems, texts in read])
    found = Counter(job.found) + Counter(str(verdict.state) for verdict in verdicts)
    job.read, job.total, job.found, job.touched_at = some[-1][0], job.total + len(verdicts), dict(found), at
    job.done = job.total
    job.save(update_fields=["read", "total", "done", "found", "touched_at"])
    return True


def _read(
    number: int, texts: list[str], columns: Sequence[str], known: dict[str, Any]
) -> tuple[Row, list[Problem], list[str]]:
    cells: dict[str, Any] = {}
    problems = []
    for key, text in zip(columns, texts, strict=False):
        if not key:
            continue
        try:
            value = values.read(text, known[key])
        except values.Unreadable as error:
            problems.append(Problem(key, error.code, error.about))
        else:
            if value is not None:
                cells[key] = value
    return Row(number, cells), problems, texts


def _judged(kind: Kind, run: Run, read: Sequence[tuple[Row, list[Problem], list[str]]], at: datetime) -> list[Verdict]:
    whole = [row for row, problems, _texts in read if not problems]
    judged = iter(kind.judge(whole, run, at=at) if whole else [])
    return [refused(row, *problems) if problems else next(judged) for row, problems, _texts in read]


def _seen_before(brand_id: int, job: Import) -> dict[str, int]:
    """Give what the rows are about that were looked at before this worker took over: name → row of the file."""
    seen: dict[str, int] = {}
    if job.read == 0:
        return seen
    with brand_scope(brand_id):
        kind = kinds.get(job.kind)
        stored = ImportRow.objects.filter(job=job, cells__isnull=False)
        stored = stored.exclude(state__in=[RowState.ERROR, RowState.CONFLICT]).order_by("number")
        for each in stored.iterator(chunk_size=AT_ONCE):
            row = Row(each.number, json.loads(each.cells.reveal())["cells"])
            for _field, name in kind.names_of(row, each.member_id):
                seen.setdefault(name, each.number)
    return seen


def _without_doubles(kind: Kind, verdicts: list[Verdict], seen: dict[str, int]) -> list[Verdict]:
    """Refuse a row that is about the same person or order as an earlier one, whatever each of them names it by."""
    found = []
    for verdict in verdicts:
        if verdict.state in (RowState.ERROR, RowState.CONFLICT):
            found.append(verdict)
            continue
        names = kind.names_of(verdict.row, verdict.member_id)
        twice = next(((about, seen[name]) for about, name in names if name in seen), None)
        if twice is None:
            seen.update((name, verdict.row.number) for _about, name in names)
            found.append(verdict)
        else:
            found.append(refused(verdict.row, Problem(twice[0], "twice", str(twice[1]))))
    return found


def _uuid(key: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=key)


def _store(job: Import, verdicts: Sequence[Verdict], texts: Sequence[list[str]]) -> None:
    """Keep verdicts. Cells are kept as they were read, of refused rows as they were written."""
    brand_id = current_brand_id()
    field: Any = ImportRow._meta.get_field("cells")
    said, sealed, errors = [], [], []
    for verdict, told in zip(verdicts, texts, strict=True):
        number, cells = verdict.row.number, verdict.row.cells
        is_error = verdict.state in (RowState.ERROR, RowState.CONFLICT)
        said.append(json.dumps(cells, sort_keys=True, ensure_ascii=False))
        kept = {"told": {key: text for key, text in zip(job.columns, told, strict=False) if key}}
        text = json.dumps(kept if is_error else {"cells": cells}, ensure_ascii=False)
        place = ImportRow(brand_id=brand_id, job_id=job.pk, number=number)
        sealed.append(seal(brand_id, text, field.context(place)))
        errors.append(is_error)
    insert_many(
        ImportRow,
        {
            "number": [each.row.number for each in verdicts],
            "content": [str(_uuid(key)) for key in blind_indexes(brand_id, "import row", said)],
            "named": prints_of(
                names_in(each.row, told if bad else ()) for each, told, bad in zip(verdicts, texts, errors, strict=True)
            ),
            "cells": sealed,
            "state": [str(each.state) for each in verdicts],
            "problems": [json.dumps([problem.stored() for problem in each.problems]) for each in verdicts],
            "has_error": errors,
            "member_id": [None if bad else each.member_id for each, bad in zip(verdicts, errors, strict=True)],
        },
        same={"job_id": job.pk},
    )
