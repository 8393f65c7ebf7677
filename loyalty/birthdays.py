"""Birthdays as days of a calendar, and what can be given for them: further benefits register themselves."""

from __future__ import annotations

from calendar import isleap
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from loyalty.models import BirthdayGrant

LEAP_DAY = 229


class BirthdayBenefit(Protocol):
    """Something that is given for a birthday."""

    @property
    def label(self) -> StrOrPromise:
        """Name it."""
        ...

    @property
    def numbers(self) -> Mapping[str, tuple[StrOrPromise, int, int]]:
        """Say what is asked for in the form: name → (label, smallest, largest)."""
        ...

    @property
    def picks(self) -> Mapping[str, tuple[StrOrPromise, Callable[[], list[tuple[int, str]]]]]:
        """Say which rows of the brand are chosen in the form: name → (label, what there is to choose from)."""
        ...

    def says(self, params: dict[str, Any]) -> str:
        """Say what is given, as the page and the member's card show it."""
        ...

    def points(self, params: dict[str, Any]) -> int:
        """Give how many points one costs; 0 when it costs none."""
        ...

    def give(self, grants: Sequence[BirthdayGrant], *, at: datetime) -> dict[int, str]:
        """Give it, each grant once however often it is asked for; gives what each led to by key of the grant.

        Grants that are left out cannot be given any more (the person's data was deleted).
        """
        ...


benefits: Registry[BirthdayBenefit] = Registry("birthday benefits", purpose="what is given for a birthday")


def due(day: date, *, mode: str, before: int, after: int, leap: str) -> dict[int, int]:
    """Give the birthdays (month × 100 + day) whose window a day lies in, each with the year of that birthday.

    The window begins so many days before the birthday (or its month) and ends so many after it. In other years
    29 February is the day the leap rule says.
    """
    found: dict[int, int] = {}
    for shift in range(-after, before + 1):
        each = day + timedelta(days=shift)
        if mode == "MONTH":
            found |= {each.month * 100 + number: each.year for number in range(1, 32)}
            continue
        found[each.month * 100 + each.day] = each.year
        if (each.month, each.day) == ((2, 28) if leap == "FEB28" else (3, 1)) and not isleap(each.year):
            found[LEAP_DAY] = each.year
    return found


def window_of(mmdd: int, year: int, *, mode: str, before: int, after: int, leap: str) -> tuple[date, date]:
    """Give the first and the last day on which the benefit for a birthday is given."""
    month, number = divmod(mmdd, 100)
    if mode == "MONTH":
        first = date(year, month, 1)
        last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    elif mmdd == LEAP_DAY and not isleap(year):
        first = last = date(year, 2, 28) if leap == "FEB28" else date(year, 3, 1)
    else:
        first = last = date(year, month, number)
    return first - timedelta(days=before), last + timedelta(days=after)
