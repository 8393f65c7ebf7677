"""Automatic tags of the invented brands: how often somebody is heard of, one band a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from members.services import create_tag, save_tag_group, save_tag_rule

if TYPE_CHECKING:
    from datetime import datetime

GROUP: Final = "互动频次"


def _heard_of(days: int) -> dict[str, Any]:
    return {"condition": "last_interaction", "params": {"how": "within", "days": days}}


BANDS: Final = (
    ("高频互动", "近 7 天有互动", {"all": [_heard_of(7)]}),
    ("中频互动", "近 8 到 30 天有互动", {"all": [_heard_of(30), {"none": [_heard_of(7)]}]}),
    ("沉默", "30 天没有互动", {"none": [_heard_of(30)]}),
)


def make_automatic_tags(at: datetime) -> None:
    """Make an exclusive group with a rule for each of its tags; workers then look at everybody."""
    save_tag_group(name=GROUP, meaning="按最近一次互动自动分档，每人一档", is_exclusive=True, at=at)
    for name, meaning, rule in BANDS:
        tag = create_tag(name=name, group=GROUP, meaning=meaning, owner="会员运营", at=at)
        save_tag_rule(name=name, tag_id=tag.pk, rule=rule, at=at)
