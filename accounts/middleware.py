"""What happens around every request: an id for the logs, the brand in the address, and the brand's scope."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.response import SimpleTemplateResponse
from django.urls import get_script_prefix, resolve, set_script_prefix
from django.utils import translation
from django.utils.http import urlencode
from django_otp import user_has_device

from accounts.selectors import brand_by_slug, grant_of
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    GetResponse = Callable[[HttpRequest], HttpResponseBase]

_BRAND_PATH = re.compile(r"^/b/([a-z][a-z0-9-]{1,39})(/.*)?$")
_NO_BRAND = 0
_REQUEST_ID = re.compile(r"^[0-9A-Za-z-]{8,36}$")


class RequestIdMiddleware:
    """Give each request an id: in the logs, in the answer, in the audit log."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Bind the id for the length of the request."""
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if _REQUEST_ID.match(given) else str(uuid.uuid4())  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class ApiLaneMiddleware:
    """Answer the REST API here: sessions, cookies, forms, messages and pages of the console are none of its business.

    What comes after this in the chain costs several times what a short answer costs.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Call the endpoint; its answer is JSON, which nobody may frame, run or guess at."""
        if not request.path_info.startswith("/api/v1/"):
            return self.get_response(request)
        request.get_host()  # refuses hosts that are not ours
        match = resolve(request.path_info)
        request.resolver_match = match
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
        headers = response.headers
        headers["Content-Length"] = str(len(response.content))
        headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        headers["X-Frame-Options"] = "DENY"
        headers["Vary"] = "Accept-Language"
        return response


class BrandPathMiddleware:
    """Move `/b/<brand>` from the path into the script name, so that every link of the console keeps the brand."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Note which brand the address names; whether the person may enter is decided once they are known."""
        request.brand_slug = ""  # type: ignore[attr-defined]
        match = _BRAND_PATH.match(request.path_info)
        if match is None:
            return self.get_response(request)
        if match[2] is None:
            return HttpResponseRedirect(request.path + "/")
        before = get_script_prefix()
        request.brand_slug = match[1]  # type: ignore[attr-defined]
        request.path_info = match[2]
        request.META["PATH_INFO"] = match[2]
        request.META["SCRIPT_NAME"] = f"/b/{match[1]}"
        request.urlconf = settings.CONSOLE_URLCONF
        set_script_prefix(f"/b/{match[1]}/")
        try:
            return self.get_response(request)
        finally:
            set_script_prefix(before)


class StaffLanguageMiddleware:
    """Show the console in the language the person chose; Chinese when they never chose."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Activate the language for the length of the request."""
        language = getattr(request.user, "language", "") or request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
        if language not in dict(settings.LANGUAGES):
            language = settings.LANGUAGE_CODE
        with translation.override(language):
            request.LANGUAGE_CODE = language
            return self.get_response(request)


class BrandScopeMiddleware:
    """Open the brand's scope around a console request, rendering included, for people who work for the brand.

    Everybody else gets the same 404 as for a brand that does not exist.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Let the request through in the brand's scope."""
        slug = getattr(request, "brand_slug", "")
        if not slug:
            return self.get_response(request)
        if not request.user.is_authenticated:
            return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': request.get_full_path()})}")
        if user_has_device(request.user) and not request.user.is_verified():  # type: ignore[attr-defined] # set by OTPMiddleware
            return HttpResponseRedirect(f"/login/verify/?{urlencode({'next': request.get_full_path()})}")
        brand = brand_by_slug(slug)
        # A brand that does not exist costs the same queries as one that is not theirs: time tells nothing either.
        with brand_scope(brand.pk if brand else _NO_BRAND):
            grant = grant_of(request.user)
            if brand is None or grant is None:
                return _not_found(request)
            viewer = Viewer(
                staff_id=request.user.pk,
                label=str(request.user),
                brand_id=brand.pk,
                role=grant.role,
                scope=grant.scope,
                grant_id=grant.pk,
                ip=request.META.get("REMOTE_ADDR", ""),
                request_id=request.request_id,  # type: ignore[attr-defined]
            )
            request.brand, request.viewer = brand, viewer  # type: ignore[attr-defined]
            structlog.contextvars.bind_contextvars(brand=brand.slug, staff=request.user.pk)
            with viewing(viewer):
                return self.get_response(request)


def _not_found(request: HttpRequest) -> HttpResponse:
    from django.views.defaults import page_not_found

    request.urlconf = settings.ROOT_URLCONF
    return page_not_found(request, Http404())
