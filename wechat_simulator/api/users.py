"""Fans: info, lists, remarks, blacklist (reference: service account 5.2)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import Fan

BATCH, PAGE, BLACKLIST_BATCH, REMARK = 100, 10_000, 20, 30


def info_of(call: Call, fan: Fan) -> dict[str, Any]:
    """The fields of user/info: no nickname or avatar since 2021-12-27; nothing else for people who do not follow."""
    if not fan.subscribed:
        return {"subscribe": 0, "openid": fan.openid}
    row: dict[str, Any] = {
        "subscribe": 1,
        "openid": fan.openid,
        "nickname": "",
        "sex": 0,
        "language": "zh_CN",
        "city": "",
        "province": "",
        "country": "",
        "headimgurl": "",
        "subscribe_time": int(fan.at),
    }
    unionid = call.sim.world.unionid(fan.account, fan.person)
    if unionid is not None:
        row["unionid"] = unionid
    return row | {
        "remark": fan.remark,
        "groupid": fan.tags[0] if fan.tags else 0,
        "tagid_list": list(fan.tags),
        "subscribe_scene": fan.scene,
        "qr_scene": fan.qr_scene,
        "qr_scene_str": fan.qr_scene_str,
    }


@api("GET", "/cgi-bin/user/info")
def info(call: Call) -> dict[str, Any]:
    """One person."""
    if not call.query.get("openid"):
        raise WeChatError(41009)
    return info_of(call, call.fan(call.query["openid"]))


@api("POST", "/cgi-bin/user/info/batchget")
def batch_info(call: Call) -> dict[str, Any]:
    """Up to 100 people."""
    wanted = call.json().get("user_list")
    if not isinstance(wanted, list) or not wanted:
        raise WeChatError(40031)
    if len(wanted) > BATCH:
        raise WeChatError(40032)
    fans = [call.fan(item.get("openid") if isinstance(item, dict) else None) for item in wanted]
    return {"user_info_list": [info_of(call, fan) for fan in fans]}


def page_of(call: Call, openids: list[str], after: str) -> dict[str, Any]:
    """A page of 10,000 after an openid; ``data`` is absent when the page is empty."""
    start = 0
    if after:
        try:
            start = openids.index(after) + 1
        except ValueError as error:
            call.fan(after)
            raise WeChatError(40003) from error
    page = openids[start : start + PAGE]
    answer: dict[str, Any] = {"total": len(openids), "count": len(page)}
    if page:
        answer["data"] = {"openid": page}
    answer["next_openid"] = page[-1] if page else ""
    return answer


@api("GET", "/cgi-bin/user/get")
def followers(call: Call) -> dict[str, Any]:
    """All followers in the order of following."""
    openids = [openid for openid, fan in call.account.fans.items() if fan.subscribed]
    return page_of(call, openids, call.query.get("next_openid", ""))


@api("POST", "/cgi-bin/user/info/updateremark")
def remark(call: Call) -> dict[str, Any]:
    """A remark under 30 characters."""
    data = call.json()
    fan = call.fan(data.get("openid"))
    value = data.get("remark")
    if not isinstance(value, str) or len(value) >= REMARK:
        raise WeChatError(40035)
    fan.remark = value
    return ok()


@api("POST", "/cgi-bin/tags/members/getblacklist")
def blacklist(call: Call) -> dict[str, Any]:
    """People on the account's blacklist."""
    openids = [openid for openid, fan in call.account.fans.items() if fan.blacklisted]
    return page_of(call, openids, str(call.json().get("begin_openid", "")))


def _set_blacklisted(call: Call, value: bool) -> dict[str, Any]:
    wanted = call.json().get("openid_list")
    if not isinstance(wanted, list) or not wanted:
        raise WeChatError(40031)
    if len(wanted) > BLACKLIST_BATCH:
        raise WeChatError(40032)
    for fan in [call.fan(openid) for openid in wanted]:
        fan.blacklisted = value
    return ok()


@api("POST", "/cgi-bin/tags/members/batchblacklist")
def add_to_blacklist(call: Call) -> dict[str, Any]:
    """Up to 20 people."""
    return _set_blacklisted(call, value=True)


@api("POST", "/cgi-bin/tags/members/batchunblacklist")
def remove_from_blacklist(call: Call) -> dict[str, Any]:
    """Up to 20 people."""
    return _set_blacklisted(call, value=False)
