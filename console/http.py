"""Requests of the console: what the middleware has put on them, and answers every page can give."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.http import HttpRequest, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme

if TYPE_CHECKING:
    from accounts.models import Brand, StaffUser
    from accounts.viewer import Viewer


LONGEST_ID = 19  # digits of a bigint


class ConsoleRequest(HttpRequest):
    """A request below `/b/<brand>/`, for annotations only."""

    brand: Brand
    viewer: Viewer
    user: StaffUser


def viewer_of(request: HttpRequest) -> Viewer:
    """Give who acts; only requests inside a brand have one."""
    return cast("ConsoleRequest", request).viewer


def brand_of(request: HttpRequest) -> Brand:
    """Give the brand in the address."""
    return cast("ConsoleRequest", request).brand


def safe_next(request: HttpRequest, fallback: str) -> str:
    """Give the address to go on to: `next` when it stays on this host, else the fallback."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return target
    return fallback


def row_id(text: str | None) -> int | None:
    """Give the id that a part of an address names, None for anything that is no id."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < LONGEST_ID else None


def has_nul(request: HttpRequest) -> bool:
    """Say whether a value of the query or the form holds a NUL: PostgreSQL takes none, and nothing contains one."""
    sent = [request.GET] if request.method in ("GET", "HEAD", "OPTIONS") else [request.GET, request.POST]
    return any("\x00" in value for values in sent for _name, row in values.lists() for value in row)


def back(request: HttpRequest, fallback: str) -> HttpResponseRedirect:
    """Redirect to where the person came from, if that was here."""
    referer = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(referer, {request.get_host()}, require_https=request.is_secure()):
        return HttpResponseRedirect(referer)
    return HttpResponseRedirect(fallback)
