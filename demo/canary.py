"""The canary: a brand of ten people whose every string holds a mark that no other brand may ever see."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Final

from accounts.models import Brand, StaffUser
from accounts.roles import Role
from accounts.services import create_brand, grant_role
from accounts.tenancy import brand_scope
from conversations.models import Match, ReplyRule, Trigger
from coupons.models import Template
from coupons.services import activate_template, save_template
from demo.brands import PASSWORD
from guides.models import Assignment, Guide
from inbox.models import CannedReply, Conversation
from inbox.services import record_push
from loyalty import services as loyalty_services
from loyalty.earn_rules import Line
from loyalty.models import EarnRule, FactKind, PointsPolicy, Tier
from loyalty.services import Report
from members.models import Member
from members.services import create_tag, record_contact, save_segment, tag_members
from stores.models import OpeningHours, Region, Store
from touchpoints.services import create_touchpoint
from wechat_gateway.events import Push
from wechat_gateway.models import OfficialAccount

SLUG: Final = "shaobing-q7x"
MARK: Final = "哨兵Q7X"  # in every text
CODE: Final = "Q7X"  # in what is written in letters
OWNER: Final = "q7x-owner"
PEOPLE: Final = 10


def plant_canary(at: datetime) -> Brand:
    """Make the brand; what is there already stays."""
    brand = create_brand(slug=SLUG, name=MARK, name_en=CODE)
    owner, made = StaffUser.objects.get_or_create(username=OWNER, defaults={"name": f"{MARK} 店主"})
    if made:
        owner.set_password(PASSWORD)
        owner.save()
    with brand_scope(brand.pk):
        grant_role(staff_user=owner, role=Role.OWNER)
        if not OfficialAccount.objects.exists():
            _plant(at)
    return brand


def _plant(at: datetime) -> None:
    account = OfficialAccount.objects.create(
        name=f"{MARK} 服务号",
        appid=f"wx{CODE}00000000000",
        original_id=f"gh_{CODE}000000000",
        app_secret=f"{CODE}{'s' * 29}",
        callback_token=f"token{CODE}",
        encoding_aes_key=f"{CODE}{'k' * 40}",
        open_platform_subject=f"op-{CODE}",
        connected_at=at,
    )
    region = Region.objects.create(name=f"{MARK} 大区")
    store = Store.objects.create(
        code=f"{CODE}1", name=f"{MARK} 一店", region=region, city=f"{MARK} 市", address=f"{MARK} 路 1 号",
        telephone=f"{CODE} 1", lat=31.2, lng=121.4,
    )  # fmt: skip
    OpeningHours.objects.bulk_create(
        OpeningHours(store=store, weekday=day, opens=time(10), closes=time(22)) for day in range(7)
    )
    tag = create_tag(name=f"{MARK} 标签", group=f"{MARK} 组", meaning=f"{MARK} 含义", at=at)
    code = create_touchpoint(name=f"{MARK} 门口", account=account, store=store, welcome=f"{MARK} 欢迎", at=at)
    guide = Guide.objects.create(staff_no=f"{CODE}0001", name=f"{MARK} 导购", store=store, created_at=at)
    ReplyRule.objects.create(
        account=account, name=f"{MARK} 规则", trigger=Trigger.KEYWORD, match=Match.EXACT, keywords=[f"{MARK} 几点"],
        text=f"{MARK} 十点", updated_at=at,
    )  # fmt: skip
    CannedReply.objects.create(shortcut=CODE.lower(), title=f"{MARK} 话术", text=f"{MARK} 你好", updated_at=at)
    Tier.objects.create(name=f"{MARK} 等级", threshold=0)
    loyalty_services.set_policy(settings=PointsPolicy(), at=at)
    rule = EarnRule(name=f"{MARK} 积分", kind="spend", draft={"points": 1, "per_fen": 100})
    rule = loyalty_services.save_rule(rule=rule, at=at - timedelta(days=9))
    loyalty_services.activate_rule(rule_id=rule.pk, at=at - timedelta(days=9))
    coupon = save_template(
        template=Template(name=f"{MARK} 券", draft={"kind": "AMOUNT", "amount": 100, "threshold": 1_000, "days": 30}),
        at=at,
    )
    activate_template(template_id=coupon.pk, at=at)
    save_segment(
        name=f"{MARK} 人群",
        rule={"all": [{"condition": "tag", "params": {"how": "any", "tags": [tag.pk]}}]},
        at=at,
    )
    for number in range(PEOPLE):
        openid = f"o{CODE}{number:025d}"
        follower = record_contact(account_id=account.pk, appid=account.appid, openid=openid, at=at)
        Member.objects.filter(pk=follower.member_id).update(
            name=f"{MARK} {number}", city=f"{MARK} 市", store=store, joined_at=at - timedelta(days=5)
        )
        tag_members(member_ids=[follower.member_id], tag_ids=[tag.pk], source=CODE, at=at)
        Assignment.objects.create(member_id=follower.member_id, guide=guide, since=at, reason=f"{MARK} {code.name}")
        report = Report(
            CODE.lower(), FactKind.PURCHASE, f"{CODE}-{number}", at - timedelta(days=1), member_id=follower.member_id,
            amount=12_300, lines=(Line(CODE, CODE, 12_300),), store_id=store.pk,
        )  # fmt: skip
        loyalty_services.record_fact(report=report, at=at)
        said = Push(
            brand_id=account.brand_id, account_id=account.pk, appid=account.appid, original_id=account.original_id,
            openid=openid, kind="text", event_at=at, received_at=at, content=f"{MARK} 在吗",
        )  # fmt: skip
        record_push(push=said)
    Conversation.objects.update(store=store)
