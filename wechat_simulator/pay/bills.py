"""Trade bills: made the next day, fetched from ten, with a link that lives five minutes (pay reference 3.10)."""

from __future__ import annotations

import base64
import gzip
import hashlib
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from wechat_simulator.clock import SHANGHAI
from wechat_simulator.pay.errors import PayError, wrong
from wechat_simulator.pay.model import Merchant, Order, Refund
from wechat_simulator.world import token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.pay.orders import Pay

LINK_LIFE = 300.0
READY_AT = 10  # o'clock
KEPT_DAYS = 92  # three months
TYPES = ("ALL", "SUCCESS", "REFUND", "RECHARGE_REFUND")
PATH = "/v3/billdownload/file"
COLUMNS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,"
    "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"


def ask(pay: Pay, merchant: Merchant, query: dict[str, str], base: str) -> dict[str, Any]:
    """Hash and link of a day's bill; the hash is of the file before it was packed."""
    day = _day(query.get("bill_date", ""))
    kind = query.get("bill_type", "ALL")
    if kind not in TYPES:
        raise wrong("bill_type", f"应为 {'、'.join(TYPES)}", kind, location="query")
    if query.get("tar_type", "GZIP") != "GZIP":
        raise wrong("tar_type", "应为 GZIP", query["tar_type"], location="query")
    now = datetime.fromtimestamp(pay.now, SHANGHAI)
    if day >= now.date() or day < now.date() - timedelta(days=KEPT_DAYS):
        raise wrong("bill_date", "账单日期须在昨天到三个月前之间", str(day), location="query")
    if day == now.date() - timedelta(days=1) and now.hour < READY_AT:
        raise PayError("STATEMENT_CREATING")
    file = contents(pay, merchant, day, kind)
    if not file:
        raise PayError("NO_STATEMENT_EXIST")
    token = token_urlsafe(64, pay.sim.world.seed, "bill", str(pay.sim.world.number()))
    body = gzip.compress(file, mtime=0) if query.get("tar_type") else file
    pay.files = {key: row for key, row in pay.files.items() if row[1] > pay.now}
    pay.files[token] = [merchant.mchid, pay.now + LINK_LIFE, base64.b64encode(body).decode()]
    digest = hashlib.sha1(file, usedforsecurity=False).hexdigest()
    return {"hash_type": "SHA1", "hash_value": digest, "download_url": f"{base}{PATH}?token={token}"}


def fetch(pay: Pay, merchant: Merchant, token: str) -> bytes:
    """The file of a link that is alive, for the merchant it was made for."""
    row = pay.files.get(token)
    if row is None or row[0] != merchant.mchid or row[1] <= pay.now:
        raise PayError("RESOURCE_NOT_EXISTS", "账单下载链接无效或已过期")
    return base64.b64decode(row[2])


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise wrong("bill_date", "格式应为 YYYY-MM-DD", text, location="query") from error
    if day.isoformat() != text:  # Python reads weeks and days without dashes too
        raise wrong("bill_date", "格式应为 YYYY-MM-DD", text, location="query")
    return day


def contents(pay: Pay, merchant: Merchant, day: date, kind: str) -> bytes:
    """Payments and accepted refunds of a day; empty when there were none."""
    rows: list[tuple[float, list[str], list[int]]] = []
    if kind in ("ALL", "SUCCESS"):
        rows += [_paid(merchant, item) for item in pay.orders.values() if item.mchid == merchant.mchid and item.paid_at]
    if kind in ("ALL", "REFUND"):
        rows += [
            _refunded(merchant, pay.orders[item.mchid, item.out_trade_no], item)
            for item in pay.refunds.values()
            if item.mchid == merchant.mchid
        ]
    rows = sorted((row for row in rows if _date(row[0]) == day), key=lambda row: row[0])
    if not rows:
        return b""
    sums = [sum(row[2][index] for row in rows) for index in range(6)]
    lines = [COLUMNS, *(_line(row[1]) for row in rows), SUMMARY, _line([str(len(rows)), *map(yuan, sums)])]
    return "".join(line + "\r\n" for line in lines).encode()


def _line(values: list[str]) -> str:
    """Every value behind a backtick; commas inside stay as they are."""
    return ",".join("`" + value for value in values)


def _date(epoch: float) -> date:
    return datetime.fromtimestamp(epoch, SHANGHAI).date()


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(int(epoch), SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def yuan(fen: int) -> str:
    """Two decimals."""
    return str((Decimal(fen) / 100).quantize(Decimal("0.01")))


def fee(merchant: Merchant, fen: int) -> int:
    """In fen, half up."""
    return int((Decimal(fen) * Decimal(merchant.fee_rate) / 100).quantize(Decimal(1), ROUND_HALF_UP))


def _common(merchant: Merchant, order: Order, at: float, state: str) -> list[str]:
    return [
        _time(at), order.appid, merchant.mchid, "0", "", order.transaction_id, order.out_trade_no, order.openid,
        "JSAPI", state, "OTHERS", "CNY",
    ]  # fmt: skip


def _paid(merchant: Merchant, order: Order) -> tuple[float, list[str], list[int]]:
    cost = fee(merchant, order.total)
    row = [
        *_common(merchant, order, order.paid_at, "SUCCESS"), yuan(order.total), yuan(order.coupon), "0", "0", "0.00",
        "0.00", "", "", order.asked["description"], order.asked.get("attach", ""), yuan(cost), merchant.fee_rate + "%",
        yuan(order.total), "0.00", "",
    ]  # fmt: skip
    return order.paid_at, row, [order.total, 0, 0, cost, order.total, 0]


def _refunded(merchant: Merchant, order: Order, refund: Refund) -> tuple[float, list[str], list[int]]:
    cost = -fee(merchant, refund.refund)
    discount = refund.refund - refund.payer_refund
    row = [
        *_common(merchant, order, refund.created_at, "REFUND"), "0.00", "0.00", refund.refund_id, refund.out_refund_no,
        yuan(refund.refund), yuan(discount), refund.channel, "PROCESSING", order.asked["description"],
        order.asked.get("attach", ""), yuan(cost), merchant.fee_rate + "%", "0.00", yuan(refund.refund), "",
    ]  # fmt: skip
    return refund.created_at, row, [0, refund.refund, discount, cost, 0, refund.refund]
