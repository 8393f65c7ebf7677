"""Corp tags and who wears them (reference: WeCom 2.8)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.wecom.base import WeComCall, api, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.model import CorpTag, TagGroup

NAME = 30


def _group_row(call: WeComCall, group: TagGroup, tags: list[CorpTag]) -> dict[str, Any]:
    rows = [
        {"id": tag.id, "name": tag.name, "create_time": int(tag.at), "order": tag.order, "deleted": False}
        for tag in sorted(tags, key=lambda item: -item.order)
    ]
    row = {"group_id": group.id, "group_name": group.name, "create_time": int(group.at), "order": group.order}
    return {**row, "deleted": False, "tag": rows}


def _of(call: WeComCall, group: TagGroup) -> list[CorpTag]:
    return [tag for tag in call.corp.tags.values() if tag.group == group.id]


@api("POST", "/externalcontact/get_corp_tag_list")
def listed(call: WeComCall) -> dict[str, Any]:
    """All, or those of ``tag_id``; ``group_id`` counts when there is no tag_id."""
    data = call.json()
    tags = call.texts(data, "tag_id", 10_000, needed=False)
    groups = [] if tags else call.texts(data, "group_id", 10_000, needed=False)
    rows = []
    for group in sorted(call.corp.tag_groups.values(), key=lambda item: -item.order):
        held = [tag for tag in _of(call, group) if not tags or tag.id in tags]
        if held and (not groups or group.id in groups):
            rows.append(_group_row(call, group, held))
    return ok(tag_group=rows)


@api("POST", "/externalcontact/add_corp_tag")
def add(call: WeComCall) -> dict[str, Any]:
    """Tags of a group, by id or name: the same name is the same group; there is no empty group."""
    data = call.json()
    corp = call.corp
    given = data.get("tag")
    if not isinstance(given, list) or not given:
        raise WeComError(40063, "tag")
    if len(corp.tags) + len(given) > call.sim.switches.wecom_tags:
        raise WeComError(40058, "too many tags")
    names = [call.string(item, "name", NAME, needed=True) for item in given if isinstance(item, dict)]
    if len(names) != len(given):
        raise WeComError(40058, "tag")
    orders = [call.whole(item, "order") for item in given]
    group = _asked(call, data)
    present = {tag.name for tag in _of(call, group)}
    if present & set(names) or len(set(names)) < len(names):
        raise WeComError(call.sim.switches.wecom_tag_exists_code)
    corp.tag_groups[group.id] = group
    made = []
    for name, order in zip(names, orders, strict=True):
        tag = CorpTag(call.sim.wecom.new_id("et", "tag", corp.corpid), name, call.now, group.id)
        tag.order, tag.agentid = order, call.agent.agentid
        corp.tags[tag.id] = tag
        made.append(tag)
    return ok(tag_group=_group_row(call, group, made))


def _asked(call: WeComCall, data: dict[str, Any]) -> TagGroup:
    """The group that is meant; a new one is not kept yet."""
    if data.get("group_id"):
        found = call.corp.tag_groups.get(str(data["group_id"]))
        if found is None:
            raise WeComError(40068)
        return found
    name = call.string(data, "group_name", NAME, needed=True)
    found = next((group for group in call.corp.tag_groups.values() if group.name == name), None)
    if found is not None:
        return found
    group = TagGroup(call.sim.wecom.new_id("et", "group", call.corp.corpid), name, call.now)
    group.order, group.agentid = call.whole(data, "order"), call.agent.agentid
    return group


def _mine(call: WeComCall, item: CorpTag | TagGroup) -> None:
    """An application changes only what it made (301002)."""
    if item.agentid != call.agent.agentid:
        raise WeComError(301002)


@api("POST", "/externalcontact/edit_corp_tag")
def edit(call: WeComCall) -> dict[str, Any]:
    """Another name or order, of a tag or a group."""
    data = call.json()
    wanted = call.string(data, "id", needed=True)
    item: CorpTag | TagGroup | None = call.corp.tags.get(wanted) or call.corp.tag_groups.get(wanted)
    if item is None:
        raise WeComError(40068)
    _mine(call, item)
    name = call.string(data, "name", NAME)
    if isinstance(item, CorpTag):
        beside = {tag.name for tag in call.corp.tags.values() if tag.group == item.group and tag is not item}
    else:
        beside = {group.name for group in call.corp.tag_groups.values() if group is not item}
    if name in beside:
        raise WeComError(call.sim.switches.wecom_tag_exists_code)
    item.order = call.whole(data, "order", item.order)
    item.name = name or item.name
    return ok()


def drop(call_corp: Any, tag: CorpTag) -> None:
    """A tag goes, from every customer too; a group goes with its last tag."""
    del call_corp.tags[tag.id]
    for held in call_corp.relations.values():
        for relation in held.values():
            if tag.id in relation.tags:
                relation.tags.remove(tag.id)
    if all(other.group != tag.group for other in call_corp.tags.values()):
        call_corp.tag_groups.pop(tag.group, None)


@api("POST", "/externalcontact/del_corp_tag")
def delete(call: WeComCall) -> dict[str, Any]:
    """Tags and whole groups: all of them, or none."""
    data = call.json()
    tags = call.texts(data, "tag_id", 10_000, needed=False)
    groups = call.texts(data, "group_id", 10_000, needed=False)
    if not tags and not groups:
        raise WeComError(40063, "tag_id or group_id")
    if not set(tags) <= set(call.corp.tags) or not set(groups) <= set(call.corp.tag_groups):
        raise WeComError(40068)
    going = {tag.id: tag for tag in call.corp.tags.values() if tag.id in tags or tag.group in groups}
    for tag in going.values():
        _mine(call, tag)
    for tag in going.values():
        drop(call.corp, tag)
    return ok()


@api("POST", "/externalcontact/mark_tag")
def mark(call: WeComCall) -> dict[str, Any]:
    """Of one member and one customer; no event follows (reference: WeCom 2.8)."""
    data = call.json()
    member = call.serving(data.get("userid"))
    external = call.external(data.get("external_userid"))
    add_tags = call.texts(data, "add_tag", 10_000, needed=False)
    remove = call.texts(data, "remove_tag", 10_000, needed=False)
    if not add_tags and not remove:
        raise WeComError(40063, "add_tag or remove_tag")
    if not set(add_tags) | set(remove) <= set(call.corp.tags):
        raise WeComError(40068)
    relation = call.corp.friend(member.userid, external)
    if relation is None:
        raise WeComError(84061)
    tags = [tag for tag in dict.fromkeys([*relation.tags, *add_tags]) if tag not in remove]
    if len(tags) > call.sim.switches.wecom_tags_per_customer:
        raise WeComError(40058, "too many tags on one customer")
    relation.tags = tags
    return ok()
