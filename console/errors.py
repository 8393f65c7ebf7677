"""Error pages: one 404 for what is missing, foreign or out of reach; refusals and faults that say what to do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.rest.problems import AWAY_SECONDS, error_body
from console.site import site

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Say only that nothing is here: the page carries nothing of the address, so that two misses look alike."""
    return HttpResponse(render_to_string("404.html", {"LANGUAGE_CODE": get_language()}), status=404)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Say which role cannot see the page."""
    if hasattr(request, "viewer"):
        return site.forbidden(request)
    return HttpResponse(render_to_string("403.html", {"role": ""}), status=403)


def broken(request: HttpRequest) -> HttpResponse:
    """Say that it is our fault, and which number to pass on; that a database is away, and when to come back."""
    number = str(getattr(request, "request_id", ""))[:8].upper()
    if not isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return HttpResponse(render_to_string("500.html", {"number": number}), status=500)
    wait = {"Retry-After": str(AWAY_SECONDS), "Cache-Control": "no-store"}
    if request.path.startswith("/api/"):
        message, hint = _("The service is not available right now."), _("Try again in a moment.")
        return JsonResponse(error_body("unavailable", message, hint=hint), status=503, headers=wait)
    return HttpResponse(render_to_string("500.html", {"number": number}), status=503, headers=wait)
