"""The HTTP side: WeChat's own paths as raw ASGI (they carry the load), the control API and the phone in Starlette."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from wechat_simulator.api import ROUTES, Call, Picture, Route
from wechat_simulator.api.base import ESCAPE, NOBODY, Handler
from wechat_simulator.components import SETS
from wechat_simulator.control import control_app
from wechat_simulator.errors import WeChatError, answer_of
from wechat_simulator.faults import Answer, Fault, produce
from wechat_simulator.pay.server import PREFIX as PAY_PREFIX
from wechat_simulator.pay.server import PayServer
from wechat_simulator.simulation import Simulation
from wechat_simulator.wecom import errors as wecom_errors
from wechat_simulator.wecom.base import PREFIX as WECOM
from wechat_simulator.world import Account

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
TRANSPORT = "wechat_simulator.transport"
# What an account whose verification is missing or over may not use (reference: service account 3.8, 6.3).
OF_VERIFIED = (
    "/cgi-bin/user/",
    "/cgi-bin/tags/",
    "/cgi-bin/template/",
    "/cgi-bin/message/",
    "/cgi-bin/qrcode/",
    "/wxaapi/newtmpl/",
)
WECHAT_PREFIXES = ("/qyapi/", "/cgi-bin/", "/sns/", "/wxa/", "/wxaapi/", "/datacube/", "/customservice/", "/connect/")

logger = logging.getLogger(__name__)


class Application:
    """ASGI application of one simulation."""

    def __init__(self, sim: Simulation, state_dir: Path | None = None) -> None:
        self.sim = sim
        self.state_dir = state_dir
        self._control = control_app(sim, state_dir)
        self._pay = PayServer(sim, self._transmit)
        self._previous: dict[str, bytes] = {}
        self._runner: asyncio.Task[None] | None = None
        self._date = (0, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event."""
        if scope["type"] == "http":
            path = scope["path"]
            if path.startswith(WECHAT_PREFIXES):
                await self._wechat(scope, receive, send, path)
            elif path.startswith(PAY_PREFIX):
                await self._pay(scope, receive, send)
            else:
                await self._control(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._runner = asyncio.get_running_loop().create_task(self.sim.timers.run())
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._runner is not None:
                    self._runner.cancel()
                    with suppress(asyncio.CancelledError):
                        await self._runner
                self.sim.pushes.close()
                if self.state_dir is not None:
                    self.sim.save(self.state_dir)
                await send({"type": "lifespan.shutdown.complete"})
                return

    # --- WeChat's paths -------------------------------------------------------------------------------------------

    async def _wechat(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        sim = self.sim
        started = time.perf_counter()
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            return  # the request was never whole: not a call
        raw_query: bytes = scope["query_string"]
        query = dict(parse_qsl(raw_query.decode("latin-1"), keep_blank_values=True)) if raw_query else {}
        client = scope.get("client")
        call = Call(sim, query, body, client[0] if client else "127.0.0.1", sim.clock.now())
        route = ROUTES.get(path)
        if path.startswith(WECOM) and scope.get("server"):
            sim.wecom.base = "http://{}:{}".format(*scope["server"])
        token = query.get("access_token")
        appid = sim.tokens.appid_of(token) if token else self._named_appid(query, body)
        hits = sim.faults.for_call(appid, path) if sim.faults.api_active else []
        if sim.switches.latency_ms:
            await asyncio.sleep(sim.switches.latency_ms / 1000)
        answer = await self._answer(call, scope["method"], path, route=route, hits=hits, appid=appid)
        for fault in hits:
            if fault.kind == "latency" and fault.effect == "after":
                await asyncio.sleep(fault.delay())
        sim.truth.call(
            real=time.time(),
            at=call.now,
            appid=call.account.appid or appid,
            method=scope["method"],
            path=path,
            body=body,
            result=answer.result,
            faults=tuple(fault.id for fault in hits),
            milliseconds=round((time.perf_counter() - started) * 1000, 2),
        )
        await self._transmit(answer, scope, receive, send)

    @staticmethod
    def _named_appid(query: dict[str, str], body: bytes) -> str:
        """The appid a token call names, so that faults can be aimed at one account."""
        if "appid" in query or "corpid" in query:
            return query.get("appid") or query.get("corpid", "")
        if b'"appid"' in body:
            with suppress(ValueError):
                value = json.loads(body)
                if isinstance(value, dict):
                    return str(value.get("appid", ""))
        return ""

    async def _answer(
        self, call: Call, method: str, path: str, *, route: Route | None, hits: list[Fault], appid: str
    ) -> Answer:
        before: list[Fault] = []
        for fault in hits:
            if fault.effect == "before":
                if fault.kind == "latency":
                    await asyncio.sleep(fault.delay())
                elif fault.kind == "kill_token":
                    self.sim.tokens.kill(appid, call.now, expire=bool(fault.params.get("expire")))
                else:
                    before.append(fault)
        call.now = self.sim.clock.now()
        if before:
            answer = self._faulty(before, call, Answer(b'{"errcode":0,"errmsg":"ok"}'), path, appid)
            answer.result += " (not handled)"
        else:
            answer = self._handle(call, method, path, route)
        after = [fault for fault in hits if fault.effect == "after" and fault.kind != "latency"]
        if after:
            answer = self._faulty(after, call, answer, path, appid)
        elif not before and self.sim.faults.api_active:
            self._previous[path] = answer.body
        return answer

    def _handle(self, call: Call, method: str, path: str, route: Route | None) -> Answer:
        """Check the call, run the handler, and put its result or its refusal into an answer."""
        try:
            result = self._checked(call, method, path, route)(call)
        except WeChatError as error:
            return self._refusal(error, call, path)
        except Exception:
            logger.exception("handler of %s failed", path)
            return self._refusal(WeChatError(-1), call, path)
        if isinstance(result, Picture):
            answer = Answer(result.body, result.content_type)
            answer.status, answer.result = result.status, "picture"
            if result.location:
                answer.headers.append((b"location", result.location.encode("latin-1", "replace")))
            return answer
        if isinstance(result, dict):
            result = json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
        answer = Answer(result)
        answer.result = "0"
        return answer

    def _checked(self, call: Call, method: str, path: str, route: Route | None) -> Handler:
        """Method, token, address, quota and escapes, in this order; the handler when all are right."""
        sim = self.sim
        if path.startswith(WECOM):
            return sim.wecom.checked(call, method, path)
        if route is None:
            raise WeChatError(40066)
        if route.method != method:
            raise WeChatError(43001 if route.method == "GET" else 43002)
        if route.token:
            account = self._account_of(call)
            if account.ip_allow and sim.switches.ip_check_every_call and not account.allows(call.address):
                raise WeChatError(40164, f"invalid ip {call.address}, not in whitelist")
            call.account = account
            if account.component is not None and not self._is_granted(call, path):
                raise WeChatError(61007)
            if not account.verified and path.startswith(OF_VERIFIED):
                raise WeChatError(48001)
            if route.counted:
                sim.quotas.spend(account.appid, path, call.now)
        if route.raw_text and b"\\u" in call.body and sim.switches.refuse_unicode_escapes and ESCAPE.search(call.body):
            raise WeChatError(sim.switches.unicode_escape_code)
        return route.handler

    def _account_of(self, call: Call) -> Account:
        """Whoever shows a token of an account; a platform's own token is none (61014)."""
        text = call.query.get("access_token")
        account = self.sim.world.accounts.get(self.sim.tokens.check(text, call.now))
        if account is None:
            raise WeChatError(61014)
        return account

    def _is_granted(self, call: Call, path: str) -> bool:
        if self.sim.tokens.family_of(call.query.get("access_token")) != "authorizer":
            return True
        needed = next((number for prefix, number in SETS.items() if path.startswith(prefix)), 0)
        return not needed or needed in call.account.granted

    def _refusal(self, error: WeChatError, call: Call, path: str) -> Answer:
        rid = self.sim.request_ids.new(call.now)
        wecom = path.startswith(WECOM)
        value = wecom_errors.answer_of(error, rid, call.address) if wecom else answer_of(error, rid)
        answer = Answer(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        answer.result = str(error.code)
        if call.account is not NOBODY:
            self.sim.remember_rid(
                rid,
                {
                    "appid": call.account.appid,
                    "invoke_time": int(call.now),
                    "cost_in_ms": 1,
                    "request_url": path,
                    "request_body": call.body[:4096].decode(errors="replace"),
                    "response_body": answer.body.decode(),
                    "client_ip": call.address,
                },
            )
        return answer

    def _faulty(self, faults: list[Fault], call: Call, answer: Answer, path: str, appid: str) -> Answer:
        for fault in faults:
            if fault.kind == "errcode":
                error = WeChatError(int(fault.params["errcode"]), str(fault.params.get("errmsg", "")))
                answer = self._refusal(error, call, path)
                if fault.params.get("errmsg") is not None:
                    body = {"errcode": error.code, "errmsg": fault.params["errmsg"]}
                    answer.body = json.dumps(body, ensure_ascii=False).encode()
            elif fault.kind == "kill_token":
                self.sim.tokens.kill(appid, call.now, expire=bool(fault.params.get("expire")))
            else:
                produce(fault, answer, self._previous.get(path, b""))
            answer.result = f"{answer.result} {fault.kind}".strip()
        return answer

    # --- sending the answer ---------------------------------------------------------------------------------------

    def _date_header(self, offset: float) -> bytes:
        now = int(time.time())
        if offset:
            return formatdate(now + offset, usegmt=True).encode()
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True).encode())
        return self._date[1]

    async def _transmit(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        kind = answer.transmission
        if kind in ("reset", "close"):
            cut(scope, hard=kind == "reset")
            return
        if kind == "hang":
            with suppress(TimeoutError):
                async with asyncio.timeout(answer.speed):
                    while (await receive())["type"] != "http.disconnect":
                        pass
            cut(scope, hard=False)
            return
        body = answer.body
        length = len(body) if kind != "flood" else int(answer.speed * 1_000_000)
        headers = [
            (b"date", self._date_header(answer.date_offset)),
            (b"content-type", answer.content_type.encode()),
            *answer.headers,
        ]
        if kind != "flood":
            headers.append((b"content-length", b"%d" % length))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if kind == "slow":
            for index in range(length):
                await send(
                    {"type": "http.response.body", "body": body[index : index + 1], "more_body": index + 1 < length}
                )
                await asyncio.sleep(1 / answer.speed)
        elif kind == "flood":
            block = b" " * 65536
            for _ in range(length // len(block) + 1):
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": body})
        else:
            await send({"type": "http.response.body", "body": body})


def cut(scope: Scope, *, hard: bool) -> None:
    """End the connection without an answer: with a TCP reset, or an orderly close."""
    transport: asyncio.Transport | None = scope.get(TRANSPORT)
    if transport is None:
        return
    if hard:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort() if hard else transport.close()
