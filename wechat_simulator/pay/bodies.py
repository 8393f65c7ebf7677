"""What request bodies may hold (pay reference 3.6, 3.9)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa

from wechat_simulator.http_client import is_loopback
from wechat_simulator.pay.crypto import read_sensitive
from wechat_simulator.pay.errors import PayError, wrong
from wechat_simulator.pay.schema import Body, Flag, ListOf, Number, OneOf, Text

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
GOODS = Body(
    {
        "merchant_goods_id": Text(32, required=True),
        "wechatpay_goods_id": Text(32),
        "goods_name": Text(256),
        "quantity": Number(1, required=True),
        "unit_price": Number(required=True),
    }
)
STORE = Body({"id": Text(32, required=True), "name": Text(256), "area_code": Text(32), "address": Text(512)})
PREPAY = Body(
    {
        "appid": Text(32, required=True),
        "mchid": Text(32, required=True),
        "description": Text(127, required=True),
        "out_trade_no": Text(32, 6, r"[0-9A-Za-z_\-|*]+", required=True),
        "time_expire": Text(64),
        "attach": Text(128, 0),
        "notify_url": Text(255, required=True),
        "goods_tag": Text(32),
        "limit_pay": ListOf(OneOf(("no_credit",))),
        "support_fapiao": Flag(),
        "amount": Body({"total": Number(1, required=True), "currency": OneOf(("CNY",))}, required=True),
        "payer": Body({"openid": Text(128, required=True)}, required=True),
        "detail": Body({"cost_price": Number(), "invoice_id": Text(32), "goods_detail": ListOf(GOODS)}),
        "scene_info": Body({"payer_client_ip": Text(45, required=True), "device_id": Text(32), "store_info": STORE}),
        "settle_info": Body({"profit_sharing": Flag()}),
    }
)
CLOSE = Body({"mchid": Text(32, required=True)})
REFUND = Body(
    {
        "transaction_id": Text(32),
        "out_trade_no": Text(32, 6),
        "out_refund_no": Text(64, 1, r"[0-9A-Za-z_\-|*@]+", required=True),
        "reason": Text(80),
        "notify_url": Text(255),
        "funds_account": OneOf(("AVAILABLE", "UNSETTLED")),
        "amount": Body(
            {
                "refund": Number(1, required=True),
                "from": ListOf(
                    Body(
                        {
                            "account": OneOf(("AVAILABLE", "UNAVAILABLE"), required=True),
                            "amount": Number(1, required=True),
                        }
                    )
                ),
                "total": Number(1, required=True),
                "currency": OneOf(("CNY",), required=True),
            },
            required=True,
        ),
        "goods_detail": ListOf(
            Body(
                {
                    "merchant_goods_id": Text(32, required=True),
                    "wechatpay_goods_id": Text(32),
                    "goods_name": Text(256),
                    "unit_price": Number(required=True),
                    "refund_amount": Number(required=True),
                    "refund_quantity": Number(1, required=True),
                }
            )
        ),
    }
)
ABNORMAL = Body(
    {
        "out_refund_no": Text(64, required=True),
        "type": OneOf(("USER_BANK_CARD", "MERCHANT_BANK_CARD"), required=True),
        "bank_type": Text(16),
        "bank_account": Text(1024),
        "real_name": Text(1024),
    }
)


def check_notify_url(url: str) -> None:
    """Https without a query string; http on this machine stands for it here (3.6)."""
    parts = urlsplit(url)
    local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not local:
        raise wrong("/notify_url", "须为 https 地址", url)
    if "?" in url:
        raise wrong("/notify_url", "不能携带参数", url)


def expiry(body: dict[str, Any], _now: float) -> float | None:
    """``time_expire`` as epoch seconds: RFC 3339 with its zone (3.6)."""
    text = body.get("time_expire")
    if not text:
        return None
    if not RFC_3339.fullmatch(text):
        raise wrong("/time_expire", "不是 RFC 3339 格式", text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise wrong("/time_expire", "不是 RFC 3339 格式", text) from error


def check_card(signer: tuple[str, rsa.RSAPrivateKey], serial: str, body: dict[str, Any]) -> None:
    """Sensitive fields are made with the key that ``Wechatpay-Serial`` names (3.4)."""
    named, key = signer
    if not serial or serial.upper() != named.upper():
        raise PayError("PARAM_ERROR", "请求头 Wechatpay-Serial 缺失或不是可用的平台密钥", cause="parameter")
    for name in ("bank_account", "real_name"):
        if read_sensitive(key, str(body.get(name) or "")) is None:
            raise wrong(f"/{name}", "敏感字段解密失败")
