"""What the control API tells of corps: for tests and the phone page only."""

from __future__ import annotations

from typing import Any

from wechat_simulator.wecom.model import BOTH, HALF, WAITING, Agent, Chat, Corp, Relation, Task
from wechat_simulator.wecom.service import WeCom
from wechat_simulator.world import Person

SHOWN_TASKS, SHOWN_WAYS = 50, 500  # the newest: the phone page asks after every change


def agent_view(agent: Agent, *, secrets: bool) -> dict[str, Any]:
    """An application; secrets only when asked for."""
    row = {"agentid": agent.agentid, "name": agent.name, "callback_url": agent.callback_url, "contact": agent.contact}
    row["sync"] = agent.sync
    if secrets:
        row |= {"secret": agent.secret, "token": agent.token, "aes_key": agent.aes_key}
    return row


def corp_view(wecom: WeCom, corp: Corp, *, secrets: bool = False) -> dict[str, Any]:
    """A corp with its staff, codes and tags."""
    return {
        "corpid": corp.corpid,
        "name": corp.name,
        "subject": corp.subject,
        "agents": [agent_view(agent, secrets=secrets) for agent in corp.agents.values()],
        "departments": corp.departments,
        "staff": [
            {
                "userid": item.userid,
                "name": item.name,
                "contact": item.contact,
                "left_at": item.left_at,
                "customers": len(corp.customers(item.userid)),
                "waiting": [
                    {"external_userid": held.external, "name": wecom.sim.world.people[held.person].nickname}
                    for held in corp.relations.get(item.userid, {}).values()
                    if held.status == HALF
                ],
            }
            for item in corp.staff.values()
        ],
        "ways": [
            {
                "config_id": way.config_id,
                "vcode": way.vcode,
                "state": way.settings.get("state", ""),
                "remark": way.settings.get("remark", ""),
                "user": way.settings.get("user", []),
                "given": way.given,
            }
            for way in list(corp.ways.values())[-SHOWN_WAYS:]
        ],
        "join_ways": [
            {"config_id": way.config_id, "vcode": way.vcode, "state": way.settings.get("state", "")}
            for way in list(corp.join_ways.values())[-SHOWN_WAYS:]
        ],
        "tags": [
            {"id": tag.id, "name": tag.name, "group": corp.tag_groups[tag.group].name} for tag in corp.tags.values()
        ],
        "groups": [chat_view(corp, chat) for chat in corp.chats.values() if not chat.dismissed],
        "tasks": [task_view(corp, task) for task in list(corp.tasks.values())[: -SHOWN_TASKS - 1 : -1]],
        "transfers": [
            {
                "handover": item.handover,
                "takeover": item.takeover,
                "external_userid": item.external,
                "at": item.at,
                "status": item.status,
                "resigned": item.resigned,
            }
            for item in corp.transfers[-200:]
        ],
    }


def chat_view(corp: Corp, chat: Chat) -> dict[str, Any]:
    """A group."""
    owner = corp.staff[chat.owner].name
    return {
        "chat_id": chat.chat_id,
        "name": chat.name,
        "owner": chat.owner,
        "owner_name": owner,
        "size": len(chat.members),
    }


def task_view(corp: Corp, task: Task) -> dict[str, Any]:
    """A mass task and who has confirmed it."""
    rows = []
    for userid, part in task.staff.items():
        counts: dict[str, int] = {}
        for _target, status, _at in part["items"]:
            counts[str(status)] = counts.get(str(status), 0) + 1
        row = {
            "userid": userid,
            "name": corp.staff[userid].name,
            "status": part["status"],
            "send_time": part["send_time"],
        }
        rows.append({**row, "counts": counts, "count": len(part["items"])})
    return {
        "msgid": task.msgid,
        "at": task.at,
        "agentid": task.agentid,
        "chat_type": task.chat_type,
        "text": task.content["text"],
        "attachments": task.content["attachments"],
        "allow_select": task.allow_select,
        "cancelled": task.cancelled,
        "reminded": len(task.reminded),
        "staff": rows,
    }


def relation_view(wecom: WeCom, corp: Corp, relation: Relation) -> dict[str, Any]:
    """A relation, as the person sees it."""
    taker = next(
        (item.takeover for item in corp.transfers if item.external == relation.external
         and item.handover == relation.userid and item.status == WAITING), "",
    )  # fmt: skip
    return {
        "corpid": corp.corpid,
        "corp": corp.name,
        "userid": relation.userid,
        "name": corp.staff[relation.userid].name,
        "external_userid": relation.external,
        "status": relation.status,
        "friend": relation.status == BOTH,
        "at": relation.at,
        "state": relation.state,
        "remark": relation.remark,
        "tags": [corp.tags[tag].name for tag in relation.tags if tag in corp.tags],
        "unread": relation.unread,
        "transfer_to": corp.staff[taker].name if taker else "",
        "last": relation.entries[-1] if relation.entries else None,
    }


def person_view(wecom: WeCom, person: Person) -> dict[str, Any]:
    """Everything on a person's phone that is of WeCom."""
    contacts: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for corp in wecom.corps.values():
        for external in wecom.ids_of(corp, person):
            for userid in corp.followers.get(external, {}):
                relation = corp.relation(userid, external)
                if relation is not None:
                    contacts.append(relation_view(wecom, corp, relation))
            groups += [
                {
                    **chat_view(corp, chat),
                    "corpid": corp.corpid,
                    "corp": corp.name,
                    "last": chat.entries[-1] if chat.entries else None,
                }
                for chat in corp.chats.values()
                if external in chat.members and not chat.dismissed
            ]
    return {"contacts": contacts, "groups": groups, "version": wecom.sim.bus.version}
