"""Mass messages as they reach people: what staff confirms, the cap of a month, what became of each (WeCom 2.11)."""

from __future__ import annotations

import calendar
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from wechat_simulator.clock import SHANGHAI, shanghai_month
from wechat_simulator.wecom.content import entries
from wechat_simulator.wecom.model import LIMIT_REACHED, NO_FRIEND, SENT, TO_SEND, Chat, Corp, Relation, Task
from wechat_simulator.world import WorldError

if TYPE_CHECKING:
    from wechat_simulator.wecom.service import WeCom


def sent(wecom: WeCom, corp: Corp, place: Relation | Chat, content: dict[str, Any], *, kind: str, number: str) -> None:
    """A message arrives: entries of the chat, and a row of the truth."""
    for entry in entries(content):
        sender = "staff" if isinstance(place, Relation) else place.owner
        wecom.write(corp, place, sender, entry.pop("kind"), via=kind, msgid=number, **entry)
    now = wecom.sim.clock.now()
    body = json.dumps(content, ensure_ascii=False)
    target = place.external if isinstance(place, Relation) else place.chat_id
    row = wecom.sim.truth.accept(
        at=now, kind=kind, appid=corp.corpid, openid=target, body=body.encode(), template_id=number, content=body
    )
    wecom.sim.truth.finish(row, "success", now)


def cap(wecom: WeCom, now: float) -> int:
    """How many corp messages a customer gets in this month: as many as it has days (reference: WeCom 2.11)."""
    moment = datetime.fromtimestamp(now, SHANGHAI)
    return wecom.sim.switches.wecom_mass_per_month or calendar.monthrange(moment.year, moment.month)[1]


def confirm(wecom: WeCom, corp: Corp, task: Task, userid: str, chosen: list[str] | None = None) -> dict[str, int]:
    """A member of staff sends: each customer gets it, or not, for a reason that the result names.

    ``chosen`` are the ids that are left when the task lets staff choose; the others stay unsent.
    """
    part = task.staff.get(userid)
    if part is None or task.cancelled:
        raise WorldError("no such task of this member")
    if part["status"] != 0:
        raise WorldError("this task was confirmed before")
    if chosen is not None and not task.allow_select:
        raise WorldError("this task does not let staff choose")
    now = wecom.sim.clock.now()
    part["status"], part["send_time"] = 2, int(now)
    counts: dict[str, int] = {}
    most, month = cap(wecom, now), shanghai_month(now)
    for item in part["items"]:
        target = item[0]
        if chosen is not None and target not in chosen:
            outcome = TO_SEND
        else:
            outcome = _one(wecom, corp, task, userid, target, key=f"{month}|{target}", most=most)
            item[2] = int(now)
        item[1] = outcome
        counts[str(outcome)] = counts.get(str(outcome), 0) + 1
    wecom.sim.bus.bump("wecom", None, corp.corpid)
    return counts


def _one(wecom: WeCom, corp: Corp, task: Task, userid: str, target: str, *, key: str, most: int) -> int:
    place: Relation | Chat | None
    if task.chat_type == "group":
        chat = corp.chats.get(target)
        place = chat if chat is not None and not chat.dismissed and chat.owner == userid else None
    else:
        place = corp.friend(userid, target)
    if place is None:
        return NO_FRIEND
    if corp.received.get(key, 0) >= most:
        return LIMIT_REACHED
    corp.received[key] = corp.received.get(key, 0) + 1
    sent(wecom, corp, place, task.content, kind="wecom_mass", number=task.msgid)
    return SENT
