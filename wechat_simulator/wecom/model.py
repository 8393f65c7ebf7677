"""Who and what a corp of WeCom has: applications, staff, customers, codes, tags, groups, tasks (reference: WeCom 2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from wechat_simulator.world import Account, WorldError

BOTH, HALF, STAFF_LEFT, CUSTOMER_LEFT, TRANSFERRED = "both", "half", "deleted_by_staff", "deleted_by_customer", "moved"
ACTIVE, DISABLED, INACTIVE, LEFT = 1, 2, 4, 5  # status of staff (reference: WeCom 2.15)
TO_SEND, SENT, NO_FRIEND, LIMIT_REACHED = 0, 1, 2, 3  # of a mass message to one customer (reference: WeCom 2.11)
DONE, WAITING, REFUSED, FULL = 1, 2, 3, 4  # of a transfer (reference: WeCom 2.9)


@dataclass
class Agent(Account):
    """A self-built application: its secret, its callback (reference: WeCom 2.1). The appid is the corpid."""

    agentid: int = 0
    contact: bool = True  # stands under 客户联系 → 可调用接口的应用 (84074)
    sync: bool = False  # its secret is that of contact sync (通讯录同步), which alone may list every userid (2.15)
    visible: list[str] = field(default_factory=list)  # userids; empty: everybody

    def sees(self, userid: str) -> bool:
        """Whether a member of staff is in the application's range."""
        return not self.visible or userid in self.visible


AGENT_FIELDS = (
    "agentid", "name", "secret", "token", "aes_key", "callback_url", "ip_allow", "contact", "sync", "visible",
)  # fmt: skip


@dataclass
class Staff:
    """A member of staff (成员)."""

    userid: str
    name: str = ""
    department: list[int] = field(default_factory=lambda: [1])
    mobile: str = ""
    status: int = ACTIVE
    contact: bool = True  # customer contact is enabled (84083)
    real_name: bool = True  # 40098
    customer_limit: int = 0  # 0: none
    leader: list[str] = field(default_factory=list)
    left_at: float | None = None


@dataclass
class Relation:
    """One customer of one member of staff (reference: WeCom 2.4, 2.14)."""

    userid: str
    external: str
    person: str
    at: float
    status: str = BOTH
    add_way: int = 1
    oper: str = ""
    state: str = ""
    config_id: str = ""
    remark: str = ""
    description: str = ""
    company: str = ""
    mobiles: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    talked: bool = False
    unread: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)
    greeted: bool = False  # by a welcome message


@dataclass
class Way:
    """A contact way (联系我) (reference: WeCom 2.6)."""

    config_id: str
    at: float
    vcode: str
    settings: dict[str, Any] = field(default_factory=dict)
    given: int = 0  # how many it brought: the next member of staff is another one


@dataclass
class JoinWay:
    """A code for joining groups (reference: WeCom 2.6)."""

    config_id: str
    at: float
    vcode: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class TagGroup:
    """A group of corp tags (reference: WeCom 2.8)."""

    id: str
    name: str
    at: float
    order: int = 0
    agentid: int = 0


@dataclass
class CorpTag:
    """A corp tag; only the application that made it may change it."""

    id: str
    name: str
    at: float
    group: str
    order: int = 0
    agentid: int = 0  # 0: made in the console


@dataclass
class Chat:
    """A group chat with customers (reference: WeCom 2.10). Members by userid or external_userid."""

    chat_id: str
    name: str
    owner: str
    at: float
    notice: str = ""
    version: str = ""
    changes: int = 0
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    admins: list[str] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    dismissed: bool = False
    inherited: bool = False


@dataclass
class Task:
    """A mass message that staff must confirm (reference: WeCom 2.11)."""

    msgid: str
    at: float
    agentid: int
    chat_type: str
    content: dict[str, Any]
    allow_select: bool = False
    cancelled: bool = False
    reminded: list[float] = field(default_factory=list)
    # userid → {"status": 0 | 2, "send_time": n, "items": [[id, status, send_time]]}
    staff: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Transfer:
    """A customer on the way from one member of staff to another (reference: WeCom 2.9)."""

    n: int
    handover: str
    takeover: str
    external: str
    at: float
    resigned: bool
    message: str = ""
    status: int = WAITING
    ended_at: float = 0.0


@dataclass
class Welcome:
    """A welcome code: 20 seconds, once (reference: WeCom 2.7)."""

    code: str
    userid: str
    external: str
    at: float
    used_at: float = 0.0
    used_by: int = 0


@dataclass
class Pending:
    """A unionid that is no customer yet (reference: WeCom 2.5)."""

    pending_id: str
    person: str
    at: float


KINDS: dict[str, Any] = {
    "staff": Staff,
    "ways": Way,
    "join_ways": JoinWay,
    "tag_groups": TagGroup,
    "tags": CorpTag,
    "chats": Chat,
    "tasks": Task,
    "welcomes": Welcome,
    "pendings": Pending,
}
PLAIN = ("corpid", "name", "subject", "verified", "mini_programs", "console_welcome", "departments")


