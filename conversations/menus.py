"""The shape of a menu, WeChat's limits on it (reference: service account 5.4), differences, and who sees which."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from conversations.answers import link_fault

TOP, SUB = 3, 5
TOP_BYTES, SUB_BYTES, KEY_BYTES, URL_BYTES = 16, 60, 128, 1024
EXTERNAL_DOMAINS: Final = 3
OWN_DOMAINS: Final = ("qq.com",)

# Button types by WeChat's own names; what each needs besides its name.
TYPES: Final[dict[str, tuple[Any, tuple[str, ...]]]] = {
    "click": (gettext_lazy("Ask us (an automatic answer)"), ("key",)),
    "view": (gettext_lazy("Open a web page"), ("url",)),
    "miniprogram": (gettext_lazy("Open a mini-program"), ("url", "appid", "pagepath")),
    "scancode_push": (gettext_lazy("Scan a code"), ("key",)),
    "scancode_waitmsg": (gettext_lazy("Scan a code and wait for our answer"), ("key",)),
    "pic_sysphoto": (gettext_lazy("Take a photo"), ("key",)),
    "pic_photo_or_album": (gettext_lazy("Take or choose a photo"), ("key",)),
    "pic_weixin": (gettext_lazy("Choose photos"), ("key",)),
    "location_select": (gettext_lazy("Choose a location"), ("key",)),
    "media_id": (gettext_lazy("Send a picture or file"), ("media_id",)),
    "article_id": (gettext_lazy("Send an article"), ("article_id",)),
    "article_view_limited": (gettext_lazy("Open an article"), ("article_id",)),
}
FIELDS: Final = ("key", "url", "appid", "pagepath", "media_id", "article_id")
# What a personalised menu could once be matched by; WeChat refuses it with 65320.
REMOVED: Final = ("sex", "country", "province", "city", "language", "group_id")


@dataclass(frozen=True)
class MenuFault:
    """One thing WeChat would refuse; `path` like `1` or `2.3` (from one). `hard`: no draft may have it either.

    `field` is what to correct on the button, '' for the button or the menu as a whole.
    """

    path: str
    message: str
    hard: bool = False
    field: str = ""


@dataclass(frozen=True)
class Change:
    """One difference between two menus."""

    label: str
    before: str
    after: str


def faults(buttons: object, *, files: Collection[str] | None = None) -> list[MenuFault]:
    """Give everything WeChat would refuse about a menu; an empty list means it can be published.

    `files` are the media ids that the account really has; without them ids are only asked for.
    """
    if not isinstance(buttons, list) or not buttons:
        return [MenuFault("", _("A menu needs at least one button."))]
    found: list[MenuFault] = []
    if len(buttons) > TOP:
        found.append(MenuFault("", _("A menu has three buttons at most."), hard=True))
    for index, button in enumerate(buttons, 1):
        found += _button(button, str(index), TOP_BYTES, files)
        children = button.get("sub_button") if isinstance(button, dict) else None
        if children and not isinstance(children, list):
            found.append(MenuFault(str(index), _("This is no button."), hard=True))
        elif children:
            if len(children) > SUB:
                found.append(MenuFault(str(index), _("A button opens five entries at most."), hard=True))
            for number, child in enumerate(children, 1):
                found += _button(child, f"{index}.{number}", SUB_BYTES, files)
                if isinstance(child, dict) and child.get("sub_button"):
                    found.append(MenuFault(f"{index}.{number}", _("An entry opens no entries of its own."), hard=True))
    domains = sorted(_domains(buttons))
    if len(domains) > EXTERNAL_DOMAINS:
        said = _("Links lead to %(count)s sites (%(sites)s); WeChat allows three (65316).")
        found.append(MenuFault("", said % {"count": len(domains), "sites": _(", ").join(domains[:6])}))
    return found


def _button(button: Any, path: str, limit: int, files: Collection[str] | None) -> list[MenuFault]:
    if not isinstance(button, dict):
        return [MenuFault(path, _("This is no button."), hard=True)]
    name = str(button.get("name", "")).strip()
    found = []
    if not name:
        found.append(MenuFault(path, _("The button has no name."), field="name"))
    if len(name.encode()) > limit:
        said = _("The name is too long: %(used)s of %(limit)s bytes (a Chinese character takes three).")
        found.append(MenuFault(path, said % {"used": len(name.encode()), "limit": limit}, hard=True, field="name"))
    if button.get("sub_button"):
        return found
    kind = button.get("type")
    if kind not in TYPES:
        return [*found, MenuFault(path, _("Choose what the button does."), field="type")]
    for field in TYPES[kind][1]:
        value = str(button.get(field) or "")
        said = _FIELD_FAULTS[field](value)
        if not said and field == "media_id" and files is not None and value not in files:
            said = _(
                "The service account does not have this file for good. "
                "Keep it for good in the library, then choose it here."
            )
        if said:
            hard = field in _LONGEST and len(value.encode()) > _LONGEST[field]
            found.append(MenuFault(path, said, hard=hard, field=field))
    return found


def _key(value: str) -> str:
    if value and len(value.encode()) <= KEY_BYTES:
        return ""
    return _("A button that asks us needs a key of at most 128 bytes.")


def _url(value: str) -> str:
    if not value:
        return _("The button needs a link, such as https://shop.example.com/spring.")
    said = link_fault(value)
    if not said and not value.lower().startswith("https://"):
        return _("The link begins with http://. Phones warn of such pages: use https://.")
    return said


def _appid(value: str) -> str:
    if not value:
        return _("A mini-program button needs the AppID of the mini program.")
    if not _APPID.fullmatch(value):
        return _("An AppID begins with wx and has no blanks: copy it from the mini program's settings.")
    return ""


def _pagepath(value: str) -> str:
    if not value:
        return _("A mini-program button needs a page, such as pages/home/index.")
    if "://" in value:
        return _("This is a link. A page of a mini program looks like pages/home/index?from=menu.")
    if value.startswith("/"):
        return _("A page begins without “/”, as in pages/home/index.")
    if not _PAGE.fullmatch(value):
        return _("A page has letters, digits, “-”, “_” and “/”, then perhaps “?” and what it is told, without blanks.")
    if len(value.encode()) > URL_BYTES:
        return _("A page has at most 1,024 bytes.")
    return ""


def _file(value: str) -> str:
    return "" if value else _("Choose the file that the button sends.")


def _article(value: str) -> str:
    return "" if value else _("The button needs the id of a published article.")


_FIELD_FAULTS: Final[dict[str, Callable[[str], str]]] = {
    "key": _key, "url": _url, "appid": _appid, "pagepath": _pagepath, "media_id": _file, "article_id": _article,
}  # fmt: skip
# What is longer than WeChat takes is no draft either.
_LONGEST: Final = {"key": KEY_BYTES, "url": URL_BYTES, "pagepath": URL_BYTES}
_APPID: Final = re.compile(r"wx[0-9A-Za-z]{4,30}")
_PAGE: Final = re.compile(r"[\w./-]+(\?[^\s#\"<>]*)?", re.ASCII)


def _domains(buttons: Iterable[Any]) -> set[str]:
    found = set()
    for button in buttons:
        if not isinstance(button, dict):
            continue
        children = button.get("sub_button")
        for each in children if isinstance(children, list) and children else [button]:
            url = str(each.get("url") or "") if isinstance(each, dict) else ""
            if url and not link_fault(url):
                host = (urlsplit(url).hostname or "").lower()
                if host not in OWN_DOMAINS and not host.endswith(tuple(f".{own}" for own in OWN_DOMAINS)):
                    found.add(host)
    return found


def match_fault(rule: Mapping[str, Any]) -> str:
    """Say why WeChat would refuse what a personalised menu is matched by; '' when it is one tag and nothing else."""
    gone = [name for name in REMOVED if rule.get(name) not in (None, "")]
    if gone:
        return _(
            "WeChat no longer matches menus by %(fields)s (65320), only by tag. Tag these people and choose the tag."
        ) % {"fields": _(", ").join(gone)}
    if set(rule) - {"tag_id", *REMOVED} or rule.get("tag_id") in (None, ""):
        return _("A personalised menu is matched by one tag.")
    return ""


def changes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Give what differs between two menus, place by place."""
    one, other = _places(before), _places(after)
    nothing = "--"
    return [
        Change(_label(path), one.get(path, nothing), other.get(path, nothing))
        for path in sorted(one.keys() | other.keys())
        if one.get(path) != other.get(path)
    ]


