"""The third-party platform itself, for whoever runs the installation: its ticket and token, accounts, events."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from common.clock import now
from common.errors import AppError
from console.http import has_nul, row_id
from console.platform import PlatformModelAdmin, platform
from wechat_gateway import platforms, selectors, services
from wechat_gateway.checks import NEEDED_SETS, SETS
from wechat_gateway.models import Platform, PlatformPush, PushState

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest
    from django.urls import URLPattern

    from wechat_gateway.selectors import AuthorisedAccount

EVENTS: Final = 50
_LATE: Final = timedelta(minutes=11)  # WeChat pushes one every ten minutes (reference: 7.1)

KINDS: Final[dict[str, Any]] = {
    "authorized": gettext_lazy("account authorised"),
    "updateauthorized": gettext_lazy("permissions changed"),
    "unauthorized": gettext_lazy("authorisation taken back"),
    platforms.RELEASE_CHECK: gettext_lazy("WeChat's release check"),
    platforms.UNREADABLE: gettext_lazy("event that cannot be read"),
}
STATES: Final[dict[str, Any]] = {
    PushState.NEW: pgettext_lazy("event", "Waiting"),
    PushState.HANDLED: pgettext_lazy("event", "Handled"),
    PushState.FAILED: pgettext_lazy("event", "Failed"),
}
REASONS: Final[dict[str, tuple[Any, Any]]] = {
    "NO_INVITATION": (
        gettext_lazy("No brand had asked for this authorisation, or its link was over."),
        gettext_lazy("Have the brand make a new link and its administrator scan again."),
    ),
    "MINI_PROGRAM": (
        gettext_lazy("This is a mini program."),
        gettext_lazy("Choose a service account on WeChat's page; connect mini programs with their AppSecret."),
    ),
    "CODE_USED": (
        gettext_lazy("The code was used, but the account was not connected."),
        gettext_lazy("Have the brand make a new link and its administrator scan again."),
    ),
    "QUERY_AUTH": (
        gettext_lazy("WeChat did not exchange the code for the account."),
        gettext_lazy("Handle it again; a code is valid for an hour, after that the administrator scans again."),
    ),
    "RELEASE_CHECK": (
        gettext_lazy("WeChat's release check got no answer through the API."),
        gettext_lazy("Handle it again, then repeat the check on WeChat's page."),
    ),
    "unreadable": (
        gettext_lazy("It is authentic, but cannot be read; it is kept as it came."),
        gettext_lazy("Update the product, then handle it again."),
    ),
    "ERROR": (
        gettext_lazy("The product failed while handling it."),
        gettext_lazy("Read the cause in the log of the worker; after an update, handle it again."),
    ),
    "": (
        gettext_lazy("The platform got no access from WeChat."),
        gettext_lazy("Look at ticket and AppSecret above, then handle it again."),
    ),
}


class PlatformAdmin(PlatformModelAdmin):
    """One page: how the platform is, which accounts it has, what WeChat told it last."""

    icon: ClassVar[str] = "hub"

    def get_urls(self) -> list[URLPattern]:
        """Give the one page: the forms of a model would show what is sealed."""
        page = self.admin_site.admin_view(self.changelist_view)
        return [path("", page, name="wechat_gateway_platform_changelist")]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Leave it to the command that is given the secrets (`manage.py set_platform`)."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Show no form: its fields are secrets."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the page; a POST handles an event again or asks for a ticket."""
        if has_nul(request):
            raise Http404
        if request.method == "POST":
            return self._act(request)
        found, at = platforms.current(), now()
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Third-party platform"),
            "platform": found,
            "failed_only": request.GET.get("events") == "failed",
            **(_state(found, at) if found else {}),
            **(_events(only_failed=request.GET.get("events") == "failed") if found else {}),
        }
        return TemplateResponse(request, "console/platform.html", context)

    def _act(self, request: HttpRequest) -> HttpResponse:
        here = reverse("platform:wechat_gateway_platform_changelist")
        act = request.POST.get("act", "")
        try:
            if act == "replay":
                push = PlatformPush.objects.filter(pk=row_id(request.POST.get("push")) or 0).first()
                if push is None:
                    raise Http404
                services.replay_platform_push(push_id=push.pk, at=now())
                self.log_change(request, push, gettext("handled again"))
                messages.success(request, gettext("The event is handled again; the page shows the outcome in seconds."))
            elif act == "ticket":
                services.ask_for_ticket()
                self.log_change(request, platforms.require(), gettext("ticket asked for"))
                messages.success(request, gettext("WeChat is asked for a ticket; it comes within minutes."))
            else:
                raise PermissionDenied
        except AppError as error:
            messages.error(request, f"{error.message} {error.hint}".strip())
        return HttpResponseRedirect(here)


def _state(found: Platform, at: datetime) -> dict[str, Any]:
    accounts = selectors.authorised_accounts(found.appid)
    ticket_tone = "danger" if found.ticket_at is None or found.ticket_at <= at - platforms.TICKET_ALARM else "success"
    if ticket_tone == "success" and found.ticket_at is not None and found.ticket_at <= at - _LATE:
        ticket_tone = "warning"
    return {
        "ticket_tone": ticket_tone,
        "ticket_ends_at": found.ticket_at + platforms.TICKET_LIFE if found.ticket_at else None,
        "token_valid": bool(found.access_token and found.expires_at and found.expires_at > at),
        "token_waits": found.parked_until is not None and found.parked_until > at,
        "events_url": platforms.events_url(found),
        "messages_url": platforms.messages_url(),
        "accounts": [{"row": each, "missing": _missing(each)} for each in accounts],
    }


def _missing(account: AuthorisedAccount) -> list[str]:
    return [str(SETS[number]) for number in NEEDED_SETS if number not in account.granted_sets]


def _events(*, only_failed: bool) -> dict[str, Any]:
    rows = PlatformPush.objects.order_by("-received_at", "-pk")
    failed = rows.filter(state=PushState.FAILED)
    return {
        "failed_count": failed.count(),
        "events": [
            {
                "push": push,
                "kind": KINDS.get(push.info_type, push.info_type),
                "state": STATES.get(push.state, push.state),
                "words": _words(push) if push.reason else None,
                "tone": {PushState.HANDLED: "success", PushState.FAILED: "danger"}.get(PushState(push.state), "info"),
            }
            for push in (failed if only_failed else rows)[:EVENTS]
        ],
    }


def _words(push: PlatformPush) -> tuple[Any, Any, str]:
    """(why, what to do, WeChat's code) of an event that could not be handled."""
    reason, _separator, code = push.reason.partition(" ")
    why, action = REASONS.get(reason, REASONS[""])
    return why, action, code if code.lstrip("-").isdigit() else ""


platform.register(Platform, PlatformAdmin)
