"""Connecting accounts and mini programs, and what their connection looks like right now."""

from __future__ import annotations

from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.forms import SecretField
from wechat_gateway import platforms, services
from wechat_gateway.models import InboundPush, MiniProgram, OfficialAccount, PushState
from wechat_gateway.on_screen import check_lines, granted_names
from wechat_gateway.selectors import quota_state, token_state

if TYPE_CHECKING:
    from django.http import HttpRequest


class _Credentials(forms.Form):
    """The parts every account has. What is malformed is said of all fields at once."""

    app_secret = SecretField(
        label="AppSecret",
        help_text=gettext_lazy(
            "WeChat console: Settings and development, Basic configuration. It is never shown again."
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Name every part that cannot be what WeChat gave."""
        cleaned = super().clean() or {}
        for error in services.malformed(cleaned):
            self.add_error(error.field, f"{error.message} {error.hint}")
        return cleaned


class ConnectForm(_Credentials):
    """What WeChat's console shows about a service account."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60, widget=UnfoldAdminTextInputWidget())
    appid = forms.CharField(label="AppID", max_length=32, widget=UnfoldAdminTextInputWidget())
    original_id = forms.CharField(
        label=gettext_lazy("Original id"),
        max_length=32,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Begins with gh_."),
    )
    callback_token = SecretField(label=gettext_lazy("Token"), help_text=gettext_lazy("3 to 32 letters and digits."))
    encoding_aes_key = SecretField(
        label=gettext_lazy("Message encryption key"), help_text=gettext_lazy("43 letters and digits.")
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("Message encryption"),
        choices=list(OfficialAccount._meta.get_field("mode").flatchoices),
        initial="SAFE",
        widget=UnfoldAdminSelectWidget(),
    )
    open_platform_subject = forms.CharField(
        label=gettext_lazy("Open Platform account"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Accounts bound to one Open Platform account know a person by the same UnionID."),
    )
    field_order = ("name", "appid", "original_id", "app_secret", "callback_token", "encoding_aes_key", "mode")


class ProgramForm(_Credentials):
    """What WeChat's console shows about a mini-program."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60, widget=UnfoldAdminTextInputWidget())
    appid = forms.CharField(label="AppID", max_length=32, widget=UnfoldAdminTextInputWidget())
    open_platform_subject = forms.CharField(
        label=gettext_lazy("Open Platform account"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
    )
    field_order = ("name", "appid", "app_secret")


class NameForm(forms.Form):
    """What an app is called here."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60, widget=UnfoldAdminTextInputWidget())


class DetailsForm(NameForm):
    """What can have been mistyped, or was changed in WeChat's console since."""

    original_id = forms.CharField(
        label=gettext_lazy("Original id"),
        max_length=32,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Begins with gh_. Pushes for another one are refused."),
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("Message encryption"),
        choices=list(OfficialAccount._meta.get_field("mode").flatchoices),
        widget=UnfoldAdminSelectWidget(),
        help_text=gettext_lazy("The same as in WeChat's console; pushes sent in another way are refused."),
    )


class KeysForm(forms.Form):
    """A new token and message key."""

    callback_token = SecretField(label=gettext_lazy("New token"), required=True)
    encoding_aes_key = SecretField(label=gettext_lazy("New message encryption key"), required=True)


class _AppAdmin(ConsoleModelAdmin):
    """What accounts and mini-programs have in common: connect by a form, then act by named buttons."""

    area = "accounts"
    place = "settings"
    audit_writes = False  # every service of the gateway writes its entry
    ordering = ("brand", "name", "pk")
    connect_form: ClassVar[type[forms.Form]] = ConnectForm
    template: ClassVar[str] = "console/account.html"

    def connect(self, data: dict[str, Any]) -> OfficialAccount | MiniProgram:
        """Connect what the form describes."""
        raise NotImplementedError

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Connect a new account, or show one with what can be done to it."""
        if object_id is None:
            return self._connect_page(request)
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            if not self.has_change_permission(request, row):
                raise PermissionDenied
            self._act(request, row)
            return HttpResponseRedirect(request.path)
        if request.GET.get("part") == "checks":
            return self._checks_part(request, row)
        context = {
            **self.admin_site.each_context(request),
            **self._checks(row),
            "token_state": token_state(row, at=now()),
            "quotas": quota_state(row, at=now()),
            "title": row.name,
            "zy_object": row,
            "original": row,
            "opts": self.opts,
            "row": row,
            "may_edit": self.has_change_permission(request, row),
            "details_form": self.details_form(row),
            **self.facts(row),
        }
        return TemplateResponse(request, self.template, context)

    def details_form(self, row: Any) -> forms.Form:
        """Give the form for what was typed when the app was connected."""
        return NameForm(initial={"name": row.name})

    def facts(self, row: Any) -> dict[str, Any]:
        """Give what the page shows besides the row."""
        return {}

    def _checks(self, row: Any) -> dict[str, Any]:
        lines = check_lines(row, at=now())
        return {
            "checks": lines,
            "checks_version": blake2b(repr(lines).encode(), digest_size=8).hexdigest(),
            "checks_live": any(line.is_live for line in lines),
            "checks_wrong": sum(line.tone == "danger" for line in lines),
        }

    def _checks_part(self, request: HttpRequest, row: Any) -> Any:
        """Give the results as they are now, or nothing when the page shows them already."""
        context = self._checks(row)
        if context["checks_version"] == request.GET.get("v") and context["checks_live"]:
            return HttpResponse(status=204)
        return TemplateResponse(request, "console/_checks.html", context)

    def authorise_link(self) -> str:
        """Give the page on which an account is connected by scanning, '' where that cannot be."""
        return ""

    def _connect_page(self, request: HttpRequest) -> Any:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.connect_form(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                row = self.connect(form.cleaned_data)
            except AppError as error:
                field = error.field if error.field in form.fields else None
                form.add_error(field, f"{error.message} {error.hint}".strip())
            else:
                services.start_checks(app=row, at=now())
                self.message_user(request, gettext("“%(name)s” is connected.") % {"name": row.name}, level="success")
                return HttpResponseRedirect(
                    reverse(f"admin:wechat_gateway_{self.opts.model_name}_change", args=[row.pk])
                )
        context = {
            **self.admin_site.each_context(request),
            "title": self.add_label,
            "zy_deeper": True,
            "form": form,
            "list_link": reverse(f"admin:wechat_gateway_{self.opts.model_name}_changelist"),
            "verb": self.add_label,
            "authorise_link": self.authorise_link(),
        }
        return TemplateResponse(request, "console/connect.html", context)

    def _act(self, request: HttpRequest, row: Any) -> None:
        act = request.POST.get("act", "")
        said = gettext("Saved.")
        if act == "secret":
            services.change_app_secret(account=row, app_secret=request.POST.get("app_secret", "").strip())
            said = gettext("The new AppSecret is in use.")
        elif act == "subject":
            services.set_subject(app=row, subject=request.POST.get("subject", "").strip())
        elif act == "details":
            typed = {key: request.POST.get(key, "") for key in self.details_form(row).fields}
            services.change_details(app=row, **typed)
        elif act == "check":
            services.start_checks(app=row, at=now())
            said = gettext("The connection is being checked.")
        elif act == "resume":
            services.resume_calls(app=row)
            said = gettext("Calls go on. If the reason still holds, they are parked again at the next call.")
        elif act in {"connect", "disconnect"}:
            services.set_active(account=row, is_active=act == "connect")
            said = gettext("The account is connected.") if act == "connect" else gettext("The account is disconnected.")
        elif not self.act(request, row, act):
            raise Http404
        self.message_user(request, said, level="success")

    def act(self, request: HttpRequest, row: Any, act: str) -> bool:
        """Do what only this kind of account can; give whether it was known."""
        return False

    @admin.display(description=gettext_lazy("state"))
    def connection(self, row: OfficialAccount | MiniProgram) -> Any:
        """Show whether calls go through, or why not."""
        if not row.is_active:
            return state(gettext("disconnected"), "danger")
        if getattr(row, "revoked_at", None) is not None:
            return state(gettext("authorisation taken back"), "danger")
        if row.parked_reason:
            until = (
                gettext("resumes %(when)s") % {"when": formats.local_time(row.parked_until)} if row.parked_until else ""
            )
            return two_lines(state(gettext("waiting to resume"), "warning"), f"{row.parked_reason} {until}".strip())
        return state(gettext("connected"), "success")


@admin.register(OfficialAccount, site=site)
class OfficialAccountAdmin(_AppAdmin):
    """The brand's service accounts."""

    tab = gettext_lazy("Service accounts")
    tab_order = 10
    add_label = gettext_lazy("Connect a service account")
    empty_text = gettext_lazy(
        "Connect the brand's service account: from then on followers, messages and menus are yours."
    )
    list_display = ("name", "appid", "mode", "connection", moment("connected_at", gettext_lazy("connected at")))
    phone_columns: ClassVar[tuple[str, ...]] = ("name", "connection")

    def authorise_link(self) -> str:
        """Offer to scan where the installation has a third-party platform."""
        return reverse("admin:wechat_gateway_officialaccount_authorise") if platforms.current() is not None else ""

    def connect(self, data: dict[str, Any]) -> OfficialAccount:
        """Connect a service account."""
        return services.connect_official_account(at=now(), **data)

    def details_form(self, row: OfficialAccount) -> forms.Form:
        """Give the form for what can be corrected; what WeChat told by itself is left out."""
        if row.platform_appid:
            return NameForm(initial={"name": row.name})
        return DetailsForm(initial={"name": row.name, "original_id": row.original_id, "mode": row.mode})

    def facts(self, row: OfficialAccount) -> dict[str, Any]:
        """Give the callback address and the figures of pushes."""
        day = now() - timedelta(days=1)
        counts = InboundPush.objects.filter(account=row, received_at__gte=day).aggregate(
            pushes=Count("pk"),
            failed=Count("pk", filter=Q(state=PushState.FAILED)),
            unreadable=Count("pk", filter=Q(state=PushState.QUARANTINED)),
        )
        overlap = row.previous_key_until if row.previous_key_until and row.previous_key_until > now() else None
        return {
            # An account of the third-party platform has neither address nor keys of its own.
            "callback_url": "" if row.platform_appid else f"{settings.PUBLIC_URL}/wx/{row.path_token}",
            "keys_form": None if row.platform_appid else KeysForm(),
            "granted": granted_names(row) if row.platform_appid else [],
            "authorise_link": self.authorise_link() if row.platform_appid else "",
            "counts": counts,
            "overlap": overlap,
            "connection": self.connection(row),
            "js_domains": "\n".join(row.js_domains),
            "has_js_domains": True,
        }

    def act(self, request: HttpRequest, row: OfficialAccount, act: str) -> bool:
        """Change the message keys, the callback address or the hosts of web pages."""
        if act == "keys":
            services.change_callback_keys(
                account=row,
                callback_token=request.POST.get("callback_token", "").strip(),
                encoding_aes_key=request.POST.get("encoding_aes_key", "").strip(),
                at=now(),
            )
            return True
        if act == "path":
            services.change_path(account=row)
            return True
        if act == "domains":
            services.set_js_domains(account=row, domains=request.POST.get("js_domains", "")[:2000].split())
            return True
        return False


@admin.register(MiniProgram, site=site)
class MiniProgramAdmin(_AppAdmin):
    """The brand's mini-programs."""

    tab = gettext_lazy("Mini-programs")
    tab_order = 15
    add_label = gettext_lazy("Connect a mini-program")
    empty_text = gettext_lazy(
        "Connect a mini-program: its visitors and the followers under one Open Platform account are one person."
    )
    list_display = ("name", "appid", "connection")
    connect_form = ProgramForm

    def connect(self, data: dict[str, Any]) -> MiniProgram:
        """Connect a mini-program."""
        return services.connect_mini_program(**data)

    def facts(self, row: MiniProgram) -> dict[str, Any]:
        """Give the state in words."""
        return {"connection": self.connection(row)}
