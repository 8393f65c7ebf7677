"""What customers, staff and the administrator do by hand; each act causes the events that WeCom would push (2.14)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from wechat_simulator.people import ActError
from wechat_simulator.wecom import mass, transfers
from wechat_simulator.wecom.api_staff import CODE_TEXT
from wechat_simulator.wecom.api_tags import drop
from wechat_simulator.wecom.model import (
    BOTH,
    CUSTOMER_LEFT,
    HALF,
    LEFT,
    STAFF_LEFT,
    Chat,
    Corp,
    CorpTag,
    JoinWay,
    Relation,
    Staff,
    TagGroup,
    Way,
    Welcome,
)
from wechat_simulator.wecom.service import WeCom
from wechat_simulator.world import Person

CONTACT, CHAT, TAG, MEMBER = "change_external_contact", "change_external_chat", "change_external_tag", "change_contact"
Data = dict[str, Any]
Pushed = list[Data]
PersonAct = Callable[[WeCom, Corp, Person, Data], Awaitable[Data]]
StaffAct = Callable[[WeCom, Corp, Staff, Data], Awaitable[Data]]
PERSON_ACTS: dict[str, PersonAct] = {}
STAFF_ACTS: dict[str, StaffAct] = {}


def of_person(function: PersonAct) -> PersonAct:
    """Register an act of a customer under its name."""
    PERSON_ACTS[function.__name__] = function
    return function


def of_staff(function: StaffAct) -> StaffAct:
    """Register an act of a member of staff."""
    STAFF_ACTS[function.__name__] = function
    return function


# --- customers (reference: WeCom 2.4, 2.6, 2.14) ----------------------------------------------------------------------


def find_way(corp: Corp, data: Data) -> Way | JoinWay | None:
    """A contact way or join way by ``config_id``, by its picture's text or address, or by ``state``."""
    code = str(data.get("qr_code", "")).removeprefix(CODE_TEXT).rpartition("vcode=")[2]
    known: list[Way | JoinWay] = [*corp.ways.values(), *corp.join_ways.values()]
    for way in known:
        if way.config_id == data.get("config_id") or (code and way.vcode == code):
            return way
        if data.get("state") and way.settings.get("state") == data["state"]:
            return way
    return None


def _server(corp: Corp, way: Way) -> Staff:
    """Who of a way takes the next customer: in turn, of those that are here and have room."""
    settings = way.settings
    userids = list(settings.get("user") or [])
    for member in corp.staff.values():
        if set(member.department) & set(settings.get("party") or []) and member.userid not in userids:
            userids.append(member.userid)
    able = [corp.staff[userid] for userid in userids if userid in corp.staff]
    able = [item for item in able if item.left_at is None and item.contact and not transfers.is_full(corp, item.userid)]
    if not able:
        raise ActError("nobody of this code takes customers now")
    return able[way.given % len(able)]


@of_person
async def add(wecom: WeCom, corp: Corp, person: Person, data: Data) -> Data:
    """Add a member of staff: by a contact way, or by ``userid`` (``add_way``, 2 phone search).

    A way that does not skip verification, or ``half: true``, waits until staff accepts.
    """
    way = find_way(corp, data)
    if isinstance(way, JoinWay):
        return await join_group(wecom, corp, person, data)
    external = wecom.external_of(corp, person, business=bool(data.get("business")))
    if way is not None and way.settings.get("is_exclusive"):
        for relation in corp.of_customer(external):
            if relation.config_id == way.config_id:
                return {"userid": relation.userid, "added": False, "pushes": []}
    member = _asked(corp, way, data)
    if corp.friend(member.userid, external):
        return {"userid": member.userid, "added": False, "pushes": []}
    waits = bool(data.get("half", way is not None and not way.settings.get("skip_verify", True)))
    relation = Relation(member.userid, external, person.id, wecom.sim.clock.now(), HALF if waits else BOTH)
    relation.oper, relation.remark = external, person.nickname
    if way is not None:
        way.given += 1
        relation.config_id, relation.state = way.config_id, str(way.settings.get("state", ""))
    else:
        relation.add_way, relation.state = int(data.get("add_way", 2)), str(data.get("customer_channel", ""))
    before = corp.relation(member.userid, external)
    if before is not None:
        relation.entries = before.entries
        if wecom.sim.switches.wecom_readd_keeps_state and before.state:
            relation.state = before.state
    corp.put(relation)
    said = f"你已添加了{member.name}，等待对方通过" if waits else f"你已添加了{member.name}，现在可以开始聊天了"
    wecom.write(corp, relation, "system", "notice", content=said)
    change = "add_half_external_contact" if waits else "add_external_contact"
    pushes = await _added(wecom, corp, relation, change)
    return {"userid": member.userid, "added": True, "half": waits, "external_userid": external, "pushes": pushes}


