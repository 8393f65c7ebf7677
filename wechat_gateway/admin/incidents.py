"""Incidents: what is wrong between the brand and WeChat, in words that need no log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.http import Http404, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.http import viewer_of
from console.registry import BulkColumn
from wechat_gateway.incidents import cause_of, effects_of, end_by_hand, kinds
from wechat_gateway.models import Incident
from wechat_gateway.on_screen import action_shown, app_names, app_of, cause_shown, title_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class OpenView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """What is wrong now, and what is over."""

    title = gettext_lazy("state")
    parameter_name = "open"
    views: ClassVar = [("1", gettext_lazy("Open")), ("0", gettext_lazy("Over"))]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the two."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one."""
        if self.value() not in dict(self.views):
            return queryset
        return queryset.filter(closed_at__isnull=self.value() == "1")


def _titles(ids: list[int]) -> dict[int, Any]:
    rows = list(Incident.objects.filter(pk__in=ids))
    names = app_names(row.appid for row in rows)
    return {row.pk: two_lines(title_of(row, names.get(row.appid, row.appid)), cause_shown(row)) for row in rows}


@admin.register(Incident, site=site)
class IncidentAdmin(ConsoleModelAdmin):
    """Incidents open and close by themselves; here they are read."""

    area = "incidents"
    place = "settings"
    tab = gettext_lazy("Incidents")
    tab_order = 25
    allow_add = False
    allow_change = False
    audit_writes = False
    empty_text = gettext_lazy(
        "Nothing is wrong. When WeChat refuses something, it is shown here until it is well again."
    )
    list_display = (
        moment("opened_at", gettext_lazy("since")),
        BulkColumn("what", gettext_lazy("what happened"), _titles),
        "status",
    )
    list_filter = (OpenView,)
    views_filter = OpenView
    ordering = ("brand", "-opened_at", "-pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("opened_at", "what", "status")

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: Incident) -> Any:
        """Show whether it is over."""
        if row.closed_at is None:
            return state(gettext("open"), "danger")
        return state(gettext("over"), "success")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show what happened, why, to whom, and what to do."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            viewer_of(request).require("accounts.edit")
            if not end_by_hand(row, at=now()):
                return HttpResponseNotAllowed(["GET", "HEAD"])
            return HttpResponseRedirect(request.path)
        app = app_of(row.appid)
        title = title_of(row, app.name if app is not None else row.appid)
        kind = kinds.get(row.kind)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "zy_object": title,
            "row": row,
            "status": self.status(row),
            "cause": cause_shown(row),
            "action": action_shown(row),
            "words": row.detail if row.code is not None and row.detail != str(cause_of(row)) else "",
            "consequence": str(kind.consequence) % {"subject": row.subject},
            "effects": effects_of(row),
            "by_hand": kind.by_hand,
            "may_end": kind.by_hand and viewer_of(request).can("accounts.edit"),
            "app": app,
            "app_link": self._app_link(request, app),
        }
        return TemplateResponse(request, "console/incident.html", context)

    def _app_link(self, request: HttpRequest, app: Any) -> str:
        if app is None or not viewer_of(request).can("accounts.view"):
            return ""
        return reverse(f"admin:wechat_gateway_{app._meta.model_name}_change", args=[app.pk])
