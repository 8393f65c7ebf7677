"""Privacy of a demo brand: topics, the wordings people agree to, what some of them chose, and requests that wait."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any, Final

from django.conf import settings

from accounts.models import Brand
from accounts.tenancy import brand_scope, current_brand_id
from common import clock
from guides.models import Assignment, JoinedBy, Joining
from members import services
from members.models import Member, Purpose, Topic
from welcomes.models import Sequence
from welcomes.services import save_sequence

_TEXTS: Final = {
    Purpose.SERVICE: "我们使用你的手机号和 OpenID 发送预约、订单和积分通知。你可以随时撤回，撤回后不再收到通知。",
    Purpose.MARKETING: "我们会发送新品、活动和优惠。可按主题、方式和时段选择，也可全部退订。",
}
_TOPICS: Final = (
    ("new", "新品", "新系列上市"),
    ("events", "门店活动", "工作坊与会员日"),
    ("offers", "优惠", "券与折扣"),
)
VERSION: Final = "2025-05"


def furnish(brand_id: int) -> None:
    """Write the texts, offer topics, let a few people choose, and enter three requests."""
    at = clock.now()
    with brand_scope(brand_id):
        for code, name, meaning in _TOPICS:
            services.save_topic(code=code, name=name, meaning=meaning, at=at)
        for sequence in Sequence.objects.filter(topic=None):
            sequence.topic = Topic.objects.get(code="offers")
            save_sequence(sequence=sequence, at=at)
        for purpose, body in _TEXTS.items():
            services.write_text(
                purpose=purpose, version=VERSION, body=body, by="法务", effective_at=at - timedelta(days=30), at=at
            )
        people = list(Member.objects.filter(joined_at__isnull=False, merged_into=None).order_by("pk")[:9])
        said: dict[str, Any] = {"channel": "MINI_PROGRAM", "source": "mini program", "at": at}
        for number, member in enumerate(people):
            services.give_consent(
                member=member,
                purpose=Purpose.MARKETING,
                text_version=VERSION,
                **(said | {"at": at - timedelta(days=9)}),
            )
            if number % 3 == 0:
                services.set_preferences(member=member, topics={"offers": False}, **said)
            if number % 4 == 1:
                services.set_preferences(member=member, quiet=services.Quiet(time(22), time(8)), **said)
            if number % 5 == 2:
                services.set_preferences(member=member, personal=False, **said)
        asks = (("COPY", ""), ("CORRECT", "生日应为 08-17"), ("ERASE", ""))
        for member, (kind, words) in zip(reversed(people), asks, strict=False):
            asked = at - timedelta(days=len(words))
            services.ask(member=member, kind=kind, words=words, channel="MINI_PROGRAM", at=asked)
        if settings.SIMULATOR_URL:
            brand = Brand.objects.get(pk=current_brand_id())
            services.set_sms(
                way="simulator", url="", secret="", signature=brand.name, template="", daily_limit=1_000, at=at
            )
        let_some_join_in_stores()


def let_some_join_in_stores() -> None:
    """Of those who have a guide some joined with them, by the join code or by text message."""
    joined = Assignment.objects.select_related("guide__store", "member").filter(
        until=None, member__joined_at__isnull=False
    )
    ways = (JoinedBy.SCAN, JoinedBy.SMS, JoinedBy.SCAN)
    Joining.objects.bulk_create(
        Joining(
            member=row.member,
            guide=row.guide,
            store=row.guide.store,
            way=ways[number % 3],
            by=row.guide.name if ways[number % 3] == JoinedBy.SMS else "",
            at=row.member.joined_at,
        )
        for number, row in enumerate(joined.order_by("member_id")[:30])
        if row.member.joined_at is not None
    )