def _asked(corp: Corp, way: Way | None, data: Data) -> Staff:
    """Who is added: of a code whoever it gives, else the member that is named."""
    if way is None and not data.get("userid"):
        raise ActError("no such contact way")
    member = _server(corp, way) if way is not None else corp.member(str(data["userid"]))
    if member.left_at is not None or not member.contact:
        raise ActError("this member takes no customers")
    if transfers.is_full(corp, member.userid):
        raise ActError("this member has no room for another customer")
    return member


async def _added(wecom: WeCom, corp: Corp, relation: Relation, change: str) -> Pushed:
    """The event of a new customer, with a WelcomeCode unless something speaks against it (reference: WeCom 2.7)."""
    fields: Data = {"UserID": relation.userid, "ExternalUserID": relation.external, "State": relation.state}
    barred = corp.console_welcome or relation.talked or relation.greeted or relation.external.startswith("wo")
    if not barred:
        code = wecom.new_id("WEL", "welcome", corp.corpid, length=40)
        corp.welcomes[code] = Welcome(code, relation.userid, relation.external, wecom.sim.clock.now())
        fields["WelcomeCode"] = code
    names = {"userid": relation.userid, "external": relation.external}
    return await wecom.tell(corp, CONTACT, change, **names, **fields)


def relation_of(wecom: WeCom, corp: Corp, person: Person, userid: str) -> Relation:
    """The relation that stands between a person and a member of staff."""
    for external in wecom.ids_of(corp, person):
        relation = corp.relation(userid, external)
        if relation is not None and relation.status in (BOTH, HALF):
            return relation
    raise ActError("this member of staff is no contact")


@of_person
async def delete(wecom: WeCom, corp: Corp, person: Person, data: Data) -> Data:
    """The customer deletes the member: ``del_follow_user``."""
    relation = relation_of(wecom, corp, person, str(data.get("userid", "")))
    relation.status = CUSTOMER_LEFT
    wecom.write(corp, relation, "system", "notice", content="你已删除对方")
    return {"pushes": await _ended(wecom, corp, relation, "del_follow_user")}


async def _ended(wecom: WeCom, corp: Corp, relation: Relation, change: str) -> Pushed:
    names = {"userid": relation.userid, "external": relation.external}
    return await wecom.tell(corp, CONTACT, change, **names, UserID=relation.userid, ExternalUserID=relation.external)


@of_person
async def write(wecom: WeCom, corp: Corp, person: Person, data: Data) -> Data:
    """Write to a member, or into a group (``chat_id``). No event; a welcome is out of place from now on (41051)."""
    content = str(data["content"])
    if data.get("chat_id"):
        chat = corp.chat(str(data["chat_id"]))
        if not any(external in chat.members for external in wecom.ids_of(corp, person)):
            raise ActError("this person is not in the group")
        return {"entry": wecom.write(corp, chat, person.id, "text", content=content), "pushes": []}
    relation = relation_of(wecom, corp, person, str(data.get("userid", "")))
    if relation.status != BOTH:
        raise ActError("the member has not accepted yet")
    relation.talked = True
    return {"entry": wecom.write(corp, relation, "person", "text", content=content), "pushes": []}


@of_person
async def enter(wecom: WeCom, corp: Corp, person: Person, data: Data) -> Data:
    """Open the chat: everything is read."""
    for external in wecom.ids_of(corp, person):
        relation = corp.relation(str(data.get("userid", "")), external)
        if relation is not None:
            relation.unread = 0
    return {"pushes": []}


