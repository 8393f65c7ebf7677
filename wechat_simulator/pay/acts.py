"""What people do about orders: pay one, or decline it (pay reference 3.6)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.pay.crypto import lines, verify
from wechat_simulator.pay.model import Merchant, Order, key_of
from wechat_simulator.pay.orders import NotPayableError
from wechat_simulator.people import ActError, People, act
from wechat_simulator.world import Fan


def _order(people: People, fan: Fan, data: dict[str, Any]) -> Order:
    """By ``prepay_id``, by ``out_trade_no``, or by what the page gives to the client (``request``)."""
    pay = people.sim.pay
    request = data.get("request") or {}
    prepay_id = str(data.get("prepay_id") or str(request.get("package", "")).removeprefix("prepay_id="))
    number = str(data.get("out_trade_no", ""))
    for order in reversed(pay.orders.values()):
        wanted = order.prepay_id == prepay_id if prepay_id else order.out_trade_no == number
        if wanted and order.appid == fan.account.appid and data.get("mchid", order.mchid) == order.mchid:
            return order
    msg = "no such order"
    raise ActError(msg)


def signed_by(merchant: Merchant, appid: str, request: dict[str, Any]) -> bool:
    """Whether ``paySign`` is the merchant's over appid, time, nonce and package (vector V3)."""
    if request.get("signType") != "RSA" or not isinstance(request.get("timeStamp"), str):
        return False
    named = str(request.get("appId", appid))
    message = lines(named, request["timeStamp"], str(request.get("nonceStr")), str(request.get("package")))
    return named == appid and verify(key_of(merchant.private_key).public_key(), str(request.get("paySign")), message)


@act("pay")
async def pay(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Pay an order or decline it (``accept: false``): by ``out_trade_no``, ``prepay_id``, or what a page hands over.

    ``request`` is the object of ``wx.requestPayment``, whose signature is checked; ``coupon`` is in fen.
    """
    books = people.sim.pay
    order = _order(people, fan, data)
    merchant = books.merchants[order.mchid]
    if "request" in data and not signed_by(merchant, fan.account.appid, data["request"]):
        return {"problem": "支付验证签名失败", "client": {"errMsg": "requestPayment:fail"}, "order": books.view(order)}
    try:
        books.payable(order, fan)
        if data.get("accept") is False:
            order.declined += 1
            return {"paid": False, "client": {"errMsg": "requestPayment:fail cancel"}, "order": books.view(order)}
        number = books.pay(order, fan, coupon=int(data.get("coupon", 0)))
    except NotPayableError as error:
        raise ActError(str(error)) from error
    note = books.notifications.get(number)
    if note is not None:
        await note.first.wait()  # as other acts do: until the first try was answered, or is late
    told = note.view() if note is not None else None
    return {"paid": True, "client": {"errMsg": "requestPayment:ok"}, "order": books.view(order), "notification": told}
