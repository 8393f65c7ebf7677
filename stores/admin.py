"""Pages of stores and regions: where, when open, which role reaches which store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.models import RoleGrant
from common.clock import now
from console import formats
from console.admin import ConsoleModelAdmin, ConsoleTabularInline, site
from console.columns import state, two_lines
from console.forms import BrandModelForm
from console.http import viewer_of
from console.registry import BulkColumn, Hit, SearchGroup, search_groups
from stores.models import DayException, OpeningHours, Region, RegionGrant, Store, StoreGrant
from stores.selectors import Hours, opening_hours, region_is_below, visible_stores

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer

WEEKDAYS = [
    (0, gettext_lazy("Monday")),
    (1, gettext_lazy("Tuesday")),
    (2, gettext_lazy("Wednesday")),
    (3, gettext_lazy("Thursday")),
    (4, gettext_lazy("Friday")),
    (5, gettext_lazy("Saturday")),
    (6, gettext_lazy("Sunday")),
]
CHINA = {"lat": (3.0, 54.0), "lng": (73.0, 136.0)}


def _hours(ids: list[int]) -> dict[int, Hours]:
    at = now()
    return opening_hours(ids, at=at, zone=formats.local(at).tzinfo)  # type: ignore[arg-type]


def _hours_cell(hours: Hours | None, row: Store) -> Any:
    if not row.is_active:
        return state(gettext("out of operation"))
    if hours is None or (not hours.today and hours.opens is None):
        return state(gettext("no opening hours"), "warning")
    today = gettext(", ").join(f"{opens:%H:%M}–{closes:%H:%M}" for opens, closes in hours.today)
    if hours.is_open:
        return two_lines(state(gettext("open until %(time)s") % {"time": f"{hours.closes:%H:%M}"}, "success"), today)
    if hours.opens is None:
        return two_lines(state(gettext("closed")), today)
    when = f"{formats.local_time(hours.opens_on)} {hours.opens:%H:%M}"
    return two_lines(state(gettext("closed")), gettext("opens %(when)s") % {"when": when})


class HoursForm(BrandModelForm):
    """One opening span of a weekday."""

    weekday = forms.TypedChoiceField(
        label=gettext_lazy("weekday"),
        choices=WEEKDAYS,
        coerce=int,
        widget=UnfoldAdminSelectWidget(),
    )


class HoursInline(ConsoleTabularInline):
    """The week. A span that closes at or before its opening reaches into the next day."""

    model = OpeningHours
    form = HoursForm
    fields = ("weekday", "opens", "closes")
    ordering = ("weekday", "opens")
    verbose_name = gettext_lazy("opening span")
    verbose_name_plural = gettext_lazy("Week")


class ExceptionInline(ConsoleTabularInline):
    """Days that differ from the week; without times the store is closed."""

    model = DayException
    fields = ("day", "opens", "closes", "reason")
    ordering = ("day",)
    verbose_name_plural = gettext_lazy("Other days (no times = closed)")


class StoreForm(BrandModelForm):
    """A store; coordinates as WeChat and Tencent maps show them (GCJ-02)."""

    def clean(self) -> dict[str, Any]:
        """Catch coordinates that were swapped or are half there."""
        cleaned = super().clean() or self.cleaned_data
        lat, lng = cleaned.get("lat"), cleaned.get("lng")
        if (lat is None) != (lng is None):
            self.add_error("lat", gettext("Latitude and longitude belong together."))
        elif (
            lat is not None and lng is not None and CHINA["lat"][0] <= lng <= CHINA["lat"][1] and lat > CHINA["lng"][0]
        ):
            self.add_error("lat", gettext("Latitude and longitude look swapped: latitude is the smaller one in China."))
        return cleaned


@admin.register(Store, site=site)
class StoreAdmin(ConsoleModelAdmin):
    """The brand's stores."""

    area = "stores"
    place = "stores"
    tab = gettext_lazy("Stores")
    tab_order = 10
    add_label = gettext_lazy("New store")
    empty_text = gettext_lazy("Stores are found by people who send their place; codes and guides belong to them.")
    form = StoreForm
    fields = ("code", "name", "region", "city", "address", "telephone", "lat", "lng", "is_active")
    list_display = (
        "store",
        "region",
        "city",
        "address",
        "telephone",
        BulkColumn("hours", gettext_lazy("today"), _hours, show=_hours_cell),
    )
    list_select_related = ("region",)
    search_fields = ("name",)
    search_help_text = gettext_lazy("Name or code of a store")
    ordering = ("brand", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("store", "hours", "telephone")
    inlines = (HoursInline, ExceptionInline)

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show the stores of the person's data scope; guides see where every store is."""
        viewer = viewer_of(request)
        return visible_stores(viewer) if viewer.scope == "STORES" else queryset

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search by name or code."""
        return queryset.filter(Q(name__icontains=search_term) | Q(code__istartswith=search_term)), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Leave new stores to roles that reach the whole brand: a new one is in nobody's own stores."""
        return super().has_add_permission(request) and viewer_of(request).scope == "BRAND"

    @admin.display(description=gettext_lazy("store"))
    def store(self, row: Store) -> Any:
        """Show name and code."""
        return two_lines(row.name, row.code)


class RegionForm(BrandModelForm):
    """A region; the tree has no rings."""

    def clean(self) -> dict[str, Any]:
        """Refuse a region that would lie in itself."""
        cleaned = super().clean() or self.cleaned_data
        parent = cleaned.get("parent")
        if parent is not None and self.instance.pk and region_is_below(parent.pk, self.instance.pk):
            self.add_error("parent", gettext("A region cannot lie in itself or in a region below it."))
        return cleaned


@admin.register(Region, site=site)
class RegionAdmin(ConsoleModelAdmin):
    """The store tree above the stores."""

    area = "stores"
    place = "stores"
    tab = gettext_lazy("Regions")
    tab_order = 20
    add_label = gettext_lazy("New region")
    empty_text = gettext_lazy("Regions group stores: by city, by area, by franchise.")
    list_display = ("name", "parent")
    list_select_related = ("parent",)
    form = RegionForm
    fields = ("name", "parent")
    ordering = ("brand", "name", "pk")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Leave the tree to roles that reach the whole brand."""
        return super().has_add_permission(request) and viewer_of(request).scope == "BRAND"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Leave the tree to roles that reach the whole brand."""
        return super().has_change_permission(request, obj) and viewer_of(request).scope == "BRAND"


class StoreGrantInline(ConsoleTabularInline):
    """Which stores a role with the scope “own stores” reaches."""

    model = StoreGrant
    fields = ("store",)
    verbose_name = gettext_lazy("store")
    verbose_name_plural = gettext_lazy("Own stores (for the data scope “own stores”)")


class RegionGrantInline(ConsoleTabularInline):
    """Which regions a role with the scope “own stores” reaches, with everything below them."""

    model = RegionGrant
    fields = ("region",)
    verbose_name = gettext_lazy("region")
    verbose_name_plural = gettext_lazy("Own regions, with all stores below (for the data scope “own stores”)")


def extend_roles() -> None:
    """Let the page of a role say which regions and stores it reaches; accounts lies below stores and cannot."""
    roles = site._registry[RoleGrant]  # noqa: SLF001 - registered by accounts.admin, which is discovered first
    roles.inlines = (*roles.inlines, RegionGrantInline, StoreGrantInline)


extend_roles()


def find_stores(viewer: Viewer, term: str) -> list[Hit]:
    """Find stores by a part of the name or the beginning of the code."""
    stores = visible_stores(viewer) if viewer.scope == "STORES" else Store.objects.all()
    rows = stores.filter(Q(name__icontains=term) | Q(code__istartswith=term)).order_by("name", "pk")[:8]
    return [Hit(row.name, row.code, reverse("admin:stores_store_change", args=[row.pk])) for row in rows]


search_groups.register("stores", SearchGroup(gettext_lazy("Stores"), "stores", find_stores, 40))