@of_person
async def refuse_transfer(wecom: WeCom, corp: Corp, person: Person, _data: Data) -> Data:
    """Say no to another member within 24 hours: ``transfer_fail`` (reference: WeCom 2.9)."""
    for external in wecom.ids_of(corp, person):
        transfer = transfers.refuse(wecom, corp, external)
        return {"userid": transfer.handover, "refused": transfer.takeover, "pushes": []}
    raise ActError("no contact of this corp")


# --- groups (reference: WeCom 2.6, 2.10) ------------------------------------------------------------------------------


def _room(wecom: WeCom, corp: Corp, way: JoinWay) -> tuple[Chat, bool]:
    """The first group of a code with room; a new one when all are full and the code may make one."""
    size = wecom.sim.switches.wecom_group_size
    chats = [corp.chats[item] for item in way.settings["chat_id_list"] if item in corp.chats]
    chats = [chat for chat in chats if not chat.dismissed]
    for chat in chats:
        if len(chat.members) < size:
            return chat, False
    if not chats or not way.settings.get("auto_create_room"):
        raise ActError("the groups of this code are full")
    number = int(way.settings.get("room_base_id") or 1)
    name = f"{way.settings.get('room_base_name') or chats[-1].name}{number}"
    chat = wecom.new_chat(corp, name, chats[-1].owner, wecom.sim.clock.now())
    way.settings["room_base_id"] = number + 1
    way.settings["chat_id_list"] = [*way.settings["chat_id_list"], chat.chat_id][-5:]
    return chat, True


async def _chat_event(wecom: WeCom, corp: Corp, chat: Chat, change: str, **fields: Any) -> Pushed:
    return await wecom.tell(corp, CHAT, change, userid=chat.owner, ChatId=chat.chat_id, **fields)


def _members(change: str, before: str, now: str, *, who: list[str], join: int = 0, quit_scene: int = 0) -> Data:
    return {
        "UpdateDetail": change,
        "JoinScene": join,
        "QuitScene": quit_scene,
        "MemChangeCnt": len(who),
        "MemChangeList": {"Item": who},
        "LastMemVer": before,
        "CurMemVer": now,
    }


@of_person
async def join_group(wecom: WeCom, corp: Corp, person: Person, data: Data) -> Data:
    """By a join way (3), or into ``chat_id`` by invitation (1) or link (2), given as ``scene``."""
    way = find_way(corp, data)
    pushes: Pushed = []
    state, scene = "", int(data.get("scene", 1))
    if isinstance(way, JoinWay):
        chat, made = _room(wecom, corp, way)
        state, scene = str(way.settings.get("state", "")), 3
        if made:
            pushes += await _chat_event(wecom, corp, chat, "create")
    else:
        chat = corp.chat(str(data.get("chat_id", "")))
        if len(chat.members) >= wecom.sim.switches.wecom_group_size:
            raise ActError("the group is full")
    external = wecom.external_of(corp, person)
    if external in chat.members:
        return {"chat_id": chat.chat_id, "joined": False, "pushes": pushes}
    before, now = wecom.join(corp, chat, external, wecom.sim.clock.now(), scene=scene, state=state)
    wecom.write(corp, chat, "system", "notice", content=f"{person.nickname}加入了群聊")
    fields = _members("add_member", before, now, who=[external], join=scene)
    pushes += await _chat_event(wecom, corp, chat, "update", **fields)
    return {"chat_id": chat.chat_id, "joined": True, "pushes": pushes}


async def _out(wecom: WeCom, corp: Corp, chat: Chat, external: str, *, removed: bool) -> Pushed:
    if external not in chat.members:
        raise ActError("not in this group")
    del chat.members[external]
    before, now = wecom.turn(chat)
    name = wecom.person_of(corp, external).nickname
    wecom.write(corp, chat, "system", "notice", content=f"{name}{'被移出' if removed else '退出'}了群聊")
    scene = wecom.sim.switches.wecom_quit_scene_self + int(removed)
    fields = _members("del_member", before, now, who=[external], quit_scene=scene)
    return await _chat_event(wecom, corp, chat, "update", **fields)


