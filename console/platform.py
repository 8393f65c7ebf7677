"""The platform's own administration: brands and the people who sign in. Only for superusers; no brand data here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.forms import UserChangeForm
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserCreationForm
from unfold.sites import UnfoldAdminSite

from accounts.models import Brand, StaffUser
from console.sign_in import second_factor_required

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


class PlatformSite(UnfoldAdminSite):  # type: ignore[misc] # Unfold has no types
    """Brands and accounts across the installation."""

    enable_nav_sidebar = True
    site_url = None

    def has_permission(self, request: HttpRequest) -> bool:
        """Let superusers in who have passed their second factor."""
        return request.user.is_active and request.user.is_superuser

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:  # noqa: FBT001, FBT002
        """Hide the site from everybody else."""
        inner = super().admin_view(view, cacheable)

        def outer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            away = second_factor_required(request)
            if away is not None:
                return away
            if not self.has_permission(request):
                raise Http404
            response: HttpResponse = inner(request, *args, **kwargs)
            return response

        return outer

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Give the frame the two places of the platform."""
        context: dict[str, Any] = super().each_context(request)
        here = request.path
        context["zy_nav"] = [
            {"label": row["name"], "icon": icon, "link": row["admin_url"], "active": here.startswith(row["admin_url"])}
            for app in self.get_app_list(request)
            for row in app["models"]
            for icon in [{"Brand": "domain"}.get(row["object_name"], "group")]
        ]
        context["zy_environment"] = _("Platform")
        return context

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # noqa: ARG002
        """Enter through the one sign-in of the product."""
        return HttpResponseRedirect(settings.LOGIN_URL)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # noqa: ARG002
        """Open the list of brands."""
        return HttpResponseRedirect(f"{request.path}accounts/brand/")


class BrandAdmin(ModelAdmin):  # type: ignore[misc]
    """Brands of the installation. Their data is not reachable from here."""

    list_display = ("name", "slug", "timezone", "is_active", "created_at")
    search_fields = ("name", "slug")
    fields = ("slug", "name", "name_en", "timezone", "is_active")
    ordering = ("name", "pk")
    list_fullwidth = True
    show_add_link = False
    change_form_template = "console/change_form.html"
    change_list_template = "console/platform_list.html"

    def get_readonly_fields(self, request: HttpRequest, obj: Brand | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Keep the address of a brand: links and QR codes carry it."""
        return ("slug",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Keep brands: closing one is `active` switched off."""
        return False


class StaffUserAdmin(ModelAdmin):  # type: ignore[misc]
    """Accounts of people. Roles are given by brand owners inside their brand."""

    list_display = ("username", "name", "is_active", "is_superuser", "last_login")
    search_fields = ("username", "name")
    ordering = ("username",)
    list_fullwidth = True
    show_add_link = False
    change_form_template = "console/change_form.html"
    change_list_template = "console/platform_list.html"
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    fields = ("username", "name", "language", "is_active", "is_superuser")
    add_fieldsets = ((None, {"fields": ("username", "name", "password1", "password2")}),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        """Ask for a password when an account is made."""
        if obj is None:
            kwargs.setdefault("form", self.add_form)
        else:
            kwargs.setdefault("form", self._plain_form())
        return super().get_form(request, obj, change, **kwargs)

    @staticmethod
    def _plain_form() -> Any:
        from django.forms import ModelForm  # noqa: PLC0415

        return ModelForm

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Keep accounts: the log names them."""
        return False


platform = PlatformSite(name="platform")
platform.index_title = gettext_lazy("Platform")
platform.register(Brand, BrandAdmin)
platform.register(StaffUser, StaffUserAdmin)
