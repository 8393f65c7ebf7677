"""Gives a demo brand channels with a past: one that hunts bargains, one that is loyal, twelve dead codes, costs."""

from __future__ import annotations

import json
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from django.conf import settings

from accounts.tenancy import brand_scope
from common import clock
from demo.notebook import notes
from members.models import Follower, Member
from members.services import record_contact
from touchpoints.models import Touch, TouchCase, TouchKind, Touchpoint, Unfollow
from touchpoints.services import add_cost, create_touchpoint, keep_code, renew_codes

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from demo.brands import DemoBrand
    from wechat_gateway.models import OfficialAccount

# What is planted, for tests to compare the product's judgement with.
BARGAIN, LOYAL = "抽奖海报", "会员日邀请卡"
DEAD_CODES: Final = 12
STAYED, LEFT, LOYAL_PEOPLE = 30, 120, 60
PLANTED_DAYS, OLDEST_DAYS = 95, 110
CROWDS: Final = {"loyal": LOYAL_PEOPLE, "stayed": STAYED, "left": LEFT}
SECOND_TOUCHES: Final = 0.12


def crowds(demo: DemoBrand, start: float) -> list[dict[str, Any]]:
    """Describe the planted people to the simulated WeChat; those who left have followed once."""
    at = start - PLANTED_DAYS * 86_400
    return [
        {
            "prefix": f"{demo.slug}-{name}-",
            "nickname": "粉丝",
            "count": count,
            "left" if name == "left" else "follows": [demo.appid],
            "at": at,
        }
        for name, count in CROWDS.items()
    ]


def plant(brand_id: int, demo: DemoBrand, account: OfficialAccount, chance: Random) -> None:
    """Plant channels with known truth, second touches of some people, and costs."""
    now = clock.now()
    came = now - timedelta(days=PLANTED_DAYS)
    openids = {name: _openids(demo, name) for name in CROWDS}
    with brand_scope(brand_id):
        codes = list(Touchpoint.objects.filter(account=account).exclude(scene="").order_by("pk"))
        _second_touches(codes, now, chance)
        medium = create_touchpoint(name="活动", at=now - timedelta(days=OLDEST_DAYS))
        bargain = _code(BARGAIN, medium, account, came)
        loyal = _code(LOYAL, medium, account, came)
        for openid in openids["left"]:
            record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=came)
        _came(bargain, openids["stayed"], came, again=now - timedelta(days=9))
        _came(bargain, openids["left"], came, left=came + timedelta(days=1, hours=6))
        _came(loyal, openids["loyal"], came, back=now - timedelta(days=3), again=now - timedelta(days=3))
        _dead_codes(account, openids["loyal"][0], now)
        day = now.date()
        add_cost(touchpoint=bargain, amount=1_200_000, starts_on=came.date(), ends_on=day, at=came, note="印刷与奖品")
        add_cost(touchpoint=loyal, amount=180_000, starts_on=came.date(), ends_on=day, at=came, note="卡片印刷")
    renew_codes(brand_id, at=now)


def _openids(demo: DemoBrand, name: str) -> list[str]:
    query = f"q={quote(f'{demo.slug}-{name}-')}&limit={CROWDS[name]}"
    with urllib.request.urlopen(f"{settings.SIMULATOR_URL}/_sim/people?{query}", timeout=60) as answer:  # noqa: S310 - ours
        return [person["accounts"][demo.appid]["openid"] for person in json.load(answer)["people"]]


def _code(name: str, parent: Touchpoint, account: OfficialAccount, at: datetime) -> Touchpoint:
    return create_touchpoint(name=name, parent=parent, account=account, at=at)


def _dead_codes(account: OfficialAccount, openid: str, now: datetime) -> None:
    """Make codes that nobody has scanned for a month: a pop-up store that was taken down."""
    at = now - timedelta(days=OLDEST_DAYS)
    place = create_touchpoint(name="快闪店（已撤）", at=at)
    scanner = Follower.objects.get(account=account, openid=openid)
    scanned = now - timedelta(days=PLANTED_DAYS)
    for number in range(1, DEAD_CODES + 1):
        code = _code(f"快闪展位 {number}", place, account, at)
        keep_code(touchpoint=code, ticket=f"demo-dead-{number}", url=f"http://weixin.qq.com/q/dead{number:02d}", at=now)
        if number % 2:
            _touch(code, scanner, TouchKind.SCAN, TouchCase.FOLLOWING, scanned + timedelta(days=number)).save()


def _came(
    code: Touchpoint,
    openids: list[str],
    at: datetime,
    *,
    left: datetime | None = None,
    back: datetime | None = None,
    again: datetime | None = None,
) -> None:
    """Let people follow by a code. Who comes `back` has joined; who `left` is gone; a few scan it `again`."""
    followers = list(Follower.objects.filter(account_id=code.account_id, openid__in=openids).order_by("pk"))
    Touch.objects.filter(follower__in=followers).delete()
    Touch.objects.bulk_create(_touch(code, each, TouchKind.FOLLOW, TouchCase.NEW, at) for each in followers)
    if again is not None:
        case = TouchCase.MEMBER if back else TouchCase.FOLLOWING
        Touch.objects.bulk_create(_touch(code, each, TouchKind.SCAN, case, again) for each in followers[:8])
    people = Member.objects.filter(pk__in=[each.member_id for each in followers])
    notes().came |= dict.fromkeys((each.member_id for each in followers), code.name)
    Follower.objects.filter(pk__in=[each.pk for each in followers]).update(
        followed_at=at, follow_count=1, subscribed=left is None, unfollowed_at=left, last_interaction_at=back or at
    )
    people.update(subscribed=left is None, last_interaction_at=back or at, created_at=at)
    if back is None:
        people.update(joined_at=None)
        notes().members -= {each.member_id for each in followers}
    else:
        people.update(joined_at=at + timedelta(days=1))
        notes().members |= {each.member_id for each in followers}
    if left is not None:
        Unfollow.objects.bulk_create(Unfollow(follower=each, at=left) for each in followers)


def _second_touches(codes: list[Touchpoint], now: datetime, chance: Random) -> None:
    """Let some people scan another code later, so that the models of attribution differ."""
    firsts = Touch.objects.filter(kind=TouchKind.FOLLOW).select_related("follower").order_by("pk")
    rows = []
    for first in firsts:
        if chance.random() < SECOND_TOUCHES:
            at = first.at + (now - first.at) * chance.random()
            rows.append(_touch(chance.choice(codes), first.follower, TouchKind.SCAN, TouchCase.FOLLOWING, at))
    Touch.objects.bulk_create(rows, batch_size=1000)


def _touch(code: Touchpoint, follower: Follower, kind: TouchKind, case: TouchCase, at: datetime) -> Touch:
    return Touch(
        touchpoint=code,
        follower=follower,
        member_id=follower.member_id,
        kind=kind,
        case=case,
        scene=code.scene,
        at=at,
    )
