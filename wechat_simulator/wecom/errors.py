"""WeCom's error codes as this simulator returns them (reference: WeCom 2.2)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.errors import WeChatError

TEXTS: dict[int, str] = {
    -1: "system busy",
    40001: "invalid credential",
    40003: "invalid userid",
    40007: "invalid media_id",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40058: "invalid Request Parameter",
    40063: "some parameters are empty",
    40068: "invalid tagid",
    40096: "invalid external userid",
    40097: "invalid handover_userid or not dimission",
    40098: "user not realname authenticated",
    40099: "takeover user has reached the customer limit",
    40100: "customer is being transferred",
    40128: "customer transferred too often in 90 days",
    41001: "access_token missing",
    41002: "missing corpid",
    41004: "missing corpsecret",
    41035: "missing userid",
    41048: "no customer can be reached",
    41051: "chat started or welcome msg already sent",
    41096: "another application is sending the welcome msg",
    42001: "access_token expired",
    43001: "require GET method",
    43002: "require POST method",
    44002: "empty post data",
    45009: "api freq out of limit",
    45033: "api concurrent out of limit",
    47001: "data format error",
    48002: "api forbidden",
    50002: "no privilege to access/modify contact/party/agent",
    60011: "no privilege to access/modify contact/party/agent",
    60020: "not allow to access from your ip",
    60111: "userid not found",
    60123: "invalid party id",
    81017: "too many owners, please use owner_filter",
    84061: "not external contact",
    84074: "no permission of external contact",
    84083: "user has not enabled external contact",
    84084: "not the follow user of the external contact",
    90500: "chat owner is not dimission",
    90501: "not a customer chat",
    90502: "chat owner is dimission",
    90507: "invalid new owner",
    90508: "transfer owner not allowed",
    301002: "not allow operate the specified data",
    301021: "duplicated name",
}


class WeComError(WeChatError):
    """An answer with a non-zero errcode; ``hint`` names the argument (40058)."""

    def __init__(self, code: int, hint: str = "") -> None:
        super().__init__(code, TEXTS.get(code, "error") + (f": {hint}" if hint else ""))


def answer_of(error: WeChatError, rid: str, address: str) -> dict[str, Any]:
    """The JSON body: errmsg ends with a hint, the address and a link (reference: WeCom 0, 2.2)."""
    text = error.text if isinstance(error, WeComError) else TEXTS.get(error.code, error.text)
    link = f"https://open.work.weixin.qq.com/devtool/query?e={error.code}"
    return {
        "errcode": error.code,
        "errmsg": f"{text}, hint: [{rid}], from ip: {address}, more info at {link}",
        **error.more,
    }
