"""The platform's own administration: brands and the people who sign in. Only for superusers; no brand data here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.password_validation import validate_password
from django.db.models import Prefetch
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.admin import ModelAdmin
from unfold.forms import UserCreationForm
from unfold.sites import UnfoldAdminSite
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.models import Brand, BrandKey, StaffUser
from console import formats
from console.columns import moment, recently, state, two_lines
from console.sign_in import second_factor_required

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest


class PlatformSite(UnfoldAdminSite):  # type: ignore[misc] # Unfold has no types
    """Brands and accounts across the installation."""

    enable_nav_sidebar = True
    site_url = None

    def has_permission(self, request: HttpRequest) -> bool:
        """Let superusers in who have passed their second factor."""
        return request.user.is_active and request.user.is_superuser

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
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
            for icon in [getattr(self._registry[row["model"]], "icon", "group")]
        ]
        context["zy_environment"] = _("Platform")
        return context

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Enter through the one sign-in of the product."""
        return HttpResponseRedirect(settings.LOGIN_URL)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Open the list of brands."""
        return HttpResponseRedirect(f"{request.path}accounts/brand/")


class PlatformModelAdmin(ModelAdmin):  # type: ignore[misc]
    """Lists and forms in the console's frame."""

    list_fullwidth = True
    show_add_link = False
    sortable_by = ()
    change_form_template = "console/change_form.html"
    change_list_template = "console/change_list.html"
    add_label: ClassVar[Any] = ""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list under its own title."""
        context = {"title": self.opts.verbose_name_plural, "zy_add_label": self.add_label, **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Head the form with the row or the verb."""
        obj = kwargs.get("obj")
        context.update(title=str(obj) if obj else self.add_label, zy_may_save=True, subtitle=None)
        return super().render_change_form(request, context, *args, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep brands and accounts: the log names them. Closing one is `active` switched off."""
        return False


class BrandAdmin(PlatformModelAdmin):
    """Brands of the installation. Their data is not reachable from here."""

    icon: ClassVar[str] = "domain"
    add_label = gettext_lazy("New brand")
    list_display = (
        "name",
        "slug",
        "timezone",
        "is_active",
        "data_key_now",
        moment("created_at", gettext_lazy("created")),
    )
    search_fields = ("name", "slug")
    fields = ("slug", "name", "name_en", "timezone", "is_active")
    ordering = ("name", "pk")

    @admin.display(description=gettext_lazy("data key"))
    def data_key_now(self, row: Brand) -> Any:
        """Show under which key the brand's values are, or how far sealing them anew is."""
        key = max(row.keys.all(), key=lambda each: each.number, default=None)
        if key is None:
            return state(_("first key"))
        if key.settled_at is not None:
            since = _("everything under it since %(moment)s") % {"moment": formats.local_time(key.settled_at)}
            return two_lines(state(_("key %(number)s") % {"number": key.number}, "success"), since)
        done = _("%(count)s values sealed anew") % {"count": formats.count(key.turned)}
        return two_lines(state(_("being changed for key %(number)s") % {"number": key.number}, "info"), done)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Brand]:
        """Bring the keys' numbers along, and nothing that could open a value."""
        found: QuerySet[Brand] = super().get_queryset(request)
        return found.prefetch_related(Prefetch("keys", BrandKey.objects.defer("wrapped")))

    def get_readonly_fields(self, request: HttpRequest, obj: Brand | None = None) -> tuple[str, ...]:
        """Keep the address of a brand: links and printed codes carry it."""
        return ("slug",) if obj else ()


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """An account; a new password can be set and none can be read."""

    new_password = forms.CharField(
        label=gettext_lazy("New password"),
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy("Empty keeps the present one. At least ten characters; pass it on in person."),
    )

    def clean_new_password(self) -> str:
        """Check the password as everywhere."""
        password: str = self.cleaned_data["new_password"]
        if password:
            validate_password(password, self.instance)
        return password


class StaffUserAdmin(PlatformModelAdmin):
    """Accounts of people. Roles are given by brand owners inside their brand."""

    add_label = gettext_lazy("New account")
    list_display = (
        "username",
        "name",
        "is_active",
        "is_superuser",
        recently("last_login", gettext_lazy("last signed in")),
    )
    search_fields = ("username", "name")
    ordering = ("username",)
    add_form = UserCreationForm
    form = AccountForm
    fields = ("username", "name", "language", "is_active", "is_superuser", "new_password")
    actions = ("take_second_factor_away",)
    add_fieldsets = ((None, {"fields": ("username", "name", "password1", "password2")}),)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Ask for a password when an account is made."""
        if obj is None:
            kwargs.setdefault("form", self.add_form)
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: StaffUser, form: Any, change: bool) -> None:
        """Set the new password, when one was given."""
        if form.cleaned_data.get("new_password"):
            obj.set_password(form.cleaned_data["new_password"])
        super().save_model(request, obj, form, change)

    @admin.action(description=gettext_lazy("Take the second factor away"))
    def take_second_factor_away(self, request: HttpRequest, queryset: Any) -> None:
        """Let people who lost their phone enrol anew; the platform's own log keeps who did it."""
        for user in queryset:
            if TOTPDevice.objects.filter(user=user).delete()[0]:
                self.log_change(request, user, _("second factor taken away"))
        self.message_user(request, _("They sign in with the password alone until they enrol again."))


platform = PlatformSite(name="platform")
platform.index_title = gettext_lazy("Platform")
platform.register(Brand, BrandAdmin)
platform.register(StaffUser, StaffUserAdmin)
