"""One API call as handlers see it, and the table of paths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wechat_simulator.errors import WeChatError
from wechat_simulator.world import Account, Fan

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

# An escape of a printable character; control characters have no other form in JSON.
ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u(?!00[01])[0-9a-fA-F]{4}")


class Picture:
    """A binary answer, or a page; with ``location`` it sends the browser there."""

    __slots__ = ("body", "content_type", "location", "status")

    def __init__(self, body: bytes, content_type: str, status: int = 200, *, location: str = "") -> None:
        self.location = location
        self.body = body
        self.content_type = content_type
        self.status = status


class Call:
    """Query, body, moment and, once the token was checked, the account."""

    __slots__ = ("account", "address", "body", "now", "query", "sim")

    def __init__(self, sim: Simulation, query: dict[str, str], body: bytes, address: str, now: float) -> None:
        self.sim = sim
        self.query = query
        self.body = body
        self.address = address
        self.now = now
        self.account: Account = NOBODY

    def json(self) -> dict[str, Any]:
        """The body as an object; 44002 when empty, 47001 when it is not one (reference: service account 6.3)."""
        if not self.body:
            raise WeChatError(44002)
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise WeChatError(47001) from error
        if not isinstance(value, dict):
            raise WeChatError(47001)
        return value

    def text(self, data: dict[str, Any], name: str, code: int = 40035) -> str:
        """A non-empty text field, or the given code."""
        value = data.get(name)
        if not isinstance(value, str) or not value:
            raise WeChatError(code)
        return value

    def fan(self, openid: Any, code: int = 40003) -> Fan:
        """The person behind an openid of this account; another account's openid is noted as a mix-up."""
        fan = self.account.fans.get(openid) if isinstance(openid, str) else None
        if fan is None:
            if isinstance(openid, str) and openid in self.sim.world.fans:
                self.sim.mix_ups += 1
            raise WeChatError(code)
        return fan


NOBODY = Account("")
Handler = Callable[[Call], dict[str, Any] | bytes | Picture]


class Route:
    """A path: method, who must show what, and the function."""

    __slots__ = ("counted", "handler", "method", "raw_text", "token")

    def __init__(self, method: str, handler: Handler, *, token: bool, counted: bool, raw_text: bool) -> None:
        self.method = method
        self.handler = handler
        self.token = token
        self.counted = counted
        self.raw_text = raw_text


ROUTES: dict[str, Route] = {}


def api(
    method: str, path: str, *, token: bool = True, counted: bool = True, raw_text: bool = False
) -> Callable[[Handler], Handler]:
    r"""Register a handler; ``raw_text`` refuses ``\uXXXX`` escapes in the body (reference: service account 5)."""

    def register(handler: Handler) -> Handler:
        ROUTES[path] = Route(method, handler, token=token, counted=counted, raw_text=raw_text)
        return handler

    return register


def ok(**more: Any) -> dict[str, Any]:
    """Success of an act."""
    return {"errcode": 0, "errmsg": "ok", **more}
