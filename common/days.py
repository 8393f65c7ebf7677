"""Days that people choose: within years in which every day has a day before, a day after and a moment in any zone."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

FIRST_DAY: Final = date(2000, 1, 1)
LAST_DAY: Final = date(2099, 12, 31)
OUT_OF_YEARS: Final[_StrPromise] = gettext_lazy("Choose a day in the years 2000 to 2099.")


def in_years(day: date) -> bool:
    """Say whether a day lies in the years that can be worked with."""
    return FIRST_DAY <= day <= LAST_DAY
