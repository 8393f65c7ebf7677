"""Who has looked at whom: one line for each who, whom, page and hour. Nobody can change it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from accounts.models import ApiKey, RoleGrant
from common.clock import now
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, two_lines
from console.http import row_id, viewer_of
from console.labels import via_label
from console.registry import shown_rows
from members.models import AccessEntry, Follower, Member
from members.opened import PAGE, lists, lists_of_people, page_label
from members.selectors import person_of, records_within, visible_members
from members.services import look_up_members, note_listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

FOUND = 20
_KEY = "key-"


class PeriodView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """When they looked."""

    title = gettext_lazy("period")
    parameter_name = "days"
    views: ClassVar = [
        ("1", gettext_lazy("Last 24 hours")),
        ("7", gettext_lazy("Last 7 days")),
        ("30", gettext_lazy("Last 30 days")),
    ]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the periods."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen period."""
        if self.value() not in dict(self.views):
            return queryset
        return queryset.filter(at__gte=now() - timedelta(days=int(self.value())))


class ByWhomFilter(DropdownFilter):  # type: ignore[misc]
    """Who looked: somebody with a role here, or one of the brand's API keys."""

    title = gettext_lazy("who")
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the brand's people and keys, also those whose key was withdrawn."""
        grants = RoleGrant.objects.select_related("staff_user").order_by("staff_user__username")[:200]
        people = [(str(grant.staff_user_id), str(grant.staff_user)) for grant in grants]
        keys = ApiKey.objects.order_by("label", "pk").values_list("pk", "label")[:50]
        return people + [(f"{_KEY}{pk}", gettext("API key %(label)s") % {"label": label}) for pk, label in keys]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen one; anything that is none of the brand's finds nothing."""
        value = self.value() or ""
        if not value:
            return queryset
        pk = row_id(value.removeprefix(_KEY))
        if pk is None:
            return queryset.none()
        if not value.startswith(_KEY):
            return queryset.filter(actor_id=pk)
        labels = ApiKey.objects.filter(pk=pk).values_list("label", flat=True)
        before = Q(api_key__isnull=True, actor__isnull=True, actor_label__in=[label[:120] for label in labels])
        return queryset.filter(Q(api_key_id=pk) | before)  # `before` the key itself was kept


@admin.register(AccessEntry, site=site)
class AccessEntryAdmin(ConsoleModelAdmin):
    """Written by the pages themselves; here it is searched."""

    area = "audit"
    place = "settings"
    tab = gettext_lazy("Access log")
    tab_order = 41
    allow_add = False
    allow_change = False
    audit_writes = False
    empty_text = gettext_lazy("Whoever opens a page about a person, or reads one over the API, is written down here.")
    list_display = (moment("at", gettext_lazy("when")), "who", "person", "shown", "through")
    list_display_links = None
    list_select_related = ()
    list_filter = (PeriodView, ByWhomFilter)
    views_filter = PeriodView
    search_fields = ("actor_label",)  # shows the box; `get_search_results` decides
    search_help_text = gettext_lazy("Person: name, last 4 digits of the phone, card, member number")
    ordering = ("brand", "-at", "-pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("at", "who", "person")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Fetch the people of a page by key."""
        return super().get_queryset(request).prefetch_related("member")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show who looked at people within reach."""
        viewer = viewer_of(request)
        return queryset if viewer.scope == "BRAND" else queryset.filter(member__in=visible_members(viewer).values("pk"))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search by the person, in all the records they ever had; an erased one is found by the member number."""
        if not search_term:
            return queryset, False
        viewer = viewer_of(request)
        found = [row.pk for row in look_up_members(viewer, search_term, at=now(), limit=FOUND)]
        found += records_within(viewer).filter(member_no=search_term.strip()).values_list("pk", flat=True)
        people = {pk for each in found for pk in person_of(each).member_ids}
        return queryset.filter(member_id__in=people), False

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Show no page of its own: a line says everything."""
        raise Http404

    @admin.display(description=gettext_lazy("who"))
    def who(self, row: AccessEntry) -> Any:
        """Show who looked, and from where."""
        return two_lines(row.actor_label, row.ip)

    @admin.display(description=gettext_lazy("whom"))
    def person(self, row: AccessEntry) -> Any:
        """Show whose page it was; of somebody who was erased only the number is left."""
        member: Member = row.member
        name = gettext("erased") if member.erased_at else member.name or gettext("No name yet")
        return format_html(
            '<a class="zy-link" href="?q={}">{}</a>', member.member_no, two_lines(name, member.member_no)
        )

    @admin.display(description=gettext_lazy("page"))
    def shown(self, row: AccessEntry) -> str:
        """Show which page."""
        return page_label(row.page)

    @admin.display(description=gettext_lazy("through"))
    def through(self, row: AccessEntry) -> str:
        """Show through what."""
        return via_label(row.via)


def note_rows(model: str, rows: Sequence[Any], is_page: bool) -> None:
    """Write down whom a list of the console shows, or whose row's page is opened."""
    known = lists_of_people.find(model)
    if known is None or (is_page and known.page is None):
        return
    note_listed(people=known.people(rows), page=f"{model}{PAGE}" if is_page else model, at=now())


def _of_audit(rows: Sequence[Any]) -> list[int]:
    """Give the people whom entries of the audit log are about, or name by number."""
    ids = [int(row.object_id) for row in rows if row.object_type == "members.member" and row.object_id.isdigit()]
    named = Member.objects.filter(member_no__in=[row.object_label for row in rows])
    return [*ids, *named.values_list("pk", flat=True)]


def _of_pushes(rows: Sequence[Any]) -> list[int]:
    followers = Follower.objects.filter(openid__in={row.openid for row in rows if row.openid})
    return list(followers.values_list("member_id", flat=True))


shown_rows.register("members.access_log", note_rows)
lists("members.AccessEntry", "name", "number")
lists("accounts.AuditEntry", "name", "number", by=_of_audit, page=("name", "number"))
lists("wechat_gateway.InboundPush", "words", by=_of_pushes, page=("words", "wechat"))
