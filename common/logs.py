"""Structured logs: one line an event, with request, brand and delivery ids; secrets are cut out as a last net."""

from __future__ import annotations

import logging.config
import re
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# The client never logs a URL with a token in it; this catches what a library might.
_SENSITIVE = re.compile(
    r"((?:access_token|secret|appsecret|js_code|session_key|password|authorization|token|encodingaeskey)"
    r"[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|key|basic)\s+)?)[^&\s\"',}]+",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?<!\d)((?:(?:00)?86)?1[3-9]\d)\d{4}(\d{4})(?!\d)")


def redact(text: str) -> str:
    """Cut secrets and mainland phone numbers out of a text."""
    return _PHONE.sub(r"\1****\2", _SENSITIVE.sub(r"\1***", text))


def _redact_event(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if not key.startswith("_"):  # structlog's own
            event[key] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_clean(each) for each in value]
    if hasattr(value, "path") and hasattr(value, "method"):  # a request: its query says whom somebody looked for
        return f"{value.method} {redact(value.path)}"
    return redact(str(value))


def configure(options: dict[str, Any]) -> None:
    """Set up logging from `settings.LOGGING` ({"level": str, "json": bool})."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if options["json"]
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
                    "foreign_pre_chain": [structlog.stdlib.ExtraAdder(), *shared],
                },
            },
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["console"], "level": options["level"]},
            "loggers": {
                "django.server": {"level": "WARNING"},
                "axes": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
            },
        },
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
