"""One call to WeCom's API as handlers see it, and the table of its paths."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from wechat_simulator.api.base import Call, Picture
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.model import Agent, Corp, Staff

PREFIX = "/qyapi"  # stands for https://qyapi.weixin.qq.com: its paths are the same as another host's


class WeComCall(Call):
    """A call with the corp and the application whose token it shows."""

    __slots__ = ("agent", "base", "corp", "path")

    def __init__(self, call: Call, corp: Corp, agent: Agent, *, path: str, base: str) -> None:
        super().__init__(call.sim, call.query, call.body, call.address, call.now)
        self.corp = corp
        self.agent = agent
        self.path = path
        self.base = base
        self.account = agent

    def json(self) -> dict[str, Any]:
        """The body as an object."""
        if not self.body:
            raise WeComError(44002)
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise WeComError(47001) from error
        if not isinstance(value, dict):
            raise WeComError(47001)
        return value

    # --- arguments ------------------------------------------------------------------------------------------------

    @staticmethod
    def texts(data: dict[str, Any], name: str, most: int, *, needed: bool = True) -> list[str]:
        """A list of texts; 40063 when it is missing, 40058 when it is no such list or too long."""
        value = data.get(name)
        if value is None or value == []:
            if needed:
                raise WeComError(40063, name)
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or len(value) > most:
            raise WeComError(40058, name)
        return value

    @staticmethod
    def string(data: dict[str, Any], name: str, most: int = 0, *, needed: bool = False, size: bool = False) -> str:
        """A text of at most so many characters (``size``: bytes)."""
        value = data.get(name, "")
        if value in ("", None):
            if needed:
                raise WeComError(40063, name)
            return ""
        if not isinstance(value, str) or (most and len(value.encode() if size else value) > most):
            raise WeComError(40058, name)
        return value

    @staticmethod
    def number(data: dict[str, Any], name: str, default: int, most: int) -> int:
        """A number from 1 to ``most``; 0 and nothing give the default."""
        value = data.get(name) or default
        if type(value) is not int or not 1 <= value <= most:  # True is no number
            raise WeComError(40058, name)
        return value

    @staticmethod
    def whole(data: dict[str, Any], name: str, default: int = 0) -> int:
        """A whole number of 32 bits from 0 on: an order, a moment; nothing gives the default."""
        value = data.get(name)
        if value is None:
            return default
        if type(value) is not int or not 0 <= value < 2**32:
            raise WeComError(40058, name)
        return value

    @staticmethod
    def inner(data: dict[str, Any], name: str) -> dict[str, Any]:
        """An object inside; nothing gives an empty one."""
        value = data.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise WeComError(40058, name)
        return value

    def decimal(self, name: str) -> int:
        """A number of the address."""
        text = self.query.get(name, "")
        if not text:
            raise WeComError(40063, name)
        if not (text.isascii() and text.isdecimal() and len(text) <= 10):
            raise WeComError(40058, name)
        return int(text)

    @staticmethod
    def start(data: dict[str, Any]) -> int:
        """Where a page begins: what the answer before called next_cursor."""
        cursor = data.get("cursor") or "0"
        digits = str(cursor).removeprefix("CURSOR")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10):
            raise WeComError(40058, "cursor")
        return int(digits)

    # --- who is meant ---------------------------------------------------------------------------------------------

    def staff(self, userid: Any, *, unknown: int = 40003) -> Staff:
        """A member of staff in the application's range: 41035, 40003 or 60111, 60011."""
        if not userid:
            raise WeComError(41035)
        member = self.corp.staff.get(userid) if isinstance(userid, str) else None
        if member is None:
            raise WeComError(unknown)
        if not self.agent.sees(member.userid):
            raise WeComError(60011)
        return member

    def serving(self, userid: Any) -> Staff:
        """A member of staff who may have customers: 40003 when gone, 40098, 84083 (reference: WeCom 2.6)."""
        member = self.staff(userid)
        if member.left_at is not None:
            raise WeComError(40003)
        if not member.real_name:
            raise WeComError(40098)
        if not member.contact:
            raise WeComError(84083)
        return member

    def external(self, external: Any) -> str:
        """An external_userid of this corp; another corp's is noted as a mix-up (40096)."""
        if not isinstance(external, str) or external not in self.corp.contacts:
            if isinstance(external, str) and any(external in corp.contacts for corp in self.sim.wecom.corps.values()):
                self.sim.mix_ups += 1
            raise WeComError(40096)
        return external


Handler = Callable[[WeComCall], dict[str, Any] | Picture]


class Route:
    """A path of WeCom."""

    __slots__ = ("contact", "handler", "method", "token")

    def __init__(self, method: str, handler: Handler, *, token: bool, contact: bool) -> None:
        self.method = method
        self.handler = handler
        self.token = token
        self.contact = contact  # customer contact: only for applications that may use it (84074)


ROUTES: dict[str, Route] = {}


def api(method: str, path: str, *, token: bool = True) -> Callable[[Handler], Handler]:
    """Register a handler by its path below ``/cgi-bin``."""

    def register(handler: Handler) -> Handler:
        contact = path.startswith(("/externalcontact/", "/idconvert/"))
        ROUTES[f"{PREFIX}/cgi-bin{path}"] = Route(method, handler, token=token, contact=contact)
        return handler

    return register


def ok(**more: Any) -> dict[str, Any]:
    """Success: always with errcode 0 (reference: WeCom 0)."""
    return {"errcode": 0, "errmsg": "ok", **more}


def cut(rows: list[Any], start: int, limit: int) -> tuple[list[Any], str]:
    """A page and the cursor of the next; empty at the end."""
    end = start + limit
    return rows[start:end], f"CURSOR{end}" if end < len(rows) else ""
