"""The API of third-party platforms and the page on which an administrator authorises one (reference: 7.2, 7.3)."""

from __future__ import annotations

import hmac
import html
from typing import Any
from urllib.parse import urlencode

from wechat_simulator.api.base import Call, Picture, api, ok
from wechat_simulator.components import NAMES, TICKET_LIFE, Component
from wechat_simulator.errors import WeChatError
from wechat_simulator.tokens import LIFE


def _component(call: Call, data: dict[str, Any]) -> Component:
    """Whoever shows a platform's token; 40001, 42001, 40013."""
    token = call.query.get("component_access_token") or call.query.get("access_token")
    appid = call.sim.tokens.check(token, call.now)
    component = call.sim.components.known.get(appid)
    if component is None:
        raise WeChatError(61014)
    if data.get("component_appid") != component.appid:
        raise WeChatError(40013)
    return component


@api("POST", "/cgi-bin/component/api_component_token", token=False, counted=False)
def component_token(call: Call) -> dict[str, Any]:
    """The platform's own token for appid, secret and a living ticket: 40013, 40125, 61006."""
    data = call.json()
    component = call.sim.components.known.get(str(data.get("component_appid", "")))
    if component is None:
        raise WeChatError(40013)
    if not hmac.compare_digest(str(data.get("component_appsecret", "")).encode(), component.secret.encode()):
        raise WeChatError(40125)
    ticket = data.get("component_verify_ticket")
    if not ticket or ticket not in (component.ticket, component.previous_ticket):
        raise WeChatError(61006)
    if component.ticket_at + TICKET_LIFE <= call.now:
        raise WeChatError(61005)
    issued = call.sim.tokens.issue(component.appid, "component", call.now)
    return {"component_access_token": issued.text, "expires_in": LIFE}


@api("POST", "/cgi-bin/component/api_start_push_ticket", token=False, counted=False)
def start_push_ticket(call: Call) -> dict[str, Any]:
    """Push a ticket now."""
    data = call.json()
    component = call.sim.components.known.get(str(data.get("component_appid", "")))
    if component is None or data.get("component_secret") != component.secret:
        raise WeChatError(40013)
    call.sim.components.push_ticket(component)
    return ok()


@api("POST", "/cgi-bin/component/api_create_preauthcode", token=False, counted=False)
def pre_auth_code(call: Call) -> dict[str, Any]:
    """A code for the authorisation page, good for ten minutes."""
    component = _component(call, call.json())
    return {"pre_auth_code": call.sim.components.new_pre_auth(component, call.now), "expires_in": 600}


@api("POST", "/cgi-bin/component/api_query_auth", token=False, counted=False)
def query_auth(call: Call) -> dict[str, Any]:
    """Exchange a code, once: 61010 for one that ended, 61009 for one that was used or never given."""
    data = call.json()
    component = _component(call, data)
    row = component.auth_codes.get(str(data.get("authorization_code", "")))
    if row is None or row[2]:
        raise WeChatError(61009)
    if row[1] <= call.now:
        raise WeChatError(61010)
    row[2] = True
    appid = str(row[0])
    component.refresh_tokens[appid] = call.sim.components.serial(component, "refreshtoken")
    return {"authorization_info": {**_tokens(call, component, appid), "authorizer_appid": appid, **_sets(call, appid)}}


@api("POST", "/cgi-bin/component/api_authorizer_token", token=False, counted=False)
def authorizer_token(call: Call) -> dict[str, Any]:
    """A new token of an account for its refresh token: 61023 when that does not count (any more)."""
    data = call.json()
    component = _component(call, data)
    appid = str(data.get("authorizer_appid", ""))
    known = component.refresh_tokens.get(appid)
    if known is None:
        raise WeChatError(61003)
    if data.get("authorizer_refresh_token") != known:
        raise WeChatError(61023)
    return _tokens(call, component, appid)


