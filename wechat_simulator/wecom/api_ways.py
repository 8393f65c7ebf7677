"""Contact ways and join ways of groups (reference: WeCom 2.6)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.clock import parse_moment
from wechat_simulator.wecom.api_staff import QR
from wechat_simulator.wecom.base import PREFIX, WeComCall, api, cut, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.model import JoinWay, Way

LISTED_SINCE = parse_moment("2021-07-10")
STATE = 30  # characters of a state
FLAGS = {"skip_verify": True, "is_exclusive": False, "mark_source": True}


def _full(call: WeComCall) -> None:
    if len(call.corp.ways) + len(call.corp.join_ways) >= call.sim.switches.wecom_contact_ways:
        raise WeComError(call.sim.switches.wecom_contact_ways_full_code, "too many contact ways")


def _parties(settings: dict[str, Any]) -> list[int]:
    parties = settings.get("party") or []
    if not isinstance(parties, list) or not all(isinstance(item, int) for item in parties):
        raise WeComError(40058, "party")
    return parties


def _checked(call: WeComCall, data: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Settings of a contact way; what is given replaces what was, lists as a whole."""
    settings = {**before, **{name: value for name, value in data.items() if value is not None and name != "config_id"}}
    if settings.get("type") not in (1, 2):
        raise WeComError(40058, "type")
    if settings.get("scene") not in (1, 2):
        raise WeComError(40058, "scene")
    if settings.get("is_temp"):
        raise WeComError(48002, "temporary sessions are for medical corps")
    call.string(settings, "state", STATE)
    call.string(settings, "remark", STATE)
    users = call.texts(settings, "user", 100, needed=False)
    parties = _parties(settings)
    if settings["type"] == 1 and (len(users) != 1 or parties):
        raise WeComError(40058, "type 1 takes exactly one user")
    if not users and not parties:
        raise WeComError(40063, "user")
    for userid in users:
        call.serving(userid)
    known = {row["id"] for row in call.corp.departments}
    if not set(parties) <= known:
        raise WeComError(60123)
    for name, default in FLAGS.items():
        if not isinstance(settings.setdefault(name, default), bool):
            raise WeComError(40058, name)
    return settings


def qr_address(call: WeComCall, vcode: str) -> str:
    """Where the picture is; at WeCom on open.work.weixin.qq.com."""
    return f"{call.base}{PREFIX}{QR}?vcode={vcode}"


@api("POST", "/externalcontact/add_contact_way")
def add(call: WeComCall) -> dict[str, Any]:
    """A new way; the picture for scene 2 alone."""
    settings = _checked(call, call.json(), {})
    _full(call)
    new = call.sim.wecom.new_id
    way = Way(new("", "way", call.corp.corpid, length=32), call.now, new("vc", "vcode", length=14), settings)
    call.corp.ways[way.config_id] = way
    call.sim.bus.bump("wecom", None, call.corp.corpid)
    more = {"qr_code": qr_address(call, way.vcode)} if settings["scene"] == 2 else {}
    return ok(config_id=way.config_id, **more)


def _way(call: WeComCall, data: dict[str, Any]) -> Way:
    way = call.corp.ways.get(call.string(data, "config_id", needed=True))
    if way is None:
        raise WeComError(40058, "config_id")
    return way


@api("POST", "/externalcontact/get_contact_way")
def get(call: WeComCall) -> dict[str, Any]:
    """One, as it is now."""
    way = _way(call, call.json())
    row: dict[str, Any] = {"config_id": way.config_id, "remark": "", "state": "", "user": [], "party": []}
    row |= way.settings
    if way.settings["scene"] == 2:
        row["qr_code"] = qr_address(call, way.vcode)
    return ok(contact_way=row)


@api("POST", "/externalcontact/update_contact_way")
def update(call: WeComCall) -> dict[str, Any]:
    """Other settings under the same picture; type and scene stay."""
    data = call.json()
    way = _way(call, data)
    fixed = {"type": way.settings["type"], "scene": way.settings["scene"]}
    way.settings = _checked(call, {**data, **fixed}, way.settings)
    call.sim.bus.bump("wecom", None, call.corp.corpid)
    return ok()


@api("POST", "/externalcontact/del_contact_way")
def delete(call: WeComCall) -> dict[str, Any]:
    """Gone: who scans the picture meets nobody."""
    del call.corp.ways[_way(call, call.json()).config_id]
    call.sim.bus.bump("wecom", None, call.corp.corpid)
    return ok()


@api("POST", "/externalcontact/list_contact_way")
def listed(call: WeComCall) -> dict[str, Any]:
    """Ids of ways made after 2021-07-10."""
    data = call.json()
    start, end = call.whole(data, "start_time"), call.whole(data, "end_time") or call.now + 1
    ways = [way for way in call.corp.ways.values() if way.at >= max(LISTED_SINCE, start) and way.at <= end]
    page, cursor = cut(ways, call.start(data), call.number(data, "limit", 100, 1_000))
    return ok(contact_way=[{"config_id": way.config_id} for way in page], next_cursor=cursor)


# --- groups -----------------------------------------------------------------------------------------------------------


def _join_settings(call: WeComCall, data: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    settings = {**before, **{name: value for name, value in data.items() if value is not None and name != "config_id"}}
    if settings.get("scene") not in (1, 2):
        raise WeComError(40058, "scene")
    call.string(settings, "state", STATE)
    call.string(settings, "remark", STATE)
    call.string(settings, "room_base_name", 40)
    call.whole(settings, "room_base_id")
    for chat_id in call.texts(settings, "chat_id_list", 5):
        chat = call.corp.chats.get(chat_id)
        if chat is None or chat.dismissed:
            raise WeComError(90501)
    if settings.setdefault("auto_create_room", 1) not in (0, 1):
        raise WeComError(40058, "auto_create_room")
    return settings


@api("POST", "/externalcontact/groupchat/add_join_way")
def add_join(call: WeComCall) -> dict[str, Any]:
    """A code for up to five groups; a full one leads to the next, or to a new one."""
    settings = _join_settings(call, call.json(), {})
    _full(call)
    new = call.sim.wecom.new_id
    way = JoinWay(new("", "join", call.corp.corpid, length=32), call.now, new("jo", "vcode", length=14), settings)
    call.corp.join_ways[way.config_id] = way
    return ok(config_id=way.config_id)


def _join_way(call: WeComCall, data: dict[str, Any]) -> JoinWay:
    way = call.corp.join_ways.get(call.string(data, "config_id", needed=True))
    if way is None:
        raise WeComError(40058, "config_id")
    return way


@api("POST", "/externalcontact/groupchat/get_join_way")
def get_join(call: WeComCall) -> dict[str, Any]:
    """One, with its picture."""
    way = _join_way(call, call.json())
    return ok(join_way={"config_id": way.config_id, **way.settings, "qr_code": qr_address(call, way.vcode)})


@api("POST", "/externalcontact/groupchat/update_join_way")
def update_join(call: WeComCall) -> dict[str, Any]:
    """Other groups under the same picture."""
    data = call.json()
    way = _join_way(call, data)
    way.settings = _join_settings(call, data, way.settings)
    return ok()


@api("POST", "/externalcontact/groupchat/del_join_way")
def delete_join(call: WeComCall) -> dict[str, Any]:
    """Gone."""
    del call.corp.join_ways[_join_way(call, call.json()).config_id]
    return ok()
