"""What the demo brands answer by themselves: rules for some people and hours, a dialogue, personalised menus."""

from __future__ import annotations

from datetime import time, timedelta
from typing import TYPE_CHECKING, Any

from conversations import services
from conversations.models import Dialogue, ReplyRule
from loyalty.models import Tier
from members.models import ProfileField

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from demo.brands import DemoBrand
    from members.models import Tag
    from wechat_gateway.models import OfficialAccount

SKIN = "肤质与过敏"
# What followers asked last week and no rule answered: message, times.
UNMATCHED = (
    ("停车收费吗", 14),
    ("附近可以停车吗", 11),
    ("停车场从哪里进", 8),
    ("停车能抵扣吗", 5),
    ("发票怎么开", 6),
    ("可以开电子发票吗", 4),
    ("wifi 密码", 3),
    ("小狗能进店吗", 2),
)


def make_talks(demo: DemoBrand, account: OfficialAccount, tags: Mapping[str, Tag], at: datetime) -> None:
    """Make what goes beyond the first rules of a brand (in its scope)."""
    for rule in RULES[demo.slug](tags):
        services.save_rule(rule=ReplyRule(account=account, **rule), at=at)
    for position, (name, button) in enumerate(TAG_MENUS[demo.slug], 1):
        buttons = [button, *demo.menu[1:]]
        services.save_tag_menu(
            account=account, match={"tag_id": tags[name].pk}, buttons=buttons, position=position * 10
        )
    if demo.slug == "lanyu":
        dialogue = Dialogue(account=account, name="生日与爱好", keywords=["生日", "聊聊"], draft=_birthday(tags))
        services.save_dialogue(dialogue=dialogue, at=at, publish=True)
    for text, times in UNMATCHED:
        for number in range(times):
            services.note_unmatched(account_id=account.pk, text=text, at=at - timedelta(days=7, minutes=number))
    services.suggest_rules(at=at)


def ask_for_fields(account: OfficialAccount, at: datetime) -> None:
    """A dialogue that keeps answers in the brand's own profile fields; once those are there."""
    known = ProfileField.objects.filter(key__in=("skin", "allergy"), sources__contains=["dialogue"]).count()
    if known < 2 or Dialogue.objects.filter(account=account, name=SKIN).exists():
        return
    steps = [
        {
            "key": "1",
            "kind": "ASK",
            "text": "你的肤质更接近哪一种？",
            "answer": "CHOICE",
            "field": "field:skin",
            "why": "只推荐适合的护理和面料。",
            "choices": [{"label": "干性"}, {"label": "油性"}, {"label": "混合"}],
        },
        {
            "key": "2",
            "kind": "ASK",
            "text": "有没有会过敏的东西？",
            "field": "field:allergy",
            "why": "店里的香氛和茶点会避开它。",
        },
        {"key": "3", "kind": "SAY", "text": "都记下了，谢谢。想改随时再回复「肤质」。"},
    ]
    dialogue = Dialogue(account=account, name=SKIN, keywords=["肤质"], draft=steps)
    services.save_dialogue(dialogue=dialogue, at=at, publish=True)


def answer_a_tier(account: OfficialAccount, at: datetime) -> None:
    """Whoever stands in the highest tier has a line of their own; once the tiers are there."""
    tier = Tier.objects.order_by("-threshold").first()
    if tier is None or ReplyRule.objects.filter(audience_kind="tier").exists():
        return
    rule = ReplyRule(
        account=account,
        name=f"{tier.name}会员专线",
        trigger="KEYWORD",
        keywords=["专线"],
        text="专线顾问在这里：写下想看的款式和时间，半小时内回复你。",
        audience_kind="tier",
        audience_id=tier.pk,
        position=12,
    )
    services.save_rule(rule=rule, at=at)


def _lanyu(tags: Mapping[str, Tag]) -> list[dict[str, Any]]:
    return [
        {
            "name": "静安店的关注欢迎",
            "trigger": "FOLLOW",
            "text": "欢迎来到澜屿上海静安店。到店前回复「预约」，专属导购为你留好试衣间。",
            "audience_kind": "tag",
            "audience_id": tags["静安店"].pk,
            "position": 10,
        },
        {
            "name": "高活会员的预约",
            "trigger": "KEYWORD",
            "keywords": ["预约"],
            "text": "老朋友，今天也为你留了位。告诉我们想去的门店和时间就好。",
            "audience_kind": "tag",
            "audience_id": tags["高活"].pk,
            "position": 15,
        },
        {
            "name": "夜里的人工",
            "trigger": "KEYWORD",
            "keywords": ["人工", "客服"],
            "match": "CONTAINS",
            "text": "客服 10:00 上班，明早第一个回复你。",
            "from_time": time(22),
            "until_time": time(10),
            "position": 40,
        },
        {
            "name": "转人工",
            "trigger": "KEYWORD",
            "keywords": ["人工", "客服"],
            "match": "CONTAINS",
            "reply_kind": "PERSON",
            "text": "马上为你转接，一般两分钟内有人回复。",
            "position": 41,
        },
        {
            "name": "尺码",
            "trigger": "KEYWORD",
            "keywords": [r"(尺码|尺寸|多大码)", r"^\d{3}\s*cm"],
            "match": "REGEX",
            "text": "身高体重发给我们，推荐最合身的一码。",
            "more": [
                {
                    "kind": "NEWS",
                    "title": "澜屿尺码手册",
                    "text": "三十秒找到你的码",
                    "url": "https://lanyu.example.com/size",
                },
            ],
            "position": 50,
        },
    ]


def _zaoshan(tags: Mapping[str, Tag]) -> list[dict[str, Any]]:
    return [
        {
            "name": "夜宵时段",
            "trigger": "KEYWORD",
            "keywords": ["营业", "打烊"],
            "match": "CONTAINS",
            "text": "夜宵到 02:00，最后点单 01:30。",
            "audience_kind": "tag",
            "audience_id": tags["夜宵"].pk,
            "from_time": time(21),
            "until_time": time(2),
            "position": 5,
        },
    ]


def _birthday(tags: Mapping[str, Tag]) -> list[dict[str, Any]]:
    return [
        {"key": "1", "kind": "SAY", "text": "想多认识你一点，三个小问题，随时可以回复「退出」。"},
        {
            "key": "2",
            "kind": "ASK",
            "text": "你的生日是哪天？",
            "answer": "BIRTHDAY",
            "field": "birthday",
            "why": "生日当月到店有一份礼。",
        },
        {
            "key": "3",
            "kind": "ASK",
            "text": "平时更喜欢哪一类？",
            "answer": "CHOICE",
            "why": "只推荐你感兴趣的内容。",
            "choices": [
                {"label": "新款穿搭", "tag_id": tags["高活"].pk},
                {"label": "礼盒", "tag_id": tags["礼盒"].pk},
                {"label": "都还好", "goto": "5"},
            ],
        },
        {"key": "4", "kind": "ASK", "text": "最近想找什么？一句话就好。"},
        {"key": "5", "kind": "SAY", "text": "都记下了，谢谢。需要时回复「预约」。"},
    ]


RULES = {"lanyu": _lanyu, "zaoshan": _zaoshan}
# For whom the first button is another one.
TAG_MENUS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "lanyu": (
        ("高活", {"type": "click", "name": "我的权益", "key": "MEMBER_HOME"}),
        ("静安店", {"type": "click", "name": "静安预约", "key": "NEARBY"}),
    ),
    "zaoshan": (("夜宵", {"type": "click", "name": "夜宵菜单", "key": "MEMBER_HOME"}),),
}
