"""A coupon for a whole segment: what it would do, the confirmation, how far it is, and who was left out and why."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.forms import BrandModelForm
from console.http import row_id, viewer_of
from console.registry import Page, pages
from coupons import services
from coupons.models import Outcome, Push, PushState, Template, TemplateState
from coupons.rules import read
from coupons.selectors import pushes as selectors
from coupons.services.issue import current_version
from coupons.words import rule_sentence
from loyalty.services import Operation
from members.errors import RuleInvalid
from members.freshness import refusal
from members.models import Segment
from members.opened import Way, shows
from members.segments import sentence
from members.services import note_listed

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest, HttpResponseBase

TONES = {
    PushState.DRAFT: "",
    PushState.WAITING: "info",
    PushState.RUNNING: "info",
    PushState.DONE: "success",
    PushState.STOPPED: "warning",
}
GOING = (PushState.WAITING, PushState.RUNNING)


class PushForm(BrandModelForm):
    """Which coupon, for which segment, and why."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        min_length=2,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("It stands in the history of every coupon that is given."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the coupons that are given now."""
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        if "template" in fields:
            fields["template"].queryset = Template.objects.filter(state=TemplateState.ACTIVE).order_by("name", "pk")
            fields["segment"].queryset = Segment.objects.order_by("name", "pk")


@admin.register(Push, site=site)
class PushAdmin(ConsoleModelAdmin):
    """Coupons for segments."""

    area = "coupons"
    place = "rewards"
    tab = pgettext_lazy("tab", "For segments")
    tab_order = 55
    add_label = gettext_lazy("Give to a segment")
    audit_writes = False  # the services write the entries
    form = PushForm
    fields = ("template", "segment", "reason")
    empty_text = gettext_lazy(
        "Give a coupon to everybody of a segment: first you see how many get it and who is left out and why."
    )
    list_display = (
        moment("created_at", pgettext_lazy("coupon push", "made")),
        "titled",
        "people",
        "got_it",
        "status",
    )
    list_display_links = ("titled",)
    list_select_related = ("template", "segment")
    ordering = ("brand", "-id")
    number_columns: ClassVar[tuple[str, ...]] = ("people", "got_it")
    phone_columns: ClassVar[tuple[str, ...]] = ("titled", "got_it", "status")
    field_labels: ClassVar[dict[str, Any]] = {
        "template": gettext_lazy("Coupon"),
        "segment": gettext_lazy("Segment"),
    }

    @admin.display(description=gettext_lazy("coupon and segment"))
    def titled(self, row: Push) -> Any:
        """Show what was given to whom."""
        return two_lines(row.template.name, row.segment.name)

    @admin.display(description=gettext_lazy("people"))
    def people(self, row: Push) -> str:
        """Show how many people it was meant for."""
        return formats.NOTHING if row.state == PushState.DRAFT else formats.count(row.total)

    @admin.display(description=pgettext_lazy("coupon push", "Given"))
    def got_it(self, row: Push) -> str:
        """Show how many got it."""
        return formats.NOTHING if row.state == PushState.DRAFT else formats.count(selectors.progress_of(row).given)

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Push) -> Any:
        """Show how far it is."""
        return state(row.get_state_display(), TONES[PushState(row.state)])

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody change one in a form."""
        return False

    def save_model(self, request: HttpRequest, obj: Push, form: Any, change: bool) -> None:
        """Note it through the service; nothing is given before it is confirmed."""
        made = services.create_push(
            operation=Operation(f"staff:{viewer_of(request).staff_id}", f"push:{uuid.uuid4()}"),
            template=obj.template,
            segment=obj.segment,
            reason=obj.reason,
            at=now(),
        )
        obj.pk = made.pk

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """Show what it would do."""
        return HttpResponseRedirect(reverse("admin:coupons_push_change", args=[obj.pk]))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show what one would do, how far it is and who was left out; begin it, stop it."""
        if object_id is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        may = self.may(request, "edit")
        if request.method == "POST":
            if not may:
                raise PermissionDenied
            return self._act(request, row)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Coupon for a segment"),
            "zy_object": row.template.name,
            "zy_deeper": True,
            "may": may,
            "list_link": reverse("admin:coupons_push_changelist"),
            "template_link": reverse("admin:coupons_template_change", args=[row.template_id]),
            "write_link": _write_link(request, row),
            **shown(row, now()),
            **_left_out(request, row),
            **(_before(row, now()) if row.state == PushState.DRAFT else {}),
        }
        return TemplateResponse(request, "coupons/push.html", context)

    def _act(self, request: HttpRequest, row: Push) -> HttpResponseBase:
        act = request.POST.get("act")
        if act not in ("start", "stop"):
            raise Http404
        try:
            if act == "start":
                services.start_push(push_id=row.pk, at=now())
            else:
                services.stop_push(push_id=row.pk, at=now())
                messages.success(request, gettext("Stopped. Coupons that were given stay."))
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
        return HttpResponseRedirect(reverse("admin:coupons_push_change", args=[row.pk]))


