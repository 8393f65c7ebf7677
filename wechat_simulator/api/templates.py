"""Template messages (reference: service account 3.4, 5.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wechat_simulator import typed_keys
from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import Fan, Template

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

# A small library that every account may add from; the world can add an account's own (``library``).
LIBRARY: tuple[dict[str, Any], ...] = (
    {
        "template_id_short": "43216",
        "title": "预约提醒",
        "keys": [("门店", "thing1"), ("服务", "thing2"), ("时间", "time3"), ("地址", "thing4")],
    },
    {
        "template_id_short": "42984",
        "title": "订单发货通知",
        "keys": [("订单号", "character_string2"), ("商品", "thing5"), ("时间", "time3"), ("状态", "phrase1")],
    },
    {
        "template_id_short": "45001",
        "title": "积分变动提醒",
        "keys": [("会员", "name1"), ("变动", "number2"), ("余额", "number3"), ("时间", "time4")],
    },
    {
        "template_id_short": "45002",
        "title": "会员权益到期提醒",
        "keys": [("权益", "thing1"), ("到期时间", "date2"), ("金额", "amount3")],
    },
)


@api("GET", "/cgi-bin/template/get_all_private_template")
def private_templates(call: Call) -> dict[str, Any]:
    """All templates of the account."""
    return {
        "template_list": [
            {
                "template_id": item.template_id,
                "title": item.title,
                "primary_industry": item.primary_industry,
                "deputy_industry": item.deputy_industry,
                "content": item.content,
                "example": item.example,
            }
            for item in call.account.templates.values()
        ]
    }


@api("POST", "/cgi-bin/template/api_add_template", raw_text=True)
def add(call: Call) -> dict[str, Any]:
    """From the library, with the chosen keywords; 45026 past 25."""
    data = call.json()
    short = call.text(data, "template_id_short", 40037)
    entries = {str(item["template_id_short"]): item for item in (*LIBRARY, *call.account.library)}
    if short not in entries:
        raise WeChatError(40037)
    if len(call.account.templates) >= call.sim.switches.max_private_templates:
        raise WeChatError(45026)
    entry = entries[short]
    names = data.get("keyword_name_list")
    keys = [(str(label), str(key)) for label, key in entry["keys"]]
    if names is not None:
        if not isinstance(names, list) or not names or not set(names) <= {label for label, _ in keys}:
            raise WeChatError(40035)
        keys = [pair for pair in keys if pair[0] in names]
    spec: dict[str, Any] = {"title": entry["title"], "keys": [{"key": key, "label": label} for label, key in keys]}
    number = call.sim.world.number()
    spec["template_id"] = f"tpl{number:06d}_{short}_{call.account.appid[-6:]}".ljust(43, "x")
    template = call.sim.world.put_template(call.account, spec)
    return ok(template_id=template.template_id)


@api("POST", "/cgi-bin/template/del_private_template")
def delete(call: Call) -> dict[str, Any]:
    """By id; 40037 when unknown."""
    template_id = call.text(call.json(), "template_id", 40037)
    if call.account.templates.pop(template_id, None) is None:
        raise WeChatError(40037)
    return ok()


@api("GET", "/cgi-bin/template/get_industry")
def industry(_call: Call) -> dict[str, Any]:
    """Industries of the account: fixed here."""
    return {
        "primary_industry": {"first_class": "IT科技", "second_class": "互联网|电子商务"},
        "secondary_industry": {"first_class": "餐饮", "second_class": "餐饮"},
    }


def check_jump(call: Call, data: dict[str, Any]) -> None:
    """The mini program that a message opens must be linked, and have the page."""
    target = data.get("miniprogram")
    if not target:
        return
    if not isinstance(target, dict) or target.get("appid") not in call.sim.world.mini_programs_of(call.account):
        raise WeChatError(40166)
    pages = call.sim.world.accounts[target["appid"]].pages if target["appid"] in call.sim.world.accounts else []
    page = str(target.get("pagepath", "")).split("?", 1)[0].lstrip("/")
    if pages and page and page not in pages:
        raise WeChatError(40165)


def _check_send(call: Call, data: dict[str, Any]) -> tuple[Fan, Template]:
    """Account, openid, template, typed keys and jump target, in this order."""
    account = call.account
    if not account.verified or account.kind != "service":
        raise WeChatError(48001)
    if account.banned:
        raise WeChatError(48004)
    fan = call.fan(data.get("touser"))
    template = account.templates.get(str(data.get("template_id", "")))
    if template is None:
        raise WeChatError(40037)
    if template.banned:
        raise WeChatError(43116)
    typed_keys.check(template.keys, template.consts, data.get("data"))
    check_jump(call, data)
    return fan, template


def _check_receiver(call: Call, fan: Fan) -> None:
    if not fan.subscribed:
        raise WeChatError(43004)
    if fan.blacklisted:
        raise WeChatError(43019)
    if fan.refuses and call.sim.switches.refusing_person == "48002":
        raise WeChatError(48002)


@api("POST", "/cgi-bin/message/template/send", raw_text=True)
def send(call: Call) -> bytes:
    """Accept one template message; the result comes later as TEMPLATESENDJOBFINISH.

    The same ``client_msg_id`` within its window gives the first msgid again and sends nothing.
    """
    sim, account = call.sim, call.account
    data = call.json()
    fan, template = _check_send(call, data)
    content = data["data"]
    client_msg_id = data.get("client_msg_id") or ""
    if client_msg_id:
        known = sim.client_messages.find(account.appid, str(client_msg_id), call.now)
        if known is not None:
            return b'{"errcode":0,"errmsg":"ok","msgid":%d}' % known
    _check_receiver(call, fan)
    msgid = sim.new_msgid()
    sent = sim.truth.accept(
        at=call.now,
        kind="template",
        appid=account.appid,
        openid=fan.openid,
        body=call.body,
        msgid=msgid,
        template_id=template.template_id,
        client_msg_id=str(client_msg_id),
        content=repr(content),
    )
    if client_msg_id:
        sim.client_messages.remember(account.appid, str(client_msg_id), msgid, call.now)
    sim.timers.at(call.now + sim.switches.finish_delay_seconds, "template_finish", sent.msgid)
    return b'{"errcode":0,"errmsg":"ok","msgid":%d}' % msgid


class ClientMessages:
    """client_msg_id → msgid within the window of the switch; length unconfirmed (reference: service account 9.6)."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._known: dict[tuple[str, str], tuple[int, float]] = {}
        self._sweep_at = 10_000

    def find(self, appid: str, client_msg_id: str, now: float) -> int | None:
        """The msgid of the first send, while the window lasts."""
        row = self._known.get((appid, client_msg_id))
        if row is None or now >= row[1] + self._sim.switches.client_msg_id_seconds:
            return None
        return row[0]

    def remember(self, appid: str, client_msg_id: str, msgid: int, now: float) -> None:
        """First accepted send with this id."""
        self._known[appid, client_msg_id] = (msgid, now)
        if len(self._known) > self._sweep_at:
            oldest = now - self._sim.switches.client_msg_id_seconds
            self._known = {key: row for key, row in self._known.items() if row[1] >= oldest}
            self._sweep_at = max(10_000, 2 * len(self._known))

    def dump(self) -> list[list[Any]]:
        """For the state file."""
        return [[*key, *row] for key, row in self._known.items()]

    def load(self, rows: list[list[Any]]) -> None:
        """From the state file."""
        self._known = {(row[0], row[1]): (row[2], row[3]) for row in rows}


