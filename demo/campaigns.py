"""Campaigns of a demo brand: a draft, two that are over, and one that somebody has paused half way.

Their audiences are frozen by the engine itself. What became of each message is written down afterwards, a fixed share
of every outcome, and counted from those rows, so that every figure opens its people. All of it is invented.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from accounts.tenancy import brand_scope
from campaigns.models import Campaign, CampaignState, Delivery, MessageTemplate
from campaigns.reasons import IN_CONTROL, OPTED_OUT
from campaigns.services import create_campaign, freeze_audience, launch, pause
from common import clock
from demo.points import Shop
from members.models import ControlGroup, Follower, Purpose, Segment
from members.services import save_segment, set_control_group
from touchpoints.models import Touch, TouchCase, TouchKind, Touchpoint

if TYPE_CHECKING:
    from datetime import datetime

    from wechat_gateway.models import OfficialAccount


@dataclass(frozen=True)
class Sent:
    """One campaign of the past: to everybody who follows, by a template of the account with what stands in it."""

    name: str
    goal: str
    title: str
    content: dict[str, str]
    ago: timedelta
    carrier: str = "template"
    purpose: str = Purpose.SERVICE
    agreed: int = 0  # of a hundred; what they had agreed to then is used up by now
    share: float = 1.0  # of the audience that was sent to before somebody paused it
    brought: tuple[float, float] | None = None  # which share bought within a week, and of the control group
    more: dict[str, Any] = field(default_factory=dict)


SENT: Final[dict[str, tuple[Sent, ...]]] = {
    "lanyu": (
        Sent(
            "会员日到店提醒",
            "让粉丝记得周六会员日，提前预约到店",
            "到店提醒",
            {"thing1": "上海静安店", "time2": "{到店时间}", "thing3": "会员日到店有礼", "name4": "{姓名}"},
            timedelta(days=6, hours=3),
        ),
        Sent(
            "夏季新品到店",
            "请留过订阅的粉丝到店看新品",
            "新品到店通知",
            {"thing1": "夏季亚麻系列", "time2": "{到店时间}", "thing3": "上海静安店"},
            timedelta(days=9),
            carrier="subscribe",
            purpose=Purpose.MARKETING,
            agreed=31,
            brought=(0.10, 0.05),
        ),
        Sent(
            "等级权益变更通知",
            "告诉粉丝六月起的等级权益",
            "会员权益变更通知",
            {"thing1": "知音会员", "thing2": "生日礼改为到店领取", "time3": "{到店时间}"},
            timedelta(minutes=40),
            share=0.4,
            more={"rate_per_second": 2},
        ),
    ),
    "zaoshan": (
        Sent(
            "周三会员日叫号",
            "告诉粉丝会员日可以先取号",
            "排队叫号通知",
            {"thing1": "静安寺店", "character_string2": "A0618", "thing3": "会员日可先取号"},
            timedelta(days=4),
        ),
    ),
}
CONTROL: Final = 100  # of a thousand get no marketing
_SALT: Final = "20250606"  # the same people every time
_MSGIDS: Final = 1_700_000_000_000  # far from those that the simulated WeChat gives
_HAD_AGREED: Final = """
UPDATE campaigns_delivery SET state = 'PENDING', reason = ''
WHERE brand_id = %(brand)s AND campaign_id = %(campaign)s AND reason = 'NO_CONSENT' AND seq * 53 %% 100 < %(agreed)s
"""
# Of a hundred messages: 94 arrive, the others do not, for four reasons.
_OUTCOMES: Final = """
UPDATE campaigns_delivery SET
    state = CASE WHEN seq * 37 %% 100 < 94 THEN 'DELIVERED' WHEN seq * 37 %% 100 < 98 THEN 'REFUSED' ELSE 'FAILED' END,
    reason = CASE WHEN seq * 37 %% 100 < 94 THEN '' WHEN seq * 37 %% 100 < 96 THEN 'USER_BLOCK'
        WHEN seq * 37 %% 100 < 98 THEN '43004' ELSE 'SYSTEM_FAILED' END,
    msgid = CASE WHEN seq * 37 %% 100 NOT IN (96, 97) THEN %(msgids)s + campaign_id * 100000 + seq END,
    sent_at = CASE WHEN seq * 37 %% 100 NOT IN (96, 97) THEN %(launched)s + seq * interval '20 milliseconds' END,
    attempt = 1, due_at = NULL, tried_at = %(launched)s + seq * interval '20 milliseconds',
    final_at = %(launched)s + seq * interval '20 milliseconds' + interval '2 seconds'
