"""What an automatic answer can be: one class a kind, with the forms in which it may travel."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.registry import Registry
from wechat_gateway.replies import (
    MAX_TEXT_BYTES,
    Image,
    MiniProgramLink,
    News,
    Reply,
    Text,
    Video,
    Voice,
    clean,
    link_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

URL_BYTES: Final = 1024
MOST: Final = 4  # the first goes at once, and after a follow or a tap WeChat takes three more (reference: 5.9)
_MEDIA_ID: Final = re.compile(r"item:[0-9]{1,15}|[0-9A-Za-z_-]{1,200}")
ITEM: Final = "item:"
MINI: Final = "MINI"
_ITEM: Final = re.compile(r"item:([0-9]{1,15})")
_APPID: Final = re.compile(r"wx[0-9a-z]{10,30}")


@dataclass(frozen=True, slots=True)
class Content:
    """One answer as it is kept. Which fields mean something is a matter of the kind.

    `media_id` is WeChat's id of a file, or `item:` and the number of a file of the library, which is looked up when
    rules are compiled.
    """

    kind: str = "TEXT"
    text: str = ""
    title: str = ""
    url: str = ""
    picture_url: str = ""
    media_id: str = ""
    appid: str = ""
    page: str = ""


# Kinds that are nothing without their file, and which kinds of the library's files each takes.
NEEDS_MEDIA: Final = frozenset({"IMAGE", "VOICE", "VIDEO"})
TAKES: Final = {"IMAGE": ("IMAGE",), "VOICE": ("VOICE",), "VIDEO": ("VIDEO",), "MINI": ("IMAGE", "THUMB")}
FIELDS: Final = tuple(name for name in Content.__slots__ if name != "kind")


class AnswerKind(Protocol):
    """A kind of answer. `passive` and `service` give its form for each way, None where there is none."""

    key: ClassVar[str]
    label: ClassVar[Any]
    fields: ClassVar[tuple[str, ...]]  # names of `Content` that a form asks for

    def faults(self, content: Content) -> dict[str, str]:
        """Give what is wrong, by field."""
        ...

    def passive(self, content: Content) -> Reply | None:
        """Give the answer to the push itself."""
        ...

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give the body of a customer-service message, without `touser` (reference: service account 5.9)."""
        ...

    def summary(self, content: Content) -> str:
        """Say it in one line for lists."""
        ...


answer_kinds: Registry[AnswerKind] = Registry("answer kinds", purpose="what an automatic answer can be")


def answer_kind(cls: type) -> type:
    """Register a kind of answer under its `key`."""
    answer_kinds.register(cls.key, cls())  # type: ignore[attr-defined]
    return cls


def kind_choices() -> list[tuple[str, Any]]:
    """Give the kinds for a form, in the order in which they were written."""
    return [(entry.key, entry.item.label) for entry in sorted(answer_kinds.entries(), key=_order)]


def _order(entry: Any) -> tuple[int, str]:
    return getattr(entry.item, "order", 100), entry.key


def read_content(data: Mapping[str, Any]) -> Content:
    """Give the content kept as JSON; what a kind does not know is left out."""
    return Content(
        kind=str(data.get("kind", "TEXT")), **{name: clean(str(data.get(name) or "")).strip() for name in FIELDS}
    )


def kept(content: Content) -> dict[str, str]:
    """Give the content as JSON, without what is empty."""
    return {name: value for name, value in asdict(content).items() if value}


def item_of(content: Content) -> int | None:
    """Give the number of the library's file that a content sends, None when it names WeChat's id or none."""
    found = _ITEM.fullmatch(content.media_id)
    return int(found[1]) if found else None


def item_key(item_id: int) -> str:
    """Give how a file of the library is named in a content."""
    return f"{ITEM}{item_id}"


def with_media(contents: Iterable[Content], known: Mapping[int, str]) -> tuple[Content, ...]:
    """Give contents with WeChat's ids of their files; those that need one which is not there are left out."""
    found: list[Content] = []
    for content in contents:
        item_id = item_of(content)
        if item_id is None:
            found.append(content)
        elif item_id in known or content.kind not in NEEDS_MEDIA:
            found.append(replace(content, media_id=known.get(item_id, "")))
    return tuple(found)


def faults_of(content: Content) -> dict[str, str]:
    """Give what is wrong with a content, by field."""
    kind = answer_kinds.find(content.kind)
    return kind.faults(content) if kind else {"kind": _("This kind of answer is unknown.")}