# What a button has, as it is named where it differs.
FIELD_NAMES: Final[dict[str, Any]] = {
    "name": pgettext_lazy("menu button", "Name"),
    "type": pgettext_lazy("menu button", "Action"),
    "key": gettext_lazy("Key"),
    "url": gettext_lazy("Link"),
    "appid": gettext_lazy("AppID"),
    "pagepath": gettext_lazy("Page"),
    "media_id": gettext_lazy("File of the library"),
    "article_id": gettext_lazy("Id of the article"),
}


def field_changes(before: object, after: object) -> list[Change]:
    """Give what differs between two menus, field by field; a button that only one of them has is said in one line."""
    one, other = _buttons(plain(before)), _buttons(plain(after))
    found = []
    for path in sorted(one.keys() | other.keys()):
        ours, theirs = one.get(path), other.get(path)
        if ours is None or theirs is None:
            found.append(Change(_label(path), say(ours) if ours else "--", say(theirs) if theirs else "--"))
            continue
        found += [
            Change(f"{_label(path)} · {name}", _shown(field, ours), _shown(field, theirs))
            for field, name in FIELD_NAMES.items()
            if ours.get(field) != theirs.get(field)
        ]
    return found


def _shown(field: str, button: Mapping[str, Any]) -> str:
    value = str(button.get(field) or "--")
    return str(TYPES[value][0]) if field == "type" and value in TYPES else value


