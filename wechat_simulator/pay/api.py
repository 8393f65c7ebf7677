"""The paths of WeChat Pay and what each does; a request that comes here was signed well."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wechat_simulator.pay import bills, bodies
from wechat_simulator.pay.crypto import NONCE, seal
from wechat_simulator.pay.errors import PayError, wrong
from wechat_simulator.pay.model import Merchant, moment
from wechat_simulator.world import token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.pay.orders import Pay


@dataclass
class PayCall:
    """One request: the merchant is known, the signature was right."""

    pay: Pay
    merchant: Merchant
    query: dict[str, str]
    body: bytes
    given: dict[str, str]  # from the path
    wanted: str  # Wechatpay-Serial of the request
    base: str

    def json(self) -> dict[str, Any]:
        """The body as an object, or PARAM_ERROR."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise wrong("/", "请求体不是 JSON") from error
        if not isinstance(value, dict):
            raise wrong("/", "请求体不是 JSON 对象")
        return value

    def own(self, mchid: Any, location: str) -> None:
        """The merchant number of the query or body must be the one that signed (268447843)."""
        if mchid != self.merchant.mchid:
            raise wrong("mchid", "与请求头中的商户号不一致", mchid, cause="mchid", location=location)


class File:
    """An answer that is not signed: a bill."""

    def __init__(self, body: bytes) -> None:
        self.body = body


Handler = Callable[[PayCall], dict[str, Any] | File | None]


@dataclass(frozen=True)
class PayRoute:
    """A path with its parts; ``None`` from the handler is 204."""

    method: str
    path: str
    pattern: re.Pattern[str]
    handler: Handler


ROUTES: list[PayRoute] = []


def api(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a handler."""

    def register(handler: Handler) -> Handler:
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
        ROUTES.append(PayRoute(method, path, pattern, handler))
        return handler

    return register


def find(method: str, path: str) -> tuple[PayRoute | None, dict[str, str]]:
    """The route of a path and what stands in its place holders."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict()
    return None, {}


@api("GET", "/v3/certificates")
def certificates(call: PayCall) -> dict[str, Any]:
    """Platform certificates, sealed with the APIv3 key; a merchant with the public key alone has none (3.4)."""
    if call.merchant.key_mode == "public_key":
        raise PayError("RESOURCE_NOT_EXISTS", "无可用的平台证书，请使用微信支付公钥")
    wanted = call.query.get("algorithm_type", "RSA")
    if wanted not in ("RSA", "SM2", "ALL"):
        raise wrong("algorithm_type", "应为 RSA、SM2、ALL", wanted, location="query")
    rows = []
    for item in call.pay.platform.valid(call.pay.now) if wanted != "SM2" else []:
        nonce = token_urlsafe(NONCE, call.pay.sim.world.seed, "certificate", str(call.pay.sim.world.number()))
        sealed = {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": seal(call.merchant.api_v3_key, nonce, "certificate", item.pem.encode()),
        }
        rows.append(
            {
                "serial_no": item.serial,
                "effective_time": moment(item.effective),
                "expire_time": moment(item.expires),
                "encrypt_certificate": sealed,
            }
        )
    return {"data": rows}


@api("POST", "/v3/pay/transactions/jsapi")
def jsapi(call: PayCall) -> dict[str, Any]:
    """Prepay (3.6)."""
    return {"prepay_id": call.pay.prepay(call.merchant, call.json()).prepay_id}


@api("GET", "/v3/pay/transactions/out-trade-no/{out_trade_no}")
def by_number(call: PayCall) -> dict[str, Any]:
    """Query by the merchant's number (3.7)."""
    call.own(call.query.get("mchid"), "query")
    return call.pay.order(call.merchant.mchid, call.given["out_trade_no"]).fields()


@api("GET", "/v3/pay/transactions/id/{transaction_id}")
def by_transaction(call: PayCall) -> dict[str, Any]:
    """Query by WeChat's number (3.7)."""
    call.own(call.query.get("mchid"), "query")
    order = call.pay.by_transaction(call.merchant.mchid, call.given["transaction_id"])
    if order is None:
        raise PayError("ORDER_NOT_EXIST", cause="missing order")
    return order.fields()


@api("POST", "/v3/pay/transactions/out-trade-no/{out_trade_no}/close")
def close(call: PayCall) -> None:
    """Close: 204 (3.7)."""
    body = call.json()
    bodies.CLOSE.check(body)
    call.own(body["mchid"], "body")
    call.pay.close(call.pay.order(call.merchant.mchid, call.given["out_trade_no"]))


@api("POST", "/v3/refund/domestic/refunds")
def refund(call: PayCall) -> dict[str, Any]:
    """Ask for a refund: accepted, not done (3.9)."""
    return call.pay.refund(call.merchant, call.json()).fields()


@api("GET", "/v3/refund/domestic/refunds/{out_refund_no}")
def one_refund(call: PayCall) -> dict[str, Any]:
    """Query a refund (3.9)."""
    found = call.pay.refunds.get((call.merchant.mchid, call.given["out_refund_no"]))
    if found is None:
        raise PayError("RESOURCE_NOT_EXISTS", "退款单不存在")
    return found.fields()


@api("POST", "/v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund")
def abnormal(call: PayCall) -> dict[str, Any]:
    """Give an abnormal refund back another way (3.9)."""
    return call.pay.settle_abnormal(call.merchant, call.given["refund_id"], call.json(), call.wanted).fields()


@api("GET", "/v3/bill/tradebill")
def trade_bill(call: PayCall) -> dict[str, Any]:
    """Hash and link of a day's bill (3.10)."""
    return bills.ask(call.pay, call.merchant, call.query, call.base)


@api("GET", bills.PATH)
def bill_file(call: PayCall) -> File:
    """The file, unsigned (3.10)."""
    return File(bills.fetch(call.pay, call.merchant, call.query.get("token", "")))
