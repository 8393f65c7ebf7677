"""Messages as WeChat takes them: paths and bodies, nothing is sent here (reference: service account 5.6, 5.7, 5.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

TEMPLATE_SEND: Final = "/cgi-bin/message/template/send"
SUBSCRIBE_SEND: Final = "/cgi-bin/message/subscribe/bizsend"
CUSTOM_SEND: Final = "/cgi-bin/message/custom/send"


@dataclass(slots=True)
class Outgoing:
    """One message on its way: the API path and its JSON body (a mapping, or bytes that are ready)."""

    path: str
    body: Mapping[str, Any] | bytes = field(repr=False)


def template_message(
    *,
    openid: str,
    template_id: str,
    data: Mapping[str, str],
    url: str = "",
    mini_program: tuple[str, str] | None = None,
    client_msg_id: str = "",
) -> Outgoing:
    """A template message (5.6). `mini_program` is (appid, path) and wins over `url`; `data` maps keywords to texts."""
    body: dict[str, Any] = {
        "touser": openid,
        "template_id": template_id,
        "data": {key: {"value": value} for key, value in data.items()},
    }
    if url:
        body["url"] = url
    if mini_program is not None:
        body["miniprogram"] = {"appid": mini_program[0], "pagepath": mini_program[1]}
    if client_msg_id:
        body["client_msg_id"] = client_msg_id
    return Outgoing(TEMPLATE_SEND, orjson.dumps(body))


def subscribe_message(
    *,
    openid: str,
    template_id: str,
    data: Mapping[str, str],
    page: str = "",
    mini_program: tuple[str, str] | None = None,
) -> Outgoing:
    """A subscribe notification (5.7); each uses up one permission."""
    body: dict[str, Any] = {
        "touser": openid,
        "template_id": template_id,
        "data": {key: {"value": value} for key, value in data.items()},
    }
    if page:
        body["page"] = page
    if mini_program is not None:
        body["miniprogram"] = {"appid": mini_program[0], "pagepath": mini_program[1]}
    return Outgoing(SUBSCRIBE_SEND, orjson.dumps(body))


def custom_text(*, openid: str, text: str, kf_account: str = "") -> Outgoing:
    """A customer-service text (5.9); WeChat has nothing against doubles here."""
    return _custom(openid, "text", {"content": text}, kf_account)


def custom_image(*, openid: str, media_id: str, kf_account: str = "") -> Outgoing:
    """A customer-service picture (5.9)."""
    return _custom(openid, "image", {"media_id": media_id}, kf_account)


def media_id_of(body: Mapping[str, Any]) -> str:
    """Give the id of the file that a customer-service message sends; '' when it sends none."""
    about = body.get(str(body.get("msgtype"))) or {}
    return str(about.get("thumb_media_id") or about.get("media_id") or "")


def with_media_id(body: Mapping[str, Any], media_id: str) -> dict[str, Any]:
    """Give a customer-service message with another id for its file."""
    kind = str(body["msgtype"])
    name = "thumb_media_id" if "thumb_media_id" in body[kind] else "media_id"
    return {**body, kind: {**body[kind], name: media_id}}


def custom_news(
    *, openid: str, title: str, description: str, url: str, picture_url: str, kf_account: str = ""
) -> Outgoing:
    """A customer-service article card (5.9); WeChat allows exactly one article."""
    article = {"title": title, "description": description, "url": url, "picurl": picture_url}
    return _custom(openid, "news", {"articles": [article]}, kf_account)


def custom_mini_program(*, openid: str, title: str, appid: str, path: str, thumb_media_id: str) -> Outgoing:
    """A customer-service mini-program card (5.9)."""
    card = {"title": title, "appid": appid, "pagepath": path, "thumb_media_id": thumb_media_id}
    return _custom(openid, "miniprogrampage", card, "")


def _custom(openid: str, kind: str, content: Mapping[str, Any], kf_account: str) -> Outgoing:
    body: dict[str, Any] = {"touser": openid, "msgtype": kind, kind: content}
    if kf_account:
        body["customservice"] = {"kf_account": kf_account}
    return Outgoing(CUSTOM_SEND, orjson.dumps(body))