@of_person
async def leave_group(wecom: WeCom, corp: Corp, person: Person, data: Data) -> Data:
    """Leave ``chat_id``."""
    chat = corp.chat(str(data.get("chat_id", "")))
    ids = [external for external in wecom.ids_of(corp, person) if external in chat.members]
    if not ids:
        raise ActError("not in this group")
    return {"pushes": await _out(wecom, corp, chat, ids[0], removed=False)}


@of_person
async def open_from_group(wecom: WeCom, corp: Corp, person: Person, data: Data) -> Data:
    """Open a mini program in ``chat_id``: the ``opengid`` that the page gets."""
    chat = corp.chat(str(data.get("chat_id", "")))
    if not any(external in chat.members for external in wecom.ids_of(corp, person)):
        raise ActError("this person is not in the group")
    return {"opengid": wecom.opengid(chat), "pushes": []}


# --- staff (reference: WeCom 2.11, 2.14) ------------------------------------------------------------------------------


def _customer(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Relation:
    external = str(data.get("external_userid", ""))
    relation = corp.relation(member.userid, external)
    if not external and data.get("person"):
        person = wecom.sim.world.person(str(data["person"]))
        return relation_of(wecom, corp, person, member.userid)
    if relation is None or relation.status not in (BOTH, HALF):
        raise ActError("no customer of this member")
    return relation


@of_staff
async def accept(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """Accept a customer that waits (half): ``add_external_contact``."""
    relation = _customer(wecom, corp, member, data)
    if relation.status != HALF:
        raise ActError("this customer does not wait")
    relation.status = BOTH
    wecom.write(corp, relation, "system", "notice", content=f"{member.name}已通过，现在可以开始聊天了")
    return {"pushes": await _added(wecom, corp, relation, "add_external_contact")}


@of_staff
async def drop_customer(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """The member deletes the customer: ``del_external_contact`` with an empty Source."""
    relation = _customer(wecom, corp, member, data)
    relation.status = STAFF_LEFT
    return {"pushes": await _ended(wecom, corp, relation, "del_external_contact")}


@of_staff
async def edit(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """Another ``remark`` or ``tags`` (names or ids): ``edit_external_contact``; phones alone push nothing."""
    relation = _customer(wecom, corp, member, data)
    heard = False
    if "remark" in data:
        relation.remark, heard = str(data["remark"]), True
    if "tags" in data:
        by_name = {tag.name: tag.id for tag in corp.tags.values()}
        relation.tags, heard = [by_name.get(item, item) for item in data["tags"]], True
    if "mobiles" in data:
        relation.mobiles = [str(item) for item in data["mobiles"]]
    return {"pushes": await _ended(wecom, corp, relation, "edit_external_contact") if heard else []}


@of_staff
async def say(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """Write to a customer by hand, or into a group (``chat_id``)."""
    if data.get("chat_id"):
        chat = corp.chat(str(data["chat_id"]))
        return {"entry": wecom.write(corp, chat, member.userid, "text", content=str(data["content"])), "pushes": []}
    relation = _customer(wecom, corp, member, data)
    relation.talked = True
    return {"entry": wecom.write(corp, relation, "staff", "text", content=str(data["content"])), "pushes": []}


@of_staff
async def confirm_mass(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """Confirm a mass task (``msgid``; ``chosen`` when it lets staff choose): now it is sent. No event tells of it."""
    task = corp.tasks.get(str(data.get("msgid", "")))
    if task is None:
        raise ActError("no such task")
    counts = mass.confirm(wecom, corp, task, member.userid, data.get("chosen"))
    return {"counts": counts, "pushes": []}


@of_staff
async def create_group(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """A group with customers (``people``): ``create``."""
    now = wecom.sim.clock.now()
    chat = wecom.new_chat(corp, str(data.get("name", "群聊")), member.userid, now)
    for key in data.get("people", ()):
        wecom.join(corp, chat, wecom.external_of(corp, wecom.sim.world.person(str(key))), now, scene=1)
    return {"chat_id": chat.chat_id, "pushes": await _chat_event(wecom, corp, chat, "create")}


@of_staff
async def change_group(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """Another ``name``, ``notice`` or ``owner`` of ``chat_id``; ``remove`` takes a person out: ``update``."""
    chat = corp.chat(str(data.get("chat_id", "")))
    pushes: Pushed = []
    for name, detail in (("name", "change_name"), ("notice", "change_notice"), ("owner", "change_owner")):
        if data.get(name):
            setattr(chat, name, corp.member(data[name]).userid if name == "owner" else str(data[name]))
            pushes += await _chat_event(wecom, corp, chat, "update", UpdateDetail=detail)
    if data.get("remove"):
        external = wecom.external_of(corp, wecom.sim.world.person(str(data["remove"])))
        pushes += await _out(wecom, corp, chat, external, removed=True)
    return {"pushes": pushes}


@of_staff
async def dismiss_group(wecom: WeCom, corp: Corp, member: Staff, data: Data) -> Data:
    """The group is over: ``dismiss``."""
    chat = corp.chat(str(data.get("chat_id", "")))
    if chat.owner != member.userid:
        raise ActError("only the owner dismisses a group")
    chat.dismissed = True
    return {"pushes": await _chat_event(wecom, corp, chat, "dismiss")}


@of_staff
async def resign(wecom: WeCom, corp: Corp, member: Staff, _data: Data) -> Data:
    """Leave the corp: customers wait for somebody else (reference: WeCom 2.9), ``delete_user`` (2.14)."""
    if member.left_at is not None:
        raise ActError("has left already")
    member.left_at, member.status = wecom.sim.clock.now(), LEFT
    return {"pushes": await wecom.tell(corp, MEMBER, "delete_user", UserID=member.userid)}


# --- the administrator (reference: WeCom 2.8, 2.14) -------------------------------------------------------------------


async def put_staff(wecom: WeCom, corp: Corp, data: Data) -> Data:
    """A member, new (``create_user``) or changed (``update_user``), in the console."""
    known = str(data.get("userid", "")) in corp.staff
    wecom.put({"corpid": corp.corpid, "staff": [data]}, wecom.sim.clock.now())
    change = "update_user" if known else "create_user"
    return {"pushes": await wecom.tell(corp, MEMBER, change, UserID=str(data["userid"]))}


async def console_tags(wecom: WeCom, corp: Corp, data: Data) -> Data:
    """Tags in the console: ``{group, names}``, ``{id, name}``, ``{id, delete}``; ``{shuffle}`` is another order."""
    if data.get("shuffle"):
        return {"pushes": await wecom.tell(corp, TAG, "shuffle", Id="", TagType="tag")}
    if data.get("id"):
        return {"pushes": await _changed_tag(wecom, corp, data)}
    known, groups = set(corp.tags), set(corp.tag_groups)
    group = wecom.console_tags(corp, str(data["group"]), [str(name) for name in data["names"]], wecom.sim.clock.now())
    pushes = []
    if group.id not in groups:
        pushes += await wecom.tell(corp, TAG, "create", Id=group.id, TagType="tag_group")
    for tag in [item for item in corp.tags if item not in known]:
        pushes += await wecom.tell(corp, TAG, "create", Id=tag, TagType="tag")
    made = {tag.name: tag.id for tag in corp.tags.values() if tag.group == group.id}
    return {"group_id": group.id, "tags": made, "pushes": pushes}


async def _changed_tag(wecom: WeCom, corp: Corp, data: Data) -> Pushed:
    wanted = str(data["id"])
    item: CorpTag | TagGroup | None = corp.tags.get(wanted) or corp.tag_groups.get(wanted)
    if item is None:
        raise ActError("no such tag or group of tags")
    kind = "tag" if isinstance(item, CorpTag) else "tag_group"
    if not data.get("delete"):
        item.name = str(data["name"])
        return await wecom.tell(corp, TAG, "update", Id=item.id, TagType=kind)
    # A group goes with one event: none for its tags.
    for tag in [tag for tag in corp.tags.values() if item.id in (tag.id, tag.group)]:
        drop(corp, tag)
    return await wecom.tell(corp, TAG, "delete", Id=item.id, TagType=kind)
