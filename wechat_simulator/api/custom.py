"""Customer-service messages under the 2023 window rule (reference: service account 5.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wechat_simulator import windows
from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.errors import WeChatError

TYPES = frozenset(
    ("text", "image", "voice", "video", "music", "news", "mpnewsarticle", "msgmenu", "wxcard", "miniprogrampage")
)
TEXT_BYTES = 2048
TYPING_SECONDS = 15.0


def _check_text(_call: Call, body: dict[str, Any]) -> None:
    content = body.get("content")
    if not isinstance(content, str) or not content:
        raise WeChatError(44004)
    if len(content.encode()) > TEXT_BYTES:
        raise WeChatError(45002)


def _check_media(call: Call, body: dict[str, Any]) -> None:
    """An upload of this account that is younger than three days (40007)."""
    media_id = body.get("media_id")
    if not isinstance(media_id, str) or not media_id:
        raise WeChatError(40007)
    if call.sim.switches.check_media_ids and call.sim.media.find(media_id, call.now, call.account.appid) is None:
        raise WeChatError(40007)


def _check_news(_call: Call, body: dict[str, Any]) -> None:
    articles = body.get("articles")
    if not isinstance(articles, list) or not articles:
        raise WeChatError(44004)
    if len(articles) > 1:
        raise WeChatError(45008)


def _check_page(call: Call, body: dict[str, Any]) -> None:
    if body.get("appid") not in call.sim.world.mini_programs_of(call.account):
        raise WeChatError(40166)
    if not body.get("pagepath"):
        raise WeChatError(40165)


CHECKS: dict[str, Callable[[Call, dict[str, Any]], None]] = {
    "text": _check_text,
    "image": _check_media,
    "voice": _check_media,
    "video": _check_media,
    "news": _check_news,
    "miniprogrampage": _check_page,
}


def _check_body(call: Call, data: dict[str, Any]) -> None:
    kind = data.get("msgtype")
    if kind not in TYPES:
        raise WeChatError(40008)
    body = data.get(str(kind))
    if not isinstance(body, dict):
        raise WeChatError(47001)
    if check := CHECKS.get(str(kind)):
        check(call, body)


@api("POST", "/cgi-bin/message/custom/send", raw_text=True)
def send(call: Call) -> dict[str, Any]:
    """One message within the open windows; it arrives at once."""
    sim, account = call.sim, call.account
    data = call.json()
    if account.banned:
        raise WeChatError(48004)
    fan = call.fan(data.get("touser"))
    _check_body(call, data)
    if not fan.subscribed:
        raise WeChatError(45015)
    if fan.blacklisted:
        raise WeChatError(43019)
    if fan.refuses:
        raise WeChatError(48002)
    windows.spend(fan, call.now, add_up=sim.switches.windows_add_up)
    content = repr(data[data["msgtype"]])
    sent = sim.truth.accept(
        at=call.now, kind="custom", appid=account.appid, openid=fan.openid, body=call.body, content=content
    )
    sim.truth.finish(sent, "success", call.now)
    fan.typing_until = 0.0
    sim.conversations.receive(fan, sent)
    return ok()


@api("POST", "/cgi-bin/message/custom/typing")
def typing(call: Call) -> dict[str, Any]:
    """对方正在输入…: only within 30 s of the person's message."""
    data = call.json()
    fan = call.fan(data.get("touser"))
    command = data.get("command")
    if command == "CancelTyping":
        fan.typing_until = 0.0
    elif command == "Typing":
        if call.now - fan.last_inbound_at > 30:
            raise WeChatError(45080)
        if fan.typing_until > call.now:
            raise WeChatError(45081)
        fan.typing_until = call.now + TYPING_SECONDS
    else:
        raise WeChatError(45072)
    call.sim.bus.bump("conversation", fan.person.id, call.account.appid)
    return ok()
