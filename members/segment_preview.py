"""What else an operator asks while building a segment: other people of the sample, and which condition emptied it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from accounts.roles import DataScope
from accounts.tenancy import current_brand_id, reporting
from common.postgres.planning import by_one_process
from members import sampling
from members.sampling import TooLongError, giving_up, matching_in_sample
from members.segments import GROUPS, matching, sentence
from members.selectors import SAMPLE, named, within_reach

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from accounts.viewer import Viewer
    from members.models import Member
    from members.selectors import PersonLine, Preview

MOST_DRAWS = 50


def sample(
    rule: object, *, at: datetime, shown: Preview, draw: int, viewer: Viewer | None = None
) -> tuple[PersonLine, ...]:
    """Give twenty people of a rule; each `draw` gives the next twenty, after the last ones it begins again.

    Only people within reach of `viewer` are named. Where the figures that are `shown` were estimated, they are drawn
    from the brand's fixed sample; for somebody who sees a few stores only, of whom it may hold nobody, from everybody.
    What takes long in a large brand is given up, and the people shown before stay.
    """
    narrow = viewer is not None and viewer.scope != DataScope.BRAND
    with reporting(current_brand_id()):
        if not shown.is_estimated:
            return _drawn(matching(rule, at=at), shown.found, draw, viewer, narrow=narrow)
        try:
            if narrow:
                with giving_up(sampling.EXACT_SECONDS):
                    return _drawn(matching(rule, at=at), shown.found, draw, viewer, narrow=True)
            with by_one_process(), giving_up(sampling.EXACT_SECONDS):
                return _drawn(matching_in_sample(rule, at=at), shown.found, draw, viewer, narrow=False)
        except TooLongError:
            return shown.sample


def _drawn(
    people: QuerySet[Member], found: int, draw: int, viewer: Viewer | None, *, narrow: bool
) -> tuple[PersonLine, ...]:
    """Give the twenty of a draw; `found` is how many there are, though not how many a narrow viewer can see."""
    if narrow:
        found = within_reach(people, viewer)[: MOST_DRAWS * SAMPLE].count()
    draws = min(max(1, -(-found // SAMPLE)), MOST_DRAWS)
    return named(people, viewer, draw % draws * SAMPLE)


def emptied_by(rule: object, *, at: datetime) -> tuple[str, bool] | None:
    """Say which part of an “all of” rule leaves nobody: (its sentence, whether it alone finds nobody).

    None when the rule is no “all of” group with at least one part, and when a large brand would make it take long: all
    looks together have as long as one count has. One look per part at most, none of them counts.
    """
    if not isinstance(rule, dict) or next(iter(rule), "") != "all":
        return None
    parts: list[Any] = rule["all"]
    with reporting(current_brand_id()):
        if not sampling.is_large():
            return _emptied_by(parts, at, None)
        try:
            return _emptied_by(parts, at, monotonic() + sampling.EXACT_SECONDS)
        except TooLongError:
            return None


def _emptied_by(parts: list[Any], at: datetime, until: float | None) -> tuple[str, bool] | None:
    for size in range(1, len(parts) + 1):
        if not _finds_anybody({"all": parts[:size]}, at, until):
            last = as_group(parts[size - 1])
            return sentence(last), size == 1 or not _finds_anybody(last, at, until)
    return None


def _finds_anybody(rule: object, at: datetime, until: float | None) -> bool:
    """Say whether a rule finds anybody; raises TooLongError at the end of the time that all looks have together."""
    if until is None:
        return matching(rule, at=at).exists()
    left = until - monotonic()
    if left <= 0:
        raise TooLongError
    with giving_up(left):
        return matching(rule, at=at).exists()


def as_group(part: Any) -> dict[str, Any]:
    """Give a part of a rule as a rule of its own."""
    return part if next(iter(part)) in GROUPS else {"all": [part]}
