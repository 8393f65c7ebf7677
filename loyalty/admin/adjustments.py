"""Corrections by hand: who asked for them and why, and those that wait for a second person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from common.errors import AppError
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.http import viewer_of
from loyalty import services
from loyalty.models import Adjustment, AdjustmentState
from loyalty.selectors import points as selectors
from members.opened import lists
from members.selectors import records_within

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

_TONES = {AdjustmentState.PENDING: "warning", AdjustmentState.DONE: "success", AdjustmentState.REJECTED: ""}


class StateView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """Corrections that wait, are done, were rejected."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = list(AdjustmentState.choices)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the three."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one."""
        return queryset.filter(state=self.value()) if self.value() in AdjustmentState.values else queryset


@admin.register(Adjustment, site=site)
class AdjustmentAdmin(ConsoleModelAdmin):
    """Corrections are asked for on a member's page of points; here they are read and decided."""

    area = "points"
    place = "rewards"
    tab = gettext_lazy("Adjustments")
    tab_order = 30
    allow_add = False
    allow_change = False
    audit_writes = False
    empty_text = gettext_lazy("Corrections by hand appear here. They are made on the page of a member's points.")
    list_display = (moment("asked_at", gettext_lazy("asked at")), "whose", "moved", "why", "status")
    list_display_links = ("asked_at", "whose")
    list_select_related = ("member", "asked_by")
    list_filter = (StateView,)
    views_filter = StateView
    ordering = ("brand", "-id")
    number_columns: ClassVar[tuple[str, ...]] = ("moved",)
    phone_columns: ClassVar[tuple[str, ...]] = ("whose", "moved", "status")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show corrections of members the person may see."""
        return queryset.filter(member__in=records_within(viewer_of(request)))

    @admin.display(description=gettext_lazy("member"))
    def whose(self, row: Adjustment) -> Any:
        """Show whose points it is about."""
        return two_lines(row.member, row.member.member_no)

    @admin.display(description=gettext_lazy("points"))
    def moved(self, row: Adjustment) -> str:
        """Show the points with their sign."""
        return f"{row.points:+,}"

    @admin.display(description=gettext_lazy("reason"))
    def why(self, row: Adjustment) -> Any:
        """Show the reason and who asked."""
        return two_lines(row.reason, row.asked_by or "")

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Adjustment) -> Any:
        """Show how it stands."""
        return state(row.get_state_display(), _TONES[AdjustmentState(row.state)])

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show a correction, and let a second person decide."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        may = self.may(request, "approve") and row.state == AdjustmentState.PENDING
        own = row.asked_by_id is not None and row.asked_by_id == viewer_of(request).staff_id
        if request.method == "POST":
            return self._decide(request, row)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Points adjustment"),
            "zy_object": str(row.member),
            "zy_deeper": True,
            "row": row,
            "moved": self.moved(row),
            "status": self.status(row),
            "may_decide": may,
            "own": own,
            "limit": selectors.policy().adjust_limit,
            "spendable": selectors.balance_of(row.member_id).spendable,
            "list_link": reverse("admin:loyalty_adjustment_changelist"),
            "member_link": reverse("admin:members_member_points", args=[row.member_id]),
        }
        return TemplateResponse(request, "loyalty/adjustment.html", context)

    def _decide(self, request: HttpRequest, row: Adjustment) -> HttpResponseRedirect:
        if not self.may(request, "approve"):
            raise PermissionDenied
        act = request.POST.get("act")
        if act not in ("approve", "reject"):
            raise Http404
        try:
            done = services.decide_adjustment(
                adjustment_id=row.pk, approve=act == "approve", note=request.POST.get("note", ""), at=now()
            )
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
            return HttpResponseRedirect(reverse("admin:loyalty_adjustment_change", args=[row.pk]))
        said = (
            gettext("Approved: the points have moved.") if done.journal_id else gettext("Rejected: nothing has moved.")
        )
        messages.success(request, said)
        return HttpResponseRedirect(reverse("admin:loyalty_adjustment_changelist"))


lists("loyalty.Adjustment", "name", "number", "points", page=("name", "number", "points"))