def _buttons(buttons: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], Mapping[str, Any]]:
    found: dict[tuple[int, int], Mapping[str, Any]] = {}
    for index, button in enumerate(buttons, 1):
        found[index, 0] = button
        for number, child in enumerate(button.get("sub_button") or [], 1):
            found[index, number] = child
    return found


def _label(path: tuple[int, int]) -> str:
    if not path[1]:
        return _("Button %(number)s") % {"number": path[0]}
    return _("Button %(number)s, entry %(entry)s") % {"number": path[0], "entry": path[1]}


def _places(buttons: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], str]:
    found = {}
    for index, button in enumerate(buttons, 1):
        found[index, 0] = say(button)
        for number, child in enumerate(button.get("sub_button") or [], 1):
            found[index, number] = say(child)
    return found


def say(button: Mapping[str, Any]) -> str:
    """Say a button in one line."""
    name = str(button.get("name", ""))
    if button.get("sub_button"):
        return name
    kind = TYPES.get(str(button.get("type")))
    label = str(kind[0]) if kind else str(pgettext_lazy("menu button", "no action"))
    target = " ".join(str(button[field]) for field in FIELDS if button.get(field))
    return f"{name} · {label} {target}".strip()


def plain(buttons: object) -> list[dict[str, Any]]:
    """Give a menu as it is compared with another: without what is empty, whatever WeChat adds left out."""
    found = []
    for button in buttons if isinstance(buttons, list) else []:
        kept = {key: button[key] for key in ("name", "type", *FIELDS) if button.get(key)}
        children = button.get("sub_button")
        if isinstance(children, dict):
            children = children.get("list")
        if children:
            kept = {"name": button.get("name", ""), "sub_button": plain(children)}
        found.append(kept)
    return found


@dataclass(frozen=True)
class TagMenuNow:
    """A personalised menu as it is at WeChat: its tag's id there, its buttons, and which row it comes from."""

    tag_menu_id: int
    remote_tag_id: int
    buttons: list[dict[str, Any]]


def predicted(last_tag: int | None, menus: Sequence[TagMenuNow]) -> TagMenuNow | None:
    """Give the personalised menu of somebody whose last tag at WeChat is this, None for the default menu.

    `menus` in the order in which they were added: WeChat tries the newest first and looks at the last tag only.
    """
    return next((menu for menu in reversed(menus) if menu.remote_tag_id == last_tag), None)