@api("POST", "/cgi-bin/component/api_get_authorizer_info", token=False, counted=False)
def authorizer_info(call: Call) -> dict[str, Any]:
    """What an account is."""
    data = call.json()
    component = _component(call, data)
    account = call.sim.world.accounts.get(str(data.get("authorizer_appid", "")))
    if account is None or account.component is not component:
        raise WeChatError(61003)
    info = {
        "nick_name": account.name,
        "user_name": account.original_id,
        "service_type_info": {"id": 2},
        "verify_type_info": {"id": 0 if account.verified else -1},
        "account_status": 16 if account.banned else 1,
        "principal_name": account.name,
    }
    return {
        "authorizer_info": info | ({"MiniProgramInfo": {}} if account.kind == "mini" else {}),
        "authorization_info": {"authorizer_appid": account.appid, **_sets(call, account.appid)},
    }


@api("POST", "/cgi-bin/component/api_get_authorizer_list", token=False, counted=False)
def authorizer_list(call: Call) -> dict[str, Any]:
    """Everybody who authorised."""
    data = call.json()
    component = _component(call, data)
    rows = [
        {"authorizer_appid": appid, "refresh_token": component.refresh_tokens[appid], "auth_time": int(at)}
        for appid, at in component.authorized_at.items()
        if appid in component.refresh_tokens
    ]
    offset, count = int(data.get("offset", 0)), min(int(data.get("count", 100)), 500)
    return {"total_count": len(rows), "list": rows[offset : offset + count]}


@api("GET", "/cgi-bin/componentloginpage", token=False, counted=False)
def login_page(call: Call) -> Picture:
    """The page that the administrator sees after scanning; one form, no script."""
    component = call.sim.components.known.get(call.query.get("component_appid", ""))
    code = call.query.get("pre_auth_code", "")
    if component is None or component.pre_auth.get(code, 0.0) <= call.now:
        return _page("授权链接已失效", "<p>请回到第三方平台重新发起授权。</p>", status=400)
    accounts = [account for account in call.sim.world.accounts.values() if account.kind == "service"]
    choices = "".join(
        f'<label><input type="radio" name="account" value="{html.escape(account.appid)}" required'
        f"{' checked' if len(accounts) == 1 else ''}> {html.escape(account.name)}"
        f"<small>{'已授权' if account.component is component else ''}</small></label>"
        for account in accounts
    )
    sets = "".join(
        f'<label><input type="checkbox" name="sets" value="{each}" checked> {NAMES.get(each, each)}</label>'
        for each in component.sets
    )
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(call.query.get(name, ""), quote=True)}">'
        for name in ("component_appid", "pre_auth_code", "redirect_uri")
    )
    return _page(
        f"授权给「{html.escape(component.name)}」",
        f'<form method="post" action="/_sim/components/login">{hidden}<h2>选择公众号</h2>{choices}'
        f'<h2>权限集</h2>{sets}<button data-testid="authorize">授权</button></form>',
    )


def return_to(redirect_uri: str, code: str) -> str:
    """Where the browser goes with the code."""
    joint = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{joint}{urlencode({'auth_code': code, 'expires_in': 600})}"


def _page(title: str, content: str, status: int = 200) -> Picture:
    body = (
        '<!doctype html><html lang="zh-Hans"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>body{{font:16px/1.6 sans-serif;max-width:375px;margin:24px auto;padding:0 16px}}"
        "h1{font-size:20px}h2{font-size:14px;color:#6a7282;font-weight:400}label{display:block;padding:8px 0}"
        "small{color:#6a7282;margin-left:8px}button{width:100%;min-height:44px;margin:16px 0;border:0;"
        "border-radius:6px;background:#0f766e;color:#fff;font:inherit}</style>"
        f"<h1>{title}</h1>{content}<p><small>模拟器，非微信官方</small></p></html>"
    )
    return Picture(body.encode(), "text/html; charset=utf-8", status)


def _tokens(call: Call, component: Component, appid: str) -> dict[str, Any]:
    issued = call.sim.tokens.issue(appid, "authorizer", call.now)
    return {
        "authorizer_access_token": issued.text,
        "expires_in": LIFE,
        "authorizer_refresh_token": component.refresh_tokens[appid],
    }


def _sets(call: Call, appid: str) -> dict[str, Any]:
    granted = call.sim.world.accounts[appid].granted
    return {"func_info": [{"funcscope_category": {"id": each}} for each in granted]}
