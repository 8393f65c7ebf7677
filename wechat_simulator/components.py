"""Third-party platforms (第三方平台): keys, tickets, codes, who authorised them (reference: service account 7)."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wechat_simulator.crypto import MessageCipher, signature
from wechat_simulator.http_client import DeliveryError
from wechat_simulator.wire import to_xml
from wechat_simulator.world import WorldError, cipher_for, token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation
    from wechat_simulator.world import Account

TICKET_EVERY = 600.0
TICKET_LIFE = 12 * 3600.0
CODE_LIFE = 600.0
RETRY_SECONDS = 1.0  # real ones; how WeChat spaces these retries is unconfirmed
ALL_SETS = [1, 2, 3, 4, 6, 7, 11, 15, 24, 89]
# Which permission set an API path needs (reference: 5, "Set n"); what is not named needs none here.
SETS = {
    "/cgi-bin/message/custom/": 1,
    "/cgi-bin/user/": 2,
    "/cgi-bin/tags/": 2,
    "/cgi-bin/qrcode/": 3,
    "/cgi-bin/message/subscribe/": 89,
    "/wxaapi/newtmpl/": 89,
    "/cgi-bin/message/template/": 7,
    "/cgi-bin/template/": 7,
    "/cgi-bin/media/": 11,
    "/cgi-bin/material/": 11,
    "/cgi-bin/menu/": 15,
}
NAMES = {
    1: "消息管理", 2: "用户管理", 3: "账号服务", 4: "网页服务", 6: "多客服", 7: "群发与通知",
    11: "素材管理", 15: "自定义菜单", 24: "开放平台账号", 89: "订阅通知",
}  # fmt: skip


@dataclass
class Component:
    """One platform. Codes: code → (appid of whoever authorised, end, used)."""

    appid: str
    name: str = ""
    secret: str = ""
    token: str = ""
    aes_key: str = ""
    events_url: str = ""
    messages_url: str = ""
    sets: list[int] = field(default_factory=lambda: list(ALL_SETS))
    ticket: str = ""
    previous_ticket: str = ""
    ticket_at: float = 0.0
    serial: int = 0
    pre_auth: dict[str, float] = field(default_factory=dict)
    auth_codes: dict[str, list[Any]] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    authorized_at: dict[str, float] = field(default_factory=dict)

    def cipher(self) -> MessageCipher:
        """What every push of the platform and of its accounts is made with."""
        return cipher_for(self.aes_key, self.appid)


class Components:
    """The platforms of a world, and what happens between them and accounts."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.known: dict[str, Component] = {}
        self.log: list[dict[str, Any]] = []
        sim.timers.on("component_ticket", self._ticket_due)

    def get(self, appid: str) -> Component:
        """By appid; ``WorldError`` when unknown."""
        if appid not in self.known:
            msg = f"no component {appid}"
            raise WorldError(msg)
        return self.known[appid]

    def put(self, item: dict[str, Any]) -> Component:
        """Add or change a platform; what is missing is made up from the seed."""
        appid, seed = str(item["appid"]), self._sim.world.seed
        component = self.known.get(appid) or Component(appid)
        for name in ("name", "secret", "token", "aes_key", "events_url", "messages_url", "sets"):
            setattr(component, name, item.get(name, getattr(component, name)))
        component.name = component.name or "第三方平台"
        component.secret = component.secret or token_urlsafe(32, seed, "component secret", appid)
        component.token = component.token or token_urlsafe(24, seed, "component", appid).replace("-", "x").replace(
            "_", "y"
        )
        component.aes_key = component.aes_key or token_urlsafe(43, seed, "component aes", appid).replace(
            "-", "x"
        ).replace("_", "y")
        component.cipher()  # a wrong key is refused here
        if appid not in self.known:
            self.known[appid] = component
            self._sim.timers.at(self._sim.clock.now() + TICKET_EVERY, "component_ticket", {"appid": appid})
        return component

    def serial(self, component: Component, kind: str) -> str:
        """A code or token of a platform, never twice the same."""
        component.serial += 1
        return f"{kind}@@@{token_urlsafe(40, self._sim.world.seed, kind, component.appid, str(component.serial))}"

    def new_pre_auth(self, component: Component, now: float) -> str:
        """A code for the authorisation page."""
        code = self.serial(component, "preauthcode")
        component.pre_auth[code] = now + CODE_LIFE
        return code

    def authorize(self, component: Component, account: Account, sets: list[int], pre_auth_code: str = "") -> str:
        """The administrator says yes: a code that works once, and the event about it. Returns the code."""
        now = self._sim.clock.now()
        code = self.serial(component, "queryauthcode")
        component.auth_codes[code] = [account.appid, now + CODE_LIFE, False]
        kind = "updateauthorized" if account.component is component else "authorized"
        same = account.component is component and sorted(account.granted) == sorted(sets)
        account.component, account.granted = component, sorted(sets)
        component.authorized_at[account.appid] = now
        if not same:
            self._sim.bus.bump("world")
            self.event(
                component,
                kind,
                AuthorizerAppid=account.appid,
                AuthorizationCode=code,
                AuthorizationCodeExpiredTime=int(now + CODE_LIFE),
                PreAuthCode=pre_auth_code,
            )
        return code

    def unauthorize(self, component: Component, account: Account) -> None:
        """The administrator takes it back: tokens end, and the platform is told."""
        account.component, account.granted = None, []
        component.refresh_tokens.pop(account.appid, None)
        self._sim.tokens.kill(account.appid, self._sim.clock.now(), family="authorizer")
        self._sim.bus.bump("world")
        self.event(component, "unauthorized", AuthorizerAppid=account.appid)

    def push_ticket(self, component: Component) -> None:
        """A new ticket; the one before still counts for its twelve hours."""
        component.previous_ticket, component.ticket = component.ticket, self.serial(component, "ticket")
        component.ticket_at = self._sim.clock.now()
        self.event(component, "component_verify_ticket", ComponentVerifyTicket=component.ticket)

    def event(self, component: Component, kind: str, **fields: Any) -> None:
        """Send an authorisation event in the background."""
        common = {"AppId": component.appid, "CreateTime": int(self._sim.clock.now()), "InfoType": kind}
        self._sim.pushes.alongside(self.deliver(component, {**common, **fields}))

    async def deliver(self, component: Component, fields: dict[str, Any]) -> dict[str, Any]:
        """Post one event, encrypted, up to three times; what became of it is logged."""
        row: dict[str, Any] = {"appid": component.appid, "fields": fields, "outcome": "no_callback", "tries": 0}
        self.log.append(row)
        if not component.events_url:
            return row
        url, body = self.seal(component, fields)
        for number in range(1, self._sim.switches.push_tries + 1):
            row["tries"] = number
            try:
                status, answer = await self._sim.pushes.client.exchange("POST", url, body, "text/xml")
            except (OSError, DeliveryError, TimeoutError) as error:
                row["outcome"] = str(error) or type(error).__name__
                await asyncio.sleep(RETRY_SECONDS)
                continue
            row["outcome"] = "acknowledged" if status == 200 and answer in (b"success", b"") else f"http {status}"
            if row["outcome"] == "acknowledged":
                break
            await asyncio.sleep(RETRY_SECONDS)
        return row

    def seal(self, component: Component, fields: dict[str, Any]) -> tuple[str, bytes]:
        """URL and body of an event (reference: 7.4): the outer XML has AppId and Encrypt."""
        timestamp, nonce = str(int(self._sim.clock.now())), str(self._sim.random.randrange(10**8, 2 * 10**9))
        encrypted = component.cipher().encrypt(to_xml(fields))
        query = {
            "signature": signature(component.token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "encrypt_type": "aes",
            "msg_signature": signature(component.token, timestamp, nonce, encrypted),
        }
        return f"{component.events_url}?{urlencode(query)}", to_xml({"AppId": component.appid, "Encrypt": encrypted})

    def _ticket_due(self, due: float, payload: dict[str, Any]) -> None:
        component = self.known.get(payload["appid"])
        if component is not None:
            self.push_ticket(component)
            self._sim.timers.at(max(due + TICKET_EVERY, self._sim.clock.now()), "component_ticket", payload)

    def dump(self) -> list[dict[str, Any]]:
        """For the state file."""
        return [asdict(component) for component in self.known.values()]

    def load(self, rows: list[dict[str, Any]]) -> None:
        """From the state file; accounts find their platform again."""
        self.known = {row["appid"]: Component(**row) for row in rows}
        for component in self.known.values():
            for appid in component.authorized_at:
                account = self._sim.world.accounts.get(appid)
                if account is not None and account.granted:
                    account.component = component
