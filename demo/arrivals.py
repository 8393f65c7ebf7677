"""How people reach a demo brand besides its codes: openings, signed pages, what they agreed to, odd buttons."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from accounts.tenancy import brand_scope
from campaigns.models import MessageTemplate, SubscriptionStock
from campaigns.services import save_news_plan
from common import clock
from conversations.models import Match, Menu, ReplyRule, Trigger
from conversations.services import save_menu, save_rule
from demo.brands import POINTS_NOTICE
from demo.notebook import notes
from library.models import MediaItem
from library.services import keep_for_good, settle_copy
from members.models import Follower
from touchpoints.models import Touch, TouchKind, Touchpoint, TouchpointTag
from touchpoints.selectors import scene_in
from touchpoints.services import create_mini_code, create_touchpoint, origin_node, record_opening
from wechat_gateway.models import MiniProgram, OfficialAccount
from wechat_gateway.services import set_js_domains

if TYPE_CHECKING:
    from datetime import datetime

    from demo.brands import DemoBrand

AGREED_ON: Final = (0, 1)  # days of the crowd
OPENINGS: Final = 9
CARDS: Final = 6
WAYS: Final = (
    *("ADD_SCENE_SEARCH",) * 4, *("ADD_SCENE_PROFILE_CARD",) * 2, *("ADD_SCENE_PROFILE_LINK",) * 2,
    "ADD_SCENE_CHANNELS", "ADD_SCENE_WECHAT_ADVERTISEMENT",
)  # fmt: skip
DEAD: Final = {"type": "click", "name": "预约量体", "key": "MEASURE"}  # nothing answers it: the page says so


def furnish(brand_id: int, demo: DemoBrand, account: OfficialAccount, people: list[dict[str, Any]]) -> None:
    """Give a demo brand openings of its mini program, signed pages, agreed notices, a file answer and a dead button."""
    at = clock.now()
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=account.pk)
        set_js_domains(account=account, domains=[f"{demo.slug}.example.com"])
        _agreed(account, people, at)
        _points_notice(account, at)
        _ways(account, at)
        _openings(at)
        _keyword_card(account, at)
        copy = _file_answer(account, at)
        _dead_button(account)
    settle_copy(brand_id=brand_id, copy_id=copy, at=at)


def _agreed(account: OfficialAccount, people: list[dict[str, Any]], at: datetime) -> None:
    """Know what WeChat knows of the notifications that people have agreed to."""
    consents = {
        relation["openid"]: relation["consents"]
        for person in people
        if (relation := person["accounts"].get(account.appid)) and relation["consents"]
    }
    known = set(MessageTemplate.objects.filter(account=account).values_list("template_id", flat=True))
    followers = Follower.objects.filter(account=account, openid__in=list(consents)).order_by("pk")
    SubscriptionStock.objects.bulk_create(
        [
            SubscriptionStock(follower=follower, template_id=template_id, remaining=left, updated_at=at)
            for follower in followers
            for template_id, left in consents[follower.openid].items()
            if template_id in known
        ],
        ignore_conflicts=True,
    )


def agreements(demo: DemoBrand, day: int) -> dict[str, int]:
    """Say to which notifications those who came on a day have agreed, and how often."""
    if day not in AGREED_ON:
        return {}
    asked = {str(demo.notices[0]["title"]), POINTS_NOTICE} & {str(each["title"]) for each in demo.notices}
    return dict.fromkeys(sorted(asked), 1 + day % 2)


def _points_notice(account: OfficialAccount, at: datetime) -> None:
    """Tell who cannot be written to that points end, where the brand has a notification for it."""
    template = MessageTemplate.objects.filter(account=account, title=POINTS_NOTICE).order_by("pk").first()
    if template is not None:
        content = {"thing1": "记得在到期前使用", "number2": "{积分}", "date3": "{日期}"}
        save_news_plan(about="points", template=template, content=content, is_on=True, at=at)


def _ways(account: OfficialAccount, at: datetime) -> None:
    """Say of those who scanned no code how they came, by turns."""
    rows = Touch.objects.filter(follower__account=account, touchpoint=None, scene="", kind=TouchKind.FOLLOW)
    touches = list(rows.order_by("pk").values_list("pk", "follower_id"))
    for way in sorted(set(WAYS)):
        mine = [row for number, row in enumerate(touches) if WAYS[number % len(WAYS)] == way]
        if mine:
            Touch.objects.filter(pk__in=[pk for pk, _follower in mine]).update(touchpoint=origin_node(way, at=at))
            Follower.objects.filter(pk__in=[follower for _pk, follower in mine]).update(follow_scene=way)


def _openings(at: datetime) -> None:
    """Let some people have opened the mini program by a printed code, at different times of the past days."""
    program = MiniProgram.objects.order_by("pk").first()
    code = Touchpoint.objects.exclude(scene="").order_by("pk").first()
    if program is None or code is None:
        return
    mini = create_mini_code(touchpoint=code, program=program, page="pages/home/index", at=at)
    came, tags = notes().came, notes().tags
    puts = set(TouchpointTag.objects.filter(touchpoint=code).values_list("tag__name", flat=True))
    members = Follower.objects.order_by("-followed_at", "-pk").values_list("member_id", "followed_at")
    for number, (member_id, followed) in enumerate(members[:OPENINGS]):
        moment = at - timedelta(hours=7 * number + 1)
        tags[member_id] = tags.get(member_id, set()) | puts
        if moment < (followed or at):
            came[member_id] = code.name  # it brought them before they followed
        record_opening(
            member_id=member_id, appid=program.appid, scene=mini.code, opening=f"demo-opening-{number:02d}", at=moment
        )


def _keyword_card(account: OfficialAccount, at: datetime) -> None:
    """Answer a word with the mini program; whoever opens it by that counts for a channel of its own."""
    program = MiniProgram.objects.order_by("pk").first()
    if program is None:
        return
    channel = create_touchpoint(name="关键词回复", at=at)
    rule = ReplyRule(
        account=account,
        name="逛商城",
        trigger=Trigger.KEYWORD,
        match=Match.EXACT,
        keywords=["逛逛"],
        reply_kind="MINI",
        title="逛逛商城",
        url="https://weixin.qq.com/",
        mini_appid=program.appid,
        mini_page="pages/home/index",
        position=45,
        updated_at=at,
    )
    save_rule(rule=rule, at=at, channels={0: channel.pk})
    scene = scene_in(rule.mini_page)
    members = Follower.objects.order_by("followed_at", "pk").values_list("member_id", flat=True)
    for number, member_id in enumerate(members[:CARDS]):
        moment = at - timedelta(hours=5 * number + 2)
        record_opening(
            member_id=member_id, appid=program.appid, scene=scene, opening=f"demo-card-{number:02d}", at=moment
        )


def _file_answer(account: OfficialAccount, at: datetime) -> int:
    """Answer a word with a picture of the library, kept for good; gives the copy that has to be uploaded."""
    item = MediaItem.objects.filter(name="当季新品").order_by("pk")[0]
    rule = ReplyRule(
        account=account,
        name="新品图",
        trigger=Trigger.KEYWORD,
        match=Match.EXACT,
        keywords=["新品图"],
        reply_kind="IMAGE",
        media_id=f"item:{item.pk}",
        position=40,
        updated_at=at,
    )
    save_rule(rule=rule, at=at)
    return keep_for_good(item_id=item.pk, account_id=account.pk, at=at).pk


def _dead_button(account: OfficialAccount) -> None:
    """Leave a button in the draft whose key nothing answers."""
    menu = Menu.objects.get(account=account)
    draft = deepcopy(menu.draft)
    for button in draft:
        if button.get("sub_button"):
            button["sub_button"].append(dict(DEAD))
            break
    else:
        draft.append(dict(DEAD))
    save_menu(account=account, buttons=draft)
