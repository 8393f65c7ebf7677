"""Texts and attachments of welcome and mass messages: what is allowed, and what the customer reads (reference: 2.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wechat_simulator.wecom.base import WeComCall
from wechat_simulator.wecom.errors import WeComError

TEXT_BYTES, MOST = 4_000, 9


def _media(call: WeComCall, item: dict[str, Any], name: str = "media_id") -> None:
    media_id = call.string(item, name, needed=True)
    if call.sim.switches.check_media_ids and call.sim.media.find(media_id, call.now, call.corp.corpid) is None:
        raise WeComError(40007)


def _image(call: WeComCall, item: dict[str, Any]) -> None:
    if not item.get("media_id") and item.get("pic_url"):
        call.string(item, "pic_url", needed=True)
        return
    _media(call, item)


def _link(call: WeComCall, item: dict[str, Any]) -> None:
    call.string(item, "title", 128, needed=True, size=True)
    call.string(item, "desc", 512, size=True)
    call.string(item, "url", 2_048, needed=True, size=True)
    call.string(item, "picurl", 2_048, size=True)


def _miniprogram(call: WeComCall, item: dict[str, Any]) -> None:
    call.string(item, "title", 64, needed=True, size=True)
    call.string(item, "page", needed=True)
    appid = call.string(item, "appid", needed=True)
    if appid not in call.corp.mini_programs:
        raise WeComError(40058, "appid is not associated with the corp")
    _media(call, item, "pic_media_id")


CHECKS: dict[str, Callable[[WeComCall, dict[str, Any]], None]] = {
    "image": _image,
    "link": _link,
    "miniprogram": _miniprogram,
    "video": _media,
    "file": _media,
}


def checked(call: WeComCall, data: dict[str, Any]) -> dict[str, Any]:
    """``{text, attachments}`` of a body; 40058 or 40063 naming what is wrong."""
    text = data.get("text") or {}
    if not isinstance(text, dict):
        raise WeComError(40058, "text")
    content = call.string(text, "content", TEXT_BYTES, size=True)
    attachments = data.get("attachments") or []
    if not isinstance(attachments, list) or len(attachments) > MOST:
        raise WeComError(40058, "attachments")
    if not content and not attachments:
        raise WeComError(40063, "text and attachments")
    for item in attachments:
        kind = item.get("msgtype") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind not in CHECKS or not isinstance(item.get(kind), dict):
            raise WeComError(40058, "attachments.msgtype")
        CHECKS[kind](call, item[kind])
    return {"text": content, "attachments": attachments}


def entries(content: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands in the chat: one entry for the text, one for each attachment."""
    rows: list[dict[str, Any]] = []
    if content["text"]:
        rows.append({"kind": "text", "content": content["text"]})
    for item in content["attachments"]:
        inner = item[item["msgtype"]]
        kind = "miniprogrampage" if item["msgtype"] == "miniprogram" else item["msgtype"]
        shown = {"description": inner.get("desc", ""), "pagepath": inner.get("page", "")}
        rows.append({**inner, **shown, "kind": kind, "thumb_media_id": inner.get("pic_media_id", "")})
    return rows
