"""Columns for a brand's own profile fields: each is read as its type says, and who sees it is respected."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from imports import values
from imports.columns import Column
from members.errors import ProfileValueInvalid
from members.models import FieldKind, ProfileField, Sensitivity
from members.profiles import IMPORT, MOST_CHARACTERS, read_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PREFIX: Final = "field:"
_YES: Final = frozenset({"是", "有", "yes", "y", "true", "1", "1.0", "√"})
_NO: Final = frozenset({"否", "无", "没有", "no", "n", "false", "0", "0.0", "×"})
_NUMBER: Final = re.compile(r"(-?(?:\d{1,3}(?:,\d{3})+|\d{1,13}))(\.0+)?")
_HIDDEN: Final = re.compile(r".?\*{3}")
_MOST_SHOWN: Final = 60


def own_columns() -> tuple[Column, ...]:
    """Give a column for each field of the brand that takes something from imports."""
    return tuple(_column(field) for field in _fields() if IMPORT in field.sources)


def deaf_fields() -> list[str]:
    """Name the fields of the brand that take nothing from imports."""
    return [field.label for field in _fields() if IMPORT not in field.sources]


def own_keys(cells: Iterable[str]) -> list[str]:
    """Give the keys of the fields of which cells say something."""
    return [key.removeprefix(PREFIX) for key in cells if key.startswith(PREFIX)]


def fields_of(keys: Iterable[str]) -> dict[str, ProfileField]:
    """Give the fields with these keys."""
    wanted = set(keys)
    return {field.key: field for field in ProfileField.objects.filter(key__in=wanted)} if wanted else {}


def still_fits(field: ProfileField | None, text: str) -> bool:
    """Say whether a value that was read still is one of the field's, and may come from an import."""
    if field is None or IMPORT not in field.sources:
        return False
    try:
        return read_value(field, text) == text
    except ProfileValueInvalid:
        return False


def _fields() -> list[ProfileField]:
    return list(ProfileField.objects.order_by("label", "pk"))


def _column(field: ProfileField) -> Column:
    return Column(
        PREFIX + field.key,
        field.label,
        (field.label, field.label, field.key, PREFIX + field.key),
        str(FieldKind(field.kind).label),
        _reader(field),
        own=True,
        sensitive=field.sensitivity != Sensitivity.PLAIN,
    )


def _reader(field: ProfileField) -> Callable[[str], Any]:
    readers: dict[str, Callable[[ProfileField, str], Any]] = {
        FieldKind.TEXT: _text,
        FieldKind.NUMBER: _number,
        FieldKind.DATE: _date,
        FieldKind.CHOICE: _choice,
        FieldKind.YES_NO: _yes_no,
    }
    read = readers[field.kind]
    hides = field.sensitivity != Sensitivity.PLAIN
    # What an export has hidden says nothing, as the stars of a phone do not.
    return lambda text: None if hides and _HIDDEN.fullmatch(text) else read(field, text)


def _text(_field: ProfileField, text: str) -> str:
    return values.plain_text(text, MOST_CHARACTERS)


def _number(field: ProfileField, text: str) -> str:
    if values.is_scientific(text):
        raise values.Unreadable("scientific")
    found = _NUMBER.fullmatch(text)
    try:
        return read_value(field, found[1].replace(",", "")) if found else _refuse("number_invalid")
    except ProfileValueInvalid:
        return _refuse("number_invalid")


def _date(_field: ProfileField, text: str) -> str:
    return values.past_day(text)


def _choice(field: ProfileField, text: str) -> str:
    known = {_plain(choice): choice for choice in field.choices}
    return known.get(_plain(text)) or _refuse("choice_unknown", "、".join(field.choices)[:_MOST_SHOWN])


def _plain(text: str) -> str:
    """Give a choice as choices are compared: cells come in half width."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _yes_no(_field: ProfileField, text: str) -> str:
    word = text.casefold()
    if word in _YES:
        return "yes"
    return "no" if word in _NO else _refuse("yes_no_unknown")


def _refuse(code: str, about: str = "") -> str:
    raise values.Unreadable(code, about)
