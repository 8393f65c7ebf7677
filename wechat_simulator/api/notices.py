"""Subscribe notifications (订阅通知): private templates and bizsend (reference: service account 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wechat_simulator import typed_keys
from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.api.templates import check_jump
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import NOTICE_LONG, NOTICE_ONCE, Fan, Template

if TYPE_CHECKING:
    from wechat_simulator.simulation import Simulation

CATEGORIES: tuple[dict[str, Any], ...] = ({"id": 307, "name": "服装/鞋/箱包"}, {"id": 612, "name": "政务民生"})
MOST_TITLES = 30
SCENE_LENGTH = 15
# What a category offers; kid is the place of a keyword in `keys`, from 1.
LIBRARY: tuple[dict[str, Any], ...] = (
    {
        "tid": 1201,
        "title": "取货提醒",
        "type": NOTICE_ONCE,
        "categoryId": 307,
        "keys": [("商品", "thing1"), ("取货时间", "time2"), ("门店", "thing3")],
    },
    {
        "tid": 1202,
        "title": "新品到店通知",
        "type": NOTICE_ONCE,
        "categoryId": 307,
        "keys": [("新品", "thing1"), ("到店时间", "time2"), ("门店", "thing3"), ("备注", "thing4")],
    },
    {
        "tid": 1203,
        "title": "活动开始提醒",
        "type": NOTICE_ONCE,
        "categoryId": 307,
        "keys": [("活动", "thing1"), ("开始时间", "time2")],
    },
    {
        "tid": 6101,
        "title": "办理进度通知",
        "type": NOTICE_LONG,
        "categoryId": 612,
        "keys": [("事项", "thing1"), ("进度", "phrase2"), ("时间", "time3")],
    },
)


@api("GET", "/wxaapi/newtmpl/getcategory")
def categories(_call: Call) -> dict[str, Any]:
    """The categories of the account: fixed here."""
    return ok(data=list(CATEGORIES))


@api("GET", "/wxaapi/newtmpl/getpubtemplatetitles")
def titles(call: Call) -> dict[str, Any]:
    """The templates of some categories, in pages of at most 30."""
    wanted = {int(part) for part in call.query.get("ids", "").split(",") if part.isdigit()}
    start, limit = call.query.get("start", "0"), call.query.get("limit", "30")
    if not wanted or not start.isdigit() or not limit.isdigit() or not 0 < int(limit) <= MOST_TITLES:
        raise WeChatError(40097)
    found = [
        {"tid": item["tid"], "title": item["title"], "type": item["type"], "categoryId": item["categoryId"]}
        for item in LIBRARY
        if item["categoryId"] in wanted
    ]
    return ok(count=len(found), data=found[int(start) : int(start) + int(limit)])


@api("GET", "/wxaapi/newtmpl/getpubtemplatekeywords")
def keywords(call: Call) -> dict[str, Any]:
    """The keywords of a template of the library."""
    entry = _entry(call.query.get("tid"))
    return ok(
        count=len(entry["keys"]),
        data=[
            {"kid": number, "name": label, "example": label, "rule": key.rstrip("0123456789")}
            for number, (label, key) in enumerate(entry["keys"], 1)
        ],
    )


@api("POST", "/wxaapi/newtmpl/addtemplate", raw_text=True)
def add(call: Call) -> dict[str, Any]:
    """Take a template of the library with 2 to 5 of its keywords, in their order."""
    data = call.json()
    entry = _entry(data.get("tid"))
    kids = data.get("kidList")
    known = range(1, len(entry["keys"]) + 1)
    if not isinstance(kids, list) or not 2 <= len(set(kids)) == len(kids) <= 5 or not set(kids) <= set(known):
        raise WeChatError(200020)
    scene = data.get("sceneDesc", "")
    if not isinstance(scene, str) or len(scene) > SCENE_LENGTH:
        raise WeChatError(200021)
    if len(call.account.notices) >= call.sim.switches.max_private_templates:
        raise WeChatError(200012)
    keys = [entry["keys"][kid - 1] for kid in kids]
    number = call.sim.world.number()
    template = call.sim.world.put_notice(
        call.account,
        {
            "template_id": f"ntc{number:06d}_{entry['tid']}_{call.account.appid[-6:]}".ljust(43, "x"),
            "title": entry["title"],
            "kind": entry["type"],
            "keys": [{"key": key, "label": label} for label, key in keys],
        },
    )
    call.sim.bus.bump("world")
    return ok(priTmplId=template.template_id)


@api("GET", "/wxaapi/newtmpl/gettemplate")
def private_templates(call: Call) -> dict[str, Any]:
    """All notices of the account."""
    return ok(
        data=[
            {
                "priTmplId": item.template_id,
                "title": item.title,
                "content": item.content,
                "example": item.example,
                "type": item.kind,
                "keywordEnumValueList": [
                    {"keywordCode": f"{key}.DATA", "enumValueList": values} for key, values in item.consts.items()
                ],
            }
            for item in call.account.notices.values()
        ]
    )


@api("POST", "/wxaapi/newtmpl/deltemplate")
def delete(call: Call) -> dict[str, Any]:
    """By id; what people agreed to goes with it."""
    template_id = call.text(call.json(), "priTmplId", 200014)
    if call.account.notices.pop(template_id, None) is None:
        raise WeChatError(200014)
    for fan in call.account.fans.values():
        if fan.consents:
            fan.consents.pop(template_id, None)
    call.sim.bus.bump("world")
    return ok()


@api("POST", "/cgi-bin/message/subscribe/bizsend", raw_text=True)
def send(call: Call) -> dict[str, Any]:
    """Use up one consent; nothing here recognises a repeated call."""
    sim, account = call.sim, call.account
    data = call.json()
    if not account.verified or account.kind != "service":
        raise WeChatError(48001)
    if account.banned:
        raise WeChatError(48004)
    fan = call.fan(data.get("touser"))
    template = account.notices.get(str(data.get("template_id", "")))
    if template is None:
        raise WeChatError(40037)
    if template.banned:
        raise WeChatError(43116)
    typed_keys.check(template.keys, template.consts, data.get("data"))
    check_jump(call, data)
    if fan.blacklisted:
        raise WeChatError(43019)
    spend(fan, template)
    msgid = sim.new_msgid()
    sent = sim.truth.accept(
        at=call.now,
        kind="subscribe",
        appid=account.appid,
        openid=fan.openid,
        body=call.body,
        msgid=msgid,
        template_id=template.template_id,
        content=repr(data["data"]),
    )
    sim.timers.at(call.now + sim.switches.finish_delay_seconds, "notice_finish", sent.msgid)
    return ok(msgid=msgid) if sim.switches.bizsend_returns_msgid else ok()


def spend(fan: Fan, template: Template) -> None:
    """Take one from what the person agreed to; 43101 when there is none, or they refuse all messages."""
    left = (fan.consents or {}).get(template.template_id, 0)
    if left < 1 or fan.refuses or fan.consents is None:
        raise WeChatError(43101)
    if template.kind == NOTICE_ONCE:
        fan.consents[template.template_id] = left - 1


def finish(sim: Simulation, due: float, msgid: int) -> None:
    """Timer: the notice reaches the phone, and the event goes out (reference: service account 3.5)."""
    sent = sim.truth.by_msgid[msgid]
    fan = sim.world.fans[sent.openid]
    status, event = "success", "subscribe_msg_sent_event"
    if sim.faults.push_active:
        for fault in sim.faults.for_push(("finish_status",), sent.appid, event, sent.openid):
            status = str(fault.params.get("status", "system failed"))
    sim.truth.finish(sent, status, due)
    if status == "success":
        sim.conversations.receive(fan, sent)
    dropped = sim.faults.push_active and sim.faults.for_push(("finish_drop",), sent.appid, event, sent.openid)
    if fan.account.callback_url and not dropped:
        item = {"TemplateId": sent.template_id, "MsgID": str(msgid)}
        item |= {"ErrorCode": "0" if status == "success" else "-1", "ErrorStatus": status}  # failures are unconfirmed
        push = sim.pushes.event(fan, event, due, **listed(fan, "SubscribeMsgSentEvent", [item]))
        sim.pushes.background(push, fan)


def listed(fan: Fan, wrapper: str, items: list[dict[str, str]]) -> dict[str, Any]:
    """`List` is repeated within a wrapper in XML; in JSON bare, an object or an array (reference: 3.5)."""
    if fan.account.format == "json":
        return {"List": items[0] if len(items) == 1 else items}
    return {wrapper: {"List": items}}


def _entry(tid: object) -> dict[str, Any]:
    entry = next((item for item in LIBRARY if str(item["tid"]) == str(tid)), None)
    if entry is None:
        raise WeChatError(200014)
    return entry
