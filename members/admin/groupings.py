"""Pages of groupings: where everybody stands month by month, and who moved from where to where."""

from __future__ import annotations

from datetime import timedelta
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
from members import selectors, services, stands
from members.errors import GroupingInvalid, RuleInvalid
from members.models import Grouping, GroupingVersion, Segment
from members.recipes import recipes
from members.rule_form import builder_link
from members.segments import sentence
from members.services.groupings import MOST_STAGES, NAME_LENGTH, BackTest

if TYPE_CHECKING:
    from members.models import Snapshot

SHOWN = 13  # a year and the month before it
BACK = timedelta(days=30)  # how far back numbers are tried out
LATELY = timedelta(days=7)
CHOICES = 200


def groupings(request: HttpRequest) -> HttpResponse:
    """Show the brand's groupings; begin with one out of the box."""
    if request.method == "POST":
        viewer_of(request).require("segments.edit")
        key = request.POST.get("recipe", "lifecycle")
        if key not in recipes:
            raise Http404
        made = services.begin_recipe(key=key, at=now())
        return HttpResponseRedirect(reverse("admin:grouping", args=[made.pk]))
    rows = Grouping.objects.order_by("name", "pk")[:CHOICES]
    context = {
        "title": _("Snapshots and moves"),
        "groupings": rows,
        "recipes": [(key, each) for key, each in recipes.items() if key not in {row.recipe for row in rows}],
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
    everybody = "everybody" in request.GET
    context: dict[str, Any] = {
        "title": row.name,
        "zy_object": row,
        "grouping": row,
        "can_edit": viewer.can("segments.edit"),
        "everybody": everybody,
        "stages": _stages(row, everybody=everybody),
        "taken": taken,
        "table": _table(taken, everybody=everybody),
        "before": before,
        "after": after,
        "matrix": _matrix(before, after, everybody=everybody) if before and after and before.pk != after.pk else None,
    }
    return page_response(request, "members/segments/grouping.html", context)


def grouping_recipe(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the stages other numbers: what they would give now, and would have given a month ago, before saving."""
    row = _grouping(pk)
    recipe = recipes.find(row.recipe)
    if recipe is None:
        raise Http404
    viewer, at = viewer_of(request), now()
    errors: dict[str, str] = {}
    given: dict[str, Any] = dict(row.settings)
    if request.method == "POST":
        viewer.require("segments.edit")
        given = {each.name: _whole(request.POST.get(each.name, "")) for each in recipe.fields}
        try:
            if "renew" in request.POST:
                services.renew_recipe(grouping=row, at=at)
                messages.success(request, _("Renewed. The segments it had before stay among the segments."))
                return HttpResponseRedirect(reverse("admin:grouping", args=[pk]))
            if "save" in request.POST:
                services.change_recipe(grouping=row, settings=given, at=at)
                messages.success(request, _("Saved. The stages follow the new numbers from now on."))
                return HttpResponseRedirect(reverse("admin:grouping", args=[pk]))
        except GroupingInvalid as error:
            errors[error.field or ""] = error.message
    found = None
    try:
        found = services.back_test(key=row.recipe, settings=given, at=at, then=at - BACK)
        known = {each.name: row.settings[each.name] for each in recipe.fields if each.name in row.settings}
        before = services.back_test(key=row.recipe, settings=known, at=at, then=at - BACK)
    except GroupingInvalid as error:
        errors.setdefault(error.field or "", error.message)
    context = {
        "title": _("Numbers of “%(name)s”") % {"name": row.name},
        "zy_object": row,
        "zy_deeper": True,
        "grouping": row,
        "recipe": recipe,
        "fields": [
            {"field": each, "value": given.get(each.name), "error": errors.get(each.name, "")} for each in recipe.fields
        ],
        "errors": errors,
        "is_changed": given != row.settings,
        "can_renew": services.has_other_stages(row),
        "result": _compared(found, before) if found else None,
        "undated": _(", ").join(found.undated) if found else "",
        "then": at - BACK,
        "at": at,
        "can_edit": viewer.can("segments.edit"),
        "versions": GroupingVersion.objects.filter(grouping=row).order_by("-number")[:SHOWN],
    }
    return page_response(request, "members/segments/grouping_recipe.html", context, status=422 if errors else 200)


def _whole(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text[:10]


def _compared(found: BackTest, before: BackTest) -> list[dict[str, Any]]:
    """Give a line for each stage, and one for those in none: with the numbers in force, with these, and a month ago."""
    names = [*found.names, _("none of them")]
    most = max(found.now[:-1], default=0)
    return [
        {
            "name": name,
            "before": before.now[number],
            "now": found.now[number],
            "then": found.then[number] if found.then is not None else None,
            "share": -(-found.now[number] * 100 // most) if most and number < len(found.names) else 0,
        }
        for number, name in enumerate(names)
    ]


def _stages(row: Grouping, *, everybody: bool) -> list[dict[str, Any]]:
    """Give the stages as they are now: the segment behind each, how many moved in and out of it lately."""
    segments, at = Segment.objects.in_bulk(row.stages), now()
    found = stands.lately(row, since=at - LATELY, at=at, everybody=everybody)
    people = found.people if row.tracked_at else {}
    most = max(people.values(), default=0)
    return [
        {
            "segment": segments[pk],
            "sentence": _said(segments[pk]),
            "people": people.get(pk, 0) if row.tracked_at else None,
            "came": found.came.get(pk, 0),
            "left": found.left.get(pk, 0),
            "share": -(-people.get(pk, 0) * 100 // most) if most else 0,
        }
        for pk in row.stages
        if pk in segments
    ]


def _said(segment: Segment) -> str:
    try:
        return sentence(segment.rule)
    except RuleInvalid as error:
        return error.message


def _grouping(pk: int) -> Grouping:
    row = Grouping.objects.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def _names(snapshot: Snapshot) -> list[str]:
    return [*(each["name"] for each in snapshot.stages), _("none of them")]


def _table(taken: list[Snapshot], *, everybody: bool) -> dict[str, Any]:
    """Give counts by stage (rows) and snapshot (columns, oldest first); stages by name, as they come."""
    ordered, counts = taken[::-1], stands.counts(taken, everybody=everybody)
    names = list(dict.fromkeys(name for snapshot in taken for name in _names(snapshot)[:-1]))
    names.append(_("none of them"))
    rows = []
    for name in names:
        cells = [dict(zip(_names(snapshot), counts[snapshot.pk], strict=False)).get(name) for snapshot in ordered]
        rows.append({"name": name, "cells": cells})
    return {"columns": ordered, "rows": rows}


def _matrix(before: Snapshot, after: Snapshot, *, everybody: bool) -> dict[str, Any]:
    """Give the moves as a table: from (rows) to (columns), with those whom one of the two did not know."""
    found = {(move.before, move.after): move.people for move in stands.moves(before, after, everybody=everybody)}
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
        cells: list[dict[str, Any]] = [
            {
                "people": found.get((start, end), 0),
                "stays": start is not None and start == end,
                "share": -(-found.get((start, end), 0) * 100 // most) if most else 0,
                "link": _cell_link(before, start, after, end, f"{name} → {column}", everybody=everybody),
            }
            for end, column in columns_of
        ]
        rows.append({"name": name, "cells": cells, "sum": sum(cell["people"] for cell in cells)})
    return {"columns": [name for _end, name in columns_of], "rows": rows}


def _cell_link(
    before: Snapshot, start: int | None, after: Snapshot, end: int | None, name: str, *, everybody: bool
) -> str:
    """Give the address that shows who is behind a cell, as a segment that is not saved yet."""
    rule = stands.cell_rule(before, start, after, end)
    if not everybody:
        rule["all"].append({"condition": "flagged", "params": {"value": "no"}})
    return builder_link(rule, name=name)


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
    Page("segments/groupings/<int:pk>/numbers/", grouping_recipe, "grouping_recipe", "segments"),
    Page("segments/groupings/<int:pk>/change/", grouping_edit, "grouping_edit", "segments", "edit"),
):
    pages.register(_page.name, _page)
