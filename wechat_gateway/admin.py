"""Settings pages about WeChat: the brand's accounts, and pushes that need people."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from common.clock import now
from common.errors import AppError
from common.logs import redact
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.forms import SecretField
from console.http import viewer_of
from console.registry import Incident, Step, Todo, home_cards
from wechat_gateway import services
from wechat_gateway.models import InboundPush, MiniProgram, OfficialAccount, PushState

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer

KINDS = {
    "text": gettext_lazy("message"),
    "image": gettext_lazy("picture"),
    "voice": gettext_lazy("voice message"),
    "video": gettext_lazy("video"),
    "shortvideo": gettext_lazy("short video"),
    "location": gettext_lazy("place"),
    "link": gettext_lazy("link"),
    "subscribe": gettext_lazy("follow"),
    "unsubscribe": gettext_lazy("unfollow"),
    "SCAN": gettext_lazy("scan of a code"),
    "LOCATION": gettext_lazy("reported place"),
    "CLICK": gettext_lazy("tap on the menu"),
    "VIEW": gettext_lazy("link of the menu"),
    "TEMPLATESENDJOBFINISH": gettext_lazy("result of a template message"),
}
# Why a push cannot be read: the short codes the gateway notes, in words.
REASONS = {
    "EMPTY": gettext_lazy("the push is empty"),
    "FORMAT": gettext_lazy("it is neither XML nor JSON"),
    "XML": gettext_lazy("its XML is broken"),
    "JSON": gettext_lazy("its JSON is broken"),
    "ENCODING": gettext_lazy("its characters cannot be read"),
    "NUL": gettext_lazy("it holds characters that no text has"),
    "SURROGATE": gettext_lazy("it holds characters that no text has"),
    "ROOT": gettext_lazy("it does not begin as pushes begin"),
    "DOCTYPE": gettext_lazy("it carries a document type, which is refused"),
    "ATTRIBUTES": gettext_lazy("it carries attributes, which pushes do not have"),
    "DUPLICATE_KEY": gettext_lazy("one of its fields stands twice"),
    "TOO_DEEP": gettext_lazy("it is nested too deeply"),
    "TOO_MANY_ELEMENTS": gettext_lazy("it has too many fields"),
    "MSG_TYPE": gettext_lazy("it does not say what it is"),
    "EVENT": gettext_lazy("it does not say which event it is"),
    "FROM_USER": gettext_lazy("it does not say whom it is about"),
    "TO_USER": gettext_lazy("it is addressed to another account"),
    "MEDIA_ID": gettext_lazy("its media id is missing or too long"),
}


def kind_label(kind: str) -> str:
    """Give the words for a kind of push; unknown kinds as WeChat writes them."""
    name = kind.removeprefix("unknown:")
    return str(KINDS.get(kind) or (name if name not in {"", "unknown"} else gettext("unknown")))


def reason_label(reason: str) -> str:
    """Give a readable reason: codes of unreadable pushes in words, failed steps with their error."""
    known = REASONS.get(reason)
    if known is not None:
        return str(known)
    step, separator, error = reason.partition(": ")
    if separator:
        return gettext("the step %(step)s failed (%(error)s)") % {"step": step, "error": error}
    return reason or gettext("no reason was noted")


class _Credentials(forms.Form):
    """The parts every account has."""

    app_secret = SecretField(
        label="AppSecret",
        help_text=gettext_lazy(
            "WeChat console: Settings and development, Basic configuration. It is never shown again."
        ),
    )


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
        label=gettext_lazy("Open Platform subject"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
        help_text=gettext_lazy("Accounts of one subject know a person by the same UnionID."),
    )
    field_order = ("name", "appid", "original_id", "app_secret", "callback_token", "encoding_aes_key", "mode")


class ProgramForm(_Credentials):
    """What WeChat's console shows about a mini-program."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=60, widget=UnfoldAdminTextInputWidget())
    appid = forms.CharField(label="AppID", max_length=32, widget=UnfoldAdminTextInputWidget())
    open_platform_subject = forms.CharField(
        label=gettext_lazy("Open Platform subject"),
        required=False,
        max_length=60,
        widget=UnfoldAdminTextInputWidget(),
    )
    field_order = ("name", "appid", "app_secret")


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
        context = {
            **self.admin_site.each_context(request),
            "title": row.name,
            "zy_object": row,
            "original": row,
            "opts": self.opts,
            "row": row,
            "may_edit": self.has_change_permission(request, row),
            **self.facts(row),
        }
        return TemplateResponse(request, self.template, context)

    def facts(self, row: Any) -> dict[str, Any]:
        """Give what the page shows besides the row."""
        return {}

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
        }
        return TemplateResponse(request, "console/connect.html", context)

    def _act(self, request: HttpRequest, row: Any) -> None:
        act = request.POST.get("act", "")
        said = gettext("Saved.")
        if act == "secret":
            services.change_app_secret(account=row, app_secret=request.POST.get("app_secret", "").strip())
            said = gettext("The new AppSecret is in use.")
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

    def connect(self, data: dict[str, Any]) -> OfficialAccount:
        """Connect a service account."""
        return services.connect_official_account(at=now(), **data)

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
            "callback_url": f"{settings.PUBLIC_URL}/wx/{row.path_token}",
            "keys_form": KeysForm(),
            "counts": counts,
            "overlap": overlap,
            "connection": self.connection(row),
        }

    def act(self, request: HttpRequest, row: OfficialAccount, act: str) -> bool:
        """Change the message keys or the callback address."""
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
        return False


