"""Tokens, departments, staff, uploads (reference: WeCom 2.2, 2.15)."""

from __future__ import annotations

import hmac
from typing import Any

from wechat_simulator.api import media
from wechat_simulator.api.base import Picture
from wechat_simulator.api.codes import picture
from wechat_simulator.wecom.base import PREFIX, ROUTES, Route, WeComCall, api, cut, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.model import Staff

QR = "/wwopen/userQRCode"
CODE_TEXT = "https://work.weixin.qq.com/ca/"  # what the picture of a contact way says


@api("GET", "/gettoken", token=False)
def gettoken(call: WeComCall) -> dict[str, Any]:
    """The same token for two hours per application; 40013, 40001 (reference: WeCom 2.2)."""
    corpid, secret = call.query.get("corpid"), call.query.get("corpsecret")
    if not corpid:
        raise WeComError(41002)
    if not secret:
        raise WeComError(41004)
    corp = call.sim.wecom.corps.get(corpid)
    if corp is None:
        raise WeComError(40013)
    for agent in corp.agents.values():
        if hmac.compare_digest(agent.secret.encode(), secret.encode()):
            if not agent.allows(call.address):
                raise WeComError(60020)
            token = call.sim.tokens.same(corpid, f"agent {agent.agentid}", call.now)
            return ok(access_token=token.text, expires_in=int(token.expires_at - call.now))
    raise WeComError(40001)


@api("GET", "/get_api_domain_ip")
def api_addresses(_call: WeComCall) -> dict[str, Any]:
    """Where the API lives."""
    return ok(ip_list=["127.0.0.1"])


@api("GET", "/getcallbackip")
def callback_addresses(_call: WeComCall) -> dict[str, Any]:
    """Where pushes come from."""
    return ok(ip_list=["127.0.0.1"])


def upload(call: WeComCall) -> dict[str, Any]:
    """A picture, voice, video or file for three days (reference: WeCom 2.15)."""
    kind = call.query.get("type", "")
    if kind != "file":
        answer: Any = media.upload(call)
        return ok(**{**answer, "created_at": str(answer["created_at"])})
    name, content_type, body = media.form_file(call.body, "media")
    media_id = call.sim.wecom.new_id("3", "media", call.corp.corpid, length=60)
    call.sim.media.add(media_id, media.Media(call.corp.corpid, kind, content_type, body, call.now, name=name))
    return ok(type=kind, media_id=media_id, created_at=str(int(call.now)))


api("POST", "/media/upload")(upload)


def _row(member: Staff) -> dict[str, Any]:
    """A member as applications see one: no phone, no avatar since 2022-06-20 (reference: WeCom 2.1, 2.15)."""
    return {
        "userid": member.userid,
        "name": member.name,
        "department": member.department,
        "main_department": member.department[0] if member.department else 1,
        "status": member.status,
        "direct_leader": member.leader,
    }


def _there(call: WeComCall) -> list[Staff]:
    staff = call.corp.staff.values()
    return [member for member in staff if member.left_at is None and call.agent.sees(member.userid)]


@api("GET", "/department/list")
def departments(call: WeComCall) -> dict[str, Any]:
    """The tree; with ``id`` one department and those below."""
    rows = call.corp.departments
    wanted = call.query.get("id")
    if wanted:
        inside = {call.decimal("id")}
        for _ in rows:
            inside |= {row["id"] for row in rows if row.get("parentid") in inside}
        rows = [row for row in rows if row["id"] in inside]
        if not rows:
            raise WeComError(60123)
    return ok(department=rows)


@api("GET", "/department/simplelist")
def department_ids(call: WeComCall) -> dict[str, Any]:
    """Ids only."""
    answer: Any = departments(call)
    rows = answer["department"]
    return ok(department_id=[{name: row.get(name, 0) for name in ("id", "parentid", "order")} for row in rows])


def _of_department(call: WeComCall) -> list[Staff]:
    """Direct members only."""
    wanted = call.decimal("department_id")
    if all(row["id"] != wanted for row in call.corp.departments):
        raise WeComError(60123)
    return [member for member in _there(call) if wanted in member.department]


@api("GET", "/user/simplelist")
def simple(call: WeComCall) -> dict[str, Any]:
    """Direct members of a department."""
    names = ("userid", "name", "department")
    return ok(userlist=[{name: _row(member)[name] for name in names} for member in _of_department(call)])


@api("GET", "/user/list")
def members(call: WeComCall) -> dict[str, Any]:
    """The same with more of each."""
    return ok(userlist=[_row(member) for member in _of_department(call)])


@api("POST", "/user/list_id")
def ids(call: WeComCall) -> dict[str, Any]:
    """Userid and department of everybody, in pages: for the secret of contact sync alone (48002, from memory)."""
    if not call.agent.sync:
        raise WeComError(48002)
    data = call.json()
    rows = [{"userid": member.userid, "department": number} for member in _there(call) for number in member.department]
    page, cursor = cut(rows, call.start(data), call.number(data, "limit", 10_000, 10_000))
    return ok(dept_user=page, next_cursor=cursor)


@api("GET", "/user/get")
def one(call: WeComCall) -> dict[str, Any]:
    """One member; 60111 when unknown."""
    return ok(**_row(call.staff(call.query.get("userid"), unknown=60111)))


@api("POST", "/user/getuserid")
def by_mobile(call: WeComCall) -> dict[str, Any]:
    """Who has this phone."""
    mobile = call.string(call.json(), "mobile", needed=True)
    for member in _there(call):
        if member.mobile == mobile:
            return ok(userid=member.userid)
    raise WeComError(60111)


def qr_picture(call: WeComCall) -> Picture:
    """The picture of a contact way or a join way: its address is what the API calls ``qr_code``."""
    vcode = call.query.get("vcode", "")
    return Picture(picture(CODE_TEXT + vcode), "image/png")


ROUTES[PREFIX + QR] = Route("GET", qr_picture, token=False, contact=False)
