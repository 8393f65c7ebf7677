"""Imports in the console: upload, columns, dry run, progress, undo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import get_language, gettext, gettext_lazy, pgettext_lazy

from accounts.services import record_audit
from common.clock import now
from common.errors import AppError
from common.spreadsheets import write_csv, write_xlsx
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from imports import selectors, services
from imports.columns import doubles, is_ignored
from imports.kinds import kinds
from imports.models import Import, ImportState, RowState
from imports.services.files import LARGEST, MOST_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest
    from django_stubs_ext import StrOrPromise

SHOWN = 50
MOVING = (ImportState.CHECKING, ImportState.RUNNING, ImportState.UNDOING)
_TONES: dict[str, str] = {
    ImportState.UPLOADED: "",
    ImportState.CHECKING: "info",
    ImportState.CHECKED: "warning",
    ImportState.RUNNING: "info",
    ImportState.DONE: "success",
    ImportState.UNDOING: "info",
    ImportState.UNDONE: "",
    ImportState.REFUSED: "danger",
}
_ROW_TONES: dict[str, str] = {
    RowState.NEW: "success",
    RowState.MATCHED: "info",
    RowState.UNCHANGED: "",
    RowState.CONFLICT: "warning",
    RowState.ERROR: "danger",
    RowState.UNDONE: "",
    RowState.LEFT: "warning",
}
_STEPS: tuple[tuple[StrOrPromise, tuple[str, ...]], ...] = (
    (pgettext_lazy("import step", "Upload"), ()),
    (pgettext_lazy("import step", "Columns"), (ImportState.UPLOADED, ImportState.REFUSED)),
    (pgettext_lazy("import step", "Dry run"), (ImportState.CHECKING, ImportState.CHECKED)),
    (
        pgettext_lazy("import step", "Import"),
        (ImportState.RUNNING, ImportState.DONE, ImportState.UNDOING, ImportState.UNDONE),
    ),
)
_NOTES = {
    "merged": gettext_lazy(
        "The workbook has merged cells (%(about)s): only the first cell of each has a value. Unmerge them and fill "
        "every cell if rows are refused."
    ),
    "stopped": gettext_lazy(
        "Stopped before its end: %(about)s rows were not imported. Upload the table again to import them; what was "
        "imported is recognised."
    ),
}


@dataclass(frozen=True)
class Part:
    """Rows of one state: how many, and in which words."""

    label: str
    count: int
    tone: str


def listing(request: HttpRequest) -> HttpResponse:
    """Show the imports; take a file."""
    viewer = viewer_of(request)
    problem: AppError | None = None
    if request.method == "POST":
        viewer.require("imports.edit")
        try:
            return HttpResponseRedirect(_link(_taken(request)))
        except AppError as error:
            problem = error
    rows = list(selectors.imports()[:SHOWN])
    context = {
        "title": gettext("Import"),
        "can_edit": viewer.can("imports.edit"),
        "problem": problem,
        "kinds": [(key, kind.label) for key, kind in kinds.items()],
        "most_rows": MOST_ROWS,
        "most_megabytes": LARGEST // 1_000_000,
        "rows": [
            {
                "job": row,
                "link": _link(row),
                "kind": kinds.get(row.kind).label,
                "tone": _TONES[row.state],
                "changed": services.importable(row),
                "wrong": row.found.get(RowState.ERROR, 0) + row.found.get(RowState.CONFLICT, 0),
            }
            for row in rows
        ],
    }
    return page_response(request, "imports/list.html", context, status=422 if problem else 200)


def _taken(request: HttpRequest) -> Import:
    sent = request.FILES.get("file")
    body = b"" if sent is None else sent.read(LARGEST + 1)
    return services.take_file(
        name=sent.name or "" if sent else "", body=body, kind=request.POST.get("kind", ""), at=now()
    )


def _link(job: Import) -> str:
    return reverse("admin:imports_job", args=[job.pk])


def _job(pk: str) -> Import:
    found = Import.objects.filter(pk=row_id(pk) or 0).first()
    if found is None:
        raise Http404
    return found


def job_page(request: HttpRequest, pk: str) -> HttpResponse:
    """Show an import at its stage; choose columns, start, undo."""
    job, viewer = _job(pk), viewer_of(request)
    problem: AppError | None = None
    if request.method == "POST":
        viewer.require("imports.edit")
        try:
            _act(request, job)
        except AppError as error:
            problem = error
            job = _job(pk)
        else:
            return HttpResponseRedirect(_link(job))
    context = _shown(job) | {
        "title": gettext("Import of %(kind)s") % {"kind": kinds.get(job.kind).label},
        "zy_deeper": True,
        "can_edit": viewer.can("imports.edit"),
        "problem": problem,
        "steps": _steps(job),
        "is_orders": job.kind == "orders",
        "options": job.options if job.state != ImportState.UPLOADED else {},
        "list_link": reverse("admin:imports_list"),
    }
    if job.state in (ImportState.UPLOADED, ImportState.CHECKED) and job.deleted_at is None:
        context |= _columns(job, request.POST.getlist("column") if problem else job.columns)
    return page_response(request, "imports/job.html", context, status=422 if problem else 200)


def _act(request: HttpRequest, job: Import) -> None:
    act = request.POST.get("act", "")
    if act == "try":
        options = {
            key: request.POST.get(key, "") for key in ("create_tags", "overwrite", "source", "system", "give_points")
        }
        services.begin_dry_run(job_id=job.pk, columns=request.POST.getlist("column"), options=options, at=now())
    elif act == "start":
        services.start_import(job_id=job.pk, at=now())
    elif act == "stop":
        services.stop_import(job_id=job.pk, at=now())
    elif act == "undo":
        services.undo_import(job_id=job.pk, at=now())


def _steps(job: Import) -> list[dict[str, Any]]:
    at = next(index for index, (_label, states) in enumerate(_STEPS) if job.state in states)
    return [
        {"label": label, "done": index < at, "current": index == at} for index, (label, _states) in enumerate(_STEPS)
    ]


def _columns(job: Import, chosen: Iterable[str]) -> dict[str, Any]:
    kind = kinds.get(job.kind)
    samples = services.samples_of(job)
    columns = list(chosen)
    known = kind.columns
    sensitive = {column.key for column in known if column.sensitive}
    twice = {number for numbers in doubles(columns).values() for number in numbers}
    return {
        "choices": [(column.key, column.label) for column in known if not column.own],
        "own_choices": [(column.key, column.label) for column in known if column.own],
        "deaf": gettext(", ").join(services.deaf_fields()) if job.kind == "members" else "",
        "columns": [
            {
                "number": number,
                "title": title,
                "chosen": columns[number - 1] if number <= len(columns) else "",
                "ignored": is_ignored(title),
                "twice": number in twice,
                "samples": [
                    _sample(each[number - 1], hidden=bool(sensitive.intersection(columns[number - 1 : number])))
                    for each in samples
                    if number <= len(each) and each[number - 1]
                ],
            }
            for number, title in enumerate(job.header, 1)
        ],
    }


def _sample(text: str, *, hidden: bool) -> str:
    """Show a cell of the file in the choice of columns; long numbers (phones, cards) only by their ends."""
    if hidden:
        return "***"
    text = text[:40]
    digits = sum(each.isdigit() for each in text)
    return f"{text[:3]}****{text[-4:]}" if digits >= 9 else text


def _shown(job: Import) -> dict[str, Any]:
    """Give what the live part of the page shows."""
    counts = job.became if job.state in (ImportState.DONE, ImportState.RUNNING) else job.found
    if job.state == ImportState.DONE:  # rows the dry run left out are rows of the table, too
        left = (RowState.UNCHANGED, RowState.CONFLICT, RowState.ERROR)
        counts = {key: counts.get(key, 0) + (job.found.get(key, 0) if key in left else 0) for key in RowState.values}
    parts = [
        Part(str(RowState(state).label), counts.get(state, 0), _ROW_TONES[state])
        for state in (RowState.NEW, RowState.MATCHED, RowState.UNCHANGED, RowState.CONFLICT, RowState.ERROR)
        if counts.get(state) or job.state != ImportState.RUNNING
    ]
    if job.state in (ImportState.UNDOING, ImportState.UNDONE):
        parts = [
            Part(str(RowState(state).label), job.became.get(state, 0), _ROW_TONES[state])
            for state in (RowState.UNDONE, RowState.LEFT)
        ]
    todo = {
        ImportState.CHECKING: job.total,
        ImportState.RUNNING: services.importable(job),
        ImportState.UNDOING: sum(job.became.get(state, 0) for state in (RowState.NEW, RowState.MATCHED)),
    }
    moving = job.state in MOVING
    found = [] if moving else selectors.findings(job, limit=SHOWN)
    return {
        "job": job,
        "moving": moving,
        "may_stop": job.state in (ImportState.CHECKING, ImportState.RUNNING),
        "state_label": job.get_state_display(),
        "tone": _TONES[job.state],
        "parts": parts,
        "whole": sum(part.count for part in parts),
        "done": job.done,
        "todo": todo.get(ImportState(job.state), 0),
        "version": f"{job.state}-{job.done}-{job.read}",
        "importable": services.importable(job),
        "findings": found,
        "has_errors": bool(
            job.found.get(RowState.ERROR)
            or job.found.get(RowState.CONFLICT)
            or any(job.became.get(state) for state in selectors.REFUSED_STATES)
        ),
        "notes": [str(_NOTES[note["code"]]) % note for note in job.notes if note.get("code") in _NOTES],
        "row_tones": _ROW_TONES,
    }


def progress(request: HttpRequest, pk: str) -> HttpResponse:
    """Give the live part of the page; 204 while nothing has changed, a whole page once it is over."""
    job = _job(pk)
    if job.state not in MOVING:
        answer = HttpResponse(status=204)
        answer["HX-Refresh"] = "true"
        return answer
    shown = _shown(job)
    if request.GET.get("v") == shown["version"]:
        return HttpResponse(status=204)
    return TemplateResponse(request, "imports/_progress.html", shown)


def errors_file(request: HttpRequest, pk: str) -> HttpResponse:
    """Give everything that is wrong in a file as a table."""
    viewer_of(request).require("imports.edit")
    job = _job(pk)
    head = [gettext("Row"), gettext("Column"), gettext("What stands there"), gettext("Why"), gettext("What to do")]
    record_audit(action="download import errors", obj=job)
    answer = HttpResponse(write_csv([head, *selectors.every_finding(job)]), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="import-{job.pk}-errors.csv"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def template_file(request: HttpRequest, kind: str) -> HttpResponse:
    """Give an empty table with the titles an import knows."""
    found = kinds.find(kind)
    if found is None:
        raise Http404
    chinese = (get_language() or "").startswith("zh")
    titles = [column.titles[0 if chinese else 1] for column in found.columns]
    answer = HttpResponse(
        write_xlsx([titles], sheet=str(found.label)),
        content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    )
    answer["Content-Disposition"] = f'attachment; filename="{kind}.xlsx"'
    return answer


for _page in (
    Page("imports/", listing, "imports_list", "imports"),
    Page("imports/template/<slug:kind>/", template_file, "imports_template", "imports"),
    Page("imports/<str:pk>/", job_page, "imports_job", "imports"),
    Page("imports/<str:pk>/progress/", progress, "imports_progress", "imports"),
    Page("imports/<str:pk>/errors/", errors_file, "imports_errors", "imports", "edit"),
):
    pages.register(_page.name, _page)
nav.register("members.imports", Tab("members", gettext_lazy("Import"), "imports_list", "imports", 60, "imports_"))
