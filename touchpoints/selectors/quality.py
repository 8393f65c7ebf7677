"""Quality of channels: who stays, joins and comes back counts; how many followed does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from touchpoints.selectors.figures import WHOLE, Figures, Window

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, tzinfo

    from django_stubs_ext import StrOrPromise

    from touchpoints.selectors.branches import TreeFigures

FEWEST: Final = 30  # followers; a rate of fewer says nothing
LOOKED_AT: Final = timedelta(days=120)
SETTLED: Final = timedelta(days=30)


@dataclass(frozen=True)
class Measure:
    """One part of the score: which share of the followers, and how many of the 100 points it can bring."""

    key: str
    label: StrOrPromise
    points: int
    turned: bool = False  # the smaller the share, the better


MEASURES: Final = (
    Measure("kept_30", _("Still following after 30 days"), 40),
    Measure("joined_30", _("Joined as member"), 25),
    Measure("engaged_30", _("Came back on a later day"), 20),
    Measure("fast_30", _("Left within 3 days"), 15, turned=True),
)


# From this share on a channel is one of people who came for the benefit and nothing else.
MOSTLY_BARGAIN: Final = 0.5


@dataclass(frozen=True)
class Mark:
    """What one measure brought: `people` of `followers`, hence so many of its points."""

    measure: Measure
    people: int
    followers: int
    points: float


@dataclass(frozen=True)
class Quality:
    """The score of a channel with every part of it; None with fewer than 30 followers. `kept` are those who stayed."""

    touchpoint_id: int
    followers: int
    kept: int
    score: int | None
    marks: tuple[Mark, ...]
    rank: int | None = None
    of: int = 0
    kept_7: int = 0
    bargain: int = 0
    """People who took a benefit within 30 days and did nothing else. The score does not ask for it: it explains it."""

    @property
    def is_bargain(self) -> bool:
        """Whether at least half of those who followed came for the benefit only."""
        return self.score is not None and self.bargain >= MOSTLY_BARGAIN * self.followers


def settled_window(now: datetime, zone: tzinfo) -> Window:
    """Give the window quality looks at: the last 120 days. Its measures are of those whose first 30 days are over."""
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(midnight - LOOKED_AT, now + timedelta(seconds=1))


def quality(touchpoint_id: int, figures: Figures) -> Quality:
    """Score one channel by the figures of the settled window."""
    whole = figures.parts["old_30"]
    followers, kept = figures.people("old_30"), figures.people("kept_30")
    # Of the same people as the 30 days: everybody who was there after these was there after 7 days.
    kept_7, bargain = figures.people("week_30"), figures.people("bargain_30")
    if whole < FEWEST * WHOLE:
        return Quality(touchpoint_id, followers, kept, None, (), kept_7=kept_7, bargain=bargain)
    marks: list[Mark] = []
    for measure in MEASURES:
        share = figures.parts[measure.key] / whole
        marks.append(
            Mark(
                measure,
                figures.people(measure.key),
                followers,
                measure.points * (1 - share if measure.turned else share),
            )
        )
    score = round(sum(mark.points for mark in marks))
    return Quality(touchpoint_id, followers, kept, score, tuple(marks), kept_7=kept_7, bargain=bargain)


def ranking(figures: TreeFigures, touchpoint_ids: Iterable[int]) -> list[Quality]:
    """Rank channels: the best score first, those with too few followers at the end without a rank."""
    scored = [quality(pk, figures.nodes.get(pk) or Figures()) for pk in touchpoint_ids]
    ranked = sorted(
        (each for each in scored if each.score is not None),
        key=lambda each: (-(each.score or 0), -each.kept, each.touchpoint_id),
    )
    unranked = sorted(
        (each for each in scored if each.score is None), key=lambda each: (-each.followers, each.touchpoint_id)
    )
    return [replace(each, rank=number, of=len(ranked)) for number, each in enumerate(ranked, 1)] + unranked
