"""WeChat's error codes as this simulator returns them (reference: service account 6.3)."""

from __future__ import annotations

import itertools
from typing import Any

TEXTS: dict[int, str] = {
    -1: "system error",
    0: "ok",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40003: "invalid openid",
    40004: "invalid media type",
    40005: "invalid file type",
    40006: "invalid media size",
    40007: "invalid media_id",
    40008: "invalid message type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40015: "invalid menu type",
    40016: "invalid button size",
    40017: "invalid button type",
    40018: "invalid button name size",
    40019: "invalid button key size",
    40020: "invalid button url size",
    40022: "invalid sub button level",
    40023: "invalid sub button size",
    40024: "invalid sub button type",
    40025: "invalid sub button name size",
    40026: "invalid sub button key size",
    40027: "invalid sub button url size",
    40029: "invalid code",
    40030: "invalid refresh_token",
    40031: "invalid openid list",
    40032: "invalid openid list size",
    40033: "invalid charset. please check your request, if include \\uxxxx will create fail!",
    40035: "invalid parameter",
    40037: "invalid template_id",
    40053: "invalid action info",
    40097: "invalid args",
    40169: "invalid scene",
    40055: "invalid button url domain",
    40066: "invalid url",
    40119: "invalid use button type",
    40125: "invalid appsecret",
    40130: "invalid openid list size, at least two openid",
    40163: "code been used",
    40164: "invalid ip, not in whitelist",
    40165: "invalid weapp pagepath",
    40166: "invalid weapp appid",
    40226: "code blocked",
    40243: "appsecret has been frozen",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41005: "media data missing",
    41008: "missing code",
    41030: "invalid page",
    41009: "missing openid",
    42001: "access_token expired",
    42002: "refresh_token expired",
    42003: "code expired",
    43001: "require GET method",
    43002: "require POST method",
    43004: "require subscribe",
    43019: "require remove blacklist",
    43101: "user refuse to accept the msg",
    43116: "this template_id is banned",
    44001: "empty media data",
    44002: "empty post data",
    44004: "empty content",
    45001: "media size out of limit",
    45002: "content size out of limit",
    45008: "article size out of limit",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    45015: "response out of time limit or subscription is canceled",
    45026: "template num exceeds limit",
    45028: "has no masssend quota",
    45029: "qrcode count out of limit",
    45047: "out of response count limit",
    45056: "too many tags",
    45057: "can't delete the tag that has too many fans",
    45058: "can't modify sys tag",
    45059: "can't add this user to more tags: reach max tag number per user",
    45064: "no permission to use weapp in menu",
    45065: "clientmsgid exist",
    45066: "same clientmsgid retry too fast",
    45067: "clientmsgid size out of limit",
    45072: "invalid command",
    45080: "can not use typing: no message in the last 30 seconds",
    45081: "already typing",
    45083: "set speed invalid",
    45157: "invalid tag name: duplicate or illegal",
    45158: "invalid tag name: too long",
    45159: "invalid tag",
    46003: "menu no exist",
    46004: "user no exist",
    47001: "data format error",
    47003: "argument invalid!",
    48001: "api unauthorized",
    48002: "user refuses to receive messages",
    48003: "not accept mass-send agreement",
    48004: "api forbidden, please check the notice in the console",
    48006: "forbid to clear quota because of reaching the limit",
    49003: "not match openid with appid",
    50002: "user limited",
    65301: "menuid no exist",
    65302: "user no exist",
    65303: "there is no selfmenu, please create selfmenu first",
    65304: "matchrule is empty",
    65316: "too many domains in menu",
    65317: "invalid url in menu",
    65320: "matchrule uses a removed privacy field",
    76003: "invalid cgi_path",
    76021: "cgi_path not found, please check",
    76022: "could not use this cgi_path, no permission",
    61003: "component is not authorized by this account",
    61005: "component ticket is expired",
    61006: "component ticket is invalid",
    61007: "api is unauthorized to component",
    61009: "code is invalid or used",
    61010: "code is expired",
    61014: "must use component token for component api",
    61023: "refresh_token is invalid",
    200012: "template num exceeds limit",
    200014: "invalid tid",
    200020: "invalid kidList",
    200021: "invalid sceneDesc",
}


class WeChatError(Exception):
    """An answer with a non-zero errcode."""

    def __init__(self, code: int, text: str = "", *, more: dict[str, Any] | None = None) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text or TEXTS.get(code, "error")
        self.more = more or {}  # what stands beside the code: a repeated clientmsgid names the job


class RequestIds:
    """``rid`` texts: three groups of eight hex digits (reference: service account 5)."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def new(self, now: float) -> str:
        """A new rid."""
        number = next(self._next)
        return f"{int(now):08x}-{number:08x}-{(number * 2654435761) & 0xFFFFFFFF:08x}"


def answer_of(error: WeChatError, rid: str) -> dict[str, Any]:
    """The JSON body; errmsg ends with the rid (reference: service account 5)."""
    return {"errcode": error.code, "errmsg": f"{error.text} rid: {rid}", **error.more}
