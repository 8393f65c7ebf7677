"""WeChat Pay over HTTP: the request's signature, the answer's, faults between them (pay reference 3.2, 3.3, 3.11)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from wechat_simulator.faults import Answer, Fault, produce
from wechat_simulator.pay.api import File, Handler, PayCall, PayRoute, find
from wechat_simulator.pay.crypto import SCHEME, lines, sign, verify
from wechat_simulator.pay.errors import PayError
from wechat_simulator.pay.model import Merchant, key_of
from wechat_simulator.pay.notify import compact
from wechat_simulator.world import token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Transmit = Callable[[Answer, Scope, Receive, Send], Awaitable[None]]
PREFIX = "/v3/"
SKEW = 300  # seconds, in both directions
PARTS = re.compile(r'(\w+)="([^"]*)"')
Outcome = tuple[int, int, dict[str, Any] | File | None, str]  # status, cause, contents, what the log says
NOT_HANDLED: Outcome = (200, 0, {}, "(not handled)")
NEEDED = {"mchid", "nonce_str", "timestamp", "serial_no", "signature"}

logger = logging.getLogger(__name__)


class PayServer:
    """Answers everything below ``/v3/``."""

    def __init__(self, sim: Simulation, transmit: Transmit) -> None:
        self.sim = sim
        self._transmit = transmit
        self._previous: dict[str, bytes] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        sim, started = self.sim, time.perf_counter()
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            return
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        route, given = find(scope["method"], scope["path"])
        path = route.path if route else scope["path"]
        mchid = dict(PARTS.findall(headers.get("authorization", ""))).get("mchid", "")
        hits = sim.faults.for_call(mchid, path) if sim.faults.api_active else []
        if sim.switches.latency_ms:
            await asyncio.sleep(sim.switches.latency_ms / 1000)
        for fault in hits:
            if fault.kind == "latency" and fault.effect == "before":
                await asyncio.sleep(fault.delay())
        at = sim.clock.now()
        exchange = _Exchange(scope, headers, body, mchid, route=route, given=given)
        answer = self._answer(exchange, path, hits)
        for fault in hits:
            if fault.kind == "latency" and fault.effect == "after":
                await asyncio.sleep(fault.delay())
        sim.truth.call(
            real=time.time(),
            at=at,
            appid=mchid,
            method=scope["method"],
            path=path,
            body=body,
            result=answer.result,
            faults=tuple(fault.id for fault in hits),
            milliseconds=round((time.perf_counter() - started) * 1000, 2),
        )
        await self._transmit(answer, scope, receive, send)

    def _answer(self, exchange: _Exchange, path: str, hits: list[Fault]) -> Answer:
        """Handle it, or not; change the contents, sign them, then spoil what was signed."""
        instead = any(fault.effect == "before" and fault.kind != "latency" for fault in hits)
        status, cause, contents, result = NOT_HANDLED if instead else self._handle(exchange)
        if isinstance(contents, File):
            answer = Answer(contents.body, "text/plain")
            answer.result = result
            return self._spoil(answer, hits, path)
        for fault in hits:
            if fault.kind in ("pay_error", "errcode"):
                code = str(fault.params.get("code", "SYSTEM_ERROR"))
                error = PayError(code, str(fault.params.get("message", "")), status=int(fault.params.get("status", 0)))
                status, cause, contents = error.status, error.cause, error.body()
                result = f"{status} {code} {result}".strip()
            elif fault.kind == "pay_answer" and contents is not None:
                contents = {**contents, **fault.params.get("set", {})}
                for name in fault.params.get("remove", ()):
                    contents.pop(name, None)
        answer = self._signed(exchange, status, contents, cause, hits)
        answer.result = result
        return self._spoil(answer, hits, path)

    def _spoil(self, answer: Answer, hits: list[Fault], path: str) -> Answer:
        fine = answer.body
        for fault in hits:
            if not fault.kind.startswith("pay_") and fault.kind not in ("latency", "errcode", "kill_token"):
                produce(fault, answer, self._previous.get(path, b""))
            if fault.kind != "latency":
                answer.result = f"{answer.result} {fault.kind}"
        if not hits:
            self._previous[path] = fine
        return answer

    def _signed(
        self, exchange: _Exchange, status: int, contents: dict[str, Any] | None, cause: int, hits: list[Fault]
    ) -> Answer:
        """An answer with its headers; refusals are signed too, 204 over an empty body (3.3)."""
        sim = self.sim
        answer = Answer(b"" if contents is None else compact(contents), "application/json; charset=utf-8")
        answer.status = 204 if contents is None else status
        number = token_urlsafe(32, sim.world.seed, "pay answer", str(sim.world.number()))
        answer.headers.append((b"request-id", f"{number.encode().hex()[:32].upper()}-{cause}".encode()))
        kinds = {fault.kind for fault in hits}
        if "pay_unsigned" in kinds:
            return answer
        merchant = sim.pay.merchants.get(exchange.mchid)
        serial, key = sim.pay.signer(merchant, wanted=exchange.headers.get("wechatpay-serial", ""))
        if "pay_forged_answer" in kinds and merchant is not None:
            key = key_of(merchant.private_key)
        stamp = str(int(sim.clock.now()))
        proof = sign(key, lines(stamp, number, answer.body))
        for name, value in (
            ("Wechatpay-Timestamp", stamp),
            ("Wechatpay-Nonce", number),
            ("Wechatpay-Signature", proof),
            ("Wechatpay-Serial", serial),
            ("Wechatpay-Signature-Type", SCHEME),
        ):
            answer.headers.append((name.encode(), value.encode()))
        return answer

    def _handle(self, exchange: _Exchange) -> Outcome:
        """Status, cause, contents, and what the log says."""
        try:
            merchant = self._signer(exchange)
            handler = exchange.handler()
            call = PayCall(
                self.sim.pay, merchant, exchange.query, exchange.body, exchange.given,
                exchange.headers.get("wechatpay-serial", ""), f"http://{exchange.headers.get('host', '127.0.0.1')}",
            )  # fmt: skip
            contents = handler(call)
        except PayError as error:
            return error.status, error.cause, error.body(), f"{error.status} {error.code}"
        except Exception:
            logger.exception("handler of %s failed", exchange.path)
            return 500, 0, PayError("SYSTEM_ERROR").body(), "500 SYSTEM_ERROR"
        return 200, 0, contents, "204" if contents is None else "200"

    def _signer(self, exchange: _Exchange) -> Merchant:
        """Who signed these very bytes, not longer than five minutes ago; SIGN_ERROR otherwise (3.2, 5.2)."""
        named = exchange.headers.get("user-agent") and exchange.headers.get("accept")
        if self.sim.switches.pay_require_user_agent and not named:
            raise PayError("PARAM_ERROR", "Http头缺少Accept或User-Agent", cause="parameter")
        scheme, _, rest = exchange.headers.get("authorization", "").partition(" ")
        found = dict(PARTS.findall(rest))
        if scheme != SCHEME or set(found) != NEEDED:
            raise _unsigned("Authorization 缺失或格式不对", exchange)
        merchant = self.sim.pay.merchants.get(found["mchid"])
        if merchant is None:
            code = self.sim.switches.pay_unknown_merchant_code
            raise PayError(code, f"商户号 {found['mchid']} 不存在", cause="appid" if code.startswith("APPID") else "")
        if found["serial_no"] != merchant.serial_no:
            raise _unsigned("商户证书序列号有误", exchange)
        stamp = found["timestamp"]
        if not re.fullmatch(r"\d{10}", stamp) or abs(int(self.sim.clock.now()) - int(stamp)) > SKEW:
            raise _unsigned("时间戳与服务器时间相差超过 5 分钟", exchange)
        if not 0 < len(found["nonce_str"]) <= 32:
            raise _unsigned("随机串长度不对", exchange)
        message = lines(exchange.method, exchange.url, stamp, found["nonce_str"], exchange.body)
        if not verify(key_of(merchant.private_key).public_key(), found["signature"], message):
            raise _unsigned("sign not match", exchange)
        return merchant


def _unsigned(issue: str, exchange: _Exchange) -> PayError:
    detail = {
        "location": "authorization",
        "field": "signature",
        "detail": {"issue": issue},
        "sign_information": {"method": exchange.method, "url": exchange.url.decode(errors="replace")},
    }
    return PayError("SIGN_ERROR", cause="signature", detail=detail)


class _Exchange:
    """What came: the URL as it was sent, percent-encoding included, because it is signed (3.2)."""

    def __init__(
        self, scope: Scope, headers: dict[str, str], body: bytes, mchid: str, *, route: PayRoute | None,
        given: dict[str, str],
    ) -> None:  # fmt: skip
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        raw_query: bytes = scope["query_string"]
        self.url: bytes = scope["raw_path"] + (b"?" + raw_query if raw_query else b"")
        self.query = dict(parse_qsl(raw_query.decode("latin-1"), keep_blank_values=True))
        self.headers = headers
        self.body = body
        self.mchid = mchid
        self.route = route
        self.given = given

    def handler(self) -> Handler:
        """What answers this path."""
        if self.route is None:
            raise PayError("RESOURCE_NOT_EXISTS", "接口不存在")
        return self.route.handler


def as_json(raw: bytes) -> dict[str, Any]:
    """A body of the control API."""
    value = json.loads(raw or b"{}")
    if not isinstance(value, dict):
        msg = "the body is not a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for a bad request
    return value
