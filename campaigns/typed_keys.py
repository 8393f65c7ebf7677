"""What WeChat allows in a field of a template, by the type in front of its number (reference: service account 5.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.utils.functional import _StrPromise

_HAN: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_DAY: Final = r"\d{4}[年/.-]\d{1,2}[月/.-]\d{1,2}日?"
_CLOCK: Final = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?"
_KEY: Final = re.compile(r"([a-z_]+?)\d*")


@dataclass(frozen=True)
class FieldType:
    """One type of field: its name, how many characters fit (0 = counted otherwise) and what it takes.

    `cuts` says whether a longer value may simply be cut: words may, numbers and dates may not.
    """

    key: str
    label: _StrPromise
    limit: int
    rule: _StrPromise
    fits: Callable[[str], bool]
    cuts: bool = False


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _at_most(limit: int) -> Callable[[str], bool]:
    return lambda value: len(value) <= limit


def name_limit(value: str) -> int:
    """How many characters a `name` may have: 10 with Chinese characters, else 20."""
    return 10 if _HAN.search(value) else 20


TYPES: Final[dict[str, FieldType]] = {
    each.key: each
    for each in (
        FieldType("thing", _("text"), 20, _("at most 20 characters"), _at_most(20), cuts=True),
        FieldType("number", _("number"), 32, _("digits only, at most 32"), _matches(r"[-+]?(?=.{1,32}$)\d+(\.\d+)?")),
        FieldType("letter", _("letters"), 32, _("letters only, at most 32"), _matches(r"[A-Za-z]{1,32}")),
        FieldType("symbol", _("symbol"), 5, _("at most 5 characters"), _at_most(5)),
        FieldType(
            "character_string",
            _("letters, digits and signs"),
            32,
            _("at most 32 letters, digits or signs, no Chinese characters"),
            _matches(r"[\x21-\x7e][\x20-\x7e]{0,31}"),
        ),
        FieldType(
            "time", _("time"), 0, _("24-hour time, with a date if you like: 2025-06-02 15:30"),
            _matches(rf"({_DAY}\s*)?{_CLOCK}(\s*[~至-]\s*({_DAY}\s*)?{_CLOCK})?"),
        ),
        FieldType(
            "date", _("date"), 0, _("a date, with a time if you like: 2025-06-02"),
            _matches(rf"{_DAY}(\s*{_CLOCK})?(\s*[~至-]\s*{_DAY}(\s*{_CLOCK})?)?"),
        ),
        FieldType(
            "amount", _("amount"), 0, _("one currency sign and at most 10 digits: ¥128.00"),
            _matches(r"[^\d\s.,-]?(?=[\d.]{1,13}(元|$))\d{1,10}(\.\d{1,2})?元?"),
        ),
        FieldType(
            "phone_number", _("phone number"), 17, _("digits and signs, at most 17"), _matches(r"[\d+()\- ]{1,17}")
        ),
        FieldType("car_number", _("licence plate"), 8, _("at most 8 characters"), _at_most(8)),
        FieldType(
            "name", _("name"), 0, _("at most 10 Chinese characters or 20 letters"),
            lambda value: len(value) <= name_limit(value), cuts=True,
        ),
        FieldType(
            "phrase", _("short phrase"), 5, _("at most 5 Chinese characters"),
            _matches(r"[\u3400-\u9fff\uf900-\ufaff]{1,5}"),
        ),
        FieldType("const", _("one of the listed values"), 20, _("one of the template's listed values"), _at_most(20)),
    )
}  # fmt: skip


def type_of(key: str) -> FieldType | None:
    """The type of a key such as `thing5`; None for the untyped keys of old templates."""
    match = _KEY.fullmatch(key)
    return TYPES.get(match[1]) if match else None


def cut(key: str, value: str) -> str:
    """Shorten a value to what its field takes, where cutting keeps its meaning (words, names)."""
    kind = type_of(key)
    if kind is None or not kind.cuts:
        return value
    limit = kind.limit or name_limit(value)
    return value if len(value) <= limit else value[: limit - 1] + "…"


def fits(key: str, value: str) -> bool:
    """Whether WeChat takes a value for a key."""
    kind = type_of(key)
    return bool(value.strip()) and (kind is None or kind.fits(value))