def passive_of(content: Content) -> Reply | None:
    """Give the form of a passive reply, None when this kind has none."""
    kind = answer_kinds.find(content.kind)
    return kind.passive(content) if kind else None


def service_of(content: Content) -> dict[str, Any] | None:
    """Give the form of a customer-service message, None when this kind has none."""
    kind = answer_kinds.find(content.kind)
    return kind.service(content) if kind else None


def summary_of(content: Content) -> str:
    """Say a content in one line."""
    kind = answer_kinds.find(content.kind)
    return kind.summary(content) if kind else content.kind


def link_fault(url: str) -> str:
    """Say what is wrong with a link people open on their phones; '' when nothing is. Nothing here ever opens one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _port = parts.port
    except ValueError:
        return _("This is no link.")
    if parts.scheme not in {"http", "https"} or not host:
        return _("A link begins with https:// and a name.")
    if "@" in parts.netloc or re.search(r"[\s\x00-\x1f<>\"\\]", url):
        return _("A link has no user name, blanks or quotation marks in it.")
    if len(url.encode()) > URL_BYTES:
        return _("A link has at most 1,024 bytes.")
    return ""


@answer_kind
class TextAnswer:
    """Words, with links as WeChat allows them."""

    key: ClassVar[str] = "TEXT"
    label = gettext_lazy("Text")
    order = 10
    fields: ClassVar[tuple[str, ...]] = ("text",)

    def faults(self, content: Content) -> dict[str, str]:
        """Some words, no more than WeChat takes."""
        if not content.text:
            return {"text": _("Write what is answered.")}
        used = len(content.text.encode())
        if used > MAX_TEXT_BYTES:
            return {"text": _("The text is too long: %(used)s of 2,048 bytes.") % {"used": f"{used:,}"}}
        return {}

    def passive(self, content: Content) -> Reply | None:
        """Give a text reply."""
        return Text(content.text)

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give a text message."""
        return {"msgtype": "text", "text": {"content": content.text}}

    def summary(self, content: Content) -> str:
        """Give the words."""
        return content.text


@answer_kind
class NewsAnswer:
    """One article card."""

    key: ClassVar[str] = "NEWS"
    label = gettext_lazy("Article card")
    order = 20
    fields: ClassVar[tuple[str, ...]] = ("title", "text", "url", "picture_url")

    def faults(self, content: Content) -> dict[str, str]:
        """A title and a link."""
        found = {}
        if not content.title:
            found["title"] = _("An article card needs a title and a link.")
        problem = link_fault(content.url)
        if problem:
            found["url"] = problem if content.url else _("An article card needs a title and a link.")
        if content.picture_url and link_fault(content.picture_url):
            found["picture_url"] = link_fault(content.picture_url)
        return found

    def passive(self, content: Content) -> Reply | None:
        """Give a news reply."""
        return News(content.title, content.text, content.picture_url, content.url)

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give a news message of one article."""
        article = {
            "title": content.title,
            "description": content.text,
            "url": content.url,
            "picurl": content.picture_url,
        }
        return {"msgtype": "news", "news": {"articles": [article]}}

    def summary(self, content: Content) -> str:
        """Give the title."""
        return content.title


def _file_faults(content: Content) -> dict[str, str]:
    if _MEDIA_ID.fullmatch(content.media_id):
        return {}
    return {"media_id": _("Choose a file of the library.")}


@answer_kind
class ImageAnswer:
    """A picture of the library, or of the account's material."""

    key: ClassVar[str] = "IMAGE"
    label = gettext_lazy("Picture")
    order = 30
    fields: ClassVar[tuple[str, ...]] = ("media_id",)

    def faults(self, content: Content) -> dict[str, str]:
        """The file."""
        return _file_faults(content)

    def passive(self, content: Content) -> Reply | None:
        """Give an image reply."""
        return Image(content.media_id)

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give an image message."""
        return {"msgtype": "image", "image": {"media_id": content.media_id}}

    def summary(self, content: Content) -> str:
        """Say that it is a picture."""
        item_id = item_of(content)
        if item_id is not None:
            return _("Picture no. %(number)s of the library") % {"number": item_id}
        return _("Picture …%(tail)s") % {"tail": content.media_id[-6:]}


@answer_kind
class VoiceAnswer:
    """A voice message of the library."""

    key: ClassVar[str] = "VOICE"
    label = gettext_lazy("Voice")
    order = 32
    fields: ClassVar[tuple[str, ...]] = ("media_id",)

    def faults(self, content: Content) -> dict[str, str]:
        """The file."""
        return _file_faults(content)

    def passive(self, content: Content) -> Reply | None:
        """Give a voice reply."""
        return Voice(content.media_id)

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give a voice message."""
        return {"msgtype": "voice", "voice": {"media_id": content.media_id}}

    def summary(self, content: Content) -> str:
        """Say that it is a voice message."""
        item_id = item_of(content)
        if item_id is not None:
            return _("Voice no. %(number)s of the library") % {"number": item_id}
        return _("Voice …%(tail)s") % {"tail": content.media_id[-6:]}


