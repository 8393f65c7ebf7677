"""The page of those who get no marketing: the do-not-send list and the global control group."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from console import formats
from console.http import row_id, viewer_of
from console.person import marked
from console.registry import Page, Panel, Tab, nav, pages, panels, person_marks
from console.site import page_response
from members import selectors, services
from members.models import ControlGroup, Member, OptOut, Purpose, Suppression
from members.services.consent import MOST_PER_MILLE, REASON_LENGTH

if TYPE_CHECKING:
    from accounts.viewer import Viewer

PER_PAGE = 50
MOST_NUMBERS = 1000
_SPLIT = re.compile(r"[\s,，、;；]+")


class ShareForm(forms.Form):
    """How large the control group is."""

    percent = forms.DecimalField(
        label=gettext_lazy("Share in percent"),
        min_value=0,
        max_value=MOST_PER_MILLE // 10,
        max_digits=3,
        decimal_places=1,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"step": "0.1", "inputmode": "decimal"}),
        help_text=gettext_lazy(
            "Chosen by chance and for good: the same people every time. They get no marketing by any way, so that one "
            "can see what it brings. 5 % is usual; 0 ends it."
        ),
    )


class ListForm(forms.Form):
    """Whom to put on the list."""

    numbers = forms.CharField(
        label=gettext_lazy("Member numbers"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        max_length=MOST_NUMBERS * 12,
        help_text=gettext_lazy("One or many, up to 1,000, separated by blanks, commas or lines."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=REASON_LENGTH, widget=UnfoldAdminTextInputWidget()
    )
    days = forms.IntegerField(
        label=gettext_lazy("For how many days"),
        required=False,
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=gettext_lazy("Empty: until somebody takes them off."),
    )


def held_back(request: HttpRequest) -> HttpResponse:
    """Show and change the list and the control group."""
    viewer = viewer_of(request)
    can_edit = viewer.can("segments.edit")
    group = ControlGroup.objects.first()
    shares = {"percent": (group.per_mille if group else 0) / 10}
    share, people = ShareForm(initial=shares), ListForm()
    if request.method == "POST":
        viewer.require("segments.edit")
        act = request.POST.get("act")
        if act == "share":
            share = ShareForm(request.POST)
            if share.is_valid():
                services.set_control_group(per_mille=int(share.cleaned_data["percent"] * 10), at=now())
                messages.success(request, _("Saved."))
                return HttpResponseRedirect(request.path)
        elif act == "release":
            pk = row_id(request.POST.get("member", ""))
            if selectors.visible_members(viewer).filter(pk=pk or 0).exists() and services.release_members(
                member_ids=[pk or 0]
            ):
                messages.success(request, _("Taken off the list."))
            return HttpResponseRedirect(request.path)
        else:
            people = ListForm(request.POST)
            if people.is_valid() and _put_on_list(request, viewer, people):
                return HttpResponseRedirect(request.path)
    page = max(1, min(row_id(request.GET.get("p", "")) or 1, 200))
    rows = Suppression.objects.select_related("member").order_by("-at", "-pk")
    visible = selectors.visible_members(viewer)
    shown = list(rows.filter(member__in=visible.values("pk"))[(page - 1) * PER_PAGE : page * PER_PAGE + 1])
    services.note_listed(people=[row.member_id for row in shown[:PER_PAGE]], page="held_back", at=now())
    context: dict[str, Any] = {
        "title": _("Do-not-send list and control group"),
        "can_edit": can_edit,
        "share": share,
        "people": people,
        "group": group,
        "in_control": OptOut.objects.filter(control=True, member__merged_into=None, member__erased_at=None).count()
        if group
        else 0,
        "members": Member.objects.filter(merged_into=None, erased_at=None).count() if group else 0,
        "rows": shown[:PER_PAGE],
        "previous": page - 1 if page > 1 else None,
        "next": page + 1 if len(shown) > PER_PAGE else None,
    }
    status = 422 if share.errors or people.errors else 200
    return page_response(request, "members/segments/held_back.html", context, status=status)


def _put_on_list(request: HttpRequest, viewer: Viewer, form: ListForm) -> bool:
    given = form.cleaned_data
    numbers = list(dict.fromkeys(part for part in _SPLIT.split(given["numbers"]) if part))
    if len(numbers) > MOST_NUMBERS:
        form.add_error("numbers", _("Up to %(count)s numbers at once.") % {"count": f"{MOST_NUMBERS:,}"})
        return False
    found = dict(selectors.visible_members(viewer).filter(member_no__in=numbers).values_list("member_no", "pk"))
    unknown = [number for number in numbers if number not in found]
    if unknown:
        said = ngettext(
            "Nobody in your reach has the number %(numbers)s.",
            "Nobody in your reach has the numbers %(numbers)s.",
            len(unknown),
        )
        form.add_error("numbers", said % {"numbers": _(", ").join(unknown[:5]) + ("…" if len(unknown) > 5 else "")})
        return False
    at = now()
    try:
        new = services.suppress_members(
            member_ids=list(found.values()),
            reason=given["reason"],
            by=viewer.label,
            at=at,
            until=at + timedelta(days=given["days"]) if given["days"] else None,
        )
    except AppError as error:
        form.add_error(error.field if error.field in form.fields else None, error.message)
        return False
    said = ngettext("%(count)s person is new on the list.", "%(count)s people are new on the list.", new)
    messages.success(request, said % {"count": new})
    return True


person_marks.register("members.opt_outs", lambda: Exists(OptOut.objects.filter(member=OuterRef("pk"))))


def opt_outs(member: Member) -> dict[str, OptOut]:
    """Give what a person must not be written to about, by key; asked once a page."""
    known: dict[str, OptOut] | None = member.__dict__.get("zy_opt_outs")
    if known is None:
        rows = OptOut.objects.filter(member=member).order_by("pk") if marked(member, "members.opt_outs") else ()
        known = {row.purpose: row for row in rows}
        member.__dict__["zy_opt_outs"] = known
    return known


@panels.add("members.held_back")
def held_back_panel(member: Member, request: HttpRequest) -> Panel | None:
    """Say on a member's card why they get no marketing."""
    row = opt_outs(member).get(Purpose.MARKETING)
    if row is None or not (row.listed or row.control):
        return None
    rows: list[dict[str, Any]] = []
    if row.listed:
        entry = Suppression.objects.filter(member=member).first()
        if entry is not None:
            rows.append({"label": _("On the do-not-send list"), "value": entry.reason})
            until = formats.local_time(entry.until) if entry.until else _("until taken off")
            rows.append({"label": _("until"), "value": until})
        if marked(member, "members.flags"):
            said = _("gets no marketing for as long as the flag holds")
            rows.append({"label": pgettext("flag", "Left out"), "value": said})
    if row.control:
        rows.append({"label": _("In the control group"), "value": _("gets no marketing, to measure its effect")})
    return Panel(_("No marketing"), "console/panel_facts.html", {"rows": rows}, order=85)


nav.register(
    "segments.held_back",
    Tab("segments", gettext_lazy("Do-not-send list and control group"), "held_back", "segments", 30),
)
pages.register("held_back", Page("segments/held-back/", held_back, "held_back", "segments"))