@admin.register(MiniProgram, site=site)
class MiniProgramAdmin(_AppAdmin):
    """The brand's mini-programs."""

    tab = gettext_lazy("Mini-programs")
    tab_order = 15
    add_label = gettext_lazy("Connect a mini-program")
    empty_text = gettext_lazy(
        "Connect a mini-program: its visitors and the followers of one Open Platform subject are one person."
    )
    list_display = ("name", "appid", "connection")
    connect_form = ProgramForm

    def connect(self, data: dict[str, Any]) -> MiniProgram:
        """Connect a mini-program."""
        return services.connect_mini_program(**data)

    def facts(self, row: MiniProgram) -> dict[str, Any]:
        """Give the state in words."""
        return {"connection": self.connection(row)}


class StateView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """Pushes that could not be read, and pushes whose handling failed."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = [
        (PushState.QUARANTINED.value, gettext_lazy("Cannot be read")),
        (PushState.FAILED.value, gettext_lazy("Handling failed")),
    ]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the two kinds."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen kind."""
        return queryset.filter(state=self.value()) if self.value() in dict(self.views) else queryset


@admin.register(InboundPush, site=site)
class InboundPushAdmin(ConsoleModelAdmin):
    """Authentic pushes that nothing could be done with yet. They are kept and can be handled again."""

    area = "quarantine"
    place = "settings"
    tab = gettext_lazy("Quarantine")
    tab_order = 30
    allow_add = False
    allow_change = False
    audit_writes = False  # replay_push writes the entry
    empty_text = gettext_lazy("Everything WeChat sent could be read and handled. What cannot be is kept here.")
    list_display = (
        moment("received_at", gettext_lazy("received")),
        "account",
        "what",
        "who",
        "status",
        "why",
    )
    list_select_related = ("account",)
    list_filter = (StateView,)
    views_filter = StateView
    ordering = ("brand", "-received_at", "-pk")
    actions = ("replay_selected",)
    phone_columns: ClassVar[tuple[str, ...]] = ("received_at", "what", "why")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show only what needs people, to people of the whole brand: nobody knows yet whose member a push is about.

        Handled pushes are the members' history, not an operator's list.
        """
        if viewer_of(request).scope != "BRAND":
            return queryset.none()
        return queryset.filter(state__in=(PushState.QUARANTINED, PushState.FAILED))

    @admin.display(description=gettext_lazy("kind"))
    def what(self, row: InboundPush) -> str:
        """Show what kind of push it is."""
        return kind_label(row.kind)

    @admin.display(description=gettext_lazy("follower"))
    def who(self, row: InboundPush) -> str:
        """Show the end of the OpenID."""
        return formats.tail(row.openid)

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: InboundPush) -> Any:
        """Show which of the two it is."""
        if row.state == PushState.QUARANTINED:
            return state(gettext("cannot be read"), "warning")
        return state(gettext("handling failed"), "danger")

    @admin.display(description=gettext_lazy("reason"))
    def why(self, row: InboundPush) -> str:
        """Show the reason."""
        return reason_label(row.reason)

    @admin.action(description=gettext_lazy("Handle again"))
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[InboundPush]) -> None:
        """Handle the selected pushes again; what happened already is not repeated."""
        viewer_of(request).require("quarantine.edit")
        done, kept = 0, 0
        for push_id in queryset.order_by("event_at", "pk").values_list("pk", flat=True)[:500]:
            try:
                services.replay_push(push_id=push_id, at=now())
                done += 1
            except AppError:
                kept += 1
        text = gettext("%(done)s are handled again, %(kept)s cannot be read even now and stay.")
        self.message_user(request, text % {"done": done, "kept": kept}, level="success" if done else "warning")

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer the replay to roles that may."""
        return super().get_actions(request) if self.may(request, "edit") else {}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show what came, why it stays, and the button that handles it again."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            viewer_of(request).require("quarantine.edit")
            services.replay_push(push_id=row.pk, at=now(), reason=request.POST.get("text", "")[:200])
            self.message_user(request, gettext("The push is handled again."), level="success")
            return HttpResponseRedirect(reverse("admin:wechat_gateway_inboundpush_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Push of %(when)s") % {"when": formats.local_time(row.received_at)},
            "zy_object": formats.local_time(row.received_at),
            "row": row,
            "what": self.what(row),
            "who": self.who(row),
            "status": self.status(row),
            "why": self.why(row),
            "body": _shown(row),
            "may_edit": self.may(request, "edit"),
        }
        return TemplateResponse(request, "console/push.html", context)


