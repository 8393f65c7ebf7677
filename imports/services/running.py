"""Importing and undoing: some hundred rows in a transaction, each row once, whoever is killed in between."""

from __future__ import annotations

import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from django.db import DataError, IntegrityError, InternalError, OperationalError, connection, transaction
from django.utils.translation import gettext as _

from accounts.bulk import plan_anew
from accounts.sealing import seal
from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id
from common import clock
from common.errors import AppError
from common.failpoints import point
from imports import tasks
from imports.errors import NotNow
from imports.kinds import Carried, Row, Verdict, kinds, refused
from imports.models import Import, ImportRow, ImportState, RowState
from imports.problems import Problem
from imports.services.trying import run_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from imports.kinds import Done, Kind, Run

AT_ONCE: Final = 500
_TO_DO: Final = (RowState.NEW, RowState.MATCHED)
_TRIES: Final = 3
# What the contents of a row can lead to. Anything else (the connection, a statement's time) is nobody's row.
_OF_A_ROW: Final = (IntegrityError, DataError, InternalError, AppError, ValueError)
logger = logging.getLogger(__name__)


@transaction.atomic
def start_import(*, job_id: int, at: datetime) -> Import:
    """Import the rows that the dry run found importable. Raises NotNow."""
    job = Import.objects.select_for_update().get(pk=job_id)
    if job.state in (ImportState.RUNNING, ImportState.DONE):
        return job
    if job.state != ImportState.CHECKED or job.deleted_at is not None:
        raise NotNow(_("Nothing was imported. The table has to be tried out first."))
    job.state, job.done, job.became, job.started_at, job.touched_at = ImportState.RUNNING, 0, {}, at, at
    job.save()
    record_audit(action="start import", obj=job, changes={"rows": [0, importable(job)]})
    ring(tasks.run_import, current_brand_id(), job.pk)
    return job


@transaction.atomic
def undo_import(*, job_id: int, at: datetime) -> Import:
    """Take an import back: what nobody has changed since goes, the rest stays and is named. Raises NotNow."""
    job = Import.objects.select_for_update().get(pk=job_id)
    if job.state in (ImportState.UNDOING, ImportState.UNDONE):
        return job
    if job.state != ImportState.DONE or job.deleted_at is not None:
        raise NotNow(_("Nothing was undone. Only what was imported, and whose file is still kept, can be undone."))
    job.state, job.done, job.touched_at = ImportState.UNDOING, 0, at
    job.save()
    record_audit(action="undo import", obj=job)
    ring(tasks.undo_rows, current_brand_id(), job.pk)
    return job


@transaction.atomic
def stop_import(*, job_id: int, at: datetime) -> Import:
    """Stop an import, or its dry run, after the rows under way: what was imported stays and can be undone.

    Raises NotNow.
    """
    job = Import.objects.select_for_update().get(pk=job_id)
    if job.state == ImportState.CHECKING:
        job.state, job.touched_at = ImportState.UPLOADED, at
        job.save(update_fields=["state", "touched_at"])
        record_audit(action="stop import", obj=job)
        return job
    if job.state == ImportState.DONE:
        return job
    if job.state != ImportState.RUNNING:
        raise NotNow(_("Nothing was stopped. Only an import or a dry run that is under way can be stopped."))
    left = importable(job) - job.done
    job.notes = [*job.notes, {"code": "stopped", "about": f"{left:,}"}]
    job.state, job.ended_at, job.touched_at = ImportState.DONE, at, at
    job.save(update_fields=["state", "ended_at", "touched_at", "notes"])
    record_audit(action="stop import", obj=job, changes={"rows": [importable(job), job.done]})
    return job


def importable(job: Import) -> int:
    """Give how many rows of an import would change something."""
    return sum(job.found.get(state, 0) for state in _TO_DO)


def importing(*, brand_id: int, job_id: int) -> None:
    """Carry the rows of an import out, until none is left or another worker is at it."""
    _in_turn(brand_id, job_id, ImportState.RUNNING, _carry_some, _finish_import)


def undoing(*, brand_id: int, job_id: int) -> None:
    """Take the rows of an import back, last ones first."""
    _in_turn(brand_id, job_id, ImportState.UNDOING, _undo_some, _finish_undo)


def _in_turn(brand_id: int, job_id: int, state: str, some: Any, finish: Any) -> None:
    tries = 0
    while True:
        try:
            with brand_scope(brand_id):
                job = Import.objects.select_for_update(skip_locked=True).filter(pk=job_id, state=state).first()
                if job is None:
                    return
                if not some(job, clock.now()):
                    finish(job, clock.now())
                    return
                plan_anew()
                point("imports: rows done, not committed")
        except OperationalError:  # a deadlock with whoever binds one of these people: asked again it goes through
            tries += 1
            if tries >= _TRIES:
                raise
        else:
            tries = 0


def _carry_some(job: Import, at: datetime) -> int:
    stored = list(
        ImportRow.objects.filter(job=job, applied_at__isnull=True, state__in=_TO_DO).order_by("number")[:AT_ONCE]
    )
    if not stored:
        return 0
    kind, run = kinds.get(job.kind), run_of(job)
    rows = [Row(each.number, json.loads(each.cells.reveal())["cells"]) for each in stored]
    kind.lock(rows)
    verdicts, done = _carried(kind, rows, run, at)
    outcome: list[tuple[ImportRow, Verdict, int | None, str]] = []
    for each, verdict in zip(stored, verdicts, strict=True):
        result = done.get(each.number)
        member_id = result.member_id if result else verdict.member_id
        outcome.append((each, verdict, member_id, json.dumps(result.did, ensure_ascii=False) if result else ""))
    _write(outcome, at)
    became = Counter(job.became) + Counter(str(verdict.state) for verdict in verdicts)
    job.became, job.done, job.touched_at = dict(became), job.done + len(stored), at
    job.save(update_fields=["became", "done", "touched_at"])
    return len(stored)


