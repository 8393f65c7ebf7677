"""What may be answered to a push within five seconds, and how it is written as XML or JSON (reference: 4)."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

import orjson

MAX_TEXT_BYTES: Final = 2048
_NOT_XML: Final = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OPEN_LINK: Final = re.compile(r"<a\b(?![\s\S]*</a>)[\s\S]*\Z", re.IGNORECASE)
_JOINERS: Final = "\u200d\ufe0f"
_COMMENT_FREE: Final = re.compile(r"[0-9A-Za-z_@.-]{1,128}")


@dataclass(frozen=True, slots=True)
class Text:
    """Words; links of the form `<a href="…">` are allowed, as WeChat allows them."""

    content: str


@dataclass(frozen=True, slots=True)
class MiniProgramLink:
    """Words that open a mini-program page; `url` is for clients that cannot."""

    label: str
    appid: str
    path: str
    url: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture uploaded by this account."""

    media_id: str


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice message uploaded by this account."""

    media_id: str


@dataclass(frozen=True, slots=True)
class Video:
    """A video uploaded by this account, with a title and a line below it."""

    media_id: str
    title: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """One article card: WeChat shows a single one as an answer."""

    title: str
    description: str
    picture_url: str
    url: str


@dataclass(frozen=True, slots=True)
class TransferToCustomerService:
    """Hand the message to WeChat's own customer-service tool, to one of its accounts if given."""

    kf_account: str = ""


Reply: TypeAlias = Text | MiniProgramLink | Image | Voice | Video | News | TransferToCustomerService


def clean(text: str) -> str:
    """Drop what XML 1.0 forbids (controls, lone surrogates) and use line feeds only."""
    if not _NOT_XML.search(text):
        return text
    return _NOT_XML.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def fit(text: str, limit: int = MAX_TEXT_BYTES) -> str:
    """Cut to `limit` bytes of UTF-8 between characters, never inside a link."""
    if len(text) * 4 <= limit:  # no character takes more
        return text
    data = text.encode()
    if len(data) <= limit:
        return text
    kept = data[:limit].decode(errors="ignore")
    return _OPEN_LINK.sub("", kept).rstrip(_JOINERS)


def link_text(link: MiniProgramLink) -> str:
    """The text form of a mini-program link."""
    return (
        f'<a href="{html.escape(link.url)}" data-miniprogram-appid="{html.escape(link.appid)}" '
        f'data-miniprogram-path="{html.escape(link.path)}">{html.escape(link.label, quote=False)}</a>'
    )


def render(reply: Reply, *, openid: str, original_id: str, at: float, as_json: bool = False) -> str:
    """The whole reply in the push's format, unencrypted. `at` is in seconds since the epoch."""
    if type(reply) is Text and not as_json:
        return (
            f"<xml><ToUserName><![CDATA[{_inside(openid)}]]></ToUserName>"
            f"<FromUserName><![CDATA[{_inside(original_id)}]]></FromUserName><CreateTime>{int(at)}</CreateTime>"
            "<MsgType><![CDATA[text]]></MsgType>"
            f"<Content><![CDATA[{_inside(fit(clean(reply.content)))}]]></Content></xml>"
        )
    kind, fields = _fields(reply)
    envelope: dict[str, object] = {
        "ToUserName": openid,
        "FromUserName": original_id,
        "CreateTime": int(at),
        "MsgType": kind,
        **fields,
    }
    if as_json:
        return orjson.dumps(envelope).decode()
    return f"<xml>{''.join(_element(name, value) for name, value in envelope.items())}</xml>"


def _fields(reply: Reply) -> tuple[str, dict[str, object]]:
    match reply:
        case Text(content):
            return "text", {"Content": fit(clean(content))}
        case MiniProgramLink():
            return "text", {"Content": fit(clean(link_text(reply)))}
        case Image(media_id) | Voice(media_id):
            name = type(reply).__name__
            return name.lower(), {name: {"MediaId": clean(media_id)}}
        case Video(media_id, title, description):
            words = {"Title": clean(title), "Description": clean(description)}
            return "video", {
                "Video": {"MediaId": clean(media_id), **{name: text for name, text in words.items() if text}}
            }
        case News(title, description, picture_url, url):
            article = {
                "Title": clean(title),
                "Description": clean(description),
                "PicUrl": clean(picture_url),
                "Url": clean(url),
            }
            return "news", {"ArticleCount": 1, "Articles": [article]}
        case TransferToCustomerService(kf_account):
            known = bool(_COMMENT_FREE.fullmatch(kf_account))
            return "transfer_customer_service", {"TransInfo": {"KfAccount": kf_account}} if known else {}


def _element(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"<{name}>{''.join(_element(key, item) for key, item in value.items())}</{name}>"
    if isinstance(value, list):
        return f"<{name}>{''.join(_element('item', item) for item in value)}</{name}>"
    if isinstance(value, int):
        return f"<{name}>{value}</{name}>"
    return f"<{name}><![CDATA[{_inside(str(value))}]]></{name}>"


def _inside(text: str) -> str:
    """What stands between the marks: an end mark in it is split over two sections, so that it cannot get out."""
    return text.replace("]]>", "]]]]><![CDATA[>")
