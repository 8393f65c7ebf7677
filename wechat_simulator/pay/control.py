"""The control API of WeChat Pay: merchants with their keys, orders as they truly are, notifications and their tries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wechat_simulator.pay import acts, keys
from wechat_simulator.pay.model import NOTPAY, SUCCESS, Merchant, key_of, moment
from wechat_simulator.pay.server import as_json

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

__all__ = ["PayControl", "acts", "merchant_view"]  # importing the acts registers them


def merchant_view(sim: Simulation, merchant: Merchant, *, secrets: bool = False) -> dict[str, Any]:
    """A merchant; with its keys only when asked for."""
    row: dict[str, Any] = {
        "mchid": merchant.mchid,
        "name": merchant.name,
        "appids": merchant.appids,
        "key_mode": merchant.key_mode,
        "serial_no": merchant.serial_no,
        "public_key_id": merchant.public_key_id,
        "balance": merchant.balance,
        "fee_rate": merchant.fee_rate,
    }
    if secrets:
        row |= {
            "api_v3_key": merchant.api_v3_key,
            "private_key": merchant.private_key,
            "certificate": merchant.certificate,
            "public_key": keys.public_pem(key_of(merchant.platform_private_key)) if merchant.public_key_id else "",
            "platform_certificates": [
                {"serial_no": item.serial, "pem": item.pem, "expires": moment(item.expires)}
                for item in sim.pay.platform.valid(sim.clock.now())
            ],
        }
    return row


class PayControl:
    """The endpoints under ``/_sim/pay`` and the orders of a person."""

    def __init__(self, sim: Simulation, answer: Callable[[Any], JSONResponse]) -> None:
        self.sim = sim
        self._answer = answer

    def routes(self) -> list[BaseRoute]:
        """Path table; README.md describes each."""
        return [
            Route("/_sim/pay/merchants", self.merchants, methods=["GET"]),
            Route("/_sim/pay/rotate", self.rotate, methods=["POST"]),
            Route("/_sim/pay/orders", self.orders, methods=["GET"]),
            Route("/_sim/pay/truth", self.truth, methods=["GET"]),
            Route("/_sim/pay/notifications", self.notifications, methods=["GET"]),
            Route("/_sim/pay/notifications/{n:int}/replay", self.replay, methods=["POST"]),
            Route("/_sim/people/{person}/orders", self.of_person, methods=["GET"]),
        ]

    async def merchants(self, request: Request) -> Response:
        """Every merchant; ``secrets=1`` adds the keys a product is set up with."""
        secrets = request.query_params.get("secrets") == "1"
        rows = [merchant_view(self.sim, item, secrets=secrets) for item in self.sim.pay.merchants.values()]
        return self._answer({"merchants": rows})

    async def rotate(self, _request: Request) -> Response:
        """A new platform certificate: listed now, used a day later."""
        made = self.sim.pay.platform.rotate(self.sim.clock.now())
        return self._answer({"serial_no": made.serial, "used_from": made.used_from})

    async def orders(self, request: Request) -> Response:
        """Orders, newest first: ``mchid``, ``out_trade_no``, ``state``, ``limit``."""
        params, pay = request.query_params, self.sim.pay
        found = [
            order
            for order in reversed(pay.orders.values())
            if all(
                not params.get(name) or params[name] == getattr(order, name)
                for name in ("mchid", "out_trade_no", "state")
            )
        ]
        rows = [pay.view(order) for order in found[: int(params.get("limit", 200))]]
        return self._answer({"orders": rows, "total": len(found)})

    async def truth(self, request: Request) -> Response:
        """What was paid and given back, in fen, and how the notifications ended; ``mchid`` narrows."""
        mchid, pay = request.query_params.get("mchid", ""), self.sim.pay
        orders = [item for item in pay.orders.values() if not mchid or item.mchid == mchid]
        refunds = [item for item in pay.refunds.values() if not mchid or item.mchid == mchid]
        states: dict[str, int] = {}
        for order in orders:
            states[order.state] = states.get(order.state, 0) + 1
        return self._answer(
            {
                "orders": states,
                "paid": sum(item.total for item in orders if item.paid_at),
                "refunded": sum(item.refund for item in refunds if item.status == SUCCESS),
                "refunding": sum(item.refund for item in refunds if item.counts and item.status != SUCCESS),
                "notifications": pay.notifications.counts,
                "accepted_wrong": [
                    {"n": note.n, "key": note.key, "problem": note.problem}
                    for note in pay.notifications.log
                    if note.problem and (not mchid or note.mchid == mchid)
                ],
            }
        )

    async def notifications(self, request: Request) -> Response:
        """Notifications with every try, newest last: ``mchid``, ``key`` (merchant's number), ``since``, ``limit``."""
        params = request.query_params
        since, limit = int(params.get("since", 0)), int(params.get("limit", 200))
        rows = [
            note.view()
            for note in self.sim.pay.notifications.log
            if note.n > since
            and all(not params.get(name) or params[name] == getattr(note, name) for name in ("mchid", "key"))
        ]
        return self._answer({"notifications": rows[-limit:], "counts": self.sim.pay.notifications.counts})

    async def replay(self, request: Request) -> Response:
        """The same notification again, now: ``{copies?}``, all at once."""
        note = self.sim.pay.notifications.get(request.path_params["n"])
        if note is None:
            raise HTTPException(404, "no such notification")
        copies = int(as_json(await request.body()).get("copies", 1))
        return self._answer({"answers": await self.sim.pay.notifications.replay(note, copies), **note.view()})

    async def of_person(self, request: Request) -> Response:
        """What waits for this person's password, and what was paid, newest first."""
        pay = self.sim.pay
        person = self.sim.world.person(request.path_params["person"])
        rows = [pay.view(order) for order in reversed(pay.orders.values()) if pay.fan_of(order).person is person]
        waiting = sum(row["state"] == NOTPAY and row["payable"] for row in rows)
        return self._answer({"orders": rows[:50], "waiting": waiting, "version": self.sim.bus.version})
