"""When answered conversations are resolved by themselves: the days, and how many that would be now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from common.clock import now
from common.errors import AppError
from console.http import row_id, viewer_of
from console.site import page_response
from inbox import selectors, services
from inbox.services.resolving import LONGEST

if TYPE_CHECKING:
    from typing import Any


def resolving(request: HttpRequest) -> HttpResponse:
    """Show and change the days; `look` counts what other days would resolve and changes nothing."""
    at, viewer = now(), viewer_of(request)
    policy = selectors.inbox_policy()
    asked = row_id(request.POST.get("resolve_days")) if request.method == "POST" else policy.resolve_days
    context: dict[str, Any] = {
        "title": _("Resolving by itself"),
        "policy": policy,
        "days": asked if asked is not None else request.POST.get("resolve_days", ""),
        "longest": LONGEST,
        "may_edit": viewer.can("agents.edit"),
    }
    status = 200
    if request.method == "POST":
        viewer.require("agents.edit")
        try:
            if request.POST.get("act") != "look":
                services.set_resolving(days=-1 if asked is None else asked, at=at)
                messages.success(request, _("Saved."))
                return HttpResponseRedirect(reverse("admin:inbox_resolving"))
        except AppError as error:
            context["problem"], status = error, 422
    if asked is not None and 0 < asked <= LONGEST:
        context["due"] = selectors.answered_long_ago(days=asked, at=at).count()
    response = page_response(request, "inbox/resolving.html", context)
    response.status_code = status
    return response
