"""Web sign-in (网页授权): who said yes on a phone, and what codes and tokens stand for (reference: 5.15)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from wechat_simulator.errors import WeChatError
from wechat_simulator.tokens import LIFE

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation
    from wechat_simulator.world import Account, Person

CODE_LIFE = 300.0
REFRESH_LIFE = 30 * 86_400.0
BASE, USERINFO = "snsapi_base", "snsapi_userinfo"
ORDER = ("appid", "redirect_uri", "response_type", "scope", "state")
OPTIONAL = ("forcePopup", "forceSnapShot", "component_appid")
STATE = re.compile(r"[a-zA-Z0-9]{0,128}")
LOOPBACK = ("127.0.0.1", "localhost")


class PageError(ValueError):
    """WeChat shows a page that says what is wrong with the link."""


@dataclass(slots=True)
class Grant:
    """What a person agreed to: an account sees them by ``openid``, and with the larger scope their profile.

    In snapshot mode it is a virtual account: nobody tapped, and nothing about it is real.
    """

    appid: str
    openid: str
    scope: str
    nickname: str
    unionid: str | None
    snapshot: bool
    component: str
    until: float
    used: bool = False


class WebLogins:
    """Codes, tokens and refresh tokens of people on web pages."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.codes: dict[str, Grant] = {}
        self._tokens: dict[str, tuple[Grant, float]] = {}
        self._refresh: dict[str, tuple[Grant, float]] = {}

    # --- the page -------------------------------------------------------------------------------------------------

    def account_of(self, query: dict[str, str]) -> Account:
        """The account of a link; `PageError` for a link that WeChat refuses, parameters out of order included."""
        names = [name for name in query if not name.startswith("sim_")]
        if [name for name in names if name not in OPTIONAL] != list(ORDER[: len(ORDER) if "state" in names else -1]):
            msg = "参数错误：链接的参数须按 appid、redirect_uri、response_type、scope、state 的顺序"
            raise PageError(msg)
        account = self._sim.world.accounts.get(query["appid"])
        if account is None or account.kind != "service" or not account.verified:
            msg = "appid 参数错误，或该公众号没有网页授权的权限"
            raise PageError(msg)
        if query["response_type"] != "code" or query["scope"] not in (BASE, USERINFO):
            msg = "scope 参数错误或没有该 scope 的权限"
            raise PageError(msg)
        if not STATE.fullmatch(query.get("state", "")):
            msg = "state 参数错误：最多 128 个字母和数字"
            raise PageError(msg)
        platform = account.component.appid if account.component else ""
        if query.get("component_appid", "") != platform:
            msg = "component_appid 参数错误：授权给第三方平台的公众号由平台发起"
            raise PageError(msg)
        if not self._may_return_to(account, query["redirect_uri"]):
            msg = "redirect_uri 参数错误：域名不在网页授权域名里"
            raise PageError(msg)
        return account

    @staticmethod
    def _may_return_to(account: Account, address: str) -> bool:
        """Exactly a registered host, without a port; this machine's own may have one."""
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            return False
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or (port is not None and host not in LOOPBACK):
            return False
        return host in account.oauth_domains

    def say_yes(self, query: dict[str, str], person: Person, *, snapshot: bool = False) -> str:
        """Where the browser goes with the code."""
        account = self.account_of(query)
        world, now = self._sim.world, self._sim.clock.now()
        fan = world.fan(account, person)
        number = str(world.number())
        virtual = snapshot and query["scope"] == USERINFO
        grant = Grant(
            appid=account.appid,
            openid="o" + self._text("snapshot", number)[:27] if virtual else fan.openid,
            scope=query["scope"],
            nickname="微信用户" if virtual else person.nickname,
            unionid=None if virtual else world.unionid(account, person),
            snapshot=virtual,
            component=query.get("component_appid", ""),
            until=now + CODE_LIFE,
        )
        code = "1" + self._text("web code", number)[:31]
        self.codes[code] = grant
        address = query["redirect_uri"]
        back = {"code": code, "state": query.get("state", "")} | ({"appid": account.appid} if grant.component else {})
        return f"{address}{'&' if '?' in address else '?'}{urlencode(back)}"

    def _text(self, kind: str, number: str) -> str:
        return hashlib.sha512(f"{self._sim.world.seed}|{kind}|{number}".encode()).hexdigest()

    # --- codes and tokens -----------------------------------------------------------------------------------------

    def take(self, code: str, appid: str, now: float, *, component: str = "") -> Grant:
        """What a code stands for, once: 40029, 42003 and 40163."""
        grant = self.codes.get(code)
        if grant is None or grant.appid != appid or grant.component != component:
            raise WeChatError(40029)
        if grant.used:
            raise WeChatError(40163)
        if grant.until <= now:
            raise WeChatError(42003)
        grant.used = True
        return grant

    def issue(self, grant: Grant, now: float) -> tuple[str, str]:
        """A token for two hours and a refresh token for thirty days."""
        number = str(self._sim.world.number())
        token, refresh = self._text("web token", number)[:86], self._text("web refresh", number)[:86]
        self._tokens[token] = (grant, now + LIFE)
        self._refresh[refresh] = (grant, now + REFRESH_LIFE)
        return token, refresh

    def refresh(self, text: str, appid: str, now: float, *, component: str = "") -> tuple[Grant, str]:
        """A new token for a refresh token, which keeps its own thirty days: 40030, 42002."""
        grant, until = self._refresh.get(text, (None, 0.0))
        if grant is None or grant.appid != appid or grant.component != component:
            raise WeChatError(40030)
        if until <= now:
            raise WeChatError(42002)
        token = self._text("web token", str(self._sim.world.number()))[:86]
        self._tokens[token] = (grant, now + LIFE)
        return grant, token

    def holder(self, text: str, openid: str, now: float) -> Grant:
        """Whose token it is: 41001, 40001, 42001, and 40003 for another person's openid."""
        if not text:
            raise WeChatError(41001)
        grant, until = self._tokens.get(text, (None, 0.0))
        if grant is None:
            raise WeChatError(40001)
        if until <= now:
            raise WeChatError(42001)
        if not openid or grant.openid != openid:
            raise WeChatError(40003)
        return grant
