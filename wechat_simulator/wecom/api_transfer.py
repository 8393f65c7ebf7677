"""Handing customers over, on the job and after it (reference: WeCom 2.9)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.wecom import transfers
from wechat_simulator.wecom.base import WeComCall, api, cut, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.model import ACTIVE, DONE, WAITING, Transfer

DAY = 86_400.0
YEAR = 365 * DAY
QUARTER = 90 * DAY
PAGE = 1_000


def _both(call: WeComCall, data: dict[str, Any], *, resigned: bool) -> tuple[str, str]:
    """Who hands over to whom: 40097 when the first is here (or gone), 40098, 84083, and who is not active."""
    giver, taker = call.staff(data.get("handover_userid")), call.staff(data.get("takeover_userid"))
    if (giver.left_at is not None) != resigned or giver is taker:
        raise WeComError(40097)
    taker = call.serving(taker.userid)
    if taker.status != ACTIVE:
        raise WeComError(call.sim.switches.wecom_inactive_taker_code, "takeover_userid")
    return giver.userid, taker.userid


def _problem(call: WeComCall, giver: str, taker: str, external: str, *, resigned: bool) -> int:
    """Why one customer does not go, or 0: begun, not done."""
    corp = call.corp
    if corp.friend(giver, external) is None:
        return 84061 if external in corp.contacts else 40096
    mine = [item for item in corp.transfers if item.external == external]
    if any(item.status == WAITING for item in mine):
        return 40100
    if transfers.is_full(corp, taker):
        return 40099
    if resigned:
        return 84061 if call.now - (corp.staff[giver].left_at or 0.0) > YEAR else 0
    moved = sum(not item.resigned and item.status == DONE and item.at > call.now - QUARTER for item in mine)
    return 40128 if moved >= call.sim.switches.wecom_transfers_per_90_days else 0


def _start(call: WeComCall, *, resigned: bool) -> dict[str, Any]:
    data = call.json()
    giver, taker = _both(call, data, resigned=resigned)
    wanted = call.texts(data, "external_userid", 100)
    message = "" if resigned else call.string(data, "transfer_success_msg", 200)
    rows = []
    for external in wanted:
        code = _problem(call, giver, taker, external, resigned=resigned)
        rows.append({"external_userid": external, "errcode": code})
        if not code:
            number = call.sim.world.number()
            transfer = Transfer(number, giver, taker, external, call.now, resigned, message)
            transfers.begin(call.sim.wecom, call.corp, transfer)
    return ok(customer=rows)


@api("POST", "/externalcontact/transfer_customer")
def on_job(call: WeComCall) -> dict[str, Any]:
    """Up to 100 customers of somebody who stays; twice in 90 days at most."""
    return _start(call, resigned=False)


@api("POST", "/externalcontact/resigned/transfer_customer")
def of_resigned(call: WeComCall) -> dict[str, Any]:
    """The same of somebody who left within a year."""
    return _start(call, resigned=True)


def _results(call: WeComCall, *, resigned: bool) -> dict[str, Any]:
    data = call.json()
    giver, taker = call.staff(data.get("handover_userid")), call.staff(data.get("takeover_userid"))
    newest: dict[str, Transfer] = {}
    for item in call.corp.transfers:
        if (item.handover, item.takeover, item.resigned) == (giver.userid, taker.userid, resigned):
            newest[item.external] = item
    rows = []
    for item in newest.values():
        row = {"external_userid": item.external, "status": item.status}
        # Done: when; waiting: when it will be.
        moment = item.ended_at or item.at + call.sim.switches.wecom_transfer_seconds
        rows.append({**row, "takeover_time": int(moment)} if item.status in (DONE, WAITING) else row)
    page, cursor = cut(rows, call.start(data), PAGE)
    return ok(customer=page, next_cursor=cursor)


@api("POST", "/externalcontact/transfer_result")
def on_job_results(call: WeComCall) -> dict[str, Any]:
    """1 done, 2 waiting, 3 refused, 4 the taker is full."""
    return _results(call, resigned=False)


@api("POST", "/externalcontact/resigned/transfer_result")
def results_of_resigned(call: WeComCall) -> dict[str, Any]:
    """The same of somebody who left."""
    return _results(call, resigned=True)


@api("POST", "/externalcontact/get_unassigned_list")
def unassigned(call: WeComCall) -> dict[str, Any]:
    """Customers of staff that left within a year, the newest leave first."""
    data = call.json()
    gone = [item for item in call.corp.staff.values() if item.left_at and call.now - item.left_at <= YEAR]
    gone.sort(key=lambda item: -(item.left_at or 0.0))
    rows = [
        {
            "handover_userid": member.userid,
            "external_userid": relation.external,
            "dimission_time": int(member.left_at or 0),
        }
        for member in gone
        if call.agent.sees(member.userid)
        for relation in call.corp.customers(member.userid)
    ]
    page, cursor = cut(rows, call.start(data), call.number(data, "page_size", 1_000, 1_000))
    return ok(info=page, is_last=not cursor, next_cursor=cursor)