def _carried(kind: Kind, rows: Sequence[Row], run: Run, at: datetime) -> tuple[list[Verdict], dict[int, Done]]:
    """Carry rows out; what a row brings with it that cannot be kept is that row's error, and the others go on."""
    try:
        with transaction.atomic():
            verdicts = kind.judge(rows, run, at=at)
            acting = [verdict for verdict in verdicts if verdict.state in _TO_DO]
            point("imports: judged, nothing written")
            done = kind.carry_out(acting, run, at=at)
            return verdicts, dict(zip((each.row.number for each in acting), done, strict=True))
    except _OF_A_ROW as error:
        if len(rows) == 1:
            return [refused(rows[0], _problem_of(error, run, rows[0]))], {}
    middle = len(rows) // 2
    first, first_done = _carried(kind, rows[:middle], run, at)
    second, second_done = _carried(kind, rows[middle:], run, at)
    return [*first, *second], first_done | second_done


def _problem_of(error: Exception, run: Run, row: Row) -> Problem:
    if isinstance(error, AppError):
        return Problem(error.field, "row_refused", f"{error.message} {error.hint}".strip()[:200])
    logger.error("row %s of import %s cannot be kept: %s", row.number, run.job_id, _without_values(error))
    return Problem("", "row_failed", type(error).__name__)


def _without_values(error: Exception) -> str:
    """Say what went wrong without the details of PostgreSQL, which hold cards, names and whole rows."""
    constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
    return f"{type(error).__name__} {constraint or ''}".strip()


_WRITE = """
UPDATE imports_importrow r SET state = d.state, member_id = d.member, did = d.did, applied_at = %s,
    problems = d.problems::jsonb, has_error = d.state IN ('ERROR', 'CONFLICT')
FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bytea[], %s::text[]) AS d(id, state, member, did, problems)
WHERE r.brand_id = %s AND r.id = d.id
"""


def _write(outcome: Sequence[tuple[ImportRow, Verdict, int | None, str]], at: datetime) -> None:
    brand_id = current_brand_id()
    field: Any = ImportRow._meta.get_field("did")
    sealed = [seal(brand_id, did, field.context(row)) if did else None for row, _verdict, _member, did in outcome]
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            [
                at,
                [row.pk for row, *_rest in outcome],
                [str(verdict.state) for _row, verdict, *_rest in outcome],
                [member for _row, _verdict, member, _did in outcome],
                sealed,
                [json.dumps([each.stored() for each in verdict.problems]) for _row, verdict, *_rest in outcome],
                brand_id,
            ],
        )


def _finish_import(job: Import, at: datetime) -> None:
    job.state, job.ended_at, job.touched_at = ImportState.DONE, at, at
    job.save(update_fields=["state", "ended_at", "touched_at"])
    record_audit(action="finish import", obj=job, changes={key: [0, count] for key, count in job.became.items()})


def _undo_some(job: Import, at: datetime) -> int:
    stored = list(
        ImportRow.objects.filter(job=job, applied_at__isnull=False, state__in=_TO_DO).order_by("-number")[:AT_ONCE]
    )
    if not stored:
        return 0
    kind, run = kinds.get(job.kind), run_of(job)
    rows = [
        Carried(each.number, each.member_id, json.loads(each.did.reveal())) for each in stored if each.did is not None
    ]
    stays = _taken_back(kind, rows, run, at)
    left = []
    for each in stored:
        problem = stays.get(each.number)
        if problem is not None:
            each.problems, each.state = [problem.stored()], RowState.LEFT
            left.append(each)
    ImportRow.objects.bulk_update(left, ["problems", "state"])
    gone = [each.pk for each in stored if each.number not in stays]
    ImportRow.objects.filter(pk__in=gone).update(state=RowState.UNDONE, did=None)
    became = Counter(job.became)
    for each in stored:
        was = str(each.state if each.number not in stays else RowState.LEFT)
        became["LEFT" if was == RowState.LEFT else "UNDONE"] += 1
    job.became, job.done, job.touched_at = dict(became), job.done + len(stored), at
    job.save(update_fields=["became", "done", "touched_at"])
    return len(stored)


def _taken_back(kind: Kind, rows: Sequence[Carried], run: Run, at: datetime) -> dict[int, Problem]:
    """Undo rows; one that cannot be undone stays, and the others go on."""
    try:
        with transaction.atomic():
            return kind.take_back(rows, run, at=at)
    except _OF_A_ROW as error:
        if len(rows) == 1:
            said = _without_values(error)
            logger.warning("row %s of import %s cannot be taken back: %s", rows[0].number, run.job_id, said)
            return {rows[0].number: Problem("", "left_failed", type(error).__name__)}
    middle = len(rows) // 2
    return _taken_back(kind, rows[:middle], run, at) | _taken_back(kind, rows[middle:], run, at)


def _finish_undo(job: Import, at: datetime) -> None:
    job.state, job.undone_at, job.touched_at = ImportState.UNDONE, at, at
    job.save(update_fields=["state", "undone_at", "touched_at"])
    record_audit(
        action="finish undoing import",
        obj=job,
        changes={key: [0, job.became.get(key, 0)] for key in ("UNDONE", "LEFT")},
    )
