"""Days and numbers as people type them: 8月8, 0808, 8.8, 1990-08-08, 八月初八, 38码, 三十八.

A lunar date is recognised, not converted.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Final

_DIGITS: Final = {
    "零": 0,
    "〇": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
_LUNAR: Final = re.compile(r"农历|阴历|旧历|正月|冬月|腊月|闰|初[一二三四五六七八九十\d]|廿|卅|lunar", re.IGNORECASE)
_SPELLED: Final = re.compile(r"(?:(\d{4}|\d{2})年)?(\d{1,2})月(\d{1,2})[日号]?")
_PARTED: Final = re.compile(r"(?:(\d{4}|\d{2})[./\-、 ])?(\d{1,2})[./\-、 ](\d{1,2})")
# Six figures that begin with 19 or 20 are no date: 200808 may be of 2008 or of 2020.
_RUN: Final = re.compile(r"(\d{4}|(?!19|20)\d{2})?(\d{2})(\d{2})")
_SHORT: Final = re.compile(r"(\d)(\d{2})")
_CHINESE_NUMBER: Final = re.compile(r"[零〇一二两三四五六七八九十]+")
_AROUND: Final = re.compile(
    r"^(?:我的?|的|生日|出生|公历|阳历|新历|是|在|为|[:：,，。!\s])+|(?:生日|的|出生|哦|呀|啊|吧|[,，。!~\s])+$"
)
_LEAP: Final = 2000
_FIGURES: Final = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_MOST_NUMBER: Final = 10**12
_EARLIEST_YEAR: Final = 1800
_LATEST_SHORT, _EARLIEST_SHORT = 24, 50  # 24 is 2024 and 50 is 1950; those between are asked for again


@dataclass(frozen=True, slots=True)
class Birthday:
    """A day of the year; `lunar` means that it cannot be told which day of ours it is."""

    month: int = 0
    day: int = 0
    lunar: bool = False

    @property
    def mmdd(self) -> int | None:
        """Month × 100 + day, None for a lunar date."""
        return None if self.lunar else self.month * 100 + self.day


def read_birthday(text: str) -> Birthday | None:
    """Understand a birthday; None for what is no date, or for one that does not exist."""
    plain = unicodedata.normalize("NFKC", text).strip()[:40]
    if _LUNAR.search(plain):
        return Birthday(lunar=True)
    plain = _CHINESE_NUMBER.sub(lambda match: _number(match[0]), plain)
    plain = _AROUND.sub("", plain)
    plain = re.sub(r"\s*([年月日号./\-、])\s*", r"\1", plain)
    for pattern in (_SPELLED, _PARTED, _RUN, _SHORT):
        match = pattern.fullmatch(plain)
        if match is not None:
            *_year, month, day = match.groups()
            return _checked(_year[0] if _year else None, int(month), int(day))
    return None


def read_day(text: str) -> date | None:
    """Understand a day with its year; None for what is none, for a day without a year and for a lunar date."""
    plain = unicodedata.normalize("NFKC", text).strip()[:40]
    if _LUNAR.search(plain):
        return None
    plain = _AROUND.sub("", _CHINESE_NUMBER.sub(lambda match: _number(match[0]), plain))
    plain = re.sub(r"\s*([年月日号./\-、])\s*", r"\1", plain)
    for pattern in (_SPELLED, _PARTED, _RUN):
        match = pattern.fullmatch(plain)
        if match is None or not match[1]:
            continue
        year = _year_of(match[1])
        if year is not None:
            try:
                return date(year, int(match[2]), int(match[3]))
            except ValueError:
                return None
    return None


def _year_of(said: str) -> int | None:
    """Give the year that is meant; None for one before 1800, and for two figures that may be of either century."""
    if len(said) == len("1990"):
        return int(said) if int(said) >= _EARLIEST_YEAR else None
    short = int(said)
    if short > _LATEST_SHORT:
        return 1900 + short if short >= _EARLIEST_SHORT else None
    return 2000 + short


def read_number(text: str) -> int | None:
    """Understand a whole number: 38, 38码, 我穿 38, 三十八, 1,038, 38.0; None for none, several or a broken one."""
    plain = unicodedata.normalize("NFKC", text).strip()[:40]
    found = _FIGURES.findall(plain)
    if not found:
        words = _CHINESE_NUMBER.findall(plain)
        found = [_number(words[0])] if len(words) == 1 else []
    if len(found) != 1:
        return None
    whole, _point, rest = found[0].replace(",", "").partition(".")
    if rest.strip("0") or not whole.lstrip("-").isdigit() or len(whole) > len(str(_MOST_NUMBER)):
        return None
    return int(whole) if abs(int(whole)) <= _MOST_NUMBER else None


def _checked(year: str | None, month: int, day: int) -> Birthday | None:
    try:
        date(int(year) if year and int(year) else _LEAP, month, day)
    except ValueError:
        return None
    return Birthday(month, day)


def _number(text: str) -> str:
    """Give a Chinese number up to 99, or digits said one by one, in figures."""
    if "十" not in text:
        return "".join(str(_DIGITS[each]) for each in text)
    tens, _ten, ones = text.partition("十")
    if len(tens) > 1 or len(ones) > 1 or not {*tens, *ones} <= _DIGITS.keys():
        return text
    return str((_DIGITS[tens] if tens else 1) * 10 + (_DIGITS[ones] if ones else 0))
