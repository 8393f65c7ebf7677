"""Menu rules: what a menu may contain and which one a person sees (reference: service account 5.4)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from wechat_simulator.errors import WeChatError
from wechat_simulator.world import Account, Fan

KEY_TYPES = frozenset(
    (
        "click", "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin",
        "location_select",
    )
)  # fmt: skip
TYPES = KEY_TYPES | {"view", "miniprogram", "media_id", "article_id", "article_view_limited", "view_limited"}
NEEDED_ID = {
    "media_id": "media_id",
    "view_limited": "media_id",
    "article_id": "article_id",
    "article_view_limited": "article_id",
}
REMOVED = frozenset(("sex", "country", "province", "city", "language"))  # 65320
TOP, SUB = 3, 5
TOP_NAME, SUB_NAME = 16, 60
KEY_BYTES, URL_BYTES = 128, 1024
EXTERNAL_DOMAINS = 3
OWN_DOMAINS = ("qq.com",)


def check_buttons(buttons: Any, mini_programs: set[str]) -> list[dict[str, Any]]:
    """The buttons when every rule holds; otherwise the code of the first broken one."""
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= TOP:
        raise WeChatError(40016)
    domains: set[str] = set()
    for button in buttons:
        if not isinstance(button, dict):
            raise WeChatError(40017)
        _check_name(button, TOP_NAME, 40018)
        subs = button.get("sub_button")
        if isinstance(subs, dict):  # get_current_selfmenu_info wraps them in a list object
            subs = subs.get("list")
        if subs:
            _check_subs(subs, mini_programs, domains)
        else:
            _check_leaf(button, (40017, 40019, 40020), mini_programs, domains)
    if len(domains) > EXTERNAL_DOMAINS:
        raise WeChatError(65316)
    return buttons


def _check_subs(subs: Any, mini_programs: set[str], domains: set[str]) -> None:
    if not isinstance(subs, list) or len(subs) > SUB:
        raise WeChatError(40023)
    for sub in subs:
        if not isinstance(sub, dict):
            raise WeChatError(40024)
        if sub.get("sub_button"):
            raise WeChatError(40022)
        _check_name(sub, SUB_NAME, 40025)
        _check_leaf(sub, (40024, 40026, 40027), mini_programs, domains)


def _check_name(button: dict[str, Any], limit: int, code: int) -> None:
    name = button.get("name")
    if not isinstance(name, str) or not 1 <= len(name.encode()) <= limit:
        raise WeChatError(code)


def _check_leaf(
    button: dict[str, Any], codes: tuple[int, int, int], mini_programs: set[str], domains: set[str]
) -> None:
    type_code, key_code, url_code = codes
    kind = button.get("type")
    if kind not in TYPES:
        raise WeChatError(type_code)
    if kind in KEY_TYPES:
        key = button.get("key")
        if not isinstance(key, str) or not 1 <= len(key.encode()) <= KEY_BYTES:
            raise WeChatError(key_code)
    if kind in ("view", "miniprogram"):
        _check_url(button.get("url"), url_code, domains)
    if kind == "miniprogram" and (button.get("appid") not in mini_programs or not button.get("pagepath")):
        raise WeChatError(45064)
    needed = NEEDED_ID.get(str(kind))
    if needed and not button.get(needed):
        raise WeChatError(40007)


def _check_url(url: Any, code: int, domains: set[str]) -> None:
    if not isinstance(url, str) or not 1 <= len(url.encode()) <= URL_BYTES:
        raise WeChatError(code)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WeChatError(65317)
    if parts.hostname not in OWN_DOMAINS and not parts.hostname.endswith(tuple("." + item for item in OWN_DOMAINS)):
        domains.add(parts.hostname)


def check_rule(rule: Any, account: Account, *, platforms: bool) -> dict[str, Any]:
    """The matchrule when it may be used: tags only; the removed fields are 65320."""
    if not isinstance(rule, dict):
        raise WeChatError(65304)
    if any(rule.get(name) not in (None, "") for name in REMOVED):
        raise WeChatError(65320)
    kept: dict[str, Any] = {}
    if rule.get("tag_id") not in (None, "") or rule.get("group_id") not in (None, ""):
        tag = str(rule.get("tag_id") or rule.get("group_id"))
        if not tag.isdecimal() or int(tag) not in account.tags:
            raise WeChatError(45159)
        kept["tag_id"] = tag
    if platforms and rule.get("client_platform_type") not in (None, ""):
        kept["client_platform_type"] = str(rule["client_platform_type"])
    if not kept:
        raise WeChatError(65304)
    return kept


def menu_for(fan: Fan) -> tuple[list[dict[str, Any]], int | None]:
    """The buttons this person gets from the servers now, and the menuid when it is a conditional menu.

    Newest conditional menu first; of several tags the last one applied counts; else the default menu.
    """
    account = fan.account
    if account.menu is None:
        return [], None
    last_tag = str(fan.tags[-1]) if fan.tags else ""
    for menu in reversed(account.conditional):
        tag = menu.matchrule.get("tag_id")
        platform = menu.matchrule.get("client_platform_type")
        if (tag is None or tag == last_tag) and (platform is None or platform == str(fan.person.platform)):
            return menu.buttons, menu.menuid
    return account.menu, None


def seen_menu(fan: Fan, now: float, refresh_seconds: float) -> list[dict[str, Any]]:
    """The buttons on the person's screen: the client refreshes at most every five minutes or on re-follow."""
    if not fan.subscribed:
        return []
    if fan.menu is None or now - fan.menu_at >= refresh_seconds or now < fan.menu_at:
        fan.menu, _ = menu_for(fan)
        fan.menu_at = now
    return fan.menu
