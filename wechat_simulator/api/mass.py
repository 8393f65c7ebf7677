"""Mass send (群发): by tag or list, previews, states, speed (reference: service account 5.10; its event 3.4)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.api.custom import _check_media, _check_text
from wechat_simulator.api.drafts import draft_of
from wechat_simulator.errors import WeChatError
from wechat_simulator.mass import Job
from wechat_simulator.world import Fan

FEWEST, MOST = 2, 10_000
ID_BYTES = 64
TYPES = frozenset(("mpnews", "text", "voice", "image", "mpvideo", "music", "wxcard"))
REAL_SPEED = (80, 60, 45, 30, 10)  # ten thousand people a minute


def _pictures(call: Call, data: dict[str, Any]) -> dict[str, Any]:
    """``images`` of several, or the older ``image`` of one."""
    several = data.get("images")
    if several is None:
        one = data.get("image")
        ids: Any = [one.get("media_id")] if isinstance(one, dict) else []
    else:
        ids = several.get("media_ids") if isinstance(several, dict) else None
        if not isinstance(ids, list):
            raise WeChatError(47001)
    if not ids:
        raise WeChatError(40007)
    for media_id in ids:
        _check_media(call, {"media_id": media_id})
    return {"msgtype": "image", "image": {"media_id": ids[0], "media_ids": ids}}


def _body(call: Call, data: dict[str, Any]) -> dict[str, Any]:
    """What the phones show of a checked message: ``{msgtype, <body>}``."""
    kind = data.get("msgtype")
    if kind not in TYPES:
        raise WeChatError(40008)
    if kind == "image":
        return _pictures(call, data)
    body = data.get(str(kind))
    if not isinstance(body, dict):
        raise WeChatError(47001)
    if kind == "text":
        _check_text(call, body)
    elif kind in ("voice", "mpvideo"):
        _check_media(call, body)
    elif kind == "mpnews":
        articles = draft_of(call, body.get("media_id"))
        shown = [
            {
                "title": article["title"],
                "description": article.get("digest") or "",
                "url": f"https://mp.weixin.qq.com/s/{body['media_id']}_{place}",
                "picurl": f"/_sim/media/{article['thumb_media_id']}" if article.get("thumb_media_id") else "",
            }
            for place, article in enumerate(articles, 1)
        ]
        return {"msgtype": "news", "news": {"articles": shown}}
    return {"msgtype": "video" if kind == "mpvideo" else kind, "video" if kind == "mpvideo" else str(kind): body}


def _audience(call: Call, data: dict[str, Any]) -> tuple[list[str], bool]:
    """OpenIDs of a tag, or of everybody."""
    wanted = data.get("filter")
    if not isinstance(wanted, dict):
        raise WeChatError(47001)
    if wanted.get("is_to_all") is True:
        return [fan.openid for fan in call.account.fans.values() if fan.subscribed], True
    tag_id = wanted.get("tag_id")
    tag = call.account.tags.get(tag_id) if isinstance(tag_id, int) else None
    if tag is None:
        raise WeChatError(45159)
    return list(tag.members), False


def _submit(call: Call, data: dict[str, Any], openids: list[str], *, to_all: bool) -> dict[str, Any]:
    account, mass = call.account, call.sim.mass
    if account.banned:
        raise WeChatError(48004)
    if not account.mass_agreed:
        raise WeChatError(48003)
    shown = _body(call, data)
    own = data.get("clientmsgid")
    if own is not None and (not isinstance(own, str) or len(own.encode()) > ID_BYTES):
        raise WeChatError(45067)
    # Left out, WeChat makes one of audience and content.
    said = json.dumps([openids, {name: data.get(name) for name in ("filter", "msgtype", data["msgtype"])}])
    key = own or f"digest:{hashlib.sha256(said.encode()).hexdigest()}"
    known = mass.known(account.appid, key, call.now)
    if known is not None:
        if mass.too_fast(account.appid, key, call.now):
            raise WeChatError(45066)
        raise WeChatError(45065, more={"msg_id": known})
    if to_all and mass.sends_to_all(account.appid, call.now) >= call.sim.switches.mass_per_month:
        raise WeChatError(45028)
    msg_id = mass.submit(
        Job(
            appid=account.appid,
            at=call.now,
            openids=openids,
            shown=shown,
            to_all=to_all,
            is_link=data["msgtype"] in ("mpnews", "mpvideo"),
            client_id=own or "",
        ),
        waits=to_all and account.mass_protected,
    )
    mass.remember(account.appid, key, msg_id, call.now)
    answer: dict[str, Any] = {"errcode": 0, "errmsg": "send job submission success", "msg_id": msg_id}
    if data["msgtype"] == "mpnews":
        call.sim.drafts.pop(data["mpnews"]["media_id"], None)  # a draft disappears after it is sent (5.11)
        answer["msg_data_id"] = 2_000_000_000 + msg_id
    return answer


@api("POST", "/cgi-bin/message/mass/sendall", raw_text=True)
def send_all(call: Call) -> dict[str, Any]:
    """To a tag, or to everybody; the counts come as MASSSENDJOBFINISH."""
    data = call.json()
    openids, to_all = _audience(call, data)
    return _submit(call, data, openids, to_all=to_all)


@api("POST", "/cgi-bin/message/mass/send", raw_text=True)
def send(call: Call) -> dict[str, Any]:
    """To a list of 2 to 10,000 people."""
    data = call.json()
    wanted = data.get("touser")
    if not isinstance(wanted, list):
        raise WeChatError(40031)
    if len(wanted) < FEWEST:
        raise WeChatError(40130)
    if len(wanted) > MOST:
        raise WeChatError(40032)
    return _submit(call, data, list(dict.fromkeys(call.fan(each).openid for each in wanted)), to_all=False)


def _one(call: Call, data: dict[str, Any]) -> Fan:
    name = data.get("towxname")
    if name:  # it wins over touser
        for person in call.sim.world.people.values():
            if name in (person.id, person.nickname):
                return call.sim.world.fan(call.account, person)
        raise WeChatError(40003)
    return call.fan(data.get("touser"))


@api("POST", "/cgi-bin/message/mass/preview", raw_text=True)
def preview(call: Call) -> dict[str, Any]:
    """To one follower at once; it counts for no month."""
    data = call.json()
    fan = _one(call, data)
    shown = _body(call, data)
    if not fan.subscribed:
        raise WeChatError(43004)
    call.sim.mass.show(fan, shown, call.now, kind="preview")
    return {"errcode": 0, "errmsg": "preview success"}


def _job(call: Call, data: dict[str, Any]) -> Job:
    job = call.sim.mass.jobs.get(data["msg_id"]) if isinstance(data.get("msg_id"), int) else None
    if job is None or job.appid != call.account.appid:
        raise WeChatError(40035)
    return job


@api("POST", "/cgi-bin/message/mass/get")
def state(call: Call) -> dict[str, Any]:
    """SEND_SUCCESS, SENDING, SEND_FAIL or DELETE."""
    job = _job(call, call.json())
    return {"msg_id": job.msg_id, "msg_status": job.state}


@api("POST", "/cgi-bin/message/mass/delete")
def delete(call: Call) -> dict[str, Any]:
    """Take the link of articles or a video away; the bubble stays on the phones."""
    data = call.json()
    job = _job(call, data)
    if not job.is_link:
        raise WeChatError(40008)
    if job.state != "SEND_SUCCESS":
        raise WeChatError(40035)
    place = data.get("article_idx", 0)
    articles = job.shown.get("news", {}).get("articles", [])
    if not isinstance(place, int) or not 0 <= place <= max(len(articles), 1):
        raise WeChatError(40035)
    if not place or len(articles) <= 1:
        job.state = "DELETE"
    return ok()


@api("POST", "/cgi-bin/message/mass/speed/get")
def speed(call: Call) -> dict[str, Any]:
    """How fast messages go out."""
    return {"speed": call.account.mass_speed, "realspeed": REAL_SPEED[call.account.mass_speed]}


@api("POST", "/cgi-bin/message/mass/speed/set")
def set_speed(call: Call) -> dict[str, Any]:
    """From 0, the fastest, to 4."""
    value = call.json().get("speed")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(REAL_SPEED):
        raise WeChatError(45083)
    call.account.mass_speed = value
    return ok()
