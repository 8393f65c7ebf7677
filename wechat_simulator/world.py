"""Who exists: Open Platform subjects, accounts, people, their relation to accounts, templates, tags, codes, menus."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from wechat_simulator.crypto import MessageCipher
from wechat_simulator.places import PEOPLE

if TYPE_CHECKING:
    from wechat_simulator.components import Component

DEFAULT_SEED = "zhiyin"
MODES = ("plain", "compatible", "safe")
FORMATS = ("xml", "json")
KINDS = ("service", "mini")
KEY_PATTERN = re.compile(r"\{\{\s*([A-Za-z_]+\d*)\.DATA\s*\}\}")
NOTICE_ONCE, NOTICE_LONG = 2, 3  # kinds of subscribe notifications (reference: service account 5.7)
SYSTEM_TAGS = 100  # own tags are numbered from 100; 0, 1, 2 are the platform's (reference: service account 5.3)


class WorldError(ValueError):
    """The description of the world is wrong; the text says where."""


def token_urlsafe(length: int, *parts: str) -> str:
    """Deterministic text of letters, digits, ``-`` and ``_`` from the parts."""
    raw = b""
    counter = 0
    while len(raw) * 4 // 3 < length + 4:
        raw += hashlib.sha256("|".join((*parts, str(counter))).encode()).digest()
        counter += 1
    return base64.urlsafe_b64encode(raw).decode()[:length]


def _hex(length: int, *parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:length]


@lru_cache(maxsize=256)
def cipher_for(key: str, appid: str) -> MessageCipher:
    """Ciphers are made once per key."""
    return MessageCipher(key, appid)


@dataclass(slots=True)
class Subject:
    """An Open Platform subject (开放平台账号): one person has one unionid per subject (mini-program reference 1.5)."""

    id: str
    name: str = ""


@dataclass(slots=True)
class Template:
    """A private template (类目模板) of one account (reference: service account 5.6, 5.7).

    ``kind``: 0 a template message, otherwise a subscribe notification.
    """

    template_id: str
    title: str
    content: str
    example: str = ""
    primary_industry: str = "IT科技"
    deputy_industry: str = "互联网|电子商务"
    consts: dict[str, list[str]] = field(default_factory=dict)
    banned: bool = False
    kind: int = 0
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.keys = tuple(KEY_PATTERN.findall(self.content))


@dataclass(slots=True)
class Tag:
    """A fan tag; members in the order of tagging."""

    id: int
    name: str
    members: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class ConditionalMenu:
    """A 个性化菜单: buttons for the people its rule matches."""

    menuid: int
    buttons: list[dict[str, Any]]
    matchrule: dict[str, Any]


@dataclass(slots=True)
class Code:
    """A QR code with a scene (reference: service account 5.5). ``scene`` is text; ``numeric`` tells a scene_id."""

    ticket: str
    appid: str
    action_name: str
    scene: str
    numeric: bool
    url: str
    created_at: float
    expires_at: float | None
    name: str = ""


@dataclass(slots=True)
class Window:
    """An open customer-service allowance (reference: service account 5.9)."""

    trigger: str
    opened_at: float
    until: float
    left: int


class Fan:
    """One person's relation to one account, following or not."""

    __slots__ = (
        "account", "at", "blacklisted", "consents", "conversation", "last_inbound_at", "location_consent", "menu",
        "menu_at", "openid", "person", "qr_scene", "qr_scene_str", "refuses", "remark", "scene", "subscribed",
        "tags", "typing_until", "unread", "windows",
    )  # fmt: skip

    def __init__(self, account: Account, person: Person, openid: str) -> None:
        self.account = account
        self.person = person
        self.openid = openid
        self.subscribed = False
        self.at = 0.0
        self.scene = "ADD_SCENE_SEARCH"
        self.qr_scene = 0
        self.qr_scene_str = ""
        self.remark = ""
        self.tags: list[int] = []  # order of application: the last one decides the menu
        self.refuses = False  # the person turned messages of this account off (拉黑)
        self.blacklisted = False  # the account put the person on its blacklist
        self.location_consent = False
        self.consents: dict[str, int] | None = None  # subscribe notifications still agreed to, by template
        self.windows: dict[str, Window] | None = None
        self.conversation: list[Any] | None = None
        self.unread = 0
        self.last_inbound_at = 0.0
        self.typing_until = 0.0
        self.menu: list[dict[str, Any]] | None = None
        self.menu_at = 0.0


