"""A filter for lists of what waits: only what one incident holds up, as the incident's page links to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from console.http import row_id
from wechat_gateway.models import Incident
from wechat_gateway.on_screen import app_names, title_of

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class HeldByIncident(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """What an incident holds up; offered only to who comes from its page."""

    title = gettext_lazy("incident")
    parameter_name = "incident"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the one that was asked for."""
        row = self.asked()
        return [(str(row.pk), title_of(row, app_names([row.appid]).get(row.appid, row.appid)))] if row else []

    def asked(self) -> Incident | None:
        """Give the incident in the address."""
        pk = row_id(self.value())
        return Incident.objects.filter(pk=pk).first() if pk is not None else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to what it holds up."""
        row = self.asked()
        return self.held(queryset, row) if row is not None else queryset

    def held(self, queryset: QuerySet[Any], incident: Incident) -> QuerySet[Any]:
        """Narrow to what an incident holds up."""
        raise NotImplementedError
