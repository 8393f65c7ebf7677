"""What callers may send: declared fields only, in declared types; nothing is guessed or quietly converted."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

if TYPE_CHECKING:
    from django.http import QueryDict

# Characters that change how other characters are shown or cannot be seen at all.
_UNSEEN: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_MANY_MARKS: Final = 4
_WHOLE: Final = re.compile(r"-?\d{1,19}\Z", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d{1,3}(\.\d{1,15})?\Z", re.ASCII)
_MMDD: Final = re.compile(r"(\d{2})-(\d{2})\Z", re.ASCII)
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses names it does not declare, with the name of each."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Check and convert; raises `ValidationError` with one message per field."""
        if isinstance(data, dict):
            unknown = sorted(str(name)[:60] for name in data if name not in self.fields)
            if unknown:
                raise ValidationError({name: [_("This field is unknown.")] for name in unknown})
        value: dict[str, Any] = super().to_internal_value(data)
        return value


class TextField(serializers.CharField):
    """A text a person typed: NFC, no control or direction characters, no piles of marks."""

    def to_internal_value(self, data: Any) -> str:
        """Take a text only; numbers and booleans are refused."""
        if not isinstance(data, str):
            raise ValidationError(_("A text is expected here."))
        text: str = super().to_internal_value(unicodedata.normalize("NFC", data))
        marks = 0
        for character in text:
            category = unicodedata.category(character)
            marks = marks + 1 if category == "Mn" else 0
            if category in ("Cc", "Cs", "Co", "Cn") or character in _UNSEEN or marks > _MANY_MARKS:
                raise ValidationError(_("This text contains characters that cannot be used."))
        return text


class WholeField(serializers.IntegerField):
    """A JSON number without a fraction; texts and booleans are refused."""

    def to_internal_value(self, data: Any) -> int:
        """Take a whole number."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        value: int = super().to_internal_value(data)
        return value


class CodeField(serializers.CharField):
    """A short technical text: printable ASCII without spaces."""

    def to_internal_value(self, data: Any) -> str:
        """Take a text only."""
        if not isinstance(data, str):
            raise ValidationError(_("A text is expected here."))
        text: str = super().to_internal_value(data)
        if any(not "!" <= character <= "~" for character in text):
            raise ValidationError(_("This text contains characters that cannot be used."))
        return text


class YesNoField(serializers.BooleanField):
    """A JSON boolean, nothing that looks like one."""

    def to_internal_value(self, data: Any) -> bool:
        """Take true or false only."""
        if not isinstance(data, bool):
            raise ValidationError(_("true or false is expected here."))
        return data


@extend_schema_field({"type": "string", "pattern": r"^\d{2}-\d{2}$", "example": "08-17"})
class BirthdayField(serializers.Field[Any, Any, Any, Any]):
    """A birthday without a year, `MM-DD`; internally month × 100 + day."""

    def to_internal_value(self, data: Any) -> int:
        """Take a day that some year has."""
        match = _MMDD.match(data) if isinstance(data, str) else None
        if match is None:
            raise ValidationError(_("A birthday looks like 08-17."))
        month, day = int(match[1]), int(match[2])
        if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
            raise ValidationError(_("This day does not exist."))
        return month * 100 + day

    def to_representation(self, value: int) -> str:
        """Show a stored birthday."""
        return birthday(value) or ""


def birthday(value: int | None) -> str | None:
    """Show a stored birthday (month × 100 + day) as `MM-DD`."""
    return None if value is None else f"{value // 100:02d}-{value % 100:02d}"


# --- Query parameters: always texts, so they have fields of their own ------------------------------------------------


class WholeNumberParameter(serializers.IntegerField):
    """A whole number in decimal digits."""

    def to_internal_value(self, data: Any) -> int:
        """Take digits with an optional minus sign."""
        if not isinstance(data, str) or not _WHOLE.match(data):
            raise ValidationError(_("A whole number is expected here."))
        return int(data)


class DegreesParameter(serializers.FloatField):
    """Degrees in plain decimal notation."""

    def to_internal_value(self, data: Any) -> float:
        """Take a finite decimal number."""
        if not isinstance(data, str) or not _DECIMAL.match(data) or not math.isfinite(float(data)):
            raise ValidationError(_("A number such as 31.2304 is expected here."))
        return float(data)


@extend_schema_field(OpenApiTypes.BOOL)
class YesNoParameter(serializers.Field[Any, Any, Any, Any]):
    """`true` or `false`."""

    def to_internal_value(self, data: Any) -> bool:
        """Take one of the two words."""
        if data not in ("true", "false"):
            raise ValidationError(_("true or false is expected here."))
        return bool(data == "true")


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentParameter(serializers.Field[Any, Any, Any, Any]):
    """A moment with its zone, such as `2026-11-21T00:00:00+08:00`."""

    def to_internal_value(self, data: Any) -> datetime:
        """Take an ISO 8601 moment; without a zone it is refused."""
        text = data.replace(" ", "+") if isinstance(data, str) else ""  # a plus sign nobody has encoded
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None or "T" not in text:
            raise ValidationError(_("A moment with a time zone is expected here, such as 2026-11-21T00:00:00+08:00."))
        return moment


def read_query(serializer: type[StrictSerializer], query: QueryDict, *, paging: bool = False) -> dict[str, Any]:
    """Check query parameters; unknown and doubled ones are refused. With `paging`, the page's own are left alone."""
    given: dict[str, Any] = {}
    doubled: dict[str, list[str]] = {}
    for name in query:
        if paging and name in ("cursor", "page_size"):
            continue
        values = query.getlist(name)
        given[name] = values[0]
        if len(values) > 1:
            doubled[name[:60]] = [_("Give this parameter once.")]
    if doubled:
        raise ValidationError(doubled)
    checked = serializer(data=given)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def read_body(serializer: type[StrictSerializer], data: Any) -> dict[str, Any]:
    """Check a body; raises `ValidationError`."""
    checked = serializer(data=data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)
