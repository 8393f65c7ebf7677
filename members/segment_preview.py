"""What else an operator asks while building a segment: other people of the sample, and which condition emptied it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts.tenancy import current_brand_id, reporting
from members.segments import GROUPS, matching, sentence
from members.selectors import SAMPLE, PersonLine, within_reach

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.viewer import Viewer

MOST_DRAWS = 50


def sample(
    rule: object, *, at: datetime, count: int, draw: int, viewer: Viewer | None = None
) -> tuple[PersonLine, ...]:
    """Give twenty people of a rule; each `draw` gives the next twenty, after the last ones it begins again.

    Only people within reach of `viewer` are named.
    """
    draws = min(max(1, -(-count // SAMPLE)), MOST_DRAWS)
    first = draw % draws * SAMPLE
    with reporting(current_brand_id()):
        people = within_reach(matching(rule, at=at), viewer).only("name", "member_no", "phone_masked", "subscribed")
        rows = people.order_by("-last_interaction_at", "-pk")[first : first + SAMPLE]
        return tuple(PersonLine(row.pk, row.name, row.member_no, row.phone_masked, row.subscribed) for row in rows)


def emptied_by(rule: object, *, at: datetime) -> tuple[str, bool] | None:
    """Say which part of an “all of” rule leaves nobody: (its sentence, whether it alone finds nobody).

    None when the rule is no “all of” group with at least one part. One look per part at most, none of them counts.
    """
    if not isinstance(rule, dict) or next(iter(rule), "") != "all":
        return None
    parts: list[Any] = rule["all"]
    with reporting(current_brand_id()):
        for size in range(1, len(parts) + 1):
            if not matching({"all": parts[:size]}, at=at).exists():
                last = as_group(parts[size - 1])
                return sentence(last), size == 1 or not matching(last, at=at).exists()
    return None


def as_group(part: Any) -> dict[str, Any]:
    """Give a part of a rule as a rule of its own."""
    return part if next(iter(part)) in GROUPS else {"all": [part]}
