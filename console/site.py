"""The admin site of a brand's console: frame, navigation, home page, search, and what a refused person sees."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from unfold.sites import UnfoldAdminSite

from accounts.errors import NotAllowed, Unsealable
from accounts.roles import DataScope, Role
from common.clock import is_simulated, now
from common.errors import AppError
from console import home, registry
from console.http import back, brand_of, has_nul, viewer_of
from console.search import search_results

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http.response import HttpResponseBase
    from django.urls import URLPattern

    from accounts.viewer import Viewer

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc] # Unfold has no types
    """The back office of one brand. The middleware has opened the brand's scope and found the person's role."""

    enable_nav_sidebar = True
    index_template = "console/home.html"
    site_url = None

    def has_permission(self, request: HttpRequest) -> bool:
        """Let everybody in whom the middleware has let in; what they see depends on their role."""
        return request.user.is_active and hasattr(request, "viewer")

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Wrap a view: the brand's time zone, one transaction for a write, readable refusals."""
        inner = super().admin_view(view, cacheable)

        @wraps(view)
        def outer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.has_permission(request):
                raise Http404
            if has_nul(request):
                raise BadRequest
            with timezone.override(ZoneInfo(brand_of(request).timezone)):
                return self._answer(request, inner, args, kwargs)

        return outer

    def _answer(self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any) -> HttpResponseBase:
        try:
            if request.method in SAFE_METHODS:
                return _rendered(view(request, *args, **kwargs))
            with transaction.atomic():
                return _rendered(view(request, *args, **kwargs))
        except (PermissionDenied, NotAllowed):
            return self.forbidden(request)
        except Unsealable:
            if request.method in SAFE_METHODS:
                raise
            messages.error(request, _("Not done. A sealed value does not open; an incident says which one."))
            return back(request, request.path)
        except AppError as error:
            if error.status == 500:
                raise
            if error.status == 404:
                raise Http404 from error
            messages.error(request, " ".join(part for part in (error.message, error.hint) if part))
            return back(request, request.path)

    def forbidden(self, request: HttpRequest) -> HttpResponseBase:
        """Say which role cannot see this, and who can change that."""
        context = {
            **self.each_context(request),
            "title": _("You cannot see this page"),
            "role": role_label(viewer_of(request)),
        }
        return _rendered(TemplateResponse(request, "console/forbidden.html", context, status=403))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Give every page its frame: navigation, tabs, brand, role, environment."""
        context: dict[str, Any] = super().each_context(request)
        viewer = viewer_of(request)
        tabs = visible_tabs(viewer)
        url_name = request.resolver_match.url_name if request.resolver_match else ""
        covering = [tab for tab in tabs if tab.covers(url_name or "")]  # the inbox covers what lies below its lists too
        current = max(covering, key=lambda tab: (tab.name == url_name, len(tab.prefix)), default=None)
        place_key = current.place if current else ("today" if url_name == "index" else "")
        place = registry.places.find(place_key) if place_key else None
        context.update(
            zy_brand=brand_of(request),
            zy_role=role_label(viewer),
            zy_scope=str(DataScope(viewer.scope).label),
            zy_nav=navigation(tabs, place_key),
            zy_place=place,
            zy_place_link=link_of(next((tab.name for tab in tabs if tab.place == place_key), "index")),
            zy_tab=current,
            zy_tab_link=link_of(current.name) if current else "",
            zy_tabs=[
                {"label": tab.label, "link": link_of(tab.name), "active": tab is current}
                for tab in tabs
                if tab.place == place_key
            ],
            zy_clock=int(now().timestamp() * 1000) if is_simulated() else None,
            zy_environment=environment(),
        )
        return context

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """List no apps: the frame has its own navigation, and making the list was a tenth of a page's time."""
        return []

    def get_urls(self) -> list[URLPattern]:
        """Give the models' pages, the apps' own pages and the search."""
        own = [
            path(page.path, self.admin_view(_page_view(self, page)), name=page.name)
            for _key, page in registry.pages.items()
        ]
        urls: list[URLPattern] = super().get_urls()
        return [*own, *urls]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show what needs a decision now, the four figures, one chart, and what is running."""
        context = {
            **self.each_context(request),
            "title": _("Today"),
            **home.contents(viewer_of(request)),
            **(extra_context or {}),
        }
        request.current_app = self.name
        return TemplateResponse(request, self.index_template, context)

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseRedirect:
        """Lead home: the console is divided by work, not by the code's apps."""
        return HttpResponseRedirect(reverse("admin:index"))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Find people and things of this brand. Nothing is cached: results of one brand must never show in another."""
        term = (request.GET.get("s") or "").strip()[:60]
        groups = search_results(viewer_of(request), term) if term else []
        pages = [tab for tab in visible_tabs(viewer_of(request)) if term and term.lower() in str(tab.label).lower()]
        context = {
            "term": term,
            "groups": groups,
            "pages": [{"title": tab.label, "link": link_of(tab.name)} for tab in pages[:8]],
        }
        return TemplateResponse(request, "console/search_results.html", context)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Leave through the one sign-out of the product, outside any brand."""
        return HttpResponseRedirect("/logout/")

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Enter through the one sign-in of the product, outside any brand."""
        return HttpResponseRedirect(settings.LOGIN_URL)


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    # Rendered here, so that brand scope, time zone and refusals hold for lazy parts of the template too.
    if isinstance(response, TemplateResponse) and not response.is_rendered:
        return response.render()
    return response


def _page_view(site: ConsoleSite, page: registry.Page) -> Callable[..., HttpResponseBase]:
    @wraps(page.view)
    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if page.area:
            viewer_of(request).require(f"{page.area}.{page.act}")
        request.current_app = site.name
        return page.view(request, *args, **kwargs)

    return view


def page_response(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> TemplateResponse:
    """Give a page in the console's frame; `context` needs a `title`."""
    return TemplateResponse(request, template, {**site.each_context(request), **context}, status=status)


def role_label(viewer: Viewer) -> str:
    """Give the role's name for people."""
    return str(Role(viewer.role).label) if viewer.role in Role.values else viewer.role


def visible_tabs(viewer: Viewer) -> list[registry.Tab]:
    """Give the tabs the role may see, in the order of the console."""
    tabs = [tab for _key, tab in registry.nav.items() if not tab.area or viewer.can(f"{tab.area}.view")]
    return sorted(tabs, key=lambda tab: (registry.places.get(tab.place).order, tab.order))


def navigation(tabs: list[registry.Tab], current: str) -> list[dict[str, Any]]:
    """Give the sidebar: each place with the address of its first visible tab."""
    rows: list[dict[str, Any]] = []
    block = 0
    for place in sorted((item for _key, item in registry.places.items()), key=lambda place: place.order):
        first = next((tab for tab in tabs if tab.place == place.key), None)
        if first is None and place.key != "today":
            continue
        rows.append(
            {
                "label": place.label,
                "icon": place.icon,
                "link": link_of(first.name) if first else reverse("admin:index"),
                "active": place.key == current,
                "separator": bool(rows) and place.block != block,
            },
        )
        block = place.block
    return rows


def link_of(name: str) -> str:
    """Give the address of a page of the console by its URL name."""
    try:
        return reverse(f"admin:{name}")
    except NoReverseMatch:
        return ""


def environment() -> str:
    """Name the environment; nothing in production."""
    if is_simulated():
        return _("Simulated")
    return "" if settings.IS_PRODUCTION else _("Sandbox")


site = ConsoleSite(name="admin")
