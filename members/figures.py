"""Figures over everybody that a page shows: counted at once for a small brand, kept for some minutes for a large one.

A page of a large brand shows what was counted last, says as of when, and has it counted anew behind its back when that
is older than a few minutes. Only who asks something for the first time waits for it. Redis may lose what is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Count
from redis import RedisError

from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from common.registry import Registry
from members import tasks
from members.models import Member, MemberTag

LARGE: Final = 20_000  # people; so many are counted while somebody waits
FRESH: Final = timedelta(minutes=5)
KEPT: Final = timedelta(days=1)
PEOPLE_PER_TAG: Final = "members.people_per_tag"
_COUNTING: Final = 100  # seconds for which nobody else is told to count the same

Compute = Callable[[dict[str, Any], datetime], Any]
figures: Registry[Compute] = Registry(
    "kept figures", purpose="figures over everybody that pages of large brands show as of some minutes ago"
)


@dataclass(frozen=True)
class Counted:
    """A figure, and as of when it is true."""

    value: Any
    as_of: datetime


def counted(key: str, params: Mapping[str, Any], *, at: datetime) -> Counted:
    """Give a registered figure; `params` and the figure itself are plain JSON."""
    asked = json.loads(json.dumps(params, sort_keys=True))
    if not _is_large():
        return Counted(_plain(figures.get(key)(asked, at)), at)
    try:
        kept = cache.get(_name(key, asked))
        if kept is None:
            return count_anew(key, asked, at=at)
        as_of = datetime.fromisoformat(kept["as_of"])
        if not timedelta() <= at - as_of <= FRESH and cache.add(f"{_name(key, asked)}:counting", 1, timeout=_COUNTING):
            ring(tasks.count_figure, current_brand_id(), key, json.dumps(asked))
    except RedisError:
        return Counted(_plain(figures.get(key)(asked, at)), at)
    return Counted(kept["value"], as_of)


def count_anew(key: str, params: dict[str, Any], *, at: datetime) -> Counted:
    """Count a figure and keep it."""
    found = Counted(_plain(figures.get(key)(params, at)), at)
    name = _name(key, params)
    cache.set(name, {"value": found.value, "as_of": at.isoformat()}, timeout=int(KEPT.total_seconds()))
    cache.delete(f"{name}:counting")
    return found


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _name(key: str, params: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
    return f"figure:{key}:{digest[:32]}"


def _is_large() -> bool:
    return Member.objects.order_by("pk").values_list("pk", flat=True)[LARGE : LARGE + 1].exists()


@figures.add(PEOPLE_PER_TAG)
def _people_per_tag(params: dict[str, Any], _at: datetime) -> dict[str, int]:
    rows = MemberTag.objects.filter(tag_id__in=params["tags"]).values("tag_id").annotate(people=Count("pk"))
    return {str(row["tag_id"]): row["people"] for row in rows.order_by("tag_id")}