@answer_kind
class VideoAnswer:
    """A video of the library, with a title and a line."""

    key: ClassVar[str] = "VIDEO"
    label = gettext_lazy("Video")
    order = 34
    fields: ClassVar[tuple[str, ...]] = ("media_id", "title", "text")

    def faults(self, content: Content) -> dict[str, str]:
        """The file."""
        return _file_faults(content)

    def passive(self, content: Content) -> Reply | None:
        """Give a video reply."""
        return Video(content.media_id, content.title, content.text)

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give a video message."""
        video = {"media_id": content.media_id, "title": content.title, "description": content.text}
        return {"msgtype": "video", "video": {name: value for name, value in video.items() if value}}

    def summary(self, content: Content) -> str:
        """Give the title."""
        return _("Video: %(title)s") % {"title": content.title or content.media_id[-6:]}


@answer_kind
class MiniProgramAnswer:
    """A mini-program page: a card through customer service when it has a cover, else words that open it."""

    key: ClassVar[str] = "MINI"
    label = gettext_lazy("Mini-program card")
    order = 40
    fields: ClassVar[tuple[str, ...]] = ("title", "appid", "page", "url", "media_id")

    def faults(self, content: Content) -> dict[str, str]:
        """Title, AppID, page, and a link for clients that cannot open mini-programs."""
        found = {}
        if not content.title:
            found["title"] = _("The card needs a title.")
        if not _APPID.fullmatch(content.appid):
            found["appid"] = _("The mini-program's AppID begins with wx.")
        if not content.page or re.search(r"[\s<>\"]", content.page):
            found["page"] = _("Write the page to open, like pages/home/index.")
        if link_fault(content.url):
            found["url"] = _("Write a link for clients that cannot open mini-programs.")
        if content.media_id and not _MEDIA_ID.fullmatch(content.media_id):
            found["media_id"] = _("Choose a file of the library.")
        return found

    def passive(self, content: Content) -> Reply | None:
        """Give words that open the page. No passive reply is a card (reference: 4)."""
        if content.media_id:
            return None
        return MiniProgramLink(content.title, content.appid, content.page, content.url)

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give the card, or without a cover the words."""
        if not content.media_id:
            words = link_text(MiniProgramLink(content.title, content.appid, content.page, content.url))
            return {"msgtype": "text", "text": {"content": words}}
        card = {
            "title": content.title,
            "appid": content.appid,
            "pagepath": content.page,
            "thumb_media_id": content.media_id,
        }
        return {"msgtype": "miniprogrampage", "miniprogrampage": card}

    def summary(self, content: Content) -> str:
        """Give the title."""
        return _("Mini-program: %(title)s") % {"title": content.title}


@answer_kind
class PersonAnswer:
    """Hand the conversation to a person, with some words for the time until then."""

    key: ClassVar[str] = "PERSON"
    label = gettext_lazy("Hand over to a person")
    order = 50
    fields: ClassVar[tuple[str, ...]] = ("text",)

    def faults(self, content: Content) -> dict[str, str]:
        """Some words, so that nobody waits before silence."""
        return TextAnswer().faults(content)

    def passive(self, content: Content) -> Reply | None:
        """Give the words; the person is called by the worker."""
        return Text(content.text)

    def service(self, content: Content) -> dict[str, Any] | None:
        """Give the words."""
        return {"msgtype": "text", "text": {"content": content.text}}

    def summary(self, content: Content) -> str:
        """Say that a person takes over."""
        return _("To a person: %(text)s") % {"text": content.text}
