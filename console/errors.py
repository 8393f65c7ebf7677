"""Error pages: one 404 for what is missing, foreign or out of reach; refusals and faults that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language

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
    """Say that it is our fault, and which number to pass on."""
    number = str(getattr(request, "request_id", ""))[:8].upper()
    return HttpResponse(render_to_string("500.html", {"number": number}), status=500)
