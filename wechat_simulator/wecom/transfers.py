"""Customers on their way: 24 hours, refusals, full hands (reference: WeCom 2.9, 2.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wechat_simulator.wecom.model import (
    BOTH,
    DONE,
    FULL,
    REFUSED,
    TRANSFERRED,
    WAITING,
    Corp,
    Relation,
    Transfer,
)
from wechat_simulator.world import WorldError

if TYPE_CHECKING:
    from wechat_simulator.wecom.service import WeCom

DAY = 86_400.0
EVENT = "change_external_contact"
ASSIGNED = 202  # add_way: assigned by the administrator


def is_full(corp: Corp, userid: str) -> bool:
    """The member has as many customers as one may."""
    limit = corp.staff[userid].customer_limit
    return bool(limit) and len(corp.customers(userid)) >= limit


def begin(wecom: WeCom, corp: Corp, transfer: Transfer) -> None:
    """The customer is told, and 24 hours begin."""
    corp.transfers.append(transfer)
    relation = corp.relation(transfer.handover, transfer.external)
    if relation is not None:
        taker = corp.staff[transfer.takeover].name
        wecom.write(corp, relation, "system", "notice", content=f"{taker}将接替服务，24 小时内可以拒绝")
    wecom.sim.timers.at(
        transfer.at + wecom.sim.switches.wecom_transfer_seconds,
        "wecom_transfer",
        {"corpid": corp.corpid, "n": transfer.n, "appid": corp.corpid},
    )


def due(wecom: WeCom, at: float, payload: dict[str, Any]) -> None:
    """24 hours are over: the taker has the customer, or no room."""
    corp = wecom.corps.get(payload["corpid"])
    transfer = next((item for item in corp.transfers if item.n == payload["n"]), None) if corp else None
    if corp is None or transfer is None or transfer.status != WAITING:
        return
    transfer.ended_at = at
    old = corp.friend(transfer.handover, transfer.external)
    known = corp.friend(transfer.takeover, transfer.external)
    if old is None:
        transfer.status = REFUSED  # the customer went away meanwhile
        return
    if known is None and is_full(corp, transfer.takeover):
        transfer.status = FULL
        _failed(wecom, corp, transfer, "customer_limit_exceed")
        return
    transfer.status = DONE
    if known is None:
        _take(wecom, corp, transfer, old, at)
    old.status = TRANSFERRED
    wecom.write(corp, old, "system", "notice", content=f"已由{corp.staff[transfer.takeover].name}接替服务")
    names = {"userid": transfer.handover, "external": transfer.external}
    fields = {"UserID": transfer.handover, "ExternalUserID": transfer.external}
    wecom.tell_later(corp, EVENT, "del_external_contact", **names, **fields, Source="DELETE_BY_TRANSFER")
    if wecom.sim.switches.wecom_transfer_add_event and known is None:
        taken = {"UserID": transfer.takeover, "ExternalUserID": transfer.external, "State": ""}
        wecom.tell_later(
            corp, EVENT, "add_external_contact", userid=transfer.takeover, external=transfer.external, **taken
        )


def _take(wecom: WeCom, corp: Corp, transfer: Transfer, old: Relation, at: float) -> None:
    new = Relation(transfer.takeover, transfer.external, old.person, at, BOTH, ASSIGNED, "")
    new.remark = wecom.sim.world.people[old.person].nickname
    if wecom.sim.switches.wecom_transfer_remarks_follow:
        new.remark, new.description, new.tags = old.remark, old.description, list(old.tags)
    corp.put(new)
    wecom.write(
        corp,
        new,
        "system",
        "notice",
        content=f"{corp.staff[transfer.takeover].name}接替{corp.staff[old.userid].name}为你服务",
    )
    if transfer.message:
        wecom.write(corp, new, "staff", "text", content=transfer.message, via="wecom_transfer")


def _failed(wecom: WeCom, corp: Corp, transfer: Transfer, reason: str) -> None:
    """``transfer_fail``: the UserID is the taker's."""
    fields = {"UserID": transfer.takeover, "ExternalUserID": transfer.external, "FailReason": reason}
    wecom.tell_later(corp, EVENT, "transfer_fail", userid=transfer.takeover, external=transfer.external, **fields)


def refuse(wecom: WeCom, corp: Corp, external: str) -> Transfer:
    """The customer says no within the 24 hours."""
    waiting = (item for item in corp.transfers if item.external == external and item.status == WAITING)
    transfer = next(waiting, None)
    if transfer is None:
        raise WorldError("no transfer of this customer is waiting")
    transfer.status, transfer.ended_at = REFUSED, wecom.sim.clock.now()
    relation = corp.relation(transfer.handover, external)
    if relation is not None:
        wecom.write(corp, relation, "system", "notice", content="你拒绝了更换服务人员")
    _failed(wecom, corp, transfer, "customer_refused")
    return transfer
