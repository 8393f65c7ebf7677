"""Request bodies: JSON that every parser reads the same way, and not too much of it."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.parsers import BaseParser

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 65_536
MAX_DEPTH: Final = 24


class BodyTooLarge(exceptions.APIException):
    """The body is larger than any request of this API needs."""

    status_code = 413


class StrictJSONParser(BaseParser):
    """JSON in UTF-8 without doubled names, `NaN`, byte order marks or deep nesting; 64 KiB at most, or `most` bytes.

    Broken bodies are 400 (`ParseError`), large ones 413 (`BodyTooLarge`).
    """

    media_type = "application/json"
    most: ClassVar[int] = MAX_BYTES

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read and check the body."""
        raw: bytes = stream.read(self.most + 1)
        if len(raw) > self.most:
            raise BodyTooLarge(_("The body may have %(bytes)s bytes at most.") % {"bytes": self.most})
        try:
            data = read_json(raw.decode("utf-8"))
        except (ValueError, RecursionError):
            raise exceptions.ParseError(_("The body is not valid JSON.")) from None
        if _depth(data) > MAX_DEPTH:
            raise exceptions.ParseError(_("The body is nested too deeply."))
        return data


def read_json(text: str) -> Any:
    """Read JSON without doubled names and `NaN`. Raises ValueError, RecursionError."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "doubled name"
        raise ValueError(message)
    return found


def _refuse(_value: str) -> NoReturn:
    message = "not a JSON number"
    raise ValueError(message)


def _depth(data: object) -> int:
    depth, level = 0, [data]
    while level and depth <= MAX_DEPTH:
        depth += 1
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below
    return depth
