"""How long conversations are kept: the days, and what would leave, before anything does."""

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
from inbox.services.retention import LONGEST, SHORTEST

if TYPE_CHECKING:
    from typing import Any


def retention(request: HttpRequest) -> HttpResponse:
    """Show and change the days; `look` counts what other days would mean and changes nothing."""
    at, viewer = now(), viewer_of(request)
    policy = selectors.inbox_policy()
    asked = row_id(request.POST.get("keep_days")) if request.method == "POST" else policy.keep_days
    context: dict[str, Any] = {
        "title": _("How long conversations are kept"),
        "policy": policy,
        "days": asked if asked is not None else request.POST.get("keep_days", ""),
        "shortest": SHORTEST,
        "longest": LONGEST,
        "may_edit": viewer.can("privacy.edit"),
    }
    if request.method == "POST":
        viewer.require("privacy.edit")
        try:
            if request.POST.get("act") != "look":
                services.set_inbox_policy(keep_days=asked or 0, at=at)
                messages.success(request, _("Saved."))
                return HttpResponseRedirect(reverse("admin:kept_conversations"))
        except AppError as error:
            context["problem"] = error
    if asked is not None and SHORTEST <= asked <= LONGEST:
        context["leaving"] = selectors.leaving(keep_days=asked, at=at)
    elif "problem" not in context:
        context["range_problem"] = True
    return page_response(request, "inbox/retention.html", context)