def _write_link(request: HttpRequest, row: Push) -> str:
    """Give the address of a new campaign for the segment, once coupons were given: a coupon itself sends nothing."""
    over = row.state in (PushState.DONE, PushState.STOPPED)
    if not over or not row.tally.get(Outcome.GIVEN) or not viewer_of(request).can("campaigns.edit"):
        return ""
    return f"{reverse('admin:campaigns_campaign_new')}?segment={row.segment_id}"


def shown(row: Push, at: datetime) -> dict[str, Any]:
    """Give how far a push is, as page and part show it."""
    version = row.version or current_version(row.template_id)
    return {
        "row": row,
        "tone": TONES[PushState(row.state)],
        "going": row.state in GOING,
        "progress": selectors.progress_of(row),
        "sentence": rule_sentence(read(version.rule)) if version else "",
        "at": at,
        "page_link": reverse("admin:coupons_push_change", args=[row.pk]),
        "progress_link": reverse("admin:coupons_push_progress", args=[row.pk]),
    }


def _before(row: Push, at: datetime) -> dict[str, Any]:
    """Give what confirming it would do now, or why it cannot be confirmed."""
    late = refusal(row.segment, at=at)
    if late is not None:
        return {"problem": " ".join(late)}
    if row.template.state != TemplateState.ACTIVE:
        return {"problem": gettext("This coupon is turned off. Turn it on, then it can be given.")}
    try:
        plan = selectors.plan_of(row.template, row.segment, at=at)
        rule = sentence(row.segment.rule)
    except RuleInvalid as error:
        return {"problem": gettext("The segment cannot be used any more: %(why)s") % {"why": error.message}}
    return {"plan": plan, "rule": rule}


def _left_out(request: HttpRequest, row: Push) -> dict[str, Any]:
    """Give a page of the people who were left out, within reach of whoever looks."""
    wanted = request.GET.get("outcome", "")
    outcome = wanted if wanted in Outcome.values else ""
    rows = selectors.left_out_of(
        row,
        viewer=viewer_of(request),
        outcome=outcome,
        after=row_id(request.GET.get("after")) or 0,
        limit=selectors.A_PAGE + 1,
    )
    more = len(rows) > selectors.A_PAGE
    rows = rows[: selectors.A_PAGE]
    note_listed(people=[each.member_id for each in rows], page="coupons.left_out", at=now())
    return {
        "outcome": outcome,
        "people": [
            {
                "who": str(each.member),
                "why": each.get_outcome_display(),
                "link": reverse("admin:members_member_change", args=[each.member_id]),
            }
            for each in rows
        ],
        "after": rows[-1].member_id if more else None,
    }


def progress_part(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Answer how far a push is."""
    row = Push.objects.select_related("template", "segment", "version").filter(pk=pk).first()
    if row is None:
        raise Http404
    return TemplateResponse(
        request, "coupons/_push_progress.html", {**shown(row, now()), "may": viewer_of(request).can("coupons.edit")}
    )


_PROGRESS = Page("coupons/pushes/<int:pk>/progress/", progress_part, "coupons_push_progress", "coupons")
pages.register(_PROGRESS.name, _PROGRESS)


shows("coupons.left_out", gettext_lazy("Left out of a coupon for a segment"), "name", "coupons", way=Way.LIST)
