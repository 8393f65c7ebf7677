"""Errors as answers: one shape, stable codes, never a trace."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from common.errors import AppError

logger = logging.getLogger(__name__)

AWAY_SECONDS: Final = 5
_STATUS_CODES: Final = {400: "bad_request", 406: "not_acceptable", 413: "too_large"}


def error_body(
    code: str, message: str, *, hint: str = "", fields: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Build the one error shape: `{"error": {"code", "message", "hint", "fields": [{"field", "message"}]}}`."""
    return {"error": {"code": code, "message": message, "hint": hint, "fields": fields or []}}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Turn any error into the one shape; what is ours to mend becomes a plain 500 with the request's id."""
    for kind, answer in _ANSWERS:
        if isinstance(error, kind):
            response: Response | None = answer(error)
            if response is not None:
                return response
    logger.error("unhandled error in the API", exc_info=error)
    request_id = getattr(context["request"], "request_id", "")
    message = _("Something went wrong on our side. Number: %(number)s") % {"number": request_id}
    return Response(error_body("internal", message), status=500)


def _of_product(error: AppError) -> Response | None:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return None
    fields = [{"field": error.field, "message": error.message}] if error.field else []
    wait = getattr(error, "retry_after", AWAY_SECONDS if error.status == HTTPStatus.SERVICE_UNAVAILABLE else 0)
    body = error_body(error.code, error.message, hint=error.hint, fields=fields)
    return Response(body, status=error.status, headers={"Retry-After": str(wait)} if wait else {})


def _of_database(error: Exception) -> Response:
    logger.warning("database away: %s", type(error).__name__)
    body = error_body("unavailable", _("The service is not available right now."), hint=_("Try again in a moment."))
    return Response(body, status=503, headers={"Retry-After": str(AWAY_SECONDS)})


def _of_values(error: exceptions.ValidationError) -> Response:
    return Response(error_body("invalid", _("Some values cannot be used."), fields=_flat(error.detail)), status=422)


def _of_absence(_error: Exception) -> Response:
    return Response(error_body("not_found", _("There is nothing here.")), status=404)


def _of_stranger(error: Exception) -> Response:
    headers = {"WWW-Authenticate": getattr(error, "auth_header", "Bearer")}
    body = error_body("not_authenticated", _("Sign in first."), hint=_("Send a valid token."))
    return Response(body, status=401, headers=headers)


def _of_rights(_error: Exception) -> Response:
    return Response(error_body("forbidden", _("This caller may not do this.")), status=403)


def _of_haste(error: exceptions.Throttled) -> Response:
    wait = str(max(1, math.ceil(getattr(error, "wait", None) or 1)))
    body = error_body(
        "throttled", _("Too many calls."), hint=_("Try again in %(seconds)s seconds.") % {"seconds": wait}
    )
    return Response(body, status=429, headers={"Retry-After": wait})


def _of_method(_error: Exception) -> Response:
    return Response(error_body("method_not_allowed", _("This address does not know this method.")), status=405)


def _of_media(_error: Exception) -> Response:
    return Response(error_body("unsupported_media_type", _("The body must be application/json.")), status=415)


def _of_request(error: exceptions.APIException) -> Response:
    code = _STATUS_CODES.get(error.status_code, "refused")
    return Response(error_body(code, str(error.detail)), status=error.status_code)


# The first kind that fits answers.
_ANSWERS: Final[tuple[tuple[Any, Callable[[Any], Response | None]], ...]] = (
    (AppError, _of_product),
    ((OperationalError, InterfaceError), _of_database),
    (exceptions.ValidationError, _of_values),
    ((Http404, exceptions.NotFound), _of_absence),
    ((exceptions.NotAuthenticated, exceptions.AuthenticationFailed), _of_stranger),
    ((PermissionDenied, exceptions.PermissionDenied), _of_rights),
    (exceptions.Throttled, _of_haste),
    (exceptions.MethodNotAllowed, _of_method),
    (exceptions.UnsupportedMediaType, _of_media),
    (exceptions.APIException, _of_request),
)


def _flat(detail: Any, path: str = "") -> list[dict[str, str]]:
    if isinstance(detail, dict):
        return [row for key, value in detail.items() for row in _flat(value, f"{path}.{key}" if path else str(key))]
    if isinstance(detail, list):
        rows: list[dict[str, str]] = []
        for index, value in enumerate(detail):
            rows += _flat(value, f"{path}[{index}]" if isinstance(value, dict | list) else path)
        return rows
    return [{"field": path, "message": str(detail)}]
