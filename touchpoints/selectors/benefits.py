"""What scanning a code can give: apps above register kinds (coupons), channels know only their keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.registry import Registry

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from touchpoints.models import Touch, Touchpoint


@dataclass(frozen=True)
class Offer:
    """What a code gives, by name; `problem` says why nobody gets it now, `public_id` is its name for other systems.

    `ends_at` is the moment from which on nobody can get it.
    """

    name: str
    problem: str = ""
    public_id: str = ""
    ends_at: datetime | None = None


@dataclass(frozen=True)
class Tally:
    """What came of it: to how many it was given, who still waits, and how many got nothing for which reason."""

    given: int = 0
    waiting: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BenefitKind:
    """A kind of benefit.

    `give(touch, barred)` runs in the transaction that records a touch of a code in use which has such a benefit, and
    gives it once per person and code; `barred` are staff and people who are left out: they get nothing, and the reason
    is kept. `tallies` and `outcomes` say what came of it, of some codes and of some people at them; `reason` puts a key
    of a tally's refusals into words.
    """

    label: StrOrPromise
    choices: Callable[[], list[tuple[int, str]]]
    offers: Callable[[Iterable[int]], dict[int, Offer]]
    give: Callable[[Touch, bool], None]
    tallies: Callable[[Collection[int]], dict[int, Tally]]
    outcomes: Callable[[Collection[int], Collection[int]], dict[tuple[int, int], str]]
    reason: Callable[[str], str]


benefit_kinds: Registry[BenefitKind] = Registry("code benefits", purpose="what scanning a code can give: coupons …")


def offers_of(rows: Iterable[Touchpoint]) -> dict[int, Offer]:
    """Give what some codes give, one query per kind; codes that give nothing are left out."""
    codes = [row for row in rows if row.benefit_kind and row.benefit_id is not None]
    found: dict[tuple[str, int], Offer] = {}
    for kind in sorted({row.benefit_kind for row in codes}):
        entry: Any = benefit_kinds.find(kind)
        if entry is not None:
            ids = {row.benefit_id for row in codes if row.benefit_kind == kind}
            found |= {(kind, pk): offer for pk, offer in entry.offers(ids).items()}
    return {row.pk: found[key] for row in codes if (key := (row.benefit_kind, row.benefit_id or 0)) in found}


def tally_of(row: Touchpoint) -> Tally:
    """Say what came of the benefit of a code; without one, nothing is asked."""
    entry: Any = benefit_kinds.find(row.benefit_kind) if row.benefit_kind else None
    return entry.tallies([row.pk]).get(row.pk, Tally()) if entry is not None else Tally()


def outcomes_of(touches: Iterable[Touch]) -> dict[tuple[int, int], str]:
    """Say what came of the benefit for the people of some touches: {(code, person): words}, one query per kind."""
    asked: dict[str, list[Touch]] = {}
    for touch in touches:
        if touch.touchpoint is not None and touch.touchpoint.benefit_kind:
            asked.setdefault(touch.touchpoint.benefit_kind, []).append(touch)
    found: dict[tuple[int, int], str] = {}
    for kind, rows in asked.items():
        entry: Any = benefit_kinds.find(kind)
        if entry is not None:
            found |= entry.outcomes({row.touchpoint_id for row in rows}, {row.member_id for row in rows})
    return found
