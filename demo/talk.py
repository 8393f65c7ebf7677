"""Gives a demo brand people who write, colleagues who answer, and the words they use. All of it is invented."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from django.db.models import F

from accounts.models import StaffUser
from accounts.tenancy import brand_scope
from common import clock
from demo.notebook import notes
from inbox import services
from inbox.models import CannedReply, Conversation, Message, SendState
from members.models import Follower
from wechat_gateway.events import Push

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from wechat_gateway.models import OfficialAccount

_KEYS = UUID("5f0c7a52-8f3e-4a52-9b0a-6f7b3b1c2d11")

CANNED = {
    "lanyu": (
        ("hours", "营业时间", "您好，各门店每天 10:00–22:00 营业，节假日照常。"),
        ("size", "换尺码", "您好，吊牌完好的衣物七天内可在任一门店换尺码，请带上小票或会员码。"),
        ("gift", "礼盒刻字", "您好，礼盒可以免费刻字，最多八个字，当天可取。想刻什么，在这里告诉我就好。"),
        ("book", "预约到店", "您好，方便告诉我想去哪家门店、几点到吗？我帮您留好试衣间。"),
    ),
    "zaoshan": (
        ("hours", "营业时间", "您好，小馆每天 11:00–21:30 营业，最后点单 21:00。"),
        ("seat", "订位", "您好，请告诉我人数和时间，我帮您留位，保留 15 分钟。"),
        ("spicy", "口味", "您好，每道菜都可以选微辣、中辣或不辣，点单时说一声就行。"),
    ),
}

# Who wrote how many minutes ago, and what was answered after how many; None: nobody has answered yet.
TALKS = {
    "lanyu": (
        (1_460, ("我上周买的风衣想换个尺码，怎么办理？",), 4, "您好，带上小票到任一门店就可以换，七天内都行。"),
        (1_390, ("静安店有这款羊绒围巾的驼色吗",), 11, "有的，给您留了一条，今晚 21:30 前来取就好。"),
        (310, ("礼盒可以刻字吗？", "想送给妈妈"), 6, "可以的，最多八个字，免费刻。"),
        (190, ("会员积分怎么少了 200",), 23, "您上周兑换了护理券，抵扣了 200 积分，我把明细发到您会员页了。"),
        (27, ("你好，请问南京西路店今天几点打烊？",), None, ""),
        (14, ("预约明天下午三点可以吗", "两个人"), None, ""),
        (3, ("有没有适合敏感肌的护手霜",), None, ""),
    ),
    "zaoshan": (
        (1_300, ("今晚六点四个人还有位吗",), 5, "有的，帮您留了靠窗的四人桌，保留到 18:15。"),
        (150, ("能开发票吗",), 9, "可以的，结账时报一下抬头，电子票当天发。"),
        (21, ("周末要排队多久？",), None, ""),
        (6, ("麻婆豆腐可以做不辣的吗",), None, ""),
    ),
}


def talk(brand_id: int, slug: str, account: OfficialAccount, wrote: Callable[[str, str, datetime], None]) -> None:
    """Let followers write over the last day, and let the brand's people answer some of them.

    `wrote` tells the simulated WeChat what a person (openid) wrote and when, so that it allows the same replies.
    """
    at = clock.now()
    with brand_scope(brand_id):
        if Conversation.objects.exists():
            return
        for shortcut, title, text in CANNED[slug]:
            CannedReply.objects.get_or_create(
                shortcut=shortcut, defaults={"title": title, "text": text, "updated_at": at}
            )
        staff = StaffUser.objects.get(username=f"{slug}-ops")
        people = _people(account, len(TALKS[slug]))
        for follower, (ago, said, answered, reply) in zip(people, TALKS[slug], strict=False):
            begins = at - timedelta(minutes=ago)
            wrote(follower.openid, said[-1], begins)
            _talk(follower, said, reply, staff.pk, begins, answered)
            notes().counts["waiting" if answered is None else "answered"] += 1


def _people(account: OfficialAccount, count: int) -> list[Follower]:
    """Give followers with a name, those of a store first, always the same ones."""
    rows = Follower.objects.select_related("account", "member").filter(account=account).exclude(member__name="")
    return list(rows.order_by(F("member__store").desc(nulls_last=True), "pk")[:count])


def _talk(
    follower: Follower, said: tuple[str, ...], reply: str, staff_id: int, begins: datetime, answered: int | None
) -> None:
    for number, text in enumerate(said):
        services.record_push(push=_push(follower, text, begins + timedelta(seconds=20 * number)))
    conversation = Conversation.objects.get(follower=follower)
    if answered is None:
        return
    moment = begins + timedelta(minutes=answered)
    line = services.send_text(
        conversation_id=conversation.pk,
        staff_id=staff_id,
        text=reply,
        client_key=uuid5(_KEYS, f"{follower.openid}{reply}"),
        at=moment,
    )
    # History: it was sent then, and nothing leaves now.
    Message.objects.filter(pk=line.pk).update(state=SendState.SENT, settled_at=moment)
    services.resolve(conversation_id=conversation.pk, at=moment + timedelta(minutes=12))


def _push(follower: Follower, text: str, at: datetime) -> Push:
    account = follower.account
    return Push(
        brand_id=follower.brand_id,
        account_id=account.pk,
        appid=account.appid,
        original_id=account.original_id,
        openid=follower.openid,
        kind="text",
        event_at=at,
        received_at=at,
        content=text,
    )
