"""Somebody in each of the eight stages of the life cycle, each there by what they did. All of it is invented."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from loyalty.models import FactKind
from loyalty.services import Report, record_fact
from members.models import Member
from members.services import record_contact, record_follow
from touchpoints.models import Touchpoint
from touchpoints.services import record_touch

if TYPE_CHECKING:
    from wechat_gateway.models import OfficialAccount


class Stage(NamedTuple):
    """What brings somebody into a stage: days ago that they followed and were heard of, joined; scans and purchases."""

    follows: bool
    heard: int
    joined: int | None = None
    scans: tuple[int, ...] = ()
    purchases: tuple[int, ...] = ()


STAGES: Final[dict[str, Stage]] = {
    "外部入口": Stage(follows=False, heard=200),
    "品牌认知": Stage(follows=True, heard=60),
    "品牌兴趣": Stage(follows=True, heard=20),
    "产品偏好": Stage(follows=True, heard=40, scans=(40, 45)),
    "行为参与": Stage(follows=True, heard=2, joined=2),
    "转化购买": Stage(follows=True, heard=95, purchases=(3,)),
    "品牌用户": Stage(follows=True, heard=30, joined=60, purchases=(50,)),
    "产品复购": Stage(follows=True, heard=10, joined=90, purchases=(80, 12)),
}


def plant_stages(*, account: OfficialAccount, at: datetime) -> dict[str, int]:
    """Plant one person for each stage; gives their keys by stage. In the brand's scope; again changes nothing."""
    found = {}
    scene = Touchpoint.objects.filter(account=account).order_by("pk").values_list("scene", flat=True)[0]
    for number, (name, stage) in enumerate(STAGES.items(), 1):
        heard = at - timedelta(days=stage.heard)
        openid = f"oStage{number:022d}"
        person = record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=heard)
        found[name] = person.member_id
        if Member.objects.filter(pk=person.member_id).exclude(name="").exists():
            continue
        if stage.follows:
            record_follow(follower=person, at=heard)
        joined = at - timedelta(days=stage.joined) if stage.joined is not None else None
        Member.objects.filter(pk=person.member_id).update(
            name=f"旅程{name}", joined_at=joined, last_interaction_at=heard
        )
        for days in stage.scans:
            record_touch(follower=person, scene=scene, is_follow=False, at=at - timedelta(days=days))
        if stage.scans:  # scanning is being heard of
            Member.objects.filter(pk=person.member_id).update(last_interaction_at=heard)
        for each, days in enumerate(stage.purchases, 1):
            moment = at - timedelta(days=days)
            report = Report("pos", FactKind.PURCHASE, f"JO{number}{each}", moment, person.member_id, 39_900)
            record_fact(report=report, at=moment)
    return found
