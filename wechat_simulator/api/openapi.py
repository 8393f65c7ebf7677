"""Quota and diagnostics (reference: service account 5.16)."""

from __future__ import annotations

import hmac
from typing import Any

from wechat_simulator.api.base import ROUTES, Call, api, ok
from wechat_simulator.errors import WeChatError


def _path(call: Call) -> str:
    path = call.text(call.json(), "cgi_path", 76003)
    if path.startswith("/sns"):
        raise WeChatError(76022)
    if path not in ROUTES:
        raise WeChatError(76021)
    return path


@api("POST", "/cgi-bin/openapi/quota/get", counted=False)
def quota(call: Call) -> dict[str, Any]:
    """Limit, used and left of one path."""
    path = _path(call)
    return ok(**call.sim.quotas.view(call.account.appid, path, call.now))


@api("POST", "/cgi-bin/openapi/quota/clear", counted=False)
def clear_one(call: Call) -> dict[str, Any]:
    """Clear one path; ten clears a month together with clear_quota."""
    path = _path(call)
    call.sim.quotas.clear(call.account.appid, call.now, path)
    return ok()


@api("POST", "/cgi-bin/clear_quota", counted=False)
def clear_all(call: Call) -> dict[str, Any]:
    """Clear all daily counters of the account."""
    if call.json().get("appid") != call.account.appid:
        raise WeChatError(40013)
    call.sim.quotas.clear(call.account.appid, call.now)
    return ok()


@api("POST", "/cgi-bin/clear_quota/v2", token=False, counted=False)
def clear_by_secret(call: Call) -> dict[str, Any]:
    """The same without a token; values in the query or the body."""
    data = {**(call.json() if call.body else {}), **call.query}
    account = call.sim.world.accounts.get(str(data.get("appid", "")))
    if account is None:
        raise WeChatError(40013)
    if not hmac.compare_digest(str(data.get("appsecret", "")).encode(), account.secret.encode()):
        raise WeChatError(call.sim.switches.wrong_secret_code)
    call.account = account
    call.sim.quotas.clear(account.appid, call.now)
    return ok()


@api("POST", "/cgi-bin/openapi/rid/get", counted=False)
def request_by_rid(call: Call) -> dict[str, Any]:
    """What was asked under a rid of this account (kept for the last 10,000 errors)."""
    row = call.sim.rids.get(call.text(call.json(), "rid"))
    if row is None or row["appid"] != call.account.appid:
        raise WeChatError(40035)
    return ok(request={key: value for key, value in row.items() if key != "appid"})
