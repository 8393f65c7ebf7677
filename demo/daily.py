"""Everyday traces of a demo brand: service hours, messages answered by rules, healed incidents. All of it invented."""

from __future__ import annotations

from datetime import time, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from accounts.tenancy import brand_scope
from common import clock
from conversations.models import ButtonTap, ButtonUse, Menu, ReplyRecord, ReplyRule, Way
from conversations.selectors import leaves_of, tapped_by
from inbox.models import ServiceHours
from members.models import Follower
from wechat_gateway.incidents import CALLBACK, TOKEN, close_incident, open_incident
from wechat_gateway.models import InboundPush, PushState
from wechat_gateway.quotas import SHANGHAI

if TYPE_CHECKING:
    from datetime import datetime

    from wechat_gateway.models import OfficialAccount

_KEYS: Final = UUID("2b0f6a3e-6f5c-4a86-93d4-0a1f5d0c9e77")
SAID: Final = ("营业时间", "几点关门", "预约", "会员", "几点开门", "预约", "营业时间", "会员")
TAPPERS: Final = 240  # people who use the menu
TAP_DAYS: Final = 28
HOURS: Final = 22 * 60  # minutes over which people wrote
# kind, days ago, minutes until it was well again, WeChat's code
ILLS: Final = ((CALLBACK, 9, 6, None), (TOKEN, 4, 2, -1))


def leave_traces(brand_id: int, account: OfficialAccount) -> None:
    """Let yesterday have happened: messages and their answers; two incidents of the past weeks."""
    at = clock.now()
    with brand_scope(brand_id):
        ServiceHours.objects.bulk_create(ServiceHours(weekday=day, opens=time(9), closes=time(22)) for day in range(7))
        _answers(account, at)
        _taps(account, at)
        for kind, days, minutes, code in ILLS:
            since = at - timedelta(days=days)
            open_incident(kind=kind, at=since, appid=account.appid, code=code)
            close_incident(kind=kind, at=since + timedelta(minutes=minutes), appid=account.appid)


def _taps(account: OfficialAccount, at: datetime) -> None:
    """Let people have used the menu of the last four weeks: the first buttons more often than the last."""
    menu = Menu.objects.filter(account=account).first()
    people = Follower.objects.filter(account=account, subscribed=True).order_by("pk").values_list("pk", flat=True)
    today = at.astimezone(SHANGHAI).date()
    uses = []
    for place, (_path, button) in enumerate(leaves_of(menu.draft if menu else []), 2):
        key, is_answered = tapped_by(button), button.get("type") == "click"
        for number, follower_id in enumerate(people[:TAPPERS]):
            if not key or number % place:
                continue
            taps = 1 + number % 3
            answered = taps if is_answered and number % 10 else 0
            day = today - timedelta(days=number * place % TAP_DAYS)
            uses.append(
                ButtonUse(
                    account=account,
                    follower_id=follower_id,
                    key=key,
                    day=day,
                    taps=taps,
                    answered=answered,
                    opened=0 if is_answered else taps,
                )
            )
    ButtonUse.objects.bulk_create(uses, ignore_conflicts=True)
    days = {(use.key, use.day) for use in uses}
    ButtonTap.objects.bulk_create(
        (ButtonTap(account=account, key=key, day=day) for key, day in sorted(days)), ignore_conflicts=True
    )


def _answers(account: OfficialAccount, at: datetime) -> None:
    """Write down messages of yesterday and by which rule each was answered within five seconds."""
    rules = list(
        ReplyRule.objects.filter(account=account, trigger="KEYWORD", audience_kind="").order_by("position", "pk")
    )
    rows = (
        Follower.objects.filter(account=account, subscribed=True)
        .exclude(member__name="")
        .order_by("-followed_at", "-pk")
    )
    pairs = []
    for number, (follower, said) in enumerate(zip(rows, SAID, strict=False)):
        rule = next((each for each in rules if said in each.keywords), None)
        if rule is None:
            continue
        when = at - timedelta(minutes=HOURS - number * 140)
        key = uuid5(_KEYS, f"{follower.openid}{number}")
        stamp = int(when.timestamp())
        push = InboundPush(
            account=account,
            dedupe_key=key,
            digest=key,
            kind="text",
            openid=follower.openid,
            lane=0,
            event_at=when,
            received_at=when,
            body=(
                f"<xml><ToUserName>{account.original_id}</ToUserName><FromUserName>{follower.openid}</FromUserName>"
                f"<CreateTime>{stamp}</CreateTime><MsgType>text</MsgType><Content>{said}</Content>"
                f"<MsgId>{stamp}{number:06d}</MsgId></xml>"
            ),
            state=PushState.HANDLED,
            attempts=1,
            handled_at=when + timedelta(seconds=1),
        )
        pairs.append((push, follower, rule))
    InboundPush.objects.bulk_create(push for push, _follower, _rule in pairs)
    ReplyRecord.objects.bulk_create(
        ReplyRecord(
            account=account,
            follower=follower,
            rule=rule,
            push_id=push.pk,
            trigger=rule.trigger,
            way=Way.PASSIVE,
            why="IN_TIME",
            at=push.event_at,
        )
        for push, follower, rule in pairs
    )
