"""Mini-program login and phone number (mini-program reference 1.1, 1.2)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.api.base import Call, api
from wechat_simulator.api.token import credentials
from wechat_simulator.errors import WeChatError
from wechat_simulator.people import LOGINS_PER_MINUTE, ClientCode, session_key


def _use(call: Call, text: str, kind: str) -> ClientCode:
    """A code of the right kind and appid, once, within five minutes; 40029 otherwise."""
    code = call.sim.people.client_codes.get(text)
    if code is None or code.kind != kind or code.fan.account is not call.account:
        raise WeChatError(40029)
    if code.used or code.expires_at <= call.now:
        raise WeChatError(40029)
    return code


@api("GET", "/sns/jscode2session", token=False, counted=False)
def code_to_session(call: Call) -> dict[str, Any]:
    """``js_code`` → openid, session_key, and unionid when the appid has a subject (the field is absent otherwise)."""
    if call.query.get("grant_type") != "authorization_code":
        raise WeChatError(40002)
    text = call.query.get("js_code")
    account = credentials(call, call.query)
    if not text:
        raise WeChatError(41008)
    call.sim.quotas.spend(account.appid, "/sns/jscode2session", call.now)
    code = _use(call, text, "login")
    person = code.fan.person
    if person.flagged:
        raise WeChatError(40226)
    recent = [at for at in person.login_times if 0 <= call.now - at < 60]
    if len(recent) >= LOGINS_PER_MINUTE:
        raise WeChatError(45011)
    person.login_times = [*recent, call.now]
    code.used = True
    answer = {"session_key": session_key(call.sim.world.seed, call.sim.world.number()), "openid": code.fan.openid}
    unionid = call.sim.world.unionid(account, person)
    if unionid is not None:
        answer["unionid"] = unionid
    return answer


@api("POST", "/wxa/business/getuserphonenumber")
def phone_number(call: Call) -> dict[str, Any]:
    """The phone code, once; ``openid`` when given must be the code's."""
    data = call.json()
    code = _use(call, str(data.get("code", "")), "phone")
    if data.get("openid") and data["openid"] != code.fan.openid:
        raise WeChatError(40029)
    code.used = True
    number = code.fan.person.phone
    watermark = {"timestamp": int(call.now), "appid": call.account.appid}
    info = {"phoneNumber": number, "purePhoneNumber": number, "countryCode": "86", "watermark": watermark}
    return {"errcode": 0, "errmsg": "ok", "phone_info": info}
