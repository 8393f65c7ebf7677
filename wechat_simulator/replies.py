"""Verification of passive replies (reference: service account 1.4, 4): what is wrong, or what the person sees."""

from __future__ import annotations

from typing import Any

from wechat_simulator import wire
from wechat_simulator.crypto import CipherError, MessageCipher, same, signature
from wechat_simulator.wire import ReplyError

ONE_ARTICLE_TO = frozenset(("text", "image", "voice", "video", "shortvideo", "location", "link"))
MAX_ARTICLES = 8


def open_envelope(body: bytes, *, mode: str, data_format: str, token: str, cipher: MessageCipher | None) -> wire.Fields:
    """The plain fields of a reply. Safe mode demands the encrypted form with a right signature."""
    fields = wire.parse(body, data_format)
    encrypted = fields.get("Encrypt")
    if encrypted is None:
        if mode == "safe":
            raise ReplyError("plain reply in safe mode")
        return fields
    if cipher is None:
        raise ReplyError("encrypted reply in plain mode")
    wanted = signature(token, str(fields.get("TimeStamp", "")), str(fields.get("Nonce", "")), str(encrypted))
    if not same(wanted, str(fields.get("MsgSignature", ""))):
        raise ReplyError("wrong MsgSignature")
    try:
        plain = cipher.decrypt(str(encrypted))
    except CipherError as error:
        raise ReplyError(f"cannot decrypt: {error}") from error
    return wire.parse(plain, data_format)


def _text(fields: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or (required and not value):
        raise ReplyError(f"{name} missing")
    return value


def _inner(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise ReplyError(f"{name} missing")
    return value


def seen(fields: wire.Fields, *, openid: str, original_id: str, inbound: str, text_limit: int) -> dict[str, Any]:
    """What the person sees: ``{"kind": …, …}``; ``ReplyError`` when a rule is broken.

    ``inbound`` is the MsgType that is answered.
    """
    if (
        str(fields.get("ToUserName", "")).strip() != openid
        or str(fields.get("FromUserName", "")).strip() != original_id
    ):
        raise ReplyError("ToUserName or FromUserName wrong")
    if not str(fields.get("CreateTime", "")).strip().isdecimal():
        raise ReplyError("CreateTime is not a number")
    kind = str(fields.get("MsgType", "")).strip()
    if kind == "text":
        content = _text(fields, "Content")
        if len(content.encode()) > text_limit:
            raise ReplyError("text too long")
        return {"kind": "text", "content": content}
    if kind in ("image", "voice"):
        return {"kind": kind, "media_id": _text(_inner(fields, kind.capitalize()), "MediaId")}
    if kind == "video":
        video = _inner(fields, "Video")
        return {
            "kind": "video",
            "media_id": _text(video, "MediaId"),
            "title": _text(video, "Title", required=False),
            "description": _text(video, "Description", required=False),
        }
    if kind == "music":
        music = _inner(fields, "Music")
        _text(music, "ThumbMediaId")
        return {"kind": "music", "title": _text(music, "Title", required=False), "url": music.get("MusicUrl", "")}
    if kind == "news":
        return _news(fields, inbound)
    if kind == "transfer_customer_service":
        return {"kind": "transfer", "kf_account": str((fields.get("TransInfo") or {}).get("KfAccount", ""))}
    raise ReplyError(f"unknown MsgType {kind}")


def _news(fields: wire.Fields, inbound: str) -> dict[str, Any]:
    articles = fields.get("Articles")
    items = articles.get("item") if isinstance(articles, dict) else articles
    if isinstance(items, dict):
        items = [items]
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise ReplyError("Articles missing")
    if str(fields.get("ArticleCount", "")).strip() != str(len(items)):
        raise ReplyError("ArticleCount is not the number of articles")
    if len(items) > (1 if inbound in ONE_ARTICLE_TO else MAX_ARTICLES):
        raise ReplyError("more than one article")
    return {
        "kind": "news",
        "articles": [
            {
                "title": str(item.get("Title", "")),
                "description": str(item.get("Description", "")),
                "picurl": str(item.get("PicUrl", "")),
                "url": str(item.get("Url", "")),
            }
            for item in items
        ],
    }
