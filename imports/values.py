"""Cells as people and spreadsheet programs write them, read exactly or refused with a reason."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from common import clock
from common.divisions import locate
from common.spreadsheets import FORMULA
from loyalty.services.ledger import MOST_POINTS
from members.errors import PhoneInvalid
from members.services.identity import masked_phone, normalised_phone

MOST_FEN: Final = 100_000_000_00
MOST_WORDS: Final = 20
MOST_ITEMS: Final = 200
_SCIENTIFIC: Final = re.compile(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+")
_WHOLE_FLOAT: Final = re.compile(r"(\d{6,20})\.0*")
_FULL_DAY: Final = re.compile(r"(\d{4})(?:[-/.]|年)(\d{1,2})(?:[-/.]|月)(\d{1,2})日?")
_PACKED_DAY: Final = re.compile(r"(19|20)(\d{2})(\d{2})(\d{2})")
_MONTH_DAY: Final = re.compile(r"(\d{1,2})(?:[-]|月)(\d{1,2})日?")
_SLASHED: Final = re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")
_CLOCK: Final = re.compile(r"[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?")
_SERIAL: Final = re.compile(r"\d{5}(\.\d+)?")
_MONEY: Final = re.compile(r"[¥￥]?(-?\d{1,3}(?:,\d{3})+|-?\d+)(\.\d+)?元?")
_COUNT: Final = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(\.0+)?")
_CODE: Final = re.compile(r"[!-~]{1,64}")
_SPLIT: Final = re.compile(r"[;；,，、|\n]+")
_SPLIT_ITEMS: Final = re.compile(r"[;；|\n]+")
_WITH_CATEGORY: Final = re.compile(r"(?P<sku>[^【】]+)【(?P<category>[^【】]+)】")
_EPOCH: Final = date(1899, 12, 30)  # day 0 of spreadsheet programs: right from 1 March 1900 on
_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
GENDERS: Final = {
    "男": "M",
    "m": "M",
    "male": "M",
    "男性": "M",
    "女": "F",
    "f": "F",
    "female": "F",
    "女性": "F",
    "其他": "X",
    "other": "X",
}
_UNSAID: Final = frozenset({"未知", "保密", "unknown", "-", "--", "无"})


class Unreadable(Exception):
    """A cell cannot be read: `code` names the reason in imports/problems.py, `about` adds a word that is no value."""

    def __init__(self, code: str, about: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.about = about


def read(text: str, how: Any) -> Any:
    """Give the value of a cell, None when it is empty. Raises `Unreadable`."""
    if text.startswith(FORMULA):
        raise Unreadable("formula")
    if len(text) >= 2 and text.startswith("#") and text.rstrip("!?").isupper():
        raise Unreadable("cell_error")  # #N/A, #REF! and the like
    text = unicodedata.normalize("NFKC", text).strip()
    return how(text) if text else None


def code(text: str) -> str:
    """Read a number or code that is kept as it is; a spreadsheet's 4820175936.0 is 4820175936."""
    if is_scientific(text):
        raise Unreadable("scientific")
    whole = _WHOLE_FLOAT.fullmatch(text)
    text = whole[1] if whole else text
    if not _CODE.fullmatch(text):
        raise Unreadable("code_invalid")
    return text


def phone(text: str) -> str:
    """Read a phone as E.164; one that an export has masked stays as it is."""
    if is_scientific(text):
        raise Unreadable("scientific")
    if "*" in text:
        return text
    whole = _WHOLE_FLOAT.fullmatch(text)
    try:
        return normalised_phone(whole[1] if whole else text)
    except PhoneInvalid:
        raise Unreadable("phone_invalid") from None


def shown_phone(text: str) -> str:
    """Give a read phone as it may be shown."""
    return text if "*" in text else masked_phone(text)


def is_scientific(text: str) -> bool:
    """Say whether a program wrote a number with an exponent."""
    return bool(_SCIENTIFIC.fullmatch(text))


def plain_text(text: str, longest: int) -> str:
    """Read a text that is kept as it is."""
    if len(text) > longest:
        raise Unreadable("too_long")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") for character in text):
        raise Unreadable("characters")
    return text


def name(text: str) -> str:
    """Read a name."""
    return plain_text(" ".join(text.split()), 60)


def city(text: str) -> str:
    """Read a city."""
    return plain_text(text, 40)


def place(text: str) -> list[str]:
    """Read an address as the codes of its province, city and district, or as why it says none; it is not kept."""
    found = locate(text)
    return list(found.place.codes) if found.place is not None else [str(found.why)]


def source(text: str) -> str:
    """Read where somebody comes from."""
    return plain_text(text, 30)


