"""Tokens and helpers without a fan (reference: service account 5.1)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.errors import WeChatError
from wechat_simulator.tokens import LIFE
from wechat_simulator.world import Account


def credentials(call: Call, data: dict[str, Any]) -> Account:
    """The account of an appid and secret: 41002, 41004, 40013, 40125/40001, 40243, 40164."""
    appid, secret = data.get("appid"), data.get("secret")
    if not appid:
        raise WeChatError(41002)
    if not secret:
        raise WeChatError(41004)
    account = call.sim.world.accounts.get(str(appid))
    if account is None:
        raise WeChatError(40013)
    if not account.allows(call.address):
        raise WeChatError(40164, f"invalid ip {call.address} ipv6 ::ffff:{call.address}, not in whitelist")
    if account.secret_frozen:
        raise WeChatError(40243)
    if account.limited:
        raise WeChatError(50002)
    if not hmac.compare_digest(str(secret).encode(), account.secret.encode()):
        raise WeChatError(call.sim.switches.wrong_secret_code)
    call.account = account
    return account


@api("GET", "/cgi-bin/token", token=False, counted=False)
def token(call: Call) -> dict[str, Any]:
    """A new token each call; the old one lives five more minutes."""
    if call.query.get("grant_type") != "client_credential":
        raise WeChatError(40002)
    account = credentials(call, call.query)
    call.sim.quotas.spend(account.appid, "/cgi-bin/token", call.now)
    issued = call.sim.tokens.normal(account.appid, call.now)
    return {"access_token": issued.text, "expires_in": int(issued.expires_at - call.now)}


@api("POST", "/cgi-bin/stable_token", token=False, counted=False)
def stable_token(call: Call) -> dict[str, Any]:
    """The same token until its last five minutes, unless force_refresh."""
    data = call.json()
    if data.get("grant_type") != "client_credential":
        raise WeChatError(40002)
    account = credentials(call, data)
    call.sim.quotas.spend(account.appid, "/cgi-bin/stable_token", call.now)
    issued = call.sim.tokens.stable(account.appid, call.now, force=data.get("force_refresh") is True)
    return {"access_token": issued.text, "expires_in": int(issued.expires_at - call.now)}


@api("GET", "/cgi-bin/ticket/getticket")
def ticket(call: Call) -> dict[str, Any]:
    """A ticket for signing pages: the same one until it ends, two hours after the window began."""
    kind = call.query.get("type")
    if kind not in ("jsapi", "wx_card"):
        raise WeChatError(40097)
    window, used = divmod(int(call.now), LIFE)
    secret = f"{call.account.secret}|{call.account.appid}|{kind}|{window}"
    text = hashlib.sha512(secret.encode()).hexdigest()[:86]
    return ok(ticket=text, expires_in=LIFE - used)


@api("GET", "/cgi-bin/getcallbackip")
def callback_addresses(_call: Call) -> dict[str, Any]:
    """Where pushes come from: this machine, as an address and as a range."""
    return {"ip_list": ["127.0.0.1", "127.0.0.0/8"]}


@api("GET", "/cgi-bin/get_api_domain_ip")
def api_addresses(_call: Call) -> dict[str, Any]:
    """Where the API lives."""
    return {"ip_list": ["127.0.0.1"]}


@api("POST", "/cgi-bin/callback/check")
def callback_check(call: Call) -> dict[str, Any]:
    """Network self-check of the callback host."""
    data = call.json()
    action = data.get("action")
    if action not in ("dns", "ping", "all"):
        raise WeChatError(40035)
    answer: dict[str, Any] = {}
    if action in ("dns", "all"):
        answer["dns"] = [{"ip": "127.0.0.1", "real_operator": "DEFAULT"}]
    if action in ("ping", "all"):
        ping = {"ip": "127.0.0.1", "from_operator": "DEFAULT", "package_loss": "0%", "time": "0.050ms"}
        answer["ping"] = [ping]
    return answer
