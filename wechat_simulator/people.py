"""What a person can do with the phone: each act causes the pushes WeChat would make and tells what the person saw."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from wechat_simulator import menus, windows
from wechat_simulator.api.codes import picture
from wechat_simulator.api.media import Media
from wechat_simulator.api.notices import listed
from wechat_simulator.places import place_named
from wechat_simulator.pushes import Push
from wechat_simulator.web_logins import USERINFO, PageError
from wechat_simulator.world import NOTICE_ONCE, Account, Code, Fan, Person, Template, token_urlsafe

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

CODE_LIFE = 300.0
LOGINS_PER_MINUTE = 100
OPENS_WINDOW = frozenset(("click", "scancode_push", "scancode_waitmsg"))  # reference: service account 5.9
Act = Callable[["People", Fan, dict[str, Any]], Awaitable[dict[str, Any]]]
ACTS: dict[str, Act] = {}


class ActError(ValueError):
    """The person cannot do that now; the text says why."""


def act(name: str) -> Callable[[Act], Act]:
    """Register an act under its name in the control API."""

    def register(function: Act) -> Act:
        ACTS[name] = function
        return function

    return register


class ClientCode:
    """A code from wx.login or the phone button (mini-program reference 1.1, 1.2): one use, five minutes."""

    __slots__ = ("expires_at", "fan", "kind", "used")

    def __init__(self, kind: str, fan: Fan, expires_at: float) -> None:
        self.kind = kind  # login | phone
        self.fan = fan
        self.expires_at = expires_at
        self.used = False


class People:
    """Carries out acts."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.client_codes: dict[str, ClientCode] = {}

    async def do(self, person: Person, account: Account, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """Do one act. Returns what it gave, plus ``saw`` (new entries of the chat), ``pushes`` and ``version``."""
        if name not in ACTS:
            msg = f"unknown act {name!r}; known: {sorted(ACTS)}"
            raise ActError(msg)
        fan = self.sim.world.fan(account, person)
        mark = fan.conversation[-1] if fan.conversation else None
        last = 0 if mark is None else (mark["n"] if isinstance(mark, dict) else mark[0])
        first_push = self.sim.pushes.log[-1].n if self.sim.pushes.log else 0
        result = await ACTS[name](self, fan, data)
        pushes = []
        for push in reversed(self.sim.pushes.log):
            if push.n <= first_push:
                break
            if push.openid == fan.openid:
                pushes.append(push.view())
        result["saw"] = self.sim.conversations.view(fan, since=last)
        result["pushes"] = pushes[::-1]
        self.sim.bus.bump("person", person.id, account.appid)
        result["version"] = self.sim.bus.version
        return result

    @property
    def now(self) -> float:
        """The simulated moment."""
        return self.sim.clock.now()

    async def push(self, push: Push, fan: Fan) -> None:
        """Deliver and wait."""
        await self.sim.pushes.deliver(push, fan)

    def require_follow(self, fan: Fan) -> None:
        """Only followers write, tap menus and share places."""
        if not fan.subscribed:
            msg = "this person does not follow the account"
            raise ActError(msg)

    async def say(
        self,
        fan: Fan,
        kind: str,
        shown: dict[str, Any],
        trigger: str = "message",
        **fields: Any,
    ) -> None:
        """Send a message of a kind: bubble, reply window, push (reference: service account 3.2, 5.9)."""
        self.require_follow(fan)
        now = self.now
        self.sim.conversations.person(fan, kind, now, **shown)
        fan.last_inbound_at = now
        windows.open_window(fan, trigger, now)
        await self.push(self.sim.pushes.message(fan, kind, now, **fields), fan)

    def find_code(self, data: dict[str, Any], account: Account | None) -> Code:
        """A code by ticket, url, scene or name."""
        world = self.sim.world
        if data.get("ticket"):
            code = world.tickets.get(str(data["ticket"]))
        elif data.get("url"):
            code = world.code_urls.get(str(data["url"]).strip())
        else:
            wanted = str(data.get("scene", "")), str(data.get("code_name", ""))
            pool = account.codes.values() if account else world.tickets.values()
            found = [c for c in pool if (wanted[0] and c.scene == wanted[0]) or (wanted[1] and c.name == wanted[1])]
            code = found[-1] if found else None
        if code is None:
            msg = "no such code"
            raise ActError(msg)
        return code

    def new_client_code(self, kind: str, fan: Fan) -> str:
        """A fresh code for a mini-program."""
        number = self.sim.world.number()
        text = ("0" if kind == "login" else "p") + hashlib.sha256(
            f"{self.sim.world.seed}|{kind}|{number}".encode()
        ).hexdigest()[:31]
        now = self.now
        self.client_codes[text] = ClientCode(kind, fan, now + CODE_LIFE)
        for old in [key for key, code in self.client_codes.items() if code.expires_at < now - CODE_LIFE]:
            del self.client_codes[old]
        return text

    def media(self, kind: str, fan: Fan) -> str:
        """A media id for something a person sends, alive for three days (reference: service account 3.2).

        Pictures have bytes that media/get gives; the contents of voice and video are only named.
        """
        number = self.sim.world.number()
        media_id = token_urlsafe(64, self.sim.world.seed, kind, str(number))
        if kind == "image":
            body, content_type = picture(f"{fan.person.id} {number}"), "image/png"
        else:
            body, content_type = f"{kind} {number}".encode(), {"voice": "audio/amr"}.get(kind, "video/mp4")
        self.sim.media.add(media_id, Media(fan.account.appid, kind, content_type, body, self.now))
        return media_id


def _place(data: dict[str, Any]) -> tuple[float, float, str, str]:
    if data.get("place"):
        place = place_named(str(data["place"]))
        if place is None:
            msg = f"unknown place {data['place']}"
            raise ActError(msg)
        return (
            place.latitude + float(data.get("offset_lat", 0)),
            place.longitude + float(data.get("offset_lon", 0)),
            place.address + place.name,
            place.name,
        )
    return float(data["latitude"]), float(data["longitude"]), str(data.get("label", "")), str(data.get("label", ""))


# --- following (reference: service account 3.3) -----------------------------------------------------------------------


@act("follow")
async def follow(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Follow plainly (``scene`` ADD_SCENE_…), or by a code (``ticket``, ``url``, ``code_scene``, ``code_name``)."""
    if fan.subscribed:
        msg = "already follows"
        raise ActError(msg)
    if fan.account.kind != "service":
        msg = "only service accounts are followed"
        raise ActError(msg)
    code = None
    if data.get("ticket") or data.get("url") or data.get("code_scene") or data.get("code_name"):
        code = people.find_code({**data, "scene": data.get("code_scene", "")}, fan.account)
        if code.appid != fan.account.appid:
            msg = "this code belongs to another account"
            raise ActError(msg)
    now = people.now
    fan.subscribed, fan.at, fan.menu = True, now, None
    fan.account.fans[fan.openid] = fan.account.fans.pop(fan.openid)  # the fan list is in the order of following
    fan.scene = "ADD_SCENE_QR_CODE" if code else str(data.get("scene", "ADD_SCENE_SEARCH"))
    fan.qr_scene = int(code.scene) if code and code.numeric else 0
    fan.qr_scene_str = code.scene if code and not code.numeric else ""
    people.sim.conversations.system(fan, f"你已关注「{fan.account.name}」", now)
    windows.open_window(fan, "scan" if code else "follow", now)
    fields = {"EventKey": "qrscene_" + code.scene, "Ticket": code.ticket} if code else {"EventKey": ""}
    await people.push(people.sim.pushes.event(fan, "subscribe", now, **fields), fan)
    return {"followed": True}


@act("unfollow")
async def unfollow(people: People, fan: Fan, _data: dict[str, Any]) -> dict[str, Any]:
    """Unfollow: tags go, windows close, the event carries an empty key."""
    people.require_follow(fan)
    fan.subscribed = False
    fan.windows = None
    fan.menu = None
    fan.remark = ""
    for tag in fan.tags:
        fan.account.tags[tag].members.pop(fan.openid, None)
    fan.tags = []
    now = people.now
    people.sim.conversations.system(fan, "你已取消关注", now)
    await people.push(people.sim.pushes.event(fan, "unsubscribe", now, EventKey=""), fan)
    return {"followed": False}


@act("block")
async def block(people: People, fan: Fan, _data: dict[str, Any]) -> dict[str, Any]:
    """Turn off messages of the account: no event; sends end in failed:user block (reference 3.4)."""
    fan.refuses = True
    people.sim.conversations.system(fan, "你已拒收该公众号的消息", people.now)
    return {"blocked": True}


@act("unblock")
async def unblock(people: People, fan: Fan, _data: dict[str, Any]) -> dict[str, Any]:
    """Take messages again."""
    fan.refuses = False
    people.sim.conversations.system(fan, "你已恢复接收该公众号的消息", people.now)
    return {"blocked": False}


@act("scan")
async def scan(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Scan a code by ``ticket``, ``url``, ``scene`` or ``code_name``.

    A follower causes SCAN; others get the account card (follow with the same ticket), or ``follow: true`` does both.
    """
    code = people.find_code(data, fan.account)
    target = people.sim.world.fan(people.sim.world.account(code.appid), fan.person)
    now = people.now
    if code.expires_at is not None and code.expires_at <= now:
        return {"problem": "该二维码已过期"}
    card = {"appid": code.appid, "name": target.account.name, "ticket": code.ticket, "code_name": code.name}
    if not target.subscribed:
        if data.get("follow"):
            return {"card": card, **await follow(people, target, {"ticket": code.ticket})}
        return {"card": card, "followed": False}
    windows.open_window(target, "scan", now)
    people.sim.conversations.system(target, f"你扫描了「{code.name or code.scene}」", now, kind="scan")
    push = people.sim.pushes.event(target, "SCAN", now, EventKey=code.scene, Ticket=code.ticket)
    await people.push(push, target)
    return {"card": card, "followed": True}


# --- talking (reference: service account 3.2) -------------------------------------------------------------------------


@act("wrote")
async def wrote(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Have written earlier (``content``, ``at`` epoch): the bubble and the reply window of then, and no push now."""
    people.require_follow(fan)
    at = min(float(data["at"]), people.now)
    people.sim.conversations.person(fan, "text", at, content=str(data["content"]))
    fan.last_inbound_at = max(fan.last_inbound_at, at)
    windows.open_window(fan, "message", at)
    return {}


@act("text")
async def text(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Type text; ``menu_id`` when a msgmenu item was tapped (counts as a menu tap, reference 5.9)."""
    content = str(data["content"])
    more = {"bizmsgmenuid": str(data["menu_id"])} if data.get("menu_id") else {}
    await people.say(fan, "text", {"content": content}, "menu" if more else "message", Content=content, **more)
    return {}


@act("image")
async def image(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Send a picture; ``url`` optional."""
    media = people.media("image", fan)
    url = str(data.get("url") or f"http://mmbiz.qpic.cn/mmbiz_jpg/{media}/0")
    await people.say(fan, "image", {"url": url, "media_id": media}, PicUrl=url, MediaId=media)
    return {"media_id": media}


@act("voice")
async def voice(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Send voice; ``recognition`` usually empty."""
    media = people.media("voice", fan)
    seconds = int(data.get("seconds", 3))
    fields = {"MediaId": media, "Format": "amr", "Recognition": str(data.get("recognition", ""))}
    await people.say(fan, "voice", {"seconds": seconds, "media_id": media}, **fields, MediaId16K=media + "_16k")
    return {"media_id": media}


@act("video")
async def video(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Send a video; ``short: true`` is shortvideo."""
    media = people.media("video", fan)
    kind = "shortvideo" if data.get("short") else "video"
    await people.say(fan, kind, {"media_id": media}, MediaId=media, ThumbMediaId=people.media("thumb", fan))
    return {"media_id": media}


@act("location")
async def location(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Send a place (``place`` by name or id, or ``latitude``/``longitude``/``label``)."""
    latitude, longitude, label, name = _place(data)
    shown = {"latitude": latitude, "longitude": longitude, "label": label, "name": name}
    fields = {"Location_X": f"{latitude:.6f}", "Location_Y": f"{longitude:.6f}"}
    await people.say(fan, "location", shown, **fields, Scale=int(data.get("scale", 16)), Label=label)
    return {}


@act("link")
async def link(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Send a shared link."""
    title, note, url = str(data.get("title", "")), str(data.get("description", "")), str(data["url"])
    await people.say(fan, "link", {"title": title, "url": url}, Title=title, Description=note, Url=url)
    return {}


@act("enter")
async def enter(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Open the chat: read everything; LOCATION goes out when the account reports places and the person consents.

    The phone page opens chats by itself: that somebody has just left is no mistake of its user.
    """
    if not fan.subscribed:
        return {"unread": fan.unread}
    fan.unread = 0
    if "consent" in data:
        fan.location_consent = bool(data["consent"])
    if fan.account.location_report != "off" and fan.location_consent:
        latitude, longitude, _, _ = _place({"place": data.get("place") or fan.person.location or "renmin", **data})
        fields = {"Latitude": f"{latitude:.6f}", "Longitude": f"{longitude:.6f}"}
        precision = f"{float(data.get('precision', 65)):.6f}"
        push = people.sim.pushes.event(fan, "LOCATION", people.now, **fields, Precision=precision)
        await people.push(push, fan)
    return {"unread": 0}


# --- menu (reference: service account 3.3, 5.4) -----------------------------------------------------------------------


def find_button(buttons: list[dict[str, Any]], data: dict[str, Any]) -> dict[str, Any]:
    """By ``path`` ([0] or [1, 2]), ``name`` or ``key``."""
    if "path" in data:
        path = [int(item) for item in data["path"]]
        try:
            button: dict[str, Any] = buttons[path[0]]
            if len(path) > 1:
                button = button["sub_button"][path[1]]
        except (IndexError, KeyError) as error:
            msg = "no such button"
            raise ActError(msg) from error
        return button
    for top in buttons:
        leaves: list[dict[str, Any]] = [top, *(top.get("sub_button") or [])]
        for item in leaves:
            if item.get("type") and (item["name"] == data.get("name") or item.get("key", "") == data.get("key")):
                return item
    msg = "no such button on this person's menu"
    raise ActError(msg)


@act("tap")
async def tap(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Tap a menu button by ``path``, ``name`` or ``key``; scans take ``scan_result``, places ``place``."""
    people.require_follow(fan)
    now = people.now
    button = find_button(menus.seen_menu(fan, now, people.sim.switches.menu_refresh_seconds), data)
    kind = button.get("type", "")
    if kind in OPENS_WINDOW:
        windows.open_window(fan, "menu", now)
    events = people.sim.pushes
    if kind == "click":
        await people.push(events.event(fan, "CLICK", now, EventKey=button["key"]), fan)
        return {"tapped": button["name"]}
    if kind in ("view", "miniprogram"):
        return await _tap_open(people, fan, button, now)
    if kind in ("scancode_push", "scancode_waitmsg"):
        result = str(data.get("scan_result", ""))
        info = {"ScanType": str(data.get("scan_type", "qrcode")), "ScanResult": result}
        await people.push(events.event(fan, kind, now, EventKey=button["key"], ScanCodeInfo=info), fan)
        return {"tapped": button["name"]}
    if kind.startswith("pic_"):
        return await _tap_pictures(people, fan, button, int(data.get("pictures", 1)))
    if kind == "location_select":
        latitude, longitude, label, name = _place({"place": fan.person.location or "renmin", **data})
        info = {
            "Location_X": f"{latitude:.6f}",
            "Location_Y": f"{longitude:.6f}",
            "Scale": "16",
            "Label": label,
            "Poiname": name,
        }
        await people.push(events.event(fan, kind, now, EventKey=button["key"], SendLocationInfo=info), fan)
        await location(people, fan, {"place": fan.person.location or "renmin", **data})
        return {"tapped": button["name"]}
    people.sim.conversations.system(fan, f"「{button['name']}」的内容", now, kind="material")
    return {"tapped": button["name"], "media_id": button.get("media_id"), "article_id": button.get("article_id")}


async def _tap_open(people: People, fan: Fan, button: dict[str, Any], now: float) -> dict[str, Any]:
    is_page = button["type"] == "view"
    fields: dict[str, Any] = {"EventKey": button["url"] if is_page else button["pagepath"]}
    _, menuid = menus.menu_for(fan)
    if menuid is not None:
        fields["MenuId"] = str(menuid)
    push = people.sim.pushes.event(fan, "VIEW" if is_page else "view_miniprogram", now, **fields)
    await people.push(push, fan)
    if is_page:
        return {"tapped": button["name"], "open": {"kind": "web", "url": button["url"]}}
    target = {"kind": "miniprogram", "appid": button["appid"], "pagepath": button["pagepath"], "url": button["url"]}
    return {"tapped": button["name"], "open": target}


async def _tap_pictures(people: People, fan: Fan, button: dict[str, Any], count: int) -> dict[str, Any]:
    numbers = [people.sim.world.number() for _ in range(count)]
    sums = [hashlib.md5(f"{number}".encode(), usedforsecurity=False).hexdigest() for number in numbers]
    info = {"Count": count, "PicList": {"item": [{"PicMd5Sum": item} for item in sums]}}
    push = people.sim.pushes.event(fan, button["type"], people.now, EventKey=button["key"], SendPicsInfo=info)
    await people.push(push, fan)
    for _ in range(count):
        await image(people, fan, {})
    return {"tapped": button["name"]}


# --- mini-programs (mini-program reference 1.1, 1.2) ------------------------------------------------------------------


@act("login")
async def login(people: People, fan: Fan, _data: dict[str, Any]) -> dict[str, Any]:
    """``wx.login`` inside a mini-program → ``{"code"}``."""
    if fan.account.kind != "mini":
        msg = "wx.login belongs to a mini-program"
        raise ActError(msg)
    return {"code": people.new_client_code("login", fan)}


@act("phone")
async def phone(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """The phone number button → ``{"code"}``, or a refusal with ``allow: false``."""
    if fan.account.kind != "mini":
        msg = "the phone button belongs to a mini-program"
        raise ActError(msg)
    if data.get("allow") is False:
        return {"refused": True}
    return {"code": people.new_client_code("phone", fan)}


# --- the person's own settings ----------------------------------------------------------------------------------------


@act("authorize")
async def authorize(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Open a link of web sign-in (reference: service account 5.15): gives ``redirect``, or ``problem``.

    ``allow`` false refuses the profile, ``snapshot`` is a page that opened without a tap.
    """
    query = dict(parse_qsl(urlsplit(str(data.get("url", ""))).query, keep_blank_values=True))
    try:
        account = people.sim.web_logins.account_of(query)
        if account is not fan.account:
            msg = "the link is another account's"
            raise ActError(msg)
        if query["scope"] == USERINFO and not data.get("allow", True):
            return {"refused": True}
        return {"redirect": people.sim.web_logins.say_yes(query, fan.person, snapshot=bool(data.get("snapshot")))}
    except PageError as error:
        return {"problem": str(error)}


@act("ignore")
async def ignore(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Never opens anything (``value: false`` ends it)."""
    fan.person.ignores = bool(data.get("value", True))
    people.sim.bus.bump("person", fan.person.id)
    return {"ignores": fan.person.ignores}


@act("change_phone")
async def change_phone(_people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """A new phone number."""
    fan.person.phone = str(data["phone"])
    return {"phone": fan.person.phone}


@act("move")
async def move(_people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Be at a named place from now on."""
    place = place_named(str(data["place"]))
    if place is None:
        msg = f"unknown place {data['place']}"
        raise ActError(msg)
    fan.person.location = place.id
    return {"place": place.id}


@act("withdraw")
async def withdraw(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Withdraw authorisation (``revoke_info``, default 205) (reference: service account 3.7)."""
    fields = {"OpenID": fan.openid, "AppID": fan.account.appid, "RevokeInfo": str(data.get("revoke_info", "205"))}
    await people.push(people.sim.pushes.event(fan, "user_authorization_revoke", people.now, **fields), fan)
    return {"withdrawn": True}


# --- subscribe notifications (reference: service account 3.5, 5.7) ----------------------------------------------------

MOST_ASKED = 5  # templates in one popup


def _notices_of(fan: Fan, data: dict[str, Any]) -> list[Template]:
    """The notices a page asks for: by ``template_ids`` or ``titles``; of one kind, at most five."""
    known = fan.account.notices
    wanted = [str(item) for item in data.get("template_ids", [])]
    titles = [str(item) for item in data.get("titles", [])]
    wanted += [item.template_id for title in titles for item in known.values() if item.title == title]
    if not wanted or not set(wanted) <= set(known) or len(wanted) < len(titles):
        msg = "the account has no such notice"
        raise ActError(msg)
    if len(wanted) > MOST_ASKED or len({known[item].kind for item in wanted}) > 1:
        msg = "one popup asks for at most five notices, of one kind"
        raise ActError(msg)
    return [known[item] for item in wanted]


@act("allow_notices")
async def allow_notices(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Answer the popup of a page or an article (``scene``): ``accept`` false refuses, ``refused`` lists ids refused."""
    asked = _notices_of(fan, data)
    refused = {str(item) for item in data.get("refused", [])}
    now, chosen = people.now, []
    fan.consents = fan.consents or {}
    for notice in asked:
        accepts = bool(data.get("accept", True)) and notice.template_id not in refused
        if accepts:
            before = fan.consents.get(notice.template_id, 0)
            fan.consents[notice.template_id] = before + 1 if notice.kind == NOTICE_ONCE else 1
        how = "1 次" if notice.kind == NOTICE_ONCE else "长期"
        said = f"你允许了「{notice.title}」通知，{how}" if accepts else f"你没有允许「{notice.title}」通知"
        people.sim.conversations.system(fan, said, now, kind="consent")
        chosen.append(
            {
                "TemplateId": notice.template_id,
                "SubscribeStatusString": "accept" if accepts else "reject",
                "PopupScene": str(data.get("scene", "1")),
            }
        )
    fields = listed(fan, "SubscribeMsgPopupEvent", chosen)
    await people.push(people.sim.pushes.event(fan, "subscribe_msg_popup_event", now, **fields), fan)
    return {"consents": dict(fan.consents)}


@act("turn_off_notices")
async def turn_off_notices(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Turn notices off in WeChat's settings: nothing of what was agreed to is left."""
    off = _notices_of(fan, data)
    fan.consents = fan.consents or {}
    for notice in off:
        fan.consents[notice.template_id] = 0
        people.sim.conversations.system(fan, f"你关闭了「{notice.title}」通知", people.now, kind="consent")
    items = [{"TemplateId": notice.template_id, "SubscribeStatusString": "reject"} for notice in off]
    fields = listed(fan, "SubscribeMsgChangeEvent", items)
    await people.push(people.sim.pushes.event(fan, "subscribe_msg_change_event", people.now, **fields), fan)
    return {"consents": dict(fan.consents)}


@act("modify_profile")
async def modify_profile(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Change the nickname (reference: service account 3.7)."""
    fan.person.nickname = str(data.get("nickname", fan.person.nickname))
    fields = {"OpenID": fan.openid, "AppID": fan.account.appid}
    await people.push(people.sim.pushes.event(fan, "user_info_modified", people.now, **fields), fan)
    return {"nickname": fan.person.nickname}


@act("push_raw")
async def push_raw(people: People, fan: Fan, data: dict[str, Any]) -> dict[str, Any]:
    """Any other push, given as ``fields`` (sections 3.5 to 3.11): for parsers that must take what they do not know."""
    fields = dict(data["fields"])
    if fields.get("MsgType") == "event":
        event = str(fields.pop("Event"))
        fields.pop("MsgType")
        push = people.sim.pushes.event(fan, event, people.now, **fields)
    else:
        push = people.sim.pushes.message(fan, str(fields.pop("MsgType")), people.now, **fields)
    await people.push(push, fan)
    return {}


def session_key(seed: str, number: int) -> str:
    """Base64 of 16 bytes, new at each login (mini-program reference 1.1)."""
    return base64.b64encode(hashlib.sha256(f"{seed}|session|{number}".encode()).digest()[:16]).decode()
