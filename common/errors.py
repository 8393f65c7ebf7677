"""Errors that carry what happened, a stable code and what to do: one shape for API, console and logs."""

from __future__ import annotations

from typing import ClassVar


class AppError(Exception):
    """A situation the caller can act on.

    `code` is stable and part of the API; `message` says what happened and why, `hint` what to do next;
    `status` is the HTTP status an edge answers with.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field


class NotFound(AppError):
    """The object is not there, or not there for this caller: the two look alike on purpose."""

    code = "not_found"
    status = 404


class Conflict(AppError):
    """The state of the object does not allow this now."""

    code = "conflict"
    status = 409


class Invalid(AppError):
    """The input cannot be used as it is."""

    code = "invalid"
    status = 422


class Forbidden(AppError):
    """The caller is known and may not do this."""

    code = "forbidden"
    status = 403


class Unavailable(AppError):
    """Something this depends on is away; trying later can help."""

    code = "unavailable"
    status = 503
