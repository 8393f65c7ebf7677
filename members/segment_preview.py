"""What else an operator asks while building a segment: other people of the sample, and which condition emptied it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts.tenancy import current_brand_id, reporting
from members import sampling
from members.sampling import TooLongError, giving_up, matching_in_sample
from members.segments import GROUPS, matching, sentence
from members.selectors import SAMPLE, named

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.viewer import Viewer
    from members.selectors import PersonLine, Preview

MOST_DRAWS = 50


def sample(
    rule: object, *, at: datetime, shown: Preview, draw: int, viewer: Viewer | None = None
) -> tuple[PersonLine, ...]:
    """Give twenty people of a rule; each `draw` gives the next twenty, after the last ones it begins again.

    Only people within reach of `viewer` are named. Where the figures that are `shown` were estimated, they are drawn
    from the brand's fixed sample.
    """
    draws = min(max(1, -(-shown.found // SAMPLE)), MOST_DRAWS)
    with reporting(current_brand_id()):
        people = matching_in_sample(rule, at=at) if shown.is_estimated else matching(rule, at=at)
        return named(people, viewer, draw % draws * SAMPLE)


def emptied_by(rule: object, *, at: datetime) -> tuple[str, bool] | None:
    """Say which part of an “all of” rule leaves nobody: (its sentence, whether it alone finds nobody).

    None when the rule is no “all of” group with at least one part, and when a large brand would make it take long. One
    look per part at most, none of them counts.
    """
    if not isinstance(rule, dict) or next(iter(rule), "") != "all":
        return None
    parts: list[Any] = rule["all"]
    with reporting(current_brand_id()):
        if not sampling.is_large():
            return _emptied_by(parts, at)
        try:
            with giving_up(sampling.EXACT_SECONDS):
                return _emptied_by(parts, at)
        except TooLongError:
            return None


def _emptied_by(parts: list[Any], at: datetime) -> tuple[str, bool] | None:
    for size in range(1, len(parts) + 1):
        if not matching({"all": parts[:size]}, at=at).exists():
            last = as_group(parts[size - 1])
            return sentence(last), size == 1 or not matching(last, at=at).exists()
    return None


def as_group(part: Any) -> dict[str, Any]:
    """Give a part of a rule as a rule of its own."""
    return part if next(iter(part)) in GROUPS else {"all": [part]}