def gender(text: str) -> str | None:
    """Read a gender as profiles keep it; "unknown" says nothing."""
    if text.casefold() in _UNSAID:
        return None
    found = GENDERS.get(text.casefold())
    if found is None:
        raise Unreadable("gender_unknown")
    return found


def words(text: str) -> list[str]:
    """Read several words."""
    found = list(dict.fromkeys(word.strip() for word in _SPLIT.split(text) if word.strip()))
    if len(found) > MOST_WORDS:
        raise Unreadable("too_many")
    return [plain_text(word, 30) for word in found]


def points(text: str) -> int:
    """Read a number of points: whole, not negative."""
    if is_scientific(text):
        raise Unreadable("scientific")
    found = _COUNT.fullmatch(text)
    if not found or int(found[1].replace(",", "")) > MOST_POINTS:
        raise Unreadable("points_invalid")
    return int(found[1].replace(",", ""))


def fen(text: str) -> int:
    """Read yuan as fen, exactly. What a program computed as 0.30000000000000004 is 0.30."""
    if is_scientific(text):
        raise Unreadable("scientific")
    if not _MONEY.fullmatch(text):
        raise Unreadable("amount_invalid")
    try:
        yuan = Decimal(text.strip("¥￥元").replace(",", ""))
    except InvalidOperation:
        raise Unreadable("amount_invalid") from None
    if yuan <= 0:
        raise Unreadable("amount_not_positive")
    exact = round(yuan, 6) * 100
    if exact != exact.to_integral_value():
        raise Unreadable("amount_parts")
    if exact > MOST_FEN:
        raise Unreadable("amount_invalid")
    return int(exact)


def birthday(text: str) -> int:
    """Read a birthday as month × 100 + day."""
    short = _MONTH_DAY.fullmatch(text)
    if short:
        month, day = int(short[1]), int(short[2])
        if not (1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
            raise Unreadable("day_missing")
        return month * 100 + day
    found = _day(text)
    if found > clock.now().date() + timedelta(days=1):  # today in every zone
        raise Unreadable("day_future")
    return found.month * 100 + found.day


def past_day(text: str) -> str:
    """Read a day that is over or today, as 2025-06-01."""
    return _day(text).isoformat()


def moment(text: str) -> str:
    """Read a day with or without a time, as 2025-06-01T13:45:00 in no zone."""
    if _SERIAL.fullmatch(text):
        whole = _EPOCH + timedelta(days=int(float(text)))
        seconds = round(float(Decimal(text) % 1) * 86_400)
        return (datetime(whole.year, whole.month, whole.day) + timedelta(seconds=seconds)).isoformat()  # noqa: DTZ001
    at = _CLOCK.search(text)
    day = _day(text[: at.start()] if at else text)
    hour, minute, second = (int(at[1]), int(at[2]), int(at[3] or 0)) if at else (0, 0, 0)
    if at is not None and at.end() != len(text):
        raise Unreadable("day_invalid")
    try:
        return datetime(day.year, day.month, day.day, hour, minute, second).isoformat()  # noqa: DTZ001
    except ValueError:
        raise Unreadable("day_invalid") from None


def _day(text: str) -> date:
    text = re.sub(r"[ T]00:00(:00)?$", "", text)
    parts = _FULL_DAY.fullmatch(text)
    if parts is None and _SLASHED.fullmatch(text):
        raise Unreadable("day_ambiguous")
    try:
        if parts:
            found = date(int(parts[1]), int(parts[2]), int(parts[3]))
        elif packed := _PACKED_DAY.fullmatch(text):
            found = date(int(packed[1] + packed[2]), int(packed[3]), int(packed[4]))
        elif _SERIAL.fullmatch(text):
            found = _EPOCH + timedelta(days=int(float(text)))
        else:
            raise Unreadable("day_invalid")
    except ValueError:
        raise Unreadable("day_missing") from None
    if not 1900 <= found.year <= 2200:
        raise Unreadable("day_invalid")
    return found


def items(text: str) -> list[list[Any]]:
    """Read lines of an order: [code, fen] each, or [code, fen, category] where the code has one in brackets.

    A code alone is a line without an amount of its own.
    """
    found: list[list[Any]] = []
    for part in _SPLIT_ITEMS.split(text):
        sku, separator, amount = part.strip().rpartition("=") if "=" in part else (part.strip(), "", "")
        if not sku:
            continue
        split = _WITH_CATEGORY.fullmatch(sku.strip())
        try:
            line = [code(split["sku"].strip() if split else sku.strip()), fen(amount.strip()) if separator else 0]
            found.append([*line, plain_text(split["category"].strip(), 64)] if split else line)
        except Unreadable:
            raise Unreadable("items_invalid") from None
    if len(found) > MOST_ITEMS:
        raise Unreadable("too_many")
    return found