@dataclass
class Corp:
    """A corp and everything in it. Nothing here does I/O."""

    corpid: str
    name: str = ""
    subject: str = ""  # Open Platform subject: gives unionids (reference: WeCom 2.4)
    verified: bool = True
    mini_programs: list[str] = field(default_factory=list)
    console_welcome: bool = False  # the console's own welcome applies: events carry no WelcomeCode (2.7)
    departments: list[dict[str, Any]] = field(default_factory=list)
    agents: dict[int, Agent] = field(default_factory=dict)
    staff: dict[str, Staff] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)  # external_userid → person
    relations: dict[str, dict[str, Relation]] = field(default_factory=dict)  # userid → external_userid
    followers: dict[str, dict[str, None]] = field(default_factory=dict)  # external_userid → userids, ever
    ways: dict[str, Way] = field(default_factory=dict)
    join_ways: dict[str, JoinWay] = field(default_factory=dict)
    tag_groups: dict[str, TagGroup] = field(default_factory=dict)
    tags: dict[str, CorpTag] = field(default_factory=dict)
    chats: dict[str, Chat] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)
    welcomes: dict[str, Welcome] = field(default_factory=dict)
    pendings: dict[str, Pending] = field(default_factory=dict)  # by person
    received: dict[str, int] = field(default_factory=dict)  # "YYYY-MM|customer or chat" → mass messages

    # --- look-ups -------------------------------------------------------------------------------------------------

    def relation(self, userid: str, external: str) -> Relation | None:
        """A relation that stands, or stood."""
        return self.relations.get(userid, {}).get(external)

    def friend(self, userid: str, external: str) -> Relation | None:
        """A relation of both sides that stands now."""
        relation = self.relation(userid, external)
        return relation if relation is not None and relation.status == BOTH else None

    def customers(self, userid: str) -> list[Relation]:
        """The customers of a member of staff, in the order in which they came."""
        return [item for item in self.relations.get(userid, {}).values() if item.status == BOTH]

    def of_customer(self, external: str) -> list[Relation]:
        """The relations of a customer that stand, with staff that is still there."""
        return [
            relation
            for userid in self.followers.get(external, {})
            if (relation := self.friend(userid, external)) and self.staff[userid].left_at is None
        ]

    def member(self, userid: str) -> Staff:
        """A member of staff; ``WorldError`` when unknown."""
        if userid not in self.staff:
            msg = f"no staff {userid}"
            raise WorldError(msg)
        return self.staff[userid]

    def chat(self, chat_id: str) -> Chat:
        """A group that exists; ``WorldError`` when not."""
        chat = self.chats.get(chat_id)
        if chat is None or chat.dismissed:
            msg = f"no group {chat_id}"
            raise WorldError(msg)
        return chat

    def put(self, relation: Relation) -> Relation:
        """A relation begins, or begins again: the newest stands last."""
        held = self.relations.setdefault(relation.userid, {})
        held.pop(relation.external, None)
        held[relation.external] = relation
        self.followers.setdefault(relation.external, {})[relation.userid] = None
        return relation

    # --- state file -----------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """For the state file."""
        row: dict[str, Any] = {name: getattr(self, name) for name in (*PLAIN, "contacts", "received")}
        row["agents"] = [{name: getattr(agent, name) for name in AGENT_FIELDS} for agent in self.agents.values()]
        for name in KINDS:
            row[name] = {key: asdict(item) for key, item in getattr(self, name).items()}
        row["relations"] = [asdict(item) for held in self.relations.values() for item in held.values()]
        row["followers"] = {external: list(userids) for external, userids in self.followers.items()}
        row["transfers"] = [asdict(item) for item in self.transfers]
        return row

    @classmethod
    def load(cls, row: dict[str, Any]) -> Corp:
        """From the state file."""
        corp = cls(**{name: row[name] for name in (*PLAIN, "contacts", "received")})
        for item in row["agents"]:
            corp.put_agent(item)
        for name, kind in KINDS.items():
            setattr(corp, name, {key: kind(**item) for key, item in row[name].items()})
        for item in row["relations"]:
            corp.put(Relation(**{"greeted" if name == "by_half" else name: value for name, value in item.items()}))
        corp.followers = {external: dict.fromkeys(userids) for external, userids in row["followers"].items()}
        corp.transfers = [Transfer(**item) for item in row["transfers"]]
        return corp

    def put_agent(self, item: dict[str, Any]) -> Agent:
        """An application, new or changed."""
        agentid = int(item["agentid"])
        agent = self.agents.get(agentid) or Agent(self.corpid, kind="corp", original_id=self.corpid, agentid=agentid)
        for name in AGENT_FIELDS:
            setattr(agent, name, item.get(name, getattr(agent, name)))
        self.agents[agentid] = agent
        return agent


def known_fields(kind: Any) -> set[str]:
    """The names that a description may use."""
    return {item.name for item in fields(kind)}
