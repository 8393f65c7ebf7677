"""What whoever writes outside the service hours is told: the sentence, and how it reads now."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from common.clock import now
from common.errors import AppError
from console.http import viewer_of
from console.site import page_response
from inbox import selectors, services
from inbox.services.promises import LONGEST, WHEN, WORDS, in_words

if TYPE_CHECKING:
    from typing import Any


def promise(request: HttpRequest) -> HttpResponse:
    """Show and change the sentence; `look` shows how it reads and changes nothing."""
    at, viewer = now(), viewer_of(request)
    text = (
        request.POST.get("promise", "")[: LONGEST + 1] if request.method == "POST" else selectors.inbox_policy().promise
    )
    context: dict[str, Any] = {
        "title": _("Promise of a reply"),
        "text": text,
        "own": WORDS,
        "longest": LONGEST,
        "when": WHEN,
        "may_edit": viewer.can("agents.edit"),
    }
    status = 200
    if request.method == "POST":
        viewer.require("agents.edit")
        try:
            if request.POST.get("act") != "look":
                services.set_promise(text=text, at=at)
                messages.success(request, _("Saved."))
                return HttpResponseRedirect(reverse("admin:inbox_promise"))
        except AppError as error:
            context["problem"], status = error, 422
    shift = selectors.desk_of_brand().shift(at)
    moment = shift.opens_at or at + timedelta(hours=12)
    context["reads"] = (text.strip() or WORDS).replace(WHEN, in_words(moment, at=at))
    response = page_response(request, "inbox/promise.html", context)
    response.status_code = status
    return response
