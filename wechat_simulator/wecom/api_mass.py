"""Mass messages by staff: a task, who confirmed it, what became of it (reference: WeCom 2.11)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.wecom import content
from wechat_simulator.wecom.base import WeComCall, api, cut, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.model import Relation, Task

DAY = 86_400.0
MONTH = 31 * DAY
REMINDERS = 3


def _filter(call: WeComCall, data: dict[str, Any]) -> list[set[str]]:
    """The groups of a ``tag_filter``: the tags of each."""
    groups = call.inner(data, "tag_filter").get("group_list") or []
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise WeComError(40058, "tag_filter.group_list")
    return [set(call.texts(group, "tag_list", 10_000, needed=False)) for group in groups]


def _wears(call: WeComCall, relation: Relation, wanted: list[set[str]]) -> bool:
    """Any tag of a group; all groups (unconfirmed), or one."""
    groups = [not group.isdisjoint(relation.tags) for group in wanted]
    return all(groups) if call.sim.switches.wecom_tag_filter_all_groups else any(groups)


def _singles(call: WeComCall, data: dict[str, Any]) -> tuple[dict[str, list[str]], list[str]]:
    """Who sends to whom, and who cannot be reached."""
    corp = call.corp
    wanted = call.texts(data, "external_userid", 10_000, needed=False)
    sender = data.get("sender")
    userids = [call.serving(sender).userid] if sender else [item for item in corp.staff if call.agent.sees(item)]
    staff = [userid for userid in userids if corp.staff[userid].contact and corp.staff[userid].left_at is None]
    plan: dict[str, list[str]] = {}
    failed = []
    if wanted:
        for external in dict.fromkeys(wanted):
            friends = [item for userid in staff if (item := corp.friend(userid, external))]
            if not friends:
                failed.append(external)
                continue
            plan.setdefault(max(friends, key=lambda item: item.at).userid, []).append(external)
        return plan, failed
    tags = data.get("tag_filter")
    wears = _filter(call, data)
    if not sender and not tags:
        raise WeComError(40063, "external_userid, sender or tag_filter")
    taken: set[str] = set()
    for userid in staff:
        for relation in corp.customers(userid):
            if relation.external not in taken and (not tags or _wears(call, relation, wears)):
                taken.add(relation.external)
                plan.setdefault(userid, []).append(relation.external)
    return plan, failed


def _groups(call: WeComCall, data: dict[str, Any]) -> tuple[dict[str, list[str]], list[str]]:
    sender = call.serving(data.get("sender")).userid
    wanted = call.texts(data, "chat_id_list", call.sim.switches.wecom_mass_chats, needed=False)
    own = [chat.chat_id for chat in call.corp.chats.values() if chat.owner == sender and not chat.dismissed]
    reached = [chat_id for chat_id in own if not wanted or chat_id in wanted]
    return ({sender: reached} if reached else {}), [chat_id for chat_id in wanted if chat_id not in own]


@api("POST", "/externalcontact/add_msg_template")
def add(call: WeComCall) -> dict[str, Any]:
    """A task that staff must confirm; nothing is sent yet."""
    data = call.json()
    message = content.checked(call, data)
    kind = data.get("chat_type") or "single"
    if kind not in ("single", "group"):
        raise WeComError(40058, "chat_type")
    plan, failed = _singles(call, data) if kind == "single" else _groups(call, data)
    if not plan:
        raise WeComError(call.sim.switches.wecom_mass_nobody_code)
    task = Task(call.sim.wecom.new_id("msg", "mass", call.corp.corpid), call.now, call.agent.agentid, kind, message)
    task.allow_select = data.get("allow_select") is True
    task.staff = {
        userid: {"status": 0, "send_time": 0, "items": [[target, 0, 0] for target in targets]}
        for userid, targets in plan.items()
    }
    call.corp.tasks[task.msgid] = task
    call.sim.bus.bump("wecom", None, call.corp.corpid)
    return ok(fail_list=failed, msgid=task.msgid)


def _task(call: WeComCall, data: dict[str, Any]) -> Task:
    task = call.corp.tasks.get(call.string(data, "msgid", needed=True))
    if task is None or task.agentid != call.agent.agentid:
        raise WeComError(40058, "msgid")
    return task


@api("POST", "/externalcontact/get_groupmsg_list_v2")
def listed(call: WeComCall) -> dict[str, Any]:
    """Tasks of a month at most; tasks of the API have no creator."""
    data = call.json()
    start, end = data.get("start_time"), data.get("end_time")
    if not isinstance(start, int) or not isinstance(end, int):
        raise WeComError(40063, "start_time, end_time")
    if not 0 <= end - start <= MONTH:
        raise WeComError(40058, "end_time")
    kind = data.get("chat_type")
    if kind not in ("single", "group"):
        raise WeComError(40058, "chat_type")
    tasks = [item for item in call.corp.tasks.values() if item.chat_type == kind and start <= item.at <= end]
    tasks = [] if data.get("creator") or data.get("filter_type") == 1 else tasks
    page, cursor = cut(tasks, call.start(data), call.number(data, "limit", 50, 100))
    rows = [
        {
            "msgid": task.msgid,
            "create_time": int(task.at),
            "create_type": 0,
            "text": {"content": task.content["text"]},
            "attachments": task.content["attachments"],
        }
        for task in page
    ]
    return ok(group_msg_list=rows, next_cursor=cursor)


@api("POST", "/externalcontact/get_groupmsg_task")
def staff(call: WeComCall) -> dict[str, Any]:
    """Who confirmed (2) and who did not (0)."""
    data = call.json()
    rows = []
    for userid, part in _task(call, data).staff.items():
        row = {"userid": userid, "status": part["status"]}
        rows.append({**row, "send_time": part["send_time"]} if part["send_time"] else row)
    page, cursor = cut(rows, call.start(data), call.number(data, "limit", 500, 1_000))
    return ok(task_list=page, next_cursor=cursor)


@api("POST", "/externalcontact/get_groupmsg_send_result")
def results(call: WeComCall) -> dict[str, Any]:
    """What became of each customer or group of a member: 0 unsent, 1 sent, 2 no friend, 3 limit reached."""
    data = call.json()
    task = _task(call, data)
    userid = call.string(data, "userid", needed=True)
    part = task.staff.get(userid)
    if part is None:
        raise WeComError(40003)
    name = "chat_id" if task.chat_type == "group" else "external_userid"
    rows = []
    for target, status, at in part["items"]:
        row = {name: target, "userid": userid, "status": status}
        rows.append({**row, "send_time": at} if at else row)
    page, cursor = cut(rows, call.start(data), call.number(data, "limit", 500, 1_000))
    return ok(send_list=page, next_cursor=cursor)


@api("POST", "/externalcontact/remind_groupmsg_send")
def remind(call: WeComCall) -> dict[str, Any]:
    """Staff is told again; three times in 24 hours."""
    task = _task(call, call.json())
    task.reminded = [at for at in task.reminded if at > call.now - DAY]
    if len(task.reminded) >= REMINDERS:
        raise WeComError(call.sim.switches.wecom_remind_code)
    task.reminded.append(call.now)
    call.sim.bus.bump("wecom", None, call.corp.corpid)
    return ok()


@api("POST", "/externalcontact/cancel_groupmsg_send")
def cancel(call: WeComCall) -> dict[str, Any]:
    """Whoever has not confirmed cannot any more."""
    _task(call, call.json()).cancelled = True
    call.sim.bus.bump("wecom", None, call.corp.corpid)
    return ok()
