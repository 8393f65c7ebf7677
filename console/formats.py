"""How figures, money, rates, moments and personal data look on screen (one place for templates and views)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.functional import lazy
from django.utils.translation import get_language, gettext, ngettext

from common import clock

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

NOTHING = "--"
WAN = 10_000
YI = 100_000_000


def count(value: int | None) -> str:
    """Give a whole number with commas; nothing is `--`, zero is 0."""
    return NOTHING if value is None else f"{value:,}"


def wan(value: float | None) -> str:
    """Give a figure: from 10,000 as 1.2万, from 1亿 as 1.23亿 in Chinese, with commas otherwise; half up."""
    if value is None:
        return NOTHING
    if (get_language() or "").startswith("zh") and abs(value) >= WAN:
        exact = Decimal(str(value))
        big = exact / WAN
        if abs(big.quantize(Decimal("0.1"), ROUND_HALF_UP)) < YI // WAN:
            return f"{big.quantize(Decimal('0.1'), ROUND_HALF_UP)}万"
        return f"{(exact / YI).quantize(Decimal('0.01'), ROUND_HALF_UP)}亿"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def fen(value: int | None) -> str:
    """Give money from whole fen: 123450 is ¥1,234.50."""
    if value is None:
        return NOTHING
    sign = "-" if value < 0 else ""
    yuan, rest = divmod(abs(int(value)), 100)
    return f"{sign}¥{yuan:,}.{rest:02d}"


def rate(value: float | None) -> str:
    """Give a share (0…1) as a percentage with one decimal; `<0.1%` when there is some but less."""
    if value is None:
        return NOTHING
    percent = (Decimal(str(value)) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    if value > 0 and percent == 0:
        return "<0.1%"
    return f"{percent}%"


def share(part: int, whole: int) -> float | None:
    """Give part of whole as a fraction, or None when there is no whole."""
    return part / whole if whole else None


def local(moment: datetime) -> datetime:
    """Give the moment in the zone of the page (the brand's)."""
    return timezone.localtime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def zone_words(key: str | None) -> str:
    """Give a time zone as people say it; the key where no word is known."""
    return gettext("Beijing time") if key == "Asia/Shanghai" else key or ""


def local_time(moment: datetime | date | None) -> str:
    """Give 06-01 08:00 this year, 2025-06-01 08:00 otherwise; a date without its time."""
    if moment is None:
        return NOTHING
    this_year = local(clock.now()).year
    if isinstance(moment, datetime):
        moment = local(moment)
        return moment.strftime("%m-%d %H:%M" if moment.year == this_year else "%Y-%m-%d %H:%M")
    return moment.strftime("%m-%d" if moment.year == this_year else "%Y-%m-%d")


def full_time(moment: datetime | None) -> str:
    """Give the moment to the second with its zone: what hovering shows."""
    if moment is None:
        return ""
    here = local(moment)
    return f"{here:%Y-%m-%d %H:%M:%S} (UTC{here:%z})"


def ago(moment: datetime | None) -> str:
    """Give just now, minutes or hours ago up to a day, then the date and time."""
    if moment is None:
        return NOTHING
    passed = clock.now() - moment
    if passed < timedelta(0) or passed >= timedelta(days=1):
        return local_time(moment)
    minutes = int(passed.total_seconds() // 60)
    if minutes < 1:
        return gettext("just now")
    if minutes < 60:
        return ngettext("%d minute ago", "%d minutes ago", minutes) % minutes
    hours = minutes // 60
    return ngettext("%d hour ago", "%d hours ago", hours) % hours


def tail(openid: str) -> str:
    """Give the end of an OpenID: enough to recognise, too little to use."""
    return f"…{openid[-6:]}" if openid else NOTHING


def mask(value: str) -> str:
    """Mask a phone number (138****6721) or keep the first character of anything else (张*)."""
    if not value:
        return NOTHING
    if value.isdigit() and len(value) == 11:
        return f"{value[:3]}****{value[-4:]}"
    return f"{value[0]}{'*' * max(1, len(value) - 1)}"


def numbered(text: StrOrPromise, number: int) -> StrOrPromise:
    """Give a heading with its number in the language of whoever reads it; `%` would settle for the one of now."""
    return lazy(lambda: str(text) % {"number": number}, str)()
