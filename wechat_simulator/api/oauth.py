"""Web sign-in (网页授权): the page on the phone, code → token → profile, refresh, check (reference: 5.15)."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import urlencode

from wechat_simulator.api.base import Call, Picture, api, ok
from wechat_simulator.api.component import _component, _page
from wechat_simulator.api.token import credentials
from wechat_simulator.errors import WeChatError
from wechat_simulator.tokens import LIFE
from wechat_simulator.web_logins import BASE, USERINFO, Grant, PageError
from wechat_simulator.world import Account, WorldError

MOST_SHOWN = 30


@api("GET", "/connect/oauth2/authorize", token=False, counted=False)
def authorize(call: Call) -> Picture:
    """The page a link opens. ``sim_person`` says whose phone it is; without one it can be chosen."""
    try:
        account = call.sim.web_logins.account_of(call.query)
    except PageError as error:
        return _page("无法打开", f'<p data-testid="oauth-problem">{html.escape(str(error))}</p>', status=400)
    try:
        person = call.sim.world.person(call.query.get("sim_person", ""))
    except WorldError:
        return _choose(call, account)
    if call.query["scope"] == BASE:  # silent: nobody sees a page
        return Picture(b"", "text/html", 302, location=call.sim.web_logins.say_yes(call.query, person))
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name, quote=True)}" value="{html.escape(value, quote=True)}">'
        for name, value in call.query.items()
    )
    buttons = (("allow", "允许"), ("refuse", "拒绝"), ("snapshot", "没有点按就进来（快照页）"))
    return _page(
        f"{html.escape(account.name)} 申请使用",
        f"<p>{html.escape(person.nickname)}，允许它获得你的昵称、头像吗？</p>"
        f'<form method="post" action="/_sim/web_logins">{hidden}'
        + "".join(
            f'<button name="answer" value="{said}" data-testid="oauth-{said}">{label}</button>'
            for said, label in buttons
        )
        + "</form>",
    )


def _choose(call: Call, account: Account) -> Picture:
    people = list(call.sim.world.people.values())[:MOST_SHOWN]
    links = "".join(
        f'<p><a href="?{html.escape(urlencode({**call.query, "sim_person": person.id}), quote=True)}">'
        f"{html.escape(person.nickname)}</a></p>"
        for person in people
    )
    return _page(f"以谁的手机打开「{html.escape(account.name)}」的网页？", links)


def _answer(call: Call, grant: Grant) -> dict[str, Any]:
    token, refresh = call.sim.web_logins.issue(grant, call.now)
    answer: dict[str, Any] = {
        "access_token": token,
        "expires_in": LIFE,
        "refresh_token": refresh,
        "openid": grant.openid,
        "scope": grant.scope,
    }
    if grant.scope == USERINFO and grant.unionid is not None:
        answer["unionid"] = grant.unionid
    return answer | ({"is_snapshotuser": 1} if grant.snapshot else {})


@api("GET", "/sns/oauth2/access_token", token=False, counted=False)
def access_token(call: Call) -> dict[str, Any]:
    """A code, once and within five minutes."""
    if call.query.get("grant_type") != "authorization_code":
        raise WeChatError(40002)
    account = credentials(call, call.query)
    call.sim.quotas.spend(account.appid, "/sns/oauth2/access_token", call.now)
    if not call.query.get("code"):
        raise WeChatError(41008)
    return _answer(call, call.sim.web_logins.take(call.query["code"], account.appid, call.now))


@api("GET", "/sns/oauth2/refresh_token", token=False, counted=False)
def refresh_token(call: Call) -> dict[str, Any]:
    """A new token of the same person; no secret is asked for."""
    appid = _account(call)
    call.sim.quotas.spend(appid, "/sns/oauth2/refresh_token", call.now)
    return _refreshed(call, appid, "")


def _account(call: Call) -> str:
    if call.query.get("grant_type") not in ("refresh_token", "authorization_code"):
        raise WeChatError(40002)
    appid = call.query.get("appid", "")
    if not appid:
        raise WeChatError(41002)
    if appid not in call.sim.world.accounts:
        raise WeChatError(40013)
    return appid


def _refreshed(call: Call, appid: str, component: str) -> dict[str, Any]:
    text = call.query.get("refresh_token", "")
    grant, token = call.sim.web_logins.refresh(text, appid, call.now, component=component)
    return {
        "access_token": token,
        "expires_in": LIFE,
        "refresh_token": text,
        "openid": grant.openid,
        "scope": grant.scope,
    }


@api("GET", "/sns/oauth2/component/access_token", token=False, counted=False)
def component_access_token(call: Call) -> dict[str, Any]:
    """The same through a third-party platform, by its own token."""
    component, appid = _component(call, call.query), _account(call)
    call.sim.quotas.spend(appid, "/sns/oauth2/access_token", call.now)
    if not call.query.get("code"):
        raise WeChatError(41008)
    grant = call.sim.web_logins.take(call.query["code"], appid, call.now, component=component.appid)
    return _answer(call, grant)


@api("GET", "/sns/oauth2/component/refresh_token", token=False, counted=False)
def component_refresh_token(call: Call) -> dict[str, Any]:
    """The same through a third-party platform."""
    component = _component(call, call.query)
    return _refreshed(call, _account(call), component.appid)


@api("GET", "/sns/userinfo", token=False, counted=False)
def userinfo(call: Call) -> dict[str, Any]:
    """Nickname and picture, for the larger scope only: 48001."""
    grant = call.sim.web_logins.holder(call.query.get("access_token", ""), call.query.get("openid", ""), call.now)
    call.sim.quotas.spend(grant.appid, "/sns/userinfo", call.now)
    if grant.scope != USERINFO:
        raise WeChatError(48001)
    row: dict[str, Any] = {
        "openid": grant.openid,
        "nickname": grant.nickname,
        "sex": 0,
        "province": "",
        "city": "",
        "country": "",
        "headimgurl": "" if grant.snapshot else f"https://thirdwx.qlogo.cn/mmopen/{grant.openid}/132",
        "privilege": [],
    }
    return row | ({"unionid": grant.unionid} if grant.unionid is not None else {})


@api("GET", "/sns/auth", token=False, counted=False)
def check(call: Call) -> dict[str, Any]:
    """Whether a token still counts."""
    grant = call.sim.web_logins.holder(call.query.get("access_token", ""), call.query.get("openid", ""), call.now)
    call.sim.quotas.spend(grant.appid, "/sns/auth", call.now)
    return ok()
