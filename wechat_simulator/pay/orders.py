"""What merchants ask for and people pay: orders and refunds, and what is refused (pay reference 3.6 to 3.9, 5.2)."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import rsa

from wechat_simulator import windows
from wechat_simulator.pay import bodies, keys
from wechat_simulator.pay.errors import PayError, wrong
from wechat_simulator.pay.keys import PUBLIC_KEY_PREFIX, Platform
from wechat_simulator.pay.model import (
    ABNORMAL,
    CLOSED,
    KEY_MODES,
    NOTPAY,
    PROCESSING,
    REFUND,
    SUCCESS,
    Merchant,
    Order,
    Refund,
    digits,
    key_of,
)
from wechat_simulator.pay.notify import Notifications
from wechat_simulator.world import Fan, WorldError, token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

PREPAY_LIFE = 2 * 3600.0
ORDER_LIFE = 7 * 86400.0
MOST_REFUNDS = 50
BETWEEN_REFUNDS = 60.0
REFUND_DAYS = 365
# How much of the notifications carries the new key, day by day (3.4), in tenths of a per cent.
RAMP = (1, 10, 50, 100, 200, 500, 1000)
MERCHANT_FIELDS = ("name", "appids", "api_v3_key", "key_mode", "private_key", "certificate", "serial_no", "fee_rate")


class NotPayableError(ValueError):
    """The person cannot pay that order now; the text is what the phone says."""


class Pay:
    """Every merchant of the simulation."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.platform = Platform(sim.world.seed)
        self.merchants: dict[str, Merchant] = {}
        self.orders: dict[tuple[str, str], Order] = {}
        self.refunds: dict[tuple[str, str], Refund] = {}
        self._paid: dict[tuple[str, str], Order] = {}  # by WeChat's number
        self._refunds_of: dict[tuple[str, str], list[Refund]] = {}  # by the order's number
        self.files: dict[str, list[Any]] = {}  # token of a bill: mchid, end, contents in base64
        self.notifications = Notifications(self)
        sim.timers.on("pay_expire", self._expire)
        sim.timers.on("pay_refund", self._refund_due)

    @property
    def now(self) -> float:
        """The simulated moment."""
        return self.sim.clock.now()

    # --- merchants and keys (3.1, 3.4) --------------------------------------------------------------------------------

    def merchant(self, mchid: str) -> Merchant:
        """By number; ``WorldError`` when unknown."""
        if mchid not in self.merchants:
            msg = f"no merchant {mchid}"
            raise WorldError(msg)
        return self.merchants[mchid]

    def put(self, item: dict[str, Any]) -> Merchant:
        """Add or change a merchant as the world describes it; what is missing is made up."""
        mchid = str(item["mchid"])
        if unknown := set(item) - {"mchid", "balance", *MERCHANT_FIELDS}:
            msg = f"unknown keys {sorted(unknown)} of merchant {mchid}"
            raise WorldError(msg)
        if not re.fullmatch(r"\d{8,10}", mchid):
            msg = f"merchant {mchid}: a number of eight to ten digits"
            raise WorldError(msg)
        merchant = self.merchants.get(mchid) or Merchant(mchid)
        before = merchant.key_mode
        merged = {name: item.get(name, getattr(merchant, name)) for name in MERCHANT_FIELDS}
        self._check(mchid, merged)
        for name, value in merged.items():
            setattr(merchant, name, value)
        if "balance" in item:
            merchant.balance = int(item["balance"])
        self._complete(merchant)
        if merchant.key_mode == "both" and before != "both":
            merchant.ramp_started_at = self.now
        self.merchants[mchid] = merchant
        return merchant

    def _check(self, mchid: str, merged: dict[str, Any]) -> None:
        if merged["key_mode"] not in KEY_MODES:
            msg = f"merchant {mchid}: key_mode is one of {KEY_MODES}"
            raise WorldError(msg)
        if merged["api_v3_key"] and len(str(merged["api_v3_key"]).encode()) != 32:
            msg = f"merchant {mchid}: the APIv3 key has 32 bytes"
            raise WorldError(msg)
        for appid in merged["appids"]:
            self.sim.world.account(appid)
        if len(merged["appids"]) > 50:
            msg = f"merchant {mchid}: at most 50 appids"
            raise WorldError(msg)
        if merged["private_key"]:
            keys.read_private(merged["private_key"])

    def _complete(self, merchant: Merchant) -> None:
        seed, mchid = self.sim.world.seed, merchant.mchid
        merchant.name = merchant.name or mchid
        merchant.api_v3_key = merchant.api_v3_key or token_urlsafe(32, seed, "api_v3", mchid).translate(
            str.maketrans("-_", "Aa")
        )
        merchant.private_key = merchant.private_key or keys.private_pem(keys.new_key())
        merchant.serial_no = merchant.serial_no or keys.serial_of(seed, "merchant", mchid)
        if not merchant.certificate:
            key = key_of(merchant.private_key)
            merchant.certificate = keys.certificate(key, merchant.name, merchant.serial_no, self.now)
        if merchant.key_mode != "certificate" and not merchant.platform_private_key:
            merchant.platform_private_key = keys.private_pem(keys.new_key())
            merchant.public_key_id = f"{PUBLIC_KEY_PREFIX}01{mchid:0>10}{digits(self.now)}00000000000001"

    def signer(self, merchant: Merchant | None, *, wanted: str = "") -> tuple[str, rsa.RSAPrivateKey]:
        """Serial and key of an answer: the public key's pair when it is the only one, or named by the request (3.4)."""
        if merchant is not None and (
            merchant.key_mode == "public_key" or (merchant.key_mode == "both" and wanted == merchant.public_key_id)
        ):
            return merchant.public_key_id, key_of(merchant.platform_private_key)
        current = self.platform.current(self.now)
        return current.serial, current.key

    def notifier(self, merchant: Merchant, number: int) -> tuple[str, rsa.RSAPrivateKey]:
        """Serial and key of a notification: while both are in use they move over seven days (3.4)."""
        if merchant.key_mode == "both":
            day = int((self.now - merchant.ramp_started_at) // 86400)
            share = RAMP[min(max(day, 0), len(RAMP) - 1)]
            # Spread over the numbers, the same for every try of a notification.
            return self.signer(merchant, wanted=merchant.public_key_id if number * 619 % 1000 < share else "")
        return self.signer(merchant)

    # --- orders (3.6, 3.7) --------------------------------------------------------------------------------------------

    def order(self, mchid: str, out_trade_no: str) -> Order:
        """By the merchant's number; ORDER_NOT_EXIST when unknown."""
        order = self.orders.get((mchid, out_trade_no))
        if order is None:
            raise PayError("ORDER_NOT_EXIST", cause="missing order")
        return order

    def by_transaction(self, mchid: str, transaction_id: str) -> Order | None:
        """By WeChat's number."""
        return self._paid.get((mchid, transaction_id))

    def prepay(self, merchant: Merchant, body: dict[str, Any]) -> Order:
        """A new order, or the same again."""
        now = self.now
        bodies.PREPAY.check(body)
        if body["mchid"] != merchant.mchid:
            raise wrong("/mchid", "与请求头中的商户号不一致", body["mchid"], cause="mchid")
        if body["appid"] not in merchant.appids:
            raise PayError("APPID_MCHID_NOT_MATCH", cause="appid")
        bodies.check_notify_url(body["notify_url"])
        self._payer(body)
        expires = bodies.expiry(body, now) or now + ORDER_LIFE
        known = self.orders.get((merchant.mchid, body["out_trade_no"]))
        if known is not None:
            return self._again(known, body)
        if expires < int(now) + 60:
            raise wrong("/time_expire", "须晚于下单时间 1 分钟以上", body["time_expire"])
        order = Order(merchant.mchid, body["out_trade_no"], body, "", now, now, expires)
        self.orders[merchant.mchid, order.out_trade_no] = order
        self._new_prepay_id(order)
        self.sim.timers.at(expires, "pay_expire", [order.mchid, order.out_trade_no])
        self._bump(order)
        return order

    def _payer(self, body: dict[str, Any]) -> Fan:
        """Somebody with an openid of this appid; another account's openid is noted as a mix-up."""
        account = self.sim.world.accounts[body["appid"]]
        fan = account.fans.get(body["payer"]["openid"])
        if fan is None:
            if body["payer"]["openid"] in self.sim.world.fans:
                self.sim.mix_ups += 1
                raise PayError("OPENID_MISMATCH")
            raise wrong("/payer/openid", "无效的openid", body["payer"]["openid"])
        return fan

    def _again(self, order: Order, body: dict[str, Any]) -> Order:
        """The same number once more: the parameters must be identical (268498688)."""
        if order.state in (SUCCESS, REFUND):
            raise PayError("ORDERPAID", cause="paid")
        if order.state == CLOSED:
            raise PayError("ORDER_CLOSED")
        if body != order.asked:
            raise PayError("INVALID_REQUEST", "请求重入时，参数与首次请求时不一致", cause="re-entry")
        if self.now >= order.prepaid_at + PREPAY_LIFE:
            self._new_prepay_id(order)
        return order

    def _new_prepay_id(self, order: Order) -> None:
        now = self.now
        number = str(self.sim.world.number())
        tail = token_urlsafe(40, self.sim.world.seed, "prepay", number).encode().hex()[:20]
        order.prepay_id, order.prepaid_at = f"wx{digits(now, '%d%H%M%S')}{tail}0000", now

    def close(self, order: Order, by: str = "merchant") -> None:
        """Idempotent; a paid order is refused."""
        if order.state in (SUCCESS, REFUND):
            raise PayError("ORDERPAID", cause="paid")
        if order.state == NOTPAY:
            order.state, order.closed_by = CLOSED, by
            self._bump(order)

    def _expire(self, _due: float, payload: list[str]) -> None:
        order = self.orders.get((payload[0], payload[1]))
        if order is not None and order.state == NOTPAY and self.sim.switches.pay_close_expired:
            self.close(order, "time")

    def fan_of(self, order: Order) -> Fan:
        """Who pays."""
        return self.sim.world.fans[order.openid]

    def _bump(self, order: Order) -> None:
        self.sim.bus.bump("pay", self.fan_of(order).person.id, order.appid)

    # --- people -------------------------------------------------------------------------------------------------------

    def pay(self, order: Order, fan: Fan, *, coupon: int = 0) -> int:
        """The person enters the password; gives the number of the notification."""
        self.payable(order, fan)
        if not 0 <= coupon < order.total:
            msg = "a coupon is worth less than the order"
            raise NotPayableError(msg)
        now = self.now
        number = self.sim.world.number()
        order.transaction_id = f"4200000000{digits(now)}{number:010d}"
        order.state, order.paid_at, order.coupon = SUCCESS, now, coupon
        self._paid[order.mchid, order.transaction_id] = order
        merchant = self.merchants[order.mchid]
        merchant.balance += order.total
        self.sim.conversations.system(fan, f"你向「{merchant.name}」支付了 ¥{yuan(order.payer_total)}", now, kind="pay")
        if self.sim.switches.pay_opens_window:
            windows.open_window(fan, "pay", now)
        self._bump(order)
        return self.notifications.add(
            merchant,
            order,
            event_type="TRANSACTION.SUCCESS",
            summary="支付成功",
            original_type="transaction",
            url=str(order.asked["notify_url"]),
            key=order.out_trade_no,
            plain=order.fields(),
        )

    def payable(self, order: Order, fan: Fan) -> None:
        """Whether the person may pay it now; ``NotPayableError`` says why not."""
        if order.openid != fan.openid:
            msg = "this order is another person's"
        elif order.state in (SUCCESS, REFUND):
            msg = "this order is paid"
        elif order.state == CLOSED or self.now >= order.expires_at:
            msg = "this order is closed"
        elif self.now >= order.prepaid_at + PREPAY_LIFE:
            msg = "the prepay_id is older than two hours"
        else:
            return
        raise NotPayableError(msg)

    # --- refunds (3.9) ------------------------------------------------------------------------------------------------

    def refunds_of(self, order: Order) -> list[Refund]:
        """In the order of acceptance."""
        return self._refunds_of.get((order.mchid, order.out_trade_no), [])

    def refund(self, merchant: Merchant, body: dict[str, Any]) -> Refund:
        """Accept a refund, or answer the one of this number again."""
        bodies.REFUND.check(body)
        if body.get("notify_url"):
            bodies.check_notify_url(body["notify_url"])
        known = self.refunds.get((merchant.mchid, body["out_refund_no"]))
        if known is not None:
            if body != known.asked:
                raise PayError("INVALID_REQUEST", "请求重入时，参数与首次请求时不一致", cause="re-entry")
            return known
        order = self._refundable(merchant, body)
        asked = int(body["amount"]["refund"])
        before = [item for item in self.refunds_of(order) if item.counts]
        self._within(order, body, asked, before)
        if asked > merchant.balance:
            raise PayError("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
        merchant.balance -= asked
        left = order.total - sum(item.refund for item in before)
        paid_left = order.payer_total - sum(item.payer_refund for item in before)
        now = self.now
        number = self.sim.world.number()
        refund = Refund(
            merchant.mchid, body["out_refund_no"], order.out_trade_no, order.transaction_id,
            f"5030000{digits(now)}{number:014d}", body, now,
            payer_refund=paid_left if asked == left else asked * order.payer_total // order.total,
            total=order.total, payer_total=order.payer_total,
        )  # fmt: skip
        self._keep(refund)
        self._refund_timer(refund)
        self._bump(order)
        return refund

    def _refundable(self, merchant: Merchant, body: dict[str, Any]) -> Order:
        if not body.get("transaction_id") and not body.get("out_trade_no"):
            raise wrong("/out_trade_no", "transaction_id 和 out_trade_no 至少填一个")
        order: Order | None
        if body.get("transaction_id"):
            order = self.by_transaction(merchant.mchid, body["transaction_id"])
            if order is None:
                raise PayError("INVALID_TRANSACTIONID")
            if body.get("out_trade_no") and body["out_trade_no"] != order.out_trade_no:
                raise wrong("/out_trade_no", "与 transaction_id 不是同一笔订单", body["out_trade_no"])
        else:
            order = self.orders.get((merchant.mchid, body["out_trade_no"]))
        if order is None:
            raise PayError("RESOURCE_NOT_EXISTS", "订单不存在", cause="missing order")
        if order.state not in (SUCCESS, REFUND):
            raise PayError("INVALID_REQUEST", "订单未支付，不能退款")
        return order

    def _within(self, order: Order, body: dict[str, Any], asked: int, before: list[Refund]) -> None:
        """What an order can give back: its total, in fifty parts, a minute apart, within a year."""
        if body["amount"]["total"] != order.total:
            raise PayError("INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试")
        if asked > order.total - sum(item.refund for item in before):
            raise PayError("INVALID_REQUEST", "申请退款金额大于订单可退金额")
        if self.now > order.paid_at + REFUND_DAYS * 86400:
            raise PayError("TRADE_ERROR", "订单已超过可退款的最大期限")
        if len(before) >= MOST_REFUNDS:
            raise PayError("RULE_LIMIT", "该订单的退款次数已达上限")
        if before and self.now < before[-1].created_at + BETWEEN_REFUNDS:
            raise PayError("FREQUENCY_LIMITED", "同一订单的部分退款须间隔 1 分钟", cause="rate")

    def _keep(self, refund: Refund) -> None:
        self.refunds[refund.mchid, refund.out_refund_no] = refund
        self._refunds_of.setdefault((refund.mchid, refund.out_trade_no), []).append(refund)

    def _refund_timer(self, refund: Refund) -> None:
        due = self.now + self.sim.switches.pay_refund_seconds
        self.sim.timers.at(due, "pay_refund", [refund.mchid, refund.out_refund_no])

    def _refund_due(self, due: float, payload: list[str]) -> None:
        refund = self.refunds[payload[0], payload[1]]
        if refund.status != PROCESSING:
            return
        order, merchant = self.orders[refund.mchid, refund.out_trade_no], self.merchants[refund.mchid]
        hits = self.sim.faults.for_pay(("pay_refund_status",), {merchant.mchid, order.appid}, "REFUND")
        if hits:
            refund.status = str(hits[-1].params.get("status", ABNORMAL))
            if refund.status == CLOSED:
                merchant.balance += refund.refund
        else:
            refund.status, refund.success_at, order.state = SUCCESS, due, REFUND
            said = f"「{merchant.name}」退款 ¥{yuan(refund.payer_refund)}，已退回零钱"
            self.sim.conversations.system(self.fan_of(order), said, due, kind="pay")
        self._bump(order)
        summary = {SUCCESS: "退款成功", ABNORMAL: "退款异常", CLOSED: "退款关闭"}[refund.status]
        self.notifications.add(
            merchant,
            order,
            event_type=f"REFUND.{refund.status}",
            summary=summary,
            original_type="refund",
            url=str(refund.asked.get("notify_url") or ""),
            key=refund.out_refund_no,
            plain=refund.notified(),
        )

    def settle_abnormal(self, merchant: Merchant, refund_id: str, body: dict[str, Any], serial: str) -> Refund:
        """Give an abnormal refund back another way: to another card, or to the merchant (3.9)."""
        bodies.ABNORMAL.check(body)
        refund = next(
            (item for item in self.refunds.values() if item.mchid == merchant.mchid and item.refund_id == refund_id),
            None,
        )
        if refund is None or refund.out_refund_no != body["out_refund_no"]:
            raise PayError("RESOURCE_NOT_EXISTS", "退款单不存在")
        if refund.status != ABNORMAL:
            raise PayError("INVALID_REQUEST", "退款单不是异常状态")
        if body["type"] == "USER_BANK_CARD":
            bodies.check_card(self.signer(merchant, wanted=serial), serial, body)
        refund.status, refund.channel = PROCESSING, "OTHER_BANKCARD"
        refund.account = "用户银行卡" if body["type"] == "USER_BANK_CARD" else "商户银行账户"
        self._refund_timer(refund)
        return refund

    # --- for the control API ------------------------------------------------------------------------------------------

    def view(self, order: Order) -> dict[str, Any]:
        """An order as it truly is."""
        fan = self.fan_of(order)
        try:
            self.payable(order, fan)
            problem = ""
        except NotPayableError as error:
            problem = str(error)
        return {
            "mchid": order.mchid,
            "merchant": self.merchants[order.mchid].name,
            "appid": order.appid,
            "out_trade_no": order.out_trade_no,
            "transaction_id": order.transaction_id,
            "prepay_id": order.prepay_id,
            "person": fan.person.id,
            "openid": order.openid,
            "description": order.asked["description"],
            "total": order.total,
            "payer_total": order.payer_total,
            "state": order.state,
            "closed_by": order.closed_by,
            "declined": order.declined,
            "created_at": order.created_at,
            "expires_at": order.expires_at,
            "prepay_until": order.prepaid_at + PREPAY_LIFE,
            "paid_at": order.paid_at or None,
            "payable": not problem,
            "problem": problem,
            "refunds": [{**asdict(item), "refund": item.refund} | {"asked": None} for item in self.refunds_of(order)],
            "refunded": sum(item.refund for item in self.refunds_of(order) if item.status == SUCCESS),
        }

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        return {
            "platform": self.platform.dump(),
            "merchants": [asdict(item) for item in self.merchants.values()],
            "orders": [asdict(item) for item in self.orders.values()],
            "refunds": [asdict(item) for item in self.refunds.values()],
            "files": self.files,
            "notifications": self.notifications.dump(),
        }

    def load(self, data: dict[str, Any]) -> None:
        """From the state file; the world must be loaded first."""
        if not data:
            return
        self.platform.load(data["platform"])
        self.merchants = {row["mchid"]: Merchant(**row) for row in data["merchants"]}
        self.orders = {(row["mchid"], row["out_trade_no"]): Order(**row) for row in data["orders"]}
        self._paid = {(item.mchid, item.transaction_id): item for item in self.orders.values() if item.transaction_id}
        self.refunds, self._refunds_of = {}, {}
        for row in data["refunds"]:
            self._keep(Refund(**row))
        self.files = data["files"]
        self.notifications.load(data["notifications"])


def yuan(fen: int) -> str:
    """Such as 1.00, of fen."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"
