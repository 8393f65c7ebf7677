"""Figures of a rule that is being typed, in a brand of many people: estimated from a fixed part of them.

One person in 64 is looked at, always the same ones (the hash of the id decides), by the rule as it is with one more
condition. Nothing is decided by an estimate: whoever saves, keeps, freezes or sends counts everybody.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg2.errors
from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from console import formats
from members.models import ONE_IN, SAMPLE_BEGINS, Member, in_sample
from members.segments import compile_rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

# So many are counted one by one: a million takes up to 1.5 s (docs/measurements/segments.md), and 2 s is the bar.
LARGE: Final = 1_500_000
FEWEST: Final = 100  # found in the sample; of fewer an estimate would be off by more than a fifth
EXACT_SECONDS: Final = 1.0  # for each statement that asks about everybody after all
_SURE: Final = 1.96  # standard deviations: 95 of 100 such ranges hold the truth
_IDS: Final = ("pk__in", "id__in")


class TooLongError(Exception):
    """PostgreSQL was told to give up a statement after some time, and did."""


@dataclass(frozen=True)
class Figure:
    """How many people: `count` with what it lies between by 95 %, all three equal where everybody was counted.

    One person in `one_in` was looked at.
    """

    count: int
    low: int
    high: int
    one_in: int = 1

    @property
    def is_estimated(self) -> bool:
        """Say whether it was estimated."""
        return self.low != self.high

    @property
    def is_few(self) -> bool:
        """Say whether so few were found that only “fewer than” can be said."""
        return self.is_estimated and self.count < FEWEST * self.one_in

    @property
    def margin(self) -> int:
        """Give how far off it may be, two digits of it, rounded up."""
        return _two_digits(max(self.high - self.count, self.count - self.low))

    @property
    def at_least(self) -> int:
        """Give the lower end with no more digits than the margin has."""
        step = _step(self.margin)
        return self.low // step * step

    @property
    def at_most(self) -> int:
        """Give the upper end with no more digits than the margin has."""
        step = _step(self.margin)
        return -(-self.high // step) * step

    def __str__(self) -> str:
        """Say it with no more digits than it has."""
        if not self.is_estimated:
            return formats.count(self.count)
        if self.is_few:
            return _("fewer than %(count)s") % {"count": formats.count(_two_digits(self.high))}
        step = _step(self.margin)
        return _("about %(count)s") % {"count": formats.count((self.count + step // 2) // step * step)}


def exactly(count: int) -> Figure:
    """Give a figure for which everybody was counted."""
    return Figure(count, count, count)


def estimated(hits: int) -> Figure:
    """Give what so many of the sample, for which one person in 64 was looked at, say about everybody.

    Each person is in the sample with the same chance, so the hits are a binomial draw: normal where there are many of
    them, Wilson's range (for rare things: Poisson's) where there are few. Those that were found are certain.
    """
    count = hits * ONE_IN
    if hits >= FEWEST:
        half = math.ceil(_SURE * math.sqrt(hits * (1 - 1 / ONE_IN)) * ONE_IN)
        low, high = count - half, count + half
    else:
        middle, width = hits + _SURE**2 / 2, _SURE * math.sqrt(hits + _SURE**2 / 4)
        low, high = max(hits, math.floor((middle - width) * ONE_IN)), math.ceil((middle + width) * ONE_IN)
    return Figure(count, low, high, ONE_IN)


def part_of(hits: int, *, asked: int, whole: Figure) -> Figure:
    """Give how many of an estimated whole something is true of that was true of so many of a fourth of the sample.

    The share has Wilson's range, the whole has its own, and the two errors have nothing to do with each other.
    """
    share = hits / max(asked, 1)
    around = asked + _SURE**2
    middle = (hits + _SURE**2 / 2) / around
    width = _SURE * math.sqrt(hits * (asked - hits) / max(asked, 1) + _SURE**2 / 4) / around
    below = math.hypot(whole.count * (share - middle + width), share * (whole.count - whole.low))
    above = math.hypot(whole.count * (middle + width - share), share * (whole.high - whole.count))
    count = round(share * whole.count)
    low, high = max(hits, math.floor(count - below)), min(math.ceil(count + above), whole.high)
    return Figure(count, low, high, 4 * ONE_IN)


def is_in_quarter(member_id: int) -> bool:
    """Say whether somebody of the sample is in its fixed fourth part: of very many, those are asked for ways."""
    return hashlib.md5(f"{member_id}".encode(), usedforsecurity=False).hexdigest().startswith(SAMPLE_BEGINS[0])


def _step(value: int) -> int:
    """Give the value of the second digit of a number."""
    return int(10 ** max(len(f"{value}") - 2, 0))


def _two_digits(value: int) -> int:
    step = _step(value)
    return -(-value // step) * step


def is_large() -> bool:
    """Say whether the brand has so many people that a rule is estimated. Asks the index of the sample alone."""
    return _sampled().order_by().values("pk")[LARGE // ONE_IN : LARGE // ONE_IN + 1].exists()


def matching_in_sample(rule: object, *, at: datetime) -> QuerySet[Member]:
    """Give the people of the sample whom a rule selects: those of `members.segments.matching` that are in it."""
    return _sampled().filter(_narrowed(compile_rule(rule, at=at)))


def _sampled() -> QuerySet[Member]:
    return Member.objects.filter(in_sample(), merged_into__isnull=True, erased_at__isnull=True)


def _narrowed(predicate: Q) -> Q:
    """Have everything that is asked by “the person is one of these” look at people of the sample alone.

    Otherwise PostgreSQL would add up the purchases of everybody, only to throw 63 of 64 sums away.
    """
    children: list[Any] = []
    for child in predicate.children:
        if isinstance(child, Q):
            children.append(_narrowed(child))
        elif isinstance(child, tuple) and child[0] in _IDS and isinstance(child[1], QuerySet):
            children.append((child[0], _of_sample(child[1])))
        else:
            children.append(child)
    return Q(*children, _connector=predicate.connector, _negated=predicate.negated)


def _of_sample(ids: QuerySet[Any]) -> QuerySet[Any]:
    """Leave those out who are not in the sample, where that changes nothing for the others."""
    query: Any = ids.query
    looks_around = query.is_sliced or query.combinator or query.distinct_fields
    looks_around = looks_around or any(each.contains_over_clause for each in query.annotations.values())
    if looks_around or len(query.values_select) != 1 or query.annotation_select:
        return ids
    return ids.filter(**{f"{query.values_select[0]}__in": _sampled().values("pk")})


@contextmanager
def giving_up(seconds: float) -> Iterator[None]:
    """Have each statement, not all together, given up after some time.

    Raises `TooLongError`, and what was begun before goes on.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            (before,) = cursor.fetchone()
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{max(1, int(seconds * 1000))}ms"])
            yield
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg2.errors.QueryCanceled):
            raise TooLongError from error
        raise
