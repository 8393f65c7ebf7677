"""Errors as answers: one shape, stable codes, never a trace."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection, transaction
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from common.errors import AppError

logger = logging.getLogger(__name__)

_STATUS_CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    422: "invalid",
    429: "throttled",
}


def error_body(code: str, message: str, *, hint: str = "", fields: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Build the one error shape: `{"error": {"code", "message", "hint", "fields": [{"field", "message"}]}}`."""
    return {"error": {"code": code, "message": message, "hint": hint, "fields": fields or []}}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn any error into the one shape; what is ours to mend becomes a plain 500 with the request's id."""
    if connection.in_atomic_block:
        transaction.set_rollback(True)
    if isinstance(error, AppError) and error.status < 500:
        fields = [{"field": error.field, "message": error.message}] if error.field else []
        return Response(error_body(error.code, error.message, hint=error.hint, fields=fields), status=error.status)
    if isinstance(error, AppError) and error.status == 503:
        return Response(error_body(error.code, error.message, hint=error.hint), status=503, headers={"Retry-After": "5"})
    if isinstance(error, OperationalError):
        logger.warning("database away: %s", type(error).__name__)
        body = error_body("unavailable", _("The service is not available right now."), hint=_("Try again in a moment."))
        return Response(body, status=503, headers={"Retry-After": "5"})
    if isinstance(error, exceptions.ValidationError):
        body = error_body("invalid", _("Some values cannot be used."), fields=_flat(error.detail))
        return Response(body, status=422)
    if isinstance(error, Http404 | exceptions.NotFound):
        return Response(error_body("not_found", _("There is nothing here.")), status=404)
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        headers = {"WWW-Authenticate": getattr(error, "auth_header", "Bearer")}
        body = error_body("not_authenticated", _("Sign in first."), hint=_("Send a valid token."))
        return Response(body, status=401, headers=headers)
    if isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        return Response(error_body("forbidden", _("This caller may not do this.")), status=403)
    if isinstance(error, exceptions.APIException):
        wait = getattr(error, "wait", None)
        headers = {"Retry-After": str(int(wait))} if wait else {}
        code = _STATUS_CODES.get(error.status_code, "refused")
        return Response(error_body(code, str(error.detail)), status=error.status_code, headers=headers)
    logger.exception("unhandled error in the API")
    request_id = getattr(context["request"], "request_id", "")
    message = _("Something went wrong on our side. Number: %(number)s") % {"number": request_id}
    return Response(error_body("internal", message), status=500)


def _flat(detail: Any, path: str = "") -> list[dict[str, str]]:
    if isinstance(detail, dict):
        return [row for key, value in detail.items() for row in _flat(value, f"{path}.{key}" if path else str(key))]
    if isinstance(detail, list):
        rows: list[dict[str, str]] = []
        for index, value in enumerate(detail):
            rows += _flat(value, f"{path}[{index}]" if isinstance(value, dict | list) else path)
        return rows
    return [{"field": path, "message": str(detail)}]