class Person:
    """A natural person with a phone in the hand."""

    __slots__ = ("fans", "flagged", "id", "ignores", "location", "login_times", "nickname", "phone", "platform")

    def __init__(self, person_id: str, nickname: str, phone: str, platform: int = 1) -> None:
        self.id = person_id
        self.nickname = nickname
        self.phone = phone
        self.platform = platform
        self.ignores = False
        self.flagged = False  # WeChat's risk control refuses this person's logins (40226)
        self.location = ""
        self.fans: dict[str, Fan] = {}
        self.login_times: list[float] = []


@dataclass
class Account:
    """A service account or a mini-program."""

    appid: str
    kind: str = "service"
    name: str = ""
    original_id: str = ""
    secret: str = ""
    secret_frozen: bool = False
    subject: str = ""
    callback_url: str = ""
    token: str = ""
    aes_key: str = ""
    previous_aes_key: str = ""
    push_with_previous_key: bool = False
    mode: str = "safe"
    format: str = "xml"
    verified: bool = True
    banned: bool = False
    limited: bool = False
    ip_allow: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    location_report: str = "off"  # off | enter | always
    permanent_code_limit: int = 100_000
    quotas: dict[str, dict[str, int | None]] = field(default_factory=dict)
    library: list[dict[str, Any]] = field(default_factory=list)
    templates: dict[str, Template] = field(default_factory=dict)
    notices: dict[str, Template] = field(default_factory=dict)  # subscribe notifications: ids of their own
    tags: dict[int, Tag] = field(default_factory=dict)
    next_tag: int = SYSTEM_TAGS
    menu: list[dict[str, Any]] | None = None
    conditional: list[ConditionalMenu] = field(default_factory=list)
    next_menuid: int = 400_000_001
    codes: dict[str, Code] = field(default_factory=dict)
    code_names: dict[str, str] = field(default_factory=dict)
    permanent: dict[str, str] = field(default_factory=dict)
    fans: dict[str, Fan] = field(default_factory=dict)
    component: Component | None = None  # the third-party platform it authorised; then pushes go there (reference 7.5)
    granted: list[int] = field(default_factory=list)
    mass_agreed: bool = True  # the agreement of mass sends, accepted in the console (48003)
    mass_protected: bool = False  # 群发保护: a send to everybody waits for the administrator
    mass_speed: int = 0
    oauth_domains: list[str] = field(default_factory=list)  # 网页授权域名

    @property
    def push_url(self) -> str:
        """Where pushes go."""
        return self.component.messages_url.replace("$APPID$", self.appid) if self.component else self.callback_url

    @property
    def push_token(self) -> str:
        """What pushes are signed with."""
        return self.component.token if self.component else self.token

    @property
    def push_mode(self) -> str:
        """How pushes are protected: to a platform always in safe mode."""
        return "safe" if self.component else self.mode

    def cipher(self) -> MessageCipher:
        """The cipher pushes are made with; after a key change the previous one for a while (reference 1.3)."""
        if self.component:
            return self.component.cipher()
        key = self.previous_aes_key if self.push_with_previous_key and self.previous_aes_key else self.aes_key
        return cipher_for(key, self.appid)

    def allows(self, address: str) -> bool:
        """Whether an address is on the IP list; an empty list allows all."""
        if not self.ip_allow:
            return True
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(item, strict=False) for item in self.ip_allow)


PLAIN_FIELDS = (
    "kind", "name", "original_id", "secret", "secret_frozen", "subject", "callback_url", "token", "aes_key",
    "previous_aes_key", "push_with_previous_key", "mode", "format", "verified", "banned", "limited", "ip_allow",
    "linked", "pages", "location_report", "permanent_code_limit", "quotas", "library", "granted", "mass_agreed",
    "mass_protected", "mass_speed", "oauth_domains",
)  # fmt: skip


