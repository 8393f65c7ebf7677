"""Pushes to the callbacks of applications: always encrypted, the corp at the tail (reference: WeCom 2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wechat_simulator.crypto import signature
from wechat_simulator.pushes import Push, Pushes
from wechat_simulator.wecom.model import Agent, Corp
from wechat_simulator.wire import to_xml
from wechat_simulator.world import Account, Fan, Person

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

NOBODY = Person("", "", "")


class WeComPushes(Pushes):
    """Faults, tries, deadline and log are those of the other pushes; the envelope is WeCom's own."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(sim)
        self._shared = sim.pushes
        self.client.close()
        self.log, self.client, self.counts = sim.pushes.log, sim.pushes.client, sim.pushes.counts

    def _enter(self) -> None:
        self._shared._enter()  # noqa: SLF001 - the same class: settle waits for both

    def _leave(self) -> None:
        self._shared._leave()  # noqa: SLF001

    def make(
        self, corp: Corp, agent: Agent, person: Person, external: str, *, kind: str, at: float, fields: dict[str, Any]
    ) -> tuple[Push, Fan]:
        """An event of a corp for one application; its number is one of the common log."""
        self._shared._number += 1  # noqa: SLF001
        common = {"ToUserName": corp.corpid, "FromUserName": "sys", "CreateTime": int(at), "MsgType": "event"}
        push = Push(self._shared._number, corp.corpid, external, kind, fields={**common, **fields}, at=at)  # noqa: SLF001
        self.log.append(push)
        return push, Fan(agent, person, external)

    def _seal(self, push: Push, account: Account) -> tuple[str, bytes]:
        """URL and body of one try: ``msg_signature`` alone; ReceiveId is the corpid (reference: WeCom 2.3)."""
        timestamp, nonce = str(int(self._sim.clock.now())), str(self._sim.random.randrange(10**8, 2 * 10**9))
        encrypted = account.cipher().encrypt(to_xml(push.fields))
        query = {
            "msg_signature": signature(account.token, timestamp, nonce, encrypted),
            "timestamp": timestamp,
            "nonce": nonce,
        }
        agentid = account.agentid if isinstance(account, Agent) else 0
        body = to_xml({"ToUserName": account.appid, "AgentID": str(agentid), "Encrypt": encrypted})
        joint = "&" if "?" in account.push_url else "?"
        return account.push_url + joint + urlencode(query), body

    def _answered(self, push: Push, fan: Fan, answer: bytes) -> None:
        push.outcome = "acknowledged" if answer in (b"", b"success") else "bad_reply"

    async def verify_url(self, account: Account) -> dict[str, Any]:
        """The GET of the console when the callback is saved: the echo comes encrypted, the plain text goes back."""
        timestamp, nonce = str(int(self._sim.clock.now())), str(self._sim.random.randrange(10**8, 2 * 10**9))
        echo = str(self._sim.random.randrange(10**17, 10**19))
        sealed = account.cipher().encrypt(echo.encode())
        query = {"msg_signature": signature(account.token, timestamp, nonce, sealed), "echostr": sealed}
        query |= {"timestamp": timestamp, "nonce": nonce}
        return await self._echoed(account.callback_url, query, echo, "the decrypted echostr")
