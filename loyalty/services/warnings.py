"""Telling people that points end: each once for a day, with the lots; apps above carry the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from common.registry import Registry
from loyalty.models import ExpiryWarning
from loyalty.selectors import points as selectors

if TYPE_CHECKING:
    from datetime import datetime

# callable(*, warning=ExpiryWarning, at=datetime): sends or queues what somebody is to hear.
on_warning: Registry[Callable[..., object]] = Registry(
    "expiry warnings", purpose="who carries the news that points end: callable(*, warning, at)"
)


def warn_of_expiry(*, at: datetime) -> int:
    """Note (and have told) whose points end within the brand's days of warning; gives how many are new."""
    soon = selectors.ending_soon(at=at, days=selectors.policy().warn_days)
    told = set(
        ExpiryWarning.objects.filter(day__in={day for _member, day, *_rest in soon}).values_list("member_id", "day")
    )
    fresh = [
        ExpiryWarning(member_id=member_id, day=day, points=points, lots=lots, at=at)
        for member_id, day, points, lots in soon
        if (member_id, day) not in told
    ]
    made = ExpiryWarning.objects.bulk_create(fresh, ignore_conflicts=True, batch_size=1000)
    for warning in made:
        for _key, tell in on_warning.items():
            tell(warning=warning, at=at)
    return len(made)