class World:
    """Everything that exists. Nothing here does I/O."""

    def __init__(self, seed: str = DEFAULT_SEED, *, built_in_people: bool = True) -> None:
        self.seed = seed
        self.subjects: dict[str, Subject] = {}
        self.accounts: dict[str, Account] = {}
        self.people: dict[str, Person] = {}
        self.fans: dict[str, Fan] = {}
        self.tickets: dict[str, Code] = {}
        self.code_urls: dict[str, Code] = {}
        self.counter = 0
        if built_in_people:
            for item in PEOPLE:
                self.people[item.id] = person = Person(item.id, item.nickname, item.phone, item.platform)
                person.location = item.place

    # --- look-ups -------------------------------------------------------------------------------------------------

    def number(self) -> int:
        """A counter for ids that must differ."""
        self.counter += 1
        return self.counter

    def account(self, appid: str) -> Account:
        """By appid; ``WorldError`` when unknown."""
        if appid not in self.accounts:
            msg = f"no account {appid}"
            raise WorldError(msg)
        return self.accounts[appid]

    def person(self, key: str) -> Person:
        """By id or nickname; ``WorldError`` when unknown."""
        if key in self.people:
            return self.people[key]
        for person in self.people.values():
            if person.nickname == key:
                return person
        msg = f"no person {key}"
        raise WorldError(msg)

    def fan(self, account: Account, person: Person) -> Fan:
        """The relation of a person to an account, made on first use (openid per appid, mini-program reference 1.5)."""
        fan = person.fans.get(account.appid)
        if fan is None:
            fan = Fan(account, person, "o" + token_urlsafe(27, self.seed, "openid", account.appid, person.id))
            person.fans[account.appid] = fan
            account.fans[fan.openid] = fan
            self.fans[fan.openid] = fan
        return fan

    def unionid(self, account: Account, person: Person) -> str | None:
        """Per subject; None when the account is bound to none (mini-program reference 1.5)."""
        return self.unionid_of(account.subject, person.id) if account.subject else None

    def unionid_of(self, subject: str, person_id: str) -> str:
        """Of a subject: service accounts, mini-programs and corps that are bound to it."""
        return "oU" + token_urlsafe(26, self.seed, "unionid", subject, person_id)

    def mini_programs_of(self, account: Account) -> set[str]:
        """Appids that messages and menus of this account may open: linked, or of the same subject."""
        same = {
            other.appid
            for other in self.accounts.values()
            if other.kind == "mini" and account.subject and other.subject == account.subject
        }
        return same | set(account.linked)

    # --- making the world -----------------------------------------------------------------------------------------

    def merge(self, spec: dict[str, Any], now: float) -> dict[str, Any]:
        """Add or change what the description names; what it does not name stays. Idempotent.

        Returns ``{"accounts": [appid…], "people": [id…], "crowds": {prefix: count}}``.
        """
        unknown = set(spec) - {"seed", "subjects", "accounts", "people", "crowds"}
        if unknown:
            msg = f"unknown world keys {sorted(unknown)}"
            raise WorldError(msg)
        if spec.get("seed"):
            if self.fans and spec["seed"] != self.seed:
                msg = "the seed cannot change once people have openids"
                raise WorldError(msg)
            self.seed = str(spec["seed"])
        for item in spec.get("subjects", ()):
            subject = self.subjects.setdefault(str(item["id"]), Subject(str(item["id"])))
            subject.name = item.get("name", subject.name)
        accounts = [self._merge_account(item, now) for item in spec.get("accounts", ())]
        people = [self._merge_person(item, now) for item in spec.get("people", ())]
        crowds = {item["prefix"]: self._merge_crowd(item, now) for item in spec.get("crowds", ())}
        return {"accounts": accounts, "people": people, "crowds": crowds}

    def _merge_account(self, item: dict[str, Any], now: float) -> str:
        appid = str(item["appid"])
        account = self.accounts.get(appid) or Account(appid)
        self._set_plain_fields(account, item)
        account.original_id = account.original_id or "gh_" + _hex(12, self.seed, appid)
        account.secret = account.secret or _hex(32, self.seed, "secret", appid)
        account.name = account.name or appid
        if account.kind == "service":
            account.token = account.token or _hex(24, self.seed, "token", appid)
            account.aes_key = account.aes_key or _hex(43, self.seed, "aes", appid)
        if account.subject:
            self.subjects.setdefault(account.subject, Subject(account.subject))
        self.accounts[appid] = account
        for template in item.get("templates", ()):
            self.put_template(account, template)
        for notice in item.get("notices", ()):
            self.put_notice(account, notice)
        present = {tag.name for tag in account.tags.values()}
        for name in (name for name in item.get("tags", ()) if name not in present):
            account.tags[account.next_tag] = Tag(account.next_tag, name)
            account.next_tag += 1
        account.menu = item.get("menu", account.menu)
        account.code_names.update(item.get("code_names", {}))
        for code in item.get("codes", ()):
            self.ensure_code(account, str(code["scene"]), str(code.get("name", "")), now)
        for code in account.codes.values():
            code.name = account.code_names.get(code.scene, code.name)
        return appid

    @staticmethod
    def _set_plain_fields(account: Account, item: dict[str, Any]) -> None:
        if unknown := set(item) - {
            "appid",
            "templates",
            "notices",
            "tags",
            "menu",
            "code_names",
            "codes",
            *PLAIN_FIELDS,
        }:
            msg = f"unknown keys {sorted(unknown)} of account {account.appid}"
            raise WorldError(msg)
        merged = {name: item.get(name, getattr(account, name)) for name in PLAIN_FIELDS}
        if merged["kind"] not in KINDS or merged["mode"] not in MODES or merged["format"] not in FORMATS:
            msg = f"account {account.appid}: kind, mode or format is not one of {KINDS}, {MODES}, {FORMATS}"
            raise WorldError(msg)
        for name in ("aes_key", "previous_aes_key"):
            try:
                MessageCipher(merged[name] or "A" * 43, account.appid)
            except ValueError as error:
                msg = f"account {account.appid}: {name}: {error}"
                raise WorldError(msg) from error
        for name, value in merged.items():
            setattr(account, name, value)

    def put_template(self, account: Account, item: dict[str, Any]) -> Template:
        """``{template_id?, title, keys: [{key, label}] | content, consts?, banned?}`` → the template."""
        title = str(item["title"])
        content = item.get("content") or "\n".join(
            f"{key.get('label', key['key'])}:{{{{{key['key']}.DATA}}}}" for key in item.get("keys", ())
        )
        template_id = str(item.get("template_id") or token_urlsafe(43, self.seed, "template", account.appid, title))
        template = Template(template_id, title, content, example=item.get("example", ""))
        template.consts = item.get("consts", {})
        template.banned = bool(item.get("banned", False))
        account.templates[template_id] = template
        return template

    def put_notice(self, account: Account, item: dict[str, Any]) -> Template:
        """As ``put_template``, with ``kind`` 2 (once, the default) or 3 (long-term): a subscribe notification."""
        kind = int(item.get("kind", NOTICE_ONCE))
        if kind not in (NOTICE_ONCE, NOTICE_LONG):
            msg = f"kind of notice {item['title']} is not {NOTICE_ONCE} or {NOTICE_LONG}"
            raise WorldError(msg)
        template_id = item.get("template_id") or token_urlsafe(43, self.seed, "notice", account.appid, item["title"])
        notice = self.put_template(account, {**item, "template_id": template_id})
        notice.kind = kind
        account.notices[notice.template_id] = account.templates.pop(notice.template_id)
        return notice

    def ensure_code(self, account: Account, scene: str, name: str, now: float) -> Code:
        """A permanent text code that the world file names (a store's sign, say); made once."""
        if name:
            account.code_names[scene] = name
        key = f"s:{scene}"
        if key in account.permanent:
            return self.tickets[account.permanent[key]]
        return self.add_code(account, "QR_LIMIT_STR_SCENE", scene, numeric=False, now=now, expires_at=None)

    def add_code(
        self, account: Account, action_name: str, scene: str, *, numeric: bool, now: float, expires_at: float | None
    ) -> Code:
        """Issue a code with a fresh ticket (ending in ``==``, as real ones do, so callers must URL-encode it)."""
        number = str(self.number())
        ticket = "gQ" + token_urlsafe(92, self.seed, "ticket", number).replace("_", "A").replace("-", "B") + "=="
        url = "http://weixin.qq.com/q/02" + token_urlsafe(22, self.seed, "code", number)
        code = Code(ticket, account.appid, action_name, scene, numeric, url, now, expires_at)
        code.name = account.code_names.get(scene, "")
        account.codes[ticket] = code
        self.tickets[ticket] = code
        self.code_urls[url] = code
        if expires_at is None:
            account.permanent[f"{'i' if numeric else 's'}:{scene}"] = ticket
        return code

    def _merge_person(self, item: dict[str, Any], now: float) -> str:
        person_id = str(item["id"])
        person = self.people.get(person_id)
        if person is None:
            phone = item.get("phone") or f"139{int(hashlib.sha256(person_id.encode()).hexdigest()[:8], 16) % 10**8:08d}"
            person = Person(person_id, str(item.get("nickname", person_id)), phone, int(item.get("platform", 1)))
            self.people[person_id] = person
        for name in ("nickname", "phone", "platform", "ignores", "flagged", "location"):
            if name in item:
                setattr(person, name, item[name])
        for appid in item.get("follows", ()):
            self._already_follows(self.account(appid), person, now)
        return person_id

    def _already_follows(self, account: Account, person: Person, now: float) -> None:
        fan = self.fan(account, person)
        if not fan.subscribed:
            fan.subscribed = True
            fan.at = now

    def _merge_crowd(self, item: dict[str, Any], now: float) -> int:
        prefix, count = str(item["prefix"]), int(item["count"])
        accounts = [self.account(appid) for appid in item.get("follows", ())]
        gone = [self.account(appid) for appid in item.get("left", ())]
        at = float(item.get("at", now))
        for index in range(1, count + 1):
            person_id = f"{prefix}{index:06d}"
            person = self.people.get(person_id)
            if person is None:
                phone = f"1{37_00000000 + index:010d}"
                self.people[person_id] = person = Person(person_id, f"{item.get('nickname', '粉丝')}{index}", phone)
            for account in accounts:
                self._already_follows(account, person, at)
                self._agrees(self.fan(account, person), item.get("agrees", {}))
            for account in gone:
                self.fan(account, person).at = at
        return count

    @staticmethod
    def _agrees(fan: Fan, titles: dict[str, int]) -> None:
        """Have agreed to notices by title, once: what is used up stays used up."""
        if not titles or fan.consents is not None:
            return
        by_title = {notice.title: notice.template_id for notice in fan.account.notices.values()}
        fan.consents = {by_title[title]: int(times) for title, times in titles.items()}

    # --- state file -----------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON for the state file."""
        return {
            "seed": self.seed,
            "counter": self.counter,
            "subjects": [[item.id, item.name] for item in self.subjects.values()],
            "accounts": [self._dump_account(item) for item in self.accounts.values()],
            "people": [self._dump_person(item) for item in self.people.values()],
            "fan_order": {item.appid: list(item.fans) for item in self.accounts.values()},
        }

    @staticmethod
    def _dump_account(account: Account) -> dict[str, Any]:
        row: dict[str, Any] = {name: getattr(account, name) for name in ("appid", *PLAIN_FIELDS)}
        row |= {name: getattr(account, name) for name in ("next_tag", "menu", "next_menuid", "code_names", "permanent")}
        row["templates"] = [_row(item) for item in account.templates.values()]
        row["notices"] = [_row(item) for item in account.notices.values()]
        row["tags"] = [[item.id, item.name, list(item.members)] for item in account.tags.values()]
        row["conditional"] = [_row(item) for item in account.conditional]
        row["codes"] = [_row(item) for item in account.codes.values()]
        return row

    @staticmethod
    def _dump_person(person: Person) -> dict[str, Any]:
        skip = {"account", "person", "conversation", "windows", "menu", "menu_at"}
        fans = []
        for appid, fan in person.fans.items():
            row = {name: getattr(fan, name) for name in Fan.__slots__ if name not in skip}
            row["appid"] = appid
            row["windows"] = [_row(item) for item in (fan.windows or {}).values()]
            fans.append(row)
        row = {name: getattr(person, name) for name in Person.__slots__ if name != "fans"}
        return row | {"fans": fans}

    def load(self, data: dict[str, Any]) -> None:
        """Replace everything with a dump."""
        self.seed, self.counter = data["seed"], data["counter"]
        self.subjects = {row[0]: Subject(row[0], row[1]) for row in data["subjects"]}
        self.accounts, self.people, self.fans, self.tickets, self.code_urls = {}, {}, {}, {}, {}
        for row in data["accounts"]:
            self._load_account(row)
        for row in data["people"]:
            self._load_person(row)
        for appid, order in data["fan_order"].items():
            account = self.accounts[appid]
            account.fans = {openid: account.fans[openid] for openid in order}

    def _load_account(self, row: dict[str, Any]) -> None:
        account = Account(row["appid"])
        for name in (*PLAIN_FIELDS, "next_tag", "menu", "next_menuid", "code_names", "permanent"):
            setattr(account, name, row.get(name, getattr(account, name)))
        for item in row["templates"]:
            template = Template(**{key: value for key, value in item.items() if key != "keys"})
            account.templates[template.template_id] = template
        for item in row.get("notices", ()):
            notice = Template(**{key: value for key, value in item.items() if key != "keys"})
            account.notices[notice.template_id] = notice
        account.tags = {item[0]: Tag(item[0], item[1], dict.fromkeys(item[2])) for item in row["tags"]}
        account.conditional = [ConditionalMenu(**item) for item in row["conditional"]]
        for item in row["codes"]:
            code = Code(**item)
            account.codes[code.ticket] = self.tickets[code.ticket] = self.code_urls[code.url] = code
        self.accounts[account.appid] = account

    def _load_person(self, row: dict[str, Any]) -> None:
        person = Person(row["id"], row["nickname"], row["phone"], row["platform"])
        for name in ("ignores", "flagged", "location", "login_times"):
            setattr(person, name, row[name])
        self.people[person.id] = person
        for item in row["fans"]:
            fan = self.fan(self.accounts[item["appid"]], person)
            for name, value in item.items():
                if name not in ("appid", "windows"):
                    setattr(fan, name, value)
            fan.windows = {window["trigger"]: Window(**window) for window in item["windows"]} or None


def _row(item: Any) -> dict[str, Any]:
    return {entry.name: getattr(item, entry.name) for entry in fields(item)}
