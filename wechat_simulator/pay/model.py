"""Merchants, orders and refunds as they are kept; every one is plain data, so it survives a restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from wechat_simulator.clock import SHANGHAI
from wechat_simulator.pay.keys import read_private

KEY_MODES = ("certificate", "public_key", "both")
NOTPAY, SUCCESS, REFUND, CLOSED = "NOTPAY", "SUCCESS", "REFUND", "CLOSED"
PROCESSING, ABNORMAL = "PROCESSING", "ABNORMAL"
STATE_WORDS = {NOTPAY: "订单未支付", SUCCESS: "支付成功", REFUND: "转入退款", CLOSED: "订单已关闭"}


@lru_cache(maxsize=256)
def key_of(pem: str) -> rsa.RSAPrivateKey:
    """Read once per key."""
    return read_private(pem)


def moment(epoch: float) -> str:
    """RFC 3339 with +08:00 (pay reference 0)."""
    return datetime.fromtimestamp(int(epoch), SHANGHAI).isoformat(timespec="seconds")


def digits(epoch: float, form: str = "%Y%m%d") -> str:
    """The day, or more of the moment, in Shanghai."""
    return datetime.fromtimestamp(epoch, SHANGHAI).strftime(form)


@dataclass
class Merchant:
    """A direct merchant (直连商户): credentials, the appids bound to it, and what it has (pay reference 3.1)."""

    mchid: str
    name: str = ""
    appids: list[str] = field(default_factory=list)
    api_v3_key: str = ""
    key_mode: str = "certificate"
    private_key: str = ""
    certificate: str = ""
    serial_no: str = ""
    public_key_id: str = ""
    platform_private_key: str = ""  # of the pair whose public half the merchant downloads
    ramp_started_at: float = 0.0  # key_mode both: when notifications began to move to the public key
    balance: int = 0
    fee_rate: str = "0.60"  # per cent, as the bill says it


@dataclass
class Order:
    """One order of a merchant."""

    mchid: str
    out_trade_no: str
    asked: dict[str, Any]  # the body of the first request: a repetition must be identical
    prepay_id: str
    prepaid_at: float
    created_at: float
    expires_at: float
    state: str = NOTPAY
    transaction_id: str = ""
    paid_at: float = 0.0
    coupon: int = 0
    declined: int = 0
    closed_by: str = ""  # merchant | time

    @property
    def appid(self) -> str:
        """Whose openid pays."""
        return str(self.asked["appid"])

    @property
    def openid(self) -> str:
        """Who pays."""
        return str(self.asked["payer"]["openid"])

    @property
    def total(self) -> int:
        """In fen."""
        return int(self.asked["amount"]["total"])

    @property
    def payer_total(self) -> int:
        """After coupons."""
        return self.total - self.coupon

    @property
    def currency(self) -> str:
        """Always CNY."""
        return str(self.asked["amount"].get("currency", "CNY"))

    def fields(self) -> dict[str, Any]:
        """What a query answers, and a notification carries once paid (pay reference 3.7, 3.8; vector V6)."""
        row: dict[str, Any] = {"mchid": self.mchid, "appid": self.appid, "out_trade_no": self.out_trade_no}
        if self.transaction_id:
            row["transaction_id"] = self.transaction_id
            row["trade_type"] = "JSAPI"
        row |= {"trade_state": self.state, "trade_state_desc": STATE_WORDS[self.state]}
        if not self.transaction_id:
            row["attach"] = self.asked.get("attach", "")
            row["amount"] = {"total": self.total, "currency": self.currency}
            return row
        row |= {"bank_type": "OTHERS", "attach": self.asked.get("attach", "")}
        row |= {"success_time": moment(self.paid_at), "payer": {"openid": self.openid}}
        row["amount"] = {"total": self.total, "payer_total": self.payer_total}
        row["amount"] |= {"currency": self.currency, "payer_currency": self.currency}
        if self.coupon:
            row["promotion_detail"] = [self.promotion()]
        return row

    def promotion(self) -> dict[str, Any]:
        """The coupon that was used: money of the merchant's, on the whole order."""
        return {
            "coupon_id": f"1{self.transaction_id[-9:]}",
            "name": "立减券",
            "scope": "GLOBAL",
            "type": "CASH",
            "amount": self.coupon,
            "stock_id": "9800001",
            "wechatpay_contribute": 0,
            "merchant_contribute": self.coupon,
            "other_contribute": 0,
            "currency": "CNY",
            "goods_detail": [],
        }


@dataclass
class Refund:
    """One refund of an order (pay reference 3.9)."""

    mchid: str
    out_refund_no: str
    out_trade_no: str
    transaction_id: str
    refund_id: str
    asked: dict[str, Any]
    created_at: float
    payer_refund: int
    total: int
    payer_total: int
    status: str = PROCESSING
    success_at: float = 0.0
    account: str = "支付用户零钱"
    channel: str = "ORIGINAL"

    @property
    def refund(self) -> int:
        """In fen."""
        return int(self.asked["amount"]["refund"])

    @property
    def counts(self) -> bool:
        """Whether it takes from what can be refunded: a closed one does not."""
        return self.status != CLOSED

    def fields(self) -> dict[str, Any]:
        """What the request and the query answer: ``status``."""
        row: dict[str, Any] = {
            "refund_id": self.refund_id,
            "out_refund_no": self.out_refund_no,
            "transaction_id": self.transaction_id,
            "out_trade_no": self.out_trade_no,
            "channel": self.channel,
            "user_received_account": self.account,
        }
        if self.success_at:
            row["success_time"] = moment(self.success_at)
        row |= {"create_time": moment(self.created_at), "status": self.status}
        row["funds_account"] = self.asked.get("funds_account", "UNSETTLED")
        discount = self.refund - self.payer_refund
        row["amount"] = {
            "total": self.total,
            "refund": self.refund,
            "payer_total": self.payer_total,
            "payer_refund": self.payer_refund,
            "settlement_refund": self.refund,
            "settlement_total": self.total,
            "discount_refund": discount,
            "currency": "CNY",
            "refund_fee": 0,
        }
        row["promotion_detail"] = []
        return row

    def notified(self) -> dict[str, Any]:
        """What a notification carries: ``refund_status``."""
        row: dict[str, Any] = {
            "mchid": self.mchid,
            "out_trade_no": self.out_trade_no,
            "transaction_id": self.transaction_id,
            "out_refund_no": self.out_refund_no,
            "refund_id": self.refund_id,
            "refund_status": self.status,
        }
        if self.success_at:
            row["success_time"] = moment(self.success_at)
        row["user_received_account"] = self.account
        row["amount"] = {
            "total": self.total,
            "refund": self.refund,
            "payer_total": self.payer_total,
            "payer_refund": self.payer_refund,
        }
        return row