WHERE brand_id = %(brand)s AND campaign_id = %(campaign)s AND state = 'PENDING' AND seq <= %(last)s
"""
_ATTEMPTS: Final = """
INSERT INTO campaigns_deliveryattempt (brand_id, delivery_id, attempt, outcome, code, message, at)
SELECT brand_id, id, 1, 'REFUSED', '43004', 'require subscribe', tried_at FROM campaigns_delivery
WHERE brand_id = %(brand)s AND campaign_id = %(campaign)s AND reason = '43004'
"""
_COUNT_ANEW: Final = (
    "DELETE FROM campaigns_tally WHERE brand_id = %(brand)s AND campaign_id = %(campaign)s",
    """INSERT INTO campaigns_tally (brand_id, campaign_id, shard, state, reason, count)
       SELECT brand_id, campaign_id, 0, state, reason, count(*) FROM campaigns_delivery
       WHERE brand_id = %(brand)s AND campaign_id = %(campaign)s
       GROUP BY brand_id, campaign_id, state, reason""",
)


def run_campaigns(brand_id: int, slug: str, account: OfficialAccount) -> None:
    """Let the campaigns of the past weeks have run, and begin the next."""
    now = clock.now()
    with brand_scope(brand_id):
        ControlGroup.objects.get_or_create(defaults={"salt": _SALT, "changed_at": now - timedelta(days=30)})
        set_control_group(per_mille=CONTROL, at=now - timedelta(days=30))
        create_campaign(
            name="周末到店提醒（示例）", account=account, at=now, segment=Segment.objects.order_by("pk").first()
        )
        everybody = save_segment(
            name="正在关注", rule={"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}, at=now
        )
        for each in SENT[slug]:
            _run(each, account, everybody, now)


def _run(sent: Sent, account: OfficialAccount, everybody: Segment, now: datetime) -> None:
    at = now - sent.ago
    when = f"{now + timedelta(days=3):%Y-%m-%d} 14:00"
    campaign = create_campaign(
        name=sent.name,
        goal=sent.goal,
        account=account,
        at=at - timedelta(hours=2),
        purpose=sent.purpose,
        segment=everybody,
        carrier=sent.carrier,
        template=MessageTemplate.objects.get(account=account, title=sent.title),
        content={key: text.replace("{到店时间}", when) for key, text in sent.content.items()},
        **sent.more,
    )
    campaign = launch(campaign=campaign, at=at)
    audience = freeze_audience(campaign_id=campaign.pk, at=at) or 0
    facts: dict[str, Any] = {
        "brand": campaign.brand_id,
        "campaign": campaign.pk,
        "launched": at,
        "last": int(audience * sent.share),
        "agreed": sent.agreed,
        "msgids": _MSGIDS,
    }
    with connection.cursor() as cursor:
        for statement in (_HAD_AGREED, _OUTCOMES, _ATTEMPTS, *_COUNT_ANEW):
            cursor.execute(statement, facts)
    if sent.share < 1:
        pause(campaign=campaign, at=now - timedelta(minutes=20))
    else:
        Campaign.objects.filter(pk=campaign.pk).update(
            state=CampaignState.FINISHED, finished_at=at + timedelta(seconds=audience / 50 + 5)
        )
    if sent.brought is not None:
        _bring(campaign, sent.brought, at)


def _bring(campaign: Campaign, shares: tuple[float, float], at: datetime) -> None:
    """Let some of those it was meant for come within a week, scan a code and buy; fewer of the control group."""
    chance = Random(campaign.name)
    code = Touchpoint.objects.filter(account=campaign.account_id).exclude(scene="").order_by("pk").first()
    meant = Delivery.objects.filter(campaign=campaign, follower_id__isnull=False).exclude(reason=OPTED_OUT)
    # Nobody scans as a follower before following.
    rows = Follower.objects.filter(pk__in=meant.order_by().values("follower_id"))
    followed = {pk: followed_at or at for pk, followed_at in rows.values_list("pk", "followed_at")}
    scans = []
    shop = Shop(list(meant.order_by("member_id").values_list("member_id", flat=True)), chance)
    for number, row in enumerate(meant.order_by("member_id")):
        share = shares[1] if row.reason == IN_CONTROL else shares[0]
        when = max(at + timedelta(hours=chance.uniform(2, 160)), followed[row.follower_id or 0] + timedelta(minutes=5))
        if chance.random() < share * 1.8 and code is not None:
            scans.append(
                Touch(
                    touchpoint=code,
                    follower_id=row.follower_id,
                    member_id=row.member_id,
                    kind=TouchKind.SCAN,
                    case=TouchCase.FOLLOWING,
                    scene=code.scene,
                    at=when,
                )
            )
        if chance.random() < share:
            shop.buy(row.member_id, f"CA{campaign.pk:02d}{number:05d}", when + timedelta(minutes=20))
    shop.till.flush()
    Touch.objects.bulk_create(scans, batch_size=1000)
