"""How answers are written: JSON by orjson, moments in UTC to the second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from django.utils.functional import Promise
from rest_framework.renderers import BaseRenderer

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS | orjson.OPT_NON_STR_KEYS


class OrjsonRenderer(BaseRenderer):
    """JSON; datetimes as `2026-11-21T13:45:00Z`."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Write plain values, dataclasses and lazy texts."""
        return b"" if data is None else orjson.dumps(data, default=_plain, option=_OPTIONS)


def _plain(value: object) -> object:
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, dict):  # DRF's own subclasses
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(type(value).__name__)
