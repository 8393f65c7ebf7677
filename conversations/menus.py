"""The shape of a menu and WeChat's limits on it (reference: service account 5.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

TOP, SUB = 3, 5
TOP_BYTES, SUB_BYTES, KEY_BYTES, URL_BYTES = 16, 60, 128, 1024


@dataclass(frozen=True)
class MenuFault:
    """One thing WeChat would refuse; `path` like `1` or `2.3` (counted from one)."""

    path: str
    message: str


def faults(buttons: object) -> list[MenuFault]:
    """Give everything WeChat would refuse about a menu; an empty list means it can be published."""
    if not isinstance(buttons, list) or not buttons:
        return [MenuFault("", _("A menu needs at least one button."))]
    found: list[MenuFault] = []
    if len(buttons) > TOP:
        found.append(MenuFault("", _("A menu has three buttons at most.")))
    for index, button in enumerate(buttons, 1):
        found += _button(button, str(index), TOP_BYTES)
        children = button.get("sub_button") if isinstance(button, dict) else None
        if children:
            if len(children) > SUB:
                found.append(MenuFault(str(index), _("A button opens five entries at most.")))
            for number, child in enumerate(children, 1):
                found += _button(child, f"{index}.{number}", SUB_BYTES)
    return found


def _button(button: Any, path: str, limit: int) -> list[MenuFault]:
    if not isinstance(button, dict):
        return [MenuFault(path, _("This is no button."))]
    name = str(button.get("name", "")).strip()
    found = []
    if not name:
        found.append(MenuFault(path, _("The button has no name.")))
    if len(name.encode()) > limit:
        found.append(
            MenuFault(
                path,
                _("The name is too long: %(used)s of %(limit)s bytes.") % {"used": len(name.encode()), "limit": limit},
            ),
        )
    if button.get("sub_button"):
        return found
    kind = button.get("type")
    if kind == "click":
        key = str(button.get("key", ""))
        if not key or len(key.encode()) > KEY_BYTES:
            found.append(MenuFault(path, _("A button that asks us needs a key of at most 128 bytes.")))
    elif kind == "view":
        found += _url(button, path)
    elif kind == "miniprogram":
        found += _url(button, path)
        if not button.get("appid") or not button.get("pagepath"):
            found.append(MenuFault(path, _("A mini-program button needs an AppID and a page.")))
    else:
        found.append(MenuFault(path, _("This kind of button is unknown.")))
    return found


def _url(button: dict[str, Any], path: str) -> list[MenuFault]:
    url = str(button.get("url", ""))
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or len(url.encode()) > URL_BYTES:
        return [MenuFault(path, _("The link must begin with https:// and have at most 1,024 bytes."))]
    return []
