"""Pushes: what WeChat sent, in words, and those that nothing could be done with yet."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext, pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from common.errors import AppError
from common.logs import redact
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state
from console.http import viewer_of
from wechat_gateway import services
from wechat_gateway.errors import StillUnreadable
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.sentences import sentence_of
from wechat_gateway.wire import Unreadable

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

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
    "TO_USER": gettext_lazy("it does not say which account it is for"),
    "MEDIA_ID": gettext_lazy("its media id is missing or too long"),
    "CIPHER_LENGTH": gettext_lazy("it is not of a length that encrypted pushes have"),
    "INNER_LENGTH": gettext_lazy("the length it states for what is encrypted is wrong"),
    "PADDING": gettext_lazy("what is encrypted does not end as it should"),
    "MSGID_REUSED": gettext_lazy("WeChat sent its id before, with other content"),
}
# What the worker notes in place of a failed step, before its own words for logs.
STOPS = {"WORKER_DIED": gettext_lazy("the program ended each time while handling it")}


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
    if step in STOPS:
        return str(STOPS[step])
    if separator:
        return gettext("the step %(step)s failed (%(error)s)") % {"step": step, "error": error}
    return reason or gettext("no reason was noted")


_MOST_AT_ONCE = 500
NEEDS_PEOPLE = (PushState.QUARANTINED, PushState.FAILED)


class StateView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """What waits for people, unless somebody asks for one kind of it or for everything."""

    title = gettext_lazy("state")
    parameter_name = "state"
    views: ClassVar = [
        (PushState.QUARANTINED.value, gettext_lazy("Cannot be read")),
        (PushState.FAILED.value, gettext_lazy("Handling failed")),
        ("ALL", gettext_lazy("Everything")),
    ]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the two kinds."""
        return list(self.views)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen kind."""
        if self.value() == "ALL":
            return queryset
        chosen = (self.value(),) if self.value() in dict(self.views) else NEEDS_PEOPLE
        return queryset.filter(state__in=chosen)


@admin.register(InboundPush, site=site)
class InboundPushAdmin(ConsoleModelAdmin):
    """Authentic pushes: those that nothing could be done with yet first, which are kept and can be handled again."""

    area = "quarantine"
    place = "settings"
    tab = gettext_lazy("Pushes")
    tab_order = 30
    allow_add = False
    allow_change = False
    audit_writes = False  # replay_push writes the entry
    empty_text = gettext_lazy("Everything WeChat sent could be read and handled. What cannot be is kept here.")
    list_display = (
        moment("received_at", gettext_lazy("received")),
        "account",
        "sentence",
        "who",
        "status",
        "why",
    )
    list_select_related = ("account",)
    list_filter = (StateView,)
    views_filter = StateView
    ordering = ("brand", "-pk")  # as they came; the key is the only index over all of them
    actions = ("replay_selected", "set_aside_selected")
    phone_columns: ClassVar[tuple[str, ...]] = ("received_at", "sentence", "status")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Show pushes to people of the whole brand: nobody knows yet whose member a push is about."""
        return queryset if viewer_of(request).scope == "BRAND" else queryset.none()

    def saved_views(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Say that without a filter the list is what waits for people."""
        views = super().saved_views(request)
        views[0]["label"] = gettext("Waiting for people")
        return views

    @admin.display(description=gettext_lazy("what WeChat sent"))
    def sentence(self, row: InboundPush) -> str:
        """Show what happened in a sentence; of what cannot be read, its kind."""
        try:
            return sentence_of(services.read_stored(row))
        except Unreadable:
            return kind_label(row.kind)

    @admin.display(description=gettext_lazy("follower"))
    def who(self, row: InboundPush) -> str:
        """Show the end of the OpenID."""
        return formats.tail(row.openid)

    @admin.display(description=gettext_lazy("state"))
    def status(self, row: InboundPush) -> Any:
        """Show where it stands."""
        if row.state == PushState.QUARANTINED:
            return state(gettext("cannot be read"), "warning")
        if row.state == PushState.FAILED:
            return state(gettext("handling failed"), "danger")
        if services.is_set_aside(row):
            return state(gettext("set aside"), "info")
        return state(row.get_state_display(), "success" if row.state == PushState.HANDLED else "info")

    @admin.display(description=gettext_lazy("reason"))
    def why(self, row: InboundPush) -> str:
        """Show the reason, where there is one."""
        if services.is_set_aside(row):
            return row.reason.removeprefix(services.SET_ASIDE)
        return reason_label(row.reason) if row.state in NEEDS_PEOPLE else formats.NOTHING

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

    @admin.action(description=pgettext_lazy("push", "Set aside"))
    def set_aside_selected(self, request: HttpRequest, queryset: QuerySet[InboundPush]) -> Any:
        """Ask for the reason, then set the selected pushes aside."""
        viewer_of(request).require("quarantine.edit")
        rows = queryset.filter(state__in=NEEDS_PEOPLE).order_by("event_at", "pk")[:_MOST_AT_ONCE]
        ids = list(rows.values_list("pk", flat=True))
        if not ids:
            self.message_user(request, gettext("None of these waits for a person."), level="warning")
            return None
        reason = request.POST.get("reason", "").strip()
        if not reason:
            context = {
                **self.admin_site.each_context(request),
                "title": gettext("Set pushes aside"),
                "zy_object": pgettext("push", "Set aside"),
                "ids": ids,
                "asked": "reason" in request.POST,
            }
            return TemplateResponse(request, "console/set_aside.html", context)
        at = now()
        for push_id in ids:
            services.set_push_aside(push_id=push_id, reason=reason, at=at)
        text = gettext("%(done)s were set aside: they wait for nobody and leave by their age.")
        self.message_user(request, text % {"done": len(ids)}, level="success")
        return None

    def _replay(self, request: HttpRequest, row: InboundPush) -> None:
        try:
            services.replay_push(push_id=row.pk, at=now(), reason=request.POST.get("text", "")[:200])
        except StillUnreadable as error:
            said = gettext("This push cannot be read even now: %(why)s.") % {"why": reason_label(error.reason)}
            self.message_user(request, f"{said} {error.hint}", level="warning")
        else:
            self.message_user(request, gettext("The push is handled again."), level="success")

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer them to roles that may."""
        return super().get_actions(request) if self.may(request, "edit") else {}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show what came, why it stays, and what can be done: handle it again, or set it aside."""
        row = self.get_object(request, object_id) if object_id else None
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        if request.method == "POST":
            viewer_of(request).require("quarantine.edit")
            if request.POST.get("act") == "aside":
                services.set_push_aside(push_id=row.pk, reason=request.POST.get("reason", "")[:200], at=now())
                self.message_user(request, gettext("The push was set aside."), level="success")
            else:
                self._replay(request, row)
            return HttpResponseRedirect(reverse("admin:wechat_gateway_inboundpush_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Push of %(when)s") % {"when": formats.local_time(row.received_at)},
            "zy_object": formats.local_time(row.received_at),
            "row": row,
            "what": self.sentence(row),
            "who": self.who(row),
            "status": self.status(row),
            "why": self.why(row),
            "body": _shown(row),
            "may_edit": self.may(request, "edit") and (row.state in NEEDS_PEOPLE or services.is_set_aside(row)),
            "may_set_aside": self.may(request, "edit") and row.state in NEEDS_PEOPLE,
        }
        return TemplateResponse(request, "console/push.html", context)


def _shown(row: InboundPush) -> str:
    text = row.body
    if row.is_binary:
        text = base64.b64decode(row.body).decode("utf-8", errors="replace")
    if row.openid:
        text = text.replace(row.openid, formats.tail(row.openid))
    return redact(text)[:4_000]
