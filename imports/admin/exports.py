"""Exports in the console: ask for a list of members, fetch it until its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, gettext_lazy, ngettext
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from common.clock import now
from common.errors import AppError
from console.http import row_id, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from imports import selectors, services
from imports.models import Export, ExportFormat, ExportState
from imports.services.exports import KEPT, MOST
from members.models import Segment, Sensitivity
from members.selectors import profile_fields

if TYPE_CHECKING:
    from django.http import HttpRequest

    from members.models import ProfileField

SHOWN = 50
_TONES = {
    ExportState.WAITING: "info",
    ExportState.READY: "success",
    ExportState.REFUSED: "danger",
    ExportState.GONE: "",
}


class ExportForm(forms.Form):
    """Whom, as what, and whether phones are in full."""

    segment: Any = forms.ModelChoiceField(
        queryset=None,
        label=gettext_lazy("Segment"),
        required=False,
        empty_label=gettext_lazy("(no segment)"),
        widget=UnfoldAdminSelectWidget(),
    )
    search = forms.CharField(
        label=gettext_lazy("Or a search"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Beginning of a name, last four digits of a phone, member number. Empty: everybody."),
    )
    file_format = forms.ChoiceField(
        label=gettext_lazy("Format"), choices=ExportFormat.choices, widget=UnfoldAdminSelectWidget()
    )
    own: Any = forms.MultipleChoiceField(
        label=gettext_lazy("Profile fields"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "zy-checks"}),
        help_text=gettext_lazy("A column for each. What not everybody may see is masked, as the phone is."),
    )
    unmasked = forms.BooleanField(
        label=gettext_lazy("Phones and profile fields in full"), required=False, widget=UnfoldBooleanSwitchWidget()
    )
    reason = forms.CharField(
        label=gettext_lazy("What for"),
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Needed for what is masked in full; it is written down."),
    )

    def __init__(self, *args: Any, may_unmask: bool, segments: bool, **kwargs: Any) -> None:
        """Offer what the role may."""
        super().__init__(*args, **kwargs)
        if segments:
            self.fields["segment"].queryset = Segment.objects.order_by("name", "pk")  # type: ignore[attr-defined]
        else:
            del self.fields["segment"]
        own = [(field.key, _own_label(field)) for field in profile_fields()]
        if own:
            self.fields["own"].choices = own  # type: ignore[attr-defined]
        else:
            del self.fields["own"]
        if not may_unmask:
            del self.fields["unmasked"], self.fields["reason"]


def _own_label(field: ProfileField) -> str:
    if field.sensitivity == Sensitivity.PLAIN:
        return field.label
    return gettext("%(name)s (masked)") % {"name": field.label}


def listing(request: HttpRequest) -> HttpResponse:
    """Show exports; ask for one."""
    viewer, at = viewer_of(request), now()
    form = ExportForm(
        request.POST or None, may_unmask=viewer.can("members.reveal"), segments=viewer.can("segments.view")
    )
    can_edit = viewer.can("exports.edit")
    if request.method == "POST":
        viewer.require("exports.edit")
        if form.is_valid():
            given = form.cleaned_data
            try:
                services.ask_for_export(
                    viewer=viewer,
                    at=at,
                    segment=given.get("segment"),
                    search=given["search"],
                    file_format=given["file_format"],
                    fields=given.get("own", []),
                    unmasked=given.get("unmasked", False),
                    reason=given.get("reason", ""),
                )
            except AppError as error:
                form.add_error(error.field if error.field in form.fields else None, f"{error.message} {error.hint}")
            else:
                messages.success(request, gettext("The list is being written; it appears below in a moment."))
                return HttpResponseRedirect(request.path)
    rows = list(selectors.exports_of(viewer)[:SHOWN])
    context = {
        "title": gettext("Export"),
        "form": form,
        "can_edit": can_edit,
        "most": MOST.get(viewer.role, 0),
        "kept_days": KEPT.days,
        "writing": any(row.state == ExportState.WAITING for row in rows),
        "rows": [
            {
                "row": row,
                "tone": _TONES[ExportState(row.state)],
                "mine": row.asked_by_id == viewer.staff_id and row.state == ExportState.READY and can_edit,
                "note": _file_note(row),
            }
            for row in rows
        ],
    }
    return page_response(request, "imports/exports.html", context, status=422 if form.errors else 200)


def _file_note(row: Export) -> str:
    """Say how a file leaves that whoever looks cannot download."""
    if row.state != ExportState.READY:
        return ""
    if row.api_key_id is None:
        return gettext("Only who asked can download it.")
    if not row.downloads:
        return gettext("Waits for the system that asked.")
    fetched = ngettext("The system fetched it once.", "The system fetched it %(count)s times.", row.downloads)
    return fetched % {"count": row.downloads}


def file(request: HttpRequest, pk: str) -> HttpResponse:
    """Give a written file to whoever asked for it."""
    viewer = viewer_of(request)
    row = Export.objects.filter(pk=row_id(pk) or 0).first()
    if row is None:
        raise Http404
    body = services.download(row=row, viewer=viewer)
    kind = "csv" if row.file_format == ExportFormat.CSV else "xlsx"
    answer = HttpResponse(body, content_type="application/octet-stream")
    answer["Content-Disposition"] = f'attachment; filename="members-{row.pk}.{kind}"'
    answer["Cache-Control"] = "private, no-store"
    return answer


for _page in (
    Page("exports/", listing, "exports_list", "exports"),
    Page("exports/<str:pk>/file/", file, "exports_file", "exports", "edit"),
):
    pages.register(_page.name, _page)
nav.register("members.exports", Tab("members", gettext_lazy("Export"), "exports_list", "exports", 65, "exports_"))