def _shown(row: InboundPush) -> str:
    text = row.body
    if row.is_binary:
        text = base64.b64decode(row.body).decode("utf-8", errors="replace")
    if row.openid:
        text = text.replace(row.openid, formats.tail(row.openid))
    return redact(text)[:4_000]


@home_cards.add("wechat_gateway.state")
def state_of_wechat(viewer: Viewer) -> list[Incident | Todo | Step] | None:
    """Name accounts whose calls are parked, pushes that need people, and the first-day step."""
    cards: list[Incident | Todo | Step] = []
    if viewer.can("accounts.view") or viewer.can("campaigns.view"):
        accounts = list(OfficialAccount.objects.order_by("pk"))
        may_open = viewer.can("accounts.view")
        for row in accounts:
            if row.parked_reason or not row.is_active:
                link = (
                    reverse("admin:wechat_gateway_officialaccount_change", args=[row.pk])
                    if may_open
                    else reverse("admin:index")
                )
                why = row.parked_reason or gettext("It is disconnected: nothing is received and nothing sent.")
                cards.append(
                    Incident(
                        gettext("“%(name)s” cannot talk to WeChat.") % {"name": row.name},
                        why,
                        link,
                        gettext("See and fix") if may_open else gettext("Reload"),
                        order=10,
                    ),
                )
        if viewer.can("accounts.edit"):
            cards.append(
                Step(
                    gettext("Connect the service account"),
                    gettext("Copy address, token and key between WeChat and here."),
                    bool(accounts),
                    reverse("admin:wechat_gateway_officialaccount_add"),
                    gettext("Connect"),
                    10,
                ),
            )
    if viewer.can("quarantine.view"):
        cards += _pushes_that_wait()
    return cards


def _pushes_that_wait() -> list[Incident | Todo | Step]:
    counts = InboundPush.objects.filter(state__in=(PushState.QUARANTINED, PushState.FAILED)).aggregate(
        unreadable=Count("pk", filter=Q(state=PushState.QUARANTINED)),
        failed=Count("pk", filter=Q(state=PushState.FAILED)),
    )
    link = reverse("admin:wechat_gateway_inboundpush_changelist")
    return [
        Todo(
            gettext("pushes whose handling failed"),
            counts["failed"],
            f"{link}?state=FAILED",
            gettext("See why"),
            gettext("They are kept; handling them again repeats nothing."),
            15,
        ),
        Todo(
            gettext("pushes that cannot be read"),
            counts["unreadable"],
            f"{link}?state=QUARANTINED",
            gettext("See why"),
            gettext("They are authentic and kept."),
            20,
        ),
    ]
