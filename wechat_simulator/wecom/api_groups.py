"""Groups of customers, and who owns them (reference: WeCom 2.9, 2.10)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.clock import shanghai_day
from wechat_simulator.wecom.base import WeComCall, api, cut, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.limits import DAY, Span
from wechat_simulator.wecom.model import Chat

MOST_OWNERS = 1_000
CLOCK_OFFSET = 8 * 3600


@api("POST", "/externalcontact/groupchat/list")
def listed(call: WeComCall) -> dict[str, Any]:
    """Ids and how each stands: 0 well, 1 its owner left, 3 inherited (reference: WeCom 2.10)."""
    data = call.json()
    owners = call.texts(call.inner(data, "owner_filter"), "userid_list", 100, needed=False)
    wanted = data.get("status_filter") or 0
    if wanted not in (0, 1, 2, 3):
        raise WeComError(40058, "status_filter")
    seen = [chat for chat in call.corp.chats.values() if not chat.dismissed and call.agent.sees(chat.owner)]
    if not owners and len({chat.owner for chat in seen}) > MOST_OWNERS:
        raise WeComError(81017)
    rows = []
    for chat in seen:
        status = 1 if call.corp.staff[chat.owner].left_at is not None else 3 if chat.inherited else 0
        if (not owners or chat.owner in owners) and wanted in (0, status):
            rows.append({"chat_id": chat.chat_id, "status": status})
    page, cursor = cut(rows, call.start(data), call.number(data, "limit", 1_000, 1_000))
    return ok(group_chat_list=page, **({"next_cursor": cursor} if cursor else {}))


def _chat(call: WeComCall, chat_id: Any) -> Chat:
    chat = call.corp.chats.get(chat_id) if isinstance(chat_id, str) else None
    if chat is None or chat.dismissed:
        raise WeComError(90501)
    if not call.agent.sees(chat.owner):
        raise WeComError(60011)
    return chat


@api("POST", "/externalcontact/groupchat/get")
def detail(call: WeComCall) -> dict[str, Any]:
    """A group with its members; names only when asked for."""
    data = call.json()
    chat = _chat(call, call.string(data, "chat_id", needed=True))
    named = data.get("need_name") == 1
    rows = []
    for member, held in chat.members.items():
        row: dict[str, Any] = {"userid": member, "type": held["type"], "join_time": held["join_time"]}
        row |= {"join_scene": held["join_scene"], "group_nickname": ""}
        if held["type"] == 1:
            row |= {"name": call.corp.staff[member].name} if named else {}
        else:
            row |= {"name": call.sim.wecom.person_of(call.corp, member).nickname} if named else {}
            row |= {"state": held["state"]} if held["state"] else {}
            if unionid := call.sim.wecom.unionid(call.corp, member):
                row["unionid"] = unionid
        if held["join_scene"] != 3:
            row["invitor"] = {"userid": held["invitor"]}
        rows.append(row)
    group = {"chat_id": chat.chat_id, "name": chat.name, "owner": chat.owner, "create_time": int(chat.at)}
    more = {"notice": chat.notice, "member_version": chat.version}
    admins = [{"userid": userid} for userid in chat.admins]
    return ok(group_chat={**group, **more, "member_list": rows, "admin_list": admins})


def _hand_over(call: WeComCall, *, resigned: bool) -> dict[str, Any]:
    data = call.json()
    wanted = call.texts(data, "chat_id_list", 100)
    owner = data.get("new_owner")
    member = call.corp.staff.get(owner) if isinstance(owner, str) else None
    if member is None or not call.agent.sees(member.userid):
        raise WeComError(40003)
    if member.left_at is not None or not member.contact:
        raise WeComError(90507)
    failed = []
    for chat_id in wanted:
        try:
            _take(call, chat_id, member.userid, resigned=resigned)
        except WeComError as error:
            failed.append({"chat_id": chat_id, "errcode": error.code, "errmsg": error.text})
    call.sim.bus.bump("wecom", None, call.corp.corpid)
    return ok(failed_chat_list=failed)


def _take(call: WeComCall, chat_id: str, userid: str, *, resigned: bool) -> None:
    chat = _chat(call, chat_id)
    gone = call.corp.staff[chat.owner].left_at is not None
    if gone != resigned:
        raise WeComError(90500 if resigned else 90502)
    if not resigned:
        key = f"{call.corp.corpid} groups of {chat.owner} on {shanghai_day(call.now)}"
        most = call.sim.switches.wecom_group_transfers_per_day
        try:
            call.sim.wecom.frequency.spend(key, (Span(DAY, most),), call.now + CLOCK_OFFSET)
        except WeComError as error:
            raise WeComError(call.sim.switches.wecom_group_transfer_full_code) from error
    chat.owner, chat.inherited = userid, True
    if userid not in chat.members:
        call.sim.wecom.join(call.corp, chat, userid, call.now, scene=1)


@api("POST", "/externalcontact/groupchat/transfer")
def of_resigned(call: WeComCall) -> dict[str, Any]:
    """Groups of owners who left: at once (reference: WeCom 2.9)."""
    return _hand_over(call, resigned=True)


@api("POST", "/externalcontact/groupchat/onjob_transfer")
def on_job(call: WeComCall) -> dict[str, Any]:
    """Groups of owners who are here: at once, 300 a day and person."""
    return _hand_over(call, resigned=False)


@api("POST", "/externalcontact/opengid_to_chatid")
def from_mini_program(call: WeComCall) -> dict[str, Any]:
    """The group a mini program was opened from; the phone gives the ``opengid`` (reference: WeCom 2.5)."""
    opengid = call.string(call.json(), "opengid", needed=True)
    for chat in call.corp.chats.values():
        if not chat.dismissed and opengid == call.sim.wecom.opengid(chat):
            return ok(chat_id=chat.chat_id)
    raise WeComError(40058, "opengid")