def finish(sim: Simulation, due: float, msgid: int) -> None:
    """Timer: the message reaches the phone or fails, and the event goes out (reference: service account 3.4)."""
    sent = sim.truth.by_msgid[msgid]
    fan = sim.world.fans[sent.openid]
    status = "success"
    if fan.refuses:
        status = "failed:user block"
    elif not fan.subscribed:
        status = "failed: system failed"
    if sim.faults.push_active:
        where = (sent.appid, "TEMPLATESENDJOBFINISH", sent.openid)
        for fault in sim.faults.for_push(("finish_late",), *where):
            sim.timers.at(due + fault.number("seconds", 3600.0), "template_finish", msgid)
            return
        for fault in sim.faults.for_push(("finish_status",), *where):
            status = str(fault.params.get("status", "failed: system failed"))
    sim.truth.finish(sent, status, due)
    if status == "success":
        sim.conversations.receive(fan, sent)
    if sim.faults.push_active and sim.faults.for_push(
        ("finish_drop",), sent.appid, "TEMPLATESENDJOBFINISH", sent.openid
    ):
        return
    if fan.account.callback_url:
        push = sim.pushes.event(fan, "TEMPLATESENDJOBFINISH", due, MsgID=msgid, Status=status)
        sim.pushes.background(push, fan)
