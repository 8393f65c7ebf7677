"""Pages of groupings: where everybody stands month by month, and who moved from where to where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.clock import now
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from members import selectors, services
from members.errors import GroupingInvalid, RuleInvalid
from members.models import Grouping, Segment
from members.services.groupings import MOST_STAGES, NAME_LENGTH

if TYPE_CHECKING:
    from members.models import Snapshot

SHOWN = 13  # a year and the month before it
CHOICES = 200


def groupings(request: HttpRequest) -> HttpResponse:
    """Show the brand's groupings; begin with the life cycle."""
    if request.method == "POST":
        viewer_of(request).require("segments.edit")
        made = services.begin_lifecycle(at=now())
        return HttpResponseRedirect(reverse("admin:grouping", args=[made.pk]))
    rows = Grouping.objects.order_by("name", "pk")[:CHOICES]
    context = {
        "title": _("Snapshots and moves"),
        "groupings": rows,
        "can_edit": viewer_of(request).can("segments.edit"),
    }
    return page_response(request, "members/segments/groupings.html", context)


def grouping_new(request: HttpRequest) -> HttpResponse:
    """Make a grouping of segments."""
    viewer_of(request).require("segments.edit")
    return _save(request, None) if request.method == "POST" else _form(request, None)


def grouping_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a grouping: its name, its stages, their order."""
    viewer_of(request).require("segments.edit")
    row = _grouping(pk)
    return _save(request, row) if request.method == "POST" else _form(request, row)


def grouping(request: HttpRequest, pk: int) -> HttpResponse:
    """Show where people stood in each snapshot, and the moves between two of them; take one now."""
    row, viewer = _grouping(pk), viewer_of(request)
    if request.method == "POST":
        viewer.require("segments.edit")
        try:
            services.take_snapshot(grouping=row, at=now())
            messages.success(request, _("The snapshot is taken."))
        except RuleInvalid as error:
            messages.error(request, _("No snapshot was taken. %(why)s") % {"why": error.message})
        return HttpResponseRedirect(request.path)
    taken = list(selectors.snapshots(row.pk)[:SHOWN])
    by_id = {each.pk: each for each in taken}
    after = by_id.get(row_id(request.GET.get("after", "")) or 0) or (taken[0] if taken else None)
    before = by_id.get(row_id(request.GET.get("before", "")) or 0) or (taken[1] if len(taken) > 1 else None)
    context: dict[str, Any] = {
        "title": row.name,
        "zy_object": row,
        "grouping": row,
        "can_edit": viewer.can("segments.edit"),
        "taken": taken,
        "table": _table(taken),
        "before": before,
        "after": after,
        "matrix": _matrix(before, after) if before and after and before.pk != after.pk else None,
    }
    return page_response(request, "members/segments/grouping.html", context)


def _grouping(pk: int) -> Grouping:
    row = Grouping.objects.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def _names(snapshot: Snapshot) -> list[str]:
    return [*(each["name"] for each in snapshot.stages), _("none of them")]


def _table(taken: list[Snapshot]) -> dict[str, Any]:
    """Give counts by stage (rows) and snapshot (columns, oldest first); stages by name, as they come."""
    ordered = taken[::-1]
    names = list(dict.fromkeys(name for snapshot in taken for name in _names(snapshot)[:-1]))
    names.append(_("none of them"))
    rows = []
    for name in names:
        cells = [dict(zip(_names(snapshot), snapshot.counts, strict=False)).get(name) for snapshot in ordered]
        rows.append({"name": name, "cells": cells})
    return {"columns": ordered, "rows": rows}


def _matrix(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Give the moves as a table: from (rows) to (columns), with those whom one of the two did not know."""
    found = {(move.before, move.after): move.people for move in selectors.moves(before, after)}
    most = max(found.values(), default=0)

    def places(snapshot: Snapshot, unknown: str) -> list[tuple[int | None, str]]:
        named = [*enumerate(each["name"] for each in snapshot.stages), (-1, _("none of them"))]
        return [*named, (None, unknown)]

    rows_of, columns_of = places(before, _("new since")), places(after, _("gone since"))
    if not any(start is None for start, _end in found):
        rows_of = rows_of[:-1]
    if not any(end is None for _start, end in found):
        columns_of = columns_of[:-1]
    rows = []
    for start, name in rows_of:
        cells = [
            {
                "people": found.get((start, end), 0),
                "stays": start is not None and start == end,
                "share": -(-found.get((start, end), 0) * 100 // most) if most else 0,
            }
            for end, _name in columns_of
        ]
        rows.append({"name": name, "cells": cells, "sum": sum(cell["people"] for cell in cells)})
    return {"columns": [name for _end, name in columns_of], "rows": rows}


def _save(request: HttpRequest, row: Grouping | None) -> HttpResponse:
    chosen = [pk for value in request.POST.getlist("stage")[: MOST_STAGES * 2] if (pk := row_id(value)) is not None]
    try:
        saved = services.save_grouping(
            name=request.POST.get("name", ""),
            segment_ids=chosen,
            is_monthly="is_monthly" in request.POST,
            at=now(),
            grouping=row,
        )
    except GroupingInvalid as error:
        return _form(request, row, chosen=chosen, errors={error.field: error.message})
    messages.success(request, _("Saved."))
    return HttpResponseRedirect(reverse("admin:grouping", args=[saved.pk]))


def _form(
    request: HttpRequest, row: Grouping | None, *, chosen: list[int] | None = None, errors: dict[str, str] | None = None
) -> HttpResponse:
    stages = chosen if chosen is not None else (row.stages if row else [])
    context = {
        "title": row.name if row else _("New grouping"),
        "zy_object": row or _("New grouping"),
        "zy_deeper": True,
        "grouping": row,
        "name": request.POST.get("name", row.name if row else "")[: NAME_LENGTH * 2],
        "name_length": NAME_LENGTH,
        "is_monthly": "is_monthly" in request.POST if request.method == "POST" else (row.is_monthly if row else True),
        "slots": (stages + [0] * MOST_STAGES)[:MOST_STAGES],
        "segments": Segment.objects.order_by("name", "pk")[:CHOICES],
        "errors": errors or {},
    }
    return page_response(request, "members/segments/grouping_form.html", context, status=422 if errors else 200)


nav.register(
    "segments.groupings",
    Tab("segments", gettext_lazy("Snapshots and moves"), "groupings", "segments", 20, prefix="grouping"),
)
for _page in (
    Page("segments/groupings/", groupings, "groupings", "segments"),
    Page("segments/groupings/new/", grouping_new, "grouping_new", "segments", "edit"),
    Page("segments/groupings/<int:pk>/", grouping, "grouping", "segments"),
    Page("segments/groupings/<int:pk>/change/", grouping_edit, "grouping_edit", "segments", "edit"),
):
    pages.register(_page.name, _page)
