"""The welcome message: within 20 seconds, once (reference: WeCom 2.7)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.wecom import content
from wechat_simulator.wecom.base import WeComCall, api, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.mass import sent
from wechat_simulator.wecom.model import BOTH, HALF


@api("POST", "/externalcontact/send_welcome_msg")
def send(call: WeComCall) -> dict[str, Any]:
    """41051 too late, chat started, deleted, or greeted before; 41096 while another application is at it."""
    data = call.json()
    code = call.string(data, "welcome_code", needed=True)
    message = content.checked(call, data)
    switches = call.sim.switches
    welcome = call.corp.welcomes.get(code)
    if welcome is None:
        raise WeComError(switches.wecom_welcome_unknown_code, "welcome_code")
    if welcome.used_at:
        other = welcome.used_by != call.agent.agentid
        if other and call.now - welcome.used_at < switches.wecom_welcome_race_seconds:
            raise WeComError(41096)
        raise WeComError(41051)
    relation = call.corp.relation(welcome.userid, welcome.external)
    if relation is None or relation.status not in (BOTH, HALF) or relation.talked or relation.greeted:
        raise WeComError(41051)
    if call.now - welcome.at > switches.wecom_welcome_seconds:
        raise WeComError(41051)
    welcome.used_at, welcome.used_by = call.now, call.agent.agentid
    if switches.wecom_welcome_fills_nickname:
        name = call.sim.world.people[relation.person].nickname
        message = {**message, "text": message["text"].replace("%NICKNAME%", name)}
    relation.greeted = True
    sent(call.sim.wecom, call.corp, relation, message, kind="wecom_welcome", number=code)
    return ok()
