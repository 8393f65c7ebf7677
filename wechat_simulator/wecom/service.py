"""All corps of WeCom and what happens by itself: tokens, frequency, events, transfers that complete."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from wechat_simulator.api.base import Call
from wechat_simulator.api.base import Handler as PlainHandler
from wechat_simulator.crypto import MessageCipher
from wechat_simulator.wecom import (
    api_contacts,
    api_groups,
    api_mass,
    api_staff,
    api_tags,
    api_transfer,
    api_ways,
    api_welcome,
    transfers,
)
from wechat_simulator.wecom.base import ROUTES, WeComCall
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.limits import DAY, HOUR, MINUTE, MONTH, Frequency, Span
from wechat_simulator.wecom.model import (
    AGENT_FIELDS,
    BOTH,
    PLAIN,
    Agent,
    Chat,
    Corp,
    CorpTag,
    Relation,
    Staff,
    TagGroup,
    known_fields,
)
from wechat_simulator.wecom.pushes import NOBODY, WeComPushes
from wechat_simulator.world import Person, WorldError, token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.pushes import Push
    from wechat_simulator.simulation import Simulation

KEEP_ENTRIES = 500
# Importing these fills the table of paths.
MODULES = (api_contacts, api_groups, api_mass, api_staff, api_tags, api_transfer, api_ways, api_welcome)


class WeCom:
    """The corps."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.corps: dict[str, Corp] = {}
        self.frequency = Frequency()
        self.pushes = WeComPushes(sim)
        sim.timers.on("wecom_transfer", lambda due, payload: transfers.due(self, due, payload))
        self.base = ""  # where this process is reached, for addresses of pictures

    # --- look-ups -------------------------------------------------------------------------------------------------

    def corp(self, corpid: str) -> Corp:
        """By corpid; the only one when none is named; ``WorldError`` when unknown."""
        if not corpid and len(self.corps) == 1:
            return next(iter(self.corps.values()))
        if corpid not in self.corps:
            msg = f"no corp {corpid}"
            raise WorldError(msg)
        return self.corps[corpid]

    def external_of(self, corp: Corp, person: Person, *, business: bool = False) -> str:
        """The id of a person in a corp, made on first use: ``wm`` WeChat, ``wo`` WeCom (reference: WeCom 2.4)."""
        kind = "wo" if business else "wm"
        external = kind + token_urlsafe(30, self.sim.world.seed, "external", corp.corpid, kind, person.id)
        corp.contacts[external] = person.id
        return external

    def ids_of(self, corp: Corp, person: Person) -> list[str]:
        """The ids that a person has had in a corp."""
        made = (
            kind + token_urlsafe(30, self.sim.world.seed, "external", corp.corpid, kind, person.id)
            for kind in ("wm", "wo")
        )
        return [external for external in made if external in corp.contacts]

    def person_of(self, corp: Corp, external: str) -> Person:
        """Whose external_userid this is."""
        return self.sim.world.people[corp.contacts[external]]

    def unionid(self, corp: Corp, external: str) -> str:
        """Of WeChat users, when the corp is bound to a subject; else empty (reference: WeCom 2.4)."""
        if not corp.subject or external.startswith("wo"):
            return ""
        return self.sim.world.unionid_of(corp.subject, corp.contacts[external])

    def new_id(self, prefix: str, *parts: str, length: int = 30) -> str:
        """An id never given before."""
        return prefix + token_urlsafe(length, self.sim.world.seed, "wecom", *parts, str(self.sim.world.number()))

    # --- calls ----------------------------------------------------------------------------------------------------

    def checked(self, call: Call, method: str, path: str) -> PlainHandler:
        """Method, token, address, permission and frequency in this order; the handler when all are right."""
        route = ROUTES.get(path)
        if route is None:
            raise WeComError(48002, "unknown path")
        if route.method != method:
            raise WeComError(43001 if route.method == "GET" else 43002)
        if not route.token:
            inner = WeComCall(call, Corp(""), Agent(""), path=path, base=self.base)
            corpid = call.query.get("corpid", "")
            self._spend(call, corpid if corpid in self.corps else "", path)
        else:
            corp, agent = self._shown(call)
            inner = WeComCall(call, corp, agent, path=path, base=self.base)
            call.account = agent
            if not agent.allows(call.address):
                raise WeComError(60020)
            if route.contact and not agent.contact:
                raise WeComError(84074)
            self._spend(call, corp.corpid, path)
        handler = route.handler
        return lambda _call: handler(inner)

    def _shown(self, call: Call) -> tuple[Corp, Agent]:
        """Whose token the call shows: 41001, 40014, 42001 (reference: WeCom 2.2)."""
        text = call.query.get("access_token")
        if not text:
            raise WeComError(41001)
        token = self.sim.tokens.find(text)
        corp = self.corps.get(token.appid) if token else None
        if token is None or corp is None or not token.family.startswith("agent "):
            raise WeComError(40014)
        if token.expires_at <= call.now:
            raise WeComError(40014 if token.displaced else 42001)
        agent = corp.agents.get(int(token.family.removeprefix("agent ")))
        if agent is None:
            raise WeComError(40014)
        return corp, agent

    def _spend(self, call: Call, corpid: str, path: str) -> None:
        """Per corp and path, and per address (reference: WeCom 2.2)."""
        switches = self.sim.switches
        try:
            per_address = (Span(MINUTE, switches.wecom_ip_per_minute), Span(HOUR, switches.wecom_ip_per_hour))
            self.frequency.spend(f"ip {call.address}", per_address, call.now)
            spans = (Span(MINUTE, switches.wecom_calls_per_minute), Span(HOUR, switches.wecom_calls_per_hour))
            self.frequency.spend(f"{corpid} {path}", spans, call.now)
        except WeComError as error:
            self.refused(corpid, path, error.code)
            raise

    def refused(self, corpid: str, path: str, code: int) -> None:
        """For the truth: who was refused how often."""
        key = (corpid, path, code)
        self.sim.quotas.refused[key] = self.sim.quotas.refused.get(key, 0) + 1

    def conversion(self, corp: Corp, path: str, now: float, times: int = 1) -> None:
        """Ids of WeChat turned into ids of the corp: 45009 past the hour, the day, the month (reference: WeCom 2.5)."""
        switches = self.sim.switches
        spans = (
            Span(HOUR, switches.wecom_conversions_per_hour),
            Span(DAY, switches.wecom_conversions_per_day),
            Span(MONTH, switches.wecom_conversions_per_month),
        )
        try:
            self.frequency.spend(f"{corp.corpid} convert", spans, now, times)
        except WeComError as error:
            self.refused(corp.corpid, path, error.code)
            raise

    # --- events ---------------------------------------------------------------------------------------------------

    def _made(
        self, corp: Corp, event: str, change: str, *, userid: str, external: str, fields: dict[str, Any]
    ) -> list[tuple[Push, Any]]:
        person = self.person_of(corp, external) if external in corp.contacts else NOBODY
        contact = event.startswith("change_external")
        made = []
        for agent in corp.agents.values():
            if (contact and not agent.contact) or (userid and not agent.sees(userid)):
                continue
            inner = {"Event": event, "ChangeType": change, **fields}
            now = self.sim.clock.now()
            made.append(self.pushes.make(corp, agent, person, external, kind=change, at=now, fields=inner))
        return made

    async def tell(
        self, corp: Corp, event: str, change: str, *, userid: str = "", external: str = "", **fields: Any
    ) -> list[dict[str, Any]]:
        """An event to every application that may hear it, waited for: what somebody did with a phone or the console."""
        made = self._made(corp, event, change, userid=userid, external=external, fields=fields)
        await asyncio.gather(*(self.pushes.deliver(*pair) for pair in made))
        return [push.view() for push, _ in made]

    def tell_later(
        self, corp: Corp, event: str, change: str, *, userid: str = "", external: str = "", **fields: Any
    ) -> None:
        """The same from a timer: nobody waits."""
        for push, ear in self._made(corp, event, change, userid=userid, external=external, fields=fields):
            self.pushes.background(push, ear)

    # --- what people read -----------------------------------------------------------------------------------------

    def write(self, corp: Corp, place: Relation | Chat, sender: str, kind: str, **fields: Any) -> dict[str, Any]:
        """An entry of a chat: ``from`` is person, staff, system or a userid in a group."""
        number = self.sim.world.number()
        entry = {"n": number, "at": self.sim.clock.now(), "from": sender, "kind": kind, **fields}
        place.entries.append(entry)
        del place.entries[:-KEEP_ENTRIES]
        if isinstance(place, Relation):
            place.unread += int(sender == "staff")
            self.sim.bus.bump("wecom", place.person, corp.corpid)
        else:
            self.sim.bus.bump("wecom", None, corp.corpid)
        return entry

    # --- the world ------------------------------------------------------------------------------------------------

    def put(self, item: dict[str, Any], now: float) -> Corp:
        """Add or change a corp; what is not named stays, what is missing is made up from the seed."""
        corpid = str(item["corpid"])
        more = {"agents", "staff", "tags", "customers", "crowds", "groups"}
        if unknown := set(item) - more - set(PLAIN):
            msg = f"unknown keys {sorted(unknown)} of corp {corpid}"
            raise WorldError(msg)
        corp = self.corps.get(corpid) or Corp(corpid)
        for name in PLAIN:
            setattr(corp, name, item.get(name, getattr(corp, name)))
        corp.name = corp.name or corpid
        corp.departments = corp.departments or [{"id": 1, "name": corp.name, "parentid": 0, "order": 1}]
        for row in item.get("agents", ()):
            self._put_agent(corp, row)
        for row in item.get("staff", ()):
            self._put_staff(corp, row)
        for group, names in item.get("tags", {}).items():
            self.console_tags(corp, group, names, now)
        self.corps[corpid] = corp
        self._put_people(corp, item, now)
        self.sim.bus.bump("wecom", None, corpid)
        return corp

    def _put_people(self, corp: Corp, item: dict[str, Any], now: float) -> None:
        for row in item.get("customers", ()):
            for key in row["people"]:
                self._put_customer(corp, row, self.sim.world.person(key), now)
        for row in item.get("crowds", ()):
            for index in range(1, int(row["count"]) + 1):
                self._put_customer(corp, row, self.sim.world.person(f"{row['prefix']}{index:06d}"), now, index)
        for row in item.get("groups", ()):
            self._put_group(corp, row, now)

    def _put_agent(self, corp: Corp, item: dict[str, Any]) -> Agent:
        if unknown := set(item) - set(AGENT_FIELDS):
            msg = f"unknown keys {sorted(unknown)} of an application of {corp.corpid}"
            raise WorldError(msg)
        agent = corp.put_agent(item)
        seed, number = self.sim.world.seed, str(agent.agentid)

        def made(what: str) -> str:
            return hashlib.sha256(f"{seed}|{corp.corpid}|{number}|{what}".encode()).hexdigest()

        agent.name = agent.name or f"应用 {agent.agentid}"
        agent.secret = agent.secret or made("secret")[:43]
        agent.token = agent.token or made("token")[:24]
        agent.aes_key = agent.aes_key or made("aes")[:43]
        try:
            MessageCipher(agent.aes_key, corp.corpid)
        except ValueError as error:
            msg = f"application {agent.agentid}: aes_key: {error}"
            raise WorldError(msg) from error
        return agent

    @staticmethod
    def _put_staff(corp: Corp, item: dict[str, Any]) -> Staff:
        if unknown := set(item) - known_fields(Staff):
            msg = f"unknown keys {sorted(unknown)} of staff {item.get('userid')}"
            raise WorldError(msg)
        userid = str(item["userid"])
        member = corp.staff.get(userid) or Staff(userid)
        for name, value in item.items():
            setattr(member, name, value)
        member.name = member.name or userid
        corp.staff[userid] = member
        return member

    def console_tags(self, corp: Corp, group: str, names: list[str], now: float) -> TagGroup:
        """Tags made in the console; those that are there stay."""
        found = next((item for item in corp.tag_groups.values() if item.name == group), None)
        if found is None:
            found = TagGroup(self.new_id("et", "group", corp.corpid), group, now)
            corp.tag_groups[found.id] = found
        present = {tag.name for tag in corp.tags.values() if tag.group == found.id}
        for name in (name for name in names if name not in present):
            tag = CorpTag(self.new_id("et", "tag", corp.corpid), name, now, found.id)
            corp.tags[tag.id] = tag
        return found

    def _put_customer(self, corp: Corp, row: dict[str, Any], person: Person, now: float, index: int = 1) -> None:
        """A customer from before: no event. ``staff`` may be several for a crowd, in turn."""
        given = row["staff"]
        userid = given[(index - 1) % len(given)] if isinstance(given, list) else str(given)
        corp.member(userid)
        external = self.external_of(corp, person)
        if corp.friend(userid, external):
            return
        by_name = {tag.name: tag.id for tag in corp.tags.values()}
        relation = Relation(userid, external, person.id, float(row.get("at", now)), BOTH, oper=userid)
        relation.state = str(row.get("state", ""))
        relation.remark = str(row.get("remark", person.nickname))
        relation.tags = [by_name[name] for name in row.get("tags", ())]
        relation.talked = True
        corp.put(relation)

    def _put_group(self, corp: Corp, row: dict[str, Any], now: float) -> None:
        if any(chat.name == row["name"] for chat in corp.chats.values()):
            return
        chat = self.new_chat(corp, str(row["name"]), str(row["owner"]), float(row.get("at", now)))
        for userid in row.get("staff", ()):
            self.join(corp, chat, corp.member(userid).userid, now, scene=1)
        for key in row.get("people", ()):
            self.join(corp, chat, self.external_of(corp, self.sim.world.person(key)), now, scene=3)

    # --- groups ---------------------------------------------------------------------------------------------------

    def new_chat(self, corp: Corp, name: str, owner: str, now: float) -> Chat:
        """A group with its owner in it."""
        corp.member(owner)
        chat = Chat(self.new_id("wr", "chat", corp.corpid), name, owner, now)
        corp.chats[chat.chat_id] = chat
        self.join(corp, chat, owner, now, scene=1)
        return chat

    @staticmethod
    def turn(chat: Chat) -> tuple[str, str]:
        """The member version before and after a change (reference: WeCom 2.10)."""
        before = chat.version
        chat.changes += 1
        chat.version = hashlib.md5(f"{chat.chat_id}|{chat.changes}".encode(), usedforsecurity=False).hexdigest()
        return before, chat.version

    def join(
        self, corp: Corp, chat: Chat, member: str, now: float, *, scene: int, state: str = "", invitor: str = ""
    ) -> tuple[str, str]:
        """Somebody comes in; the member versions before and after."""
        chat.members[member] = {
            "type": 1 if member in corp.staff else 2,
            "join_time": int(now),
            "join_scene": scene,
            "invitor": invitor or chat.owner,
            "state": state,
        }
        return self.turn(chat)

    def opengid(self, chat: Chat) -> str:
        """What a mini program that was opened in a group is told of it (reference: WeCom 2.5)."""
        return "tG" + token_urlsafe(26, self.sim.world.seed, "opengid", chat.chat_id)

    # --- state file -----------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        return {"corps": [corp.dump() for corp in self.corps.values()], "frequency": self.frequency.dump()}

    def load(self, data: dict[str, Any]) -> None:
        """From the state file."""
        self.corps = {row["corpid"]: Corp.load(row) for row in data.get("corps", ())}
        self.frequency.load(data.get("frequency", {}))
