"""Automatic tags of the invented brands, one band a person, and where everybody stands in life cycle and RFM."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from accounts.tenancy import brand_scope
from common import clock
from members.services import (
    begin_lifecycle,
    begin_recipe,
    create_tag,
    save_segment,
    save_tag_group,
    save_tag_rule,
    take_snapshot,
    track_stages,
)

if TYPE_CHECKING:
    from datetime import datetime

GROUP: Final = "互动频次"


def _heard_of(days: int) -> dict[str, Any]:
    return {"condition": "last_interaction", "params": {"how": "within", "days": days}}


def _known_for(days: int) -> dict[str, Any]:
    return {"condition": "followed_when", "params": {"how": "before", "days": days}}


# Nobody is judged on the first day: who has just come is neither eager nor silent.
BANDS: Final = (
    ("高频互动", "关注满 3 天，近 3 天有互动", {"all": [_known_for(3), _heard_of(3)]}),
    ("中频互动", "关注满 3 天，近 4 到 30 天有互动", {"all": [_known_for(3), _heard_of(30), {"none": [_heard_of(3)]}]}),
    ("沉默", "关注满 30 天，30 天没有互动", {"all": [_known_for(30), {"none": [_heard_of(30)]}]}),
)


# What purchases say of people: how often they come back, and what they like best. Nobody has to tag by hand.
SHOPPING: Final = (
    (
        "复购周期 30 天内",
        "平均不超过 30 天买一次",
        {"condition": "cycle", "params": {"how": "most", "average": 30, "days": 365}},
    ),
    (
        "偏爱衬衫",
        "近一年消费最多的两个品类里有衬衫",
        {"condition": "favourite", "params": {"names": ["shirts"], "top": 2, "days": 365}},
    ),
    (
        "常购地江浙沪",
        "近一年购买最多的城市在江浙沪：寄到那里，或在那里的门店买",
        {"condition": "bought_in", "params": {"how": "most", "places": ["上海", "江苏", "浙江"], "days": 365}},
    ),
)


def make_automatic_tags(at: datetime) -> None:
    """Make an exclusive group with a rule for each tag, and tags by purchases; workers then look at everybody."""
    save_tag_group(name=GROUP, meaning="按最近一次互动自动分档，每人一档", is_exclusive=True, at=at)
    for name, meaning, rule in BANDS:
        tag = create_tag(name=name, group=GROUP, meaning=meaning, owner="会员运营", at=at)
        save_tag_rule(name=name, tag_id=tag.pk, rule=rule, at=at)
    for name, meaning, condition in SHOPPING:
        tag = create_tag(name=name, group="购物", meaning=meaning, owner="会员运营", at=at)
        save_tag_rule(name=name, tag_id=tag.pk, rule={"all": [condition]}, at=at)


def take_first_snapshots(brand_id: int) -> None:
    """Begin with the life cycle: where everybody stood a month ago, as far as it shows, and stands now."""
    with brand_scope(brand_id):
        at = clock.now()
        grouping = begin_lifecycle(at=at)
        take_snapshot(grouping=grouping, at=at - timedelta(days=30))
        take_snapshot(grouping=grouping, at=at)
        for each in (grouping, begin_recipe(key="rfm", at=at)):
            track_stages(grouping=each, at=at)
        save_segment(name="近 30 天活跃，名单常新", rule={"all": [_heard_of(30)]}, at=at, freshness="MINUTES")
