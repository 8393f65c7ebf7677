"""Customers: lists, details, remarks, ids (reference: WeCom 2.4, 2.5)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.wecom.base import WeComCall, api, cut, ok
from wechat_simulator.wecom.errors import WeComError
from wechat_simulator.wecom.model import Pending, Relation
from wechat_simulator.world import token_urlsafe

DAY = 86_400.0
MOST_FOLLOWERS = 500


@api("GET", "/externalcontact/get_follow_user_list")
def follow_users(call: WeComCall) -> dict[str, Any]:
    """Staff that may have customers."""
    staff = call.corp.staff.values()
    here = [item.userid for item in staff if item.contact and item.left_at is None and call.agent.sees(item.userid)]
    return ok(follow_user=here)


@api("GET", "/externalcontact/list")
def contacts(call: WeComCall) -> dict[str, Any]:
    """External ids of a member's customers; 84061 when there is none."""
    member = call.serving(call.query.get("userid"))
    rows = [relation.external for relation in call.corp.customers(member.userid)]
    if not rows:
        raise WeComError(84061)
    return ok(external_userid=rows)


def customer(call: WeComCall, external: str) -> dict[str, Any]:
    """Who a customer is (reference: WeCom 2.4)."""
    person = call.sim.wecom.person_of(call.corp, external)
    row: dict[str, Any] = {"external_userid": external, "name": person.nickname, "type": 1, "gender": 0}
    row["avatar"] = f"https://wx.qlogo.cn/mmhead/{external}/0"
    if external.startswith("wo"):
        row |= {"type": 2, "position": "采购", "corp_name": "某企业", "corp_full_name": "某企业有限公司"}
    if unionid := call.sim.wecom.unionid(call.corp, external):
        row["unionid"] = unionid
    return row


def _follow(relation: Relation) -> dict[str, Any]:
    row: dict[str, Any] = {
        "userid": relation.userid,
        "remark": relation.remark,
        "description": relation.description,
        "createtime": int(relation.at),
        "remark_mobiles": relation.mobiles,
        "add_way": relation.add_way,
        "oper_userid": relation.oper,
    }
    if relation.company:
        row["remark_corp_name"] = relation.company
    if relation.state:
        row["state"] = relation.state
    return row


def _tags(call: WeComCall, relation: Relation) -> list[dict[str, Any]]:
    corp = call.corp
    known = [corp.tags[tag] for tag in relation.tags if tag in corp.tags]
    return [
        {"group_name": corp.tag_groups[tag.group].name, "tag_name": tag.name, "tag_id": tag.id, "type": 1}
        for tag in known
    ]


@api("GET", "/externalcontact/get")
def detail(call: WeComCall) -> dict[str, Any]:
    """One customer with every follower; a cursor past 500 of them (reference: WeCom 2.4)."""
    external = call.external(call.query.get("external_userid"))
    relations = [item for item in call.corp.of_customer(external) if call.agent.sees(item.userid)]
    if not relations:
        raise WeComError(84061)
    page, cursor = cut(relations, call.start(call.query), MOST_FOLLOWERS)
    rows = [{**_follow(relation), "tags": _tags(call, relation)} for relation in page]
    more = {"next_cursor": cursor} if cursor else {}
    return ok(external_contact=customer(call, external), follow_user=rows, **more)


@api("POST", "/externalcontact/batch/get_by_user")
def batch(call: WeComCall) -> dict[str, Any]:
    """Customers of up to 100 members; ``follow_info`` carries ``tag_id``, not ``tags``."""
    data = call.json()
    userids = [call.serving(userid).userid for userid in call.texts(data, "userid_list", 100)]
    found = [relation for userid in userids for relation in call.corp.customers(userid)]
    if not found:
        raise WeComError(84061)
    page, cursor = cut(found, call.start(data), call.number(data, "limit", 50, 100))
    rows = [
        {
            "external_contact": customer(call, relation.external),
            "follow_info": {**_follow(relation), "tag_id": list(relation.tags)},
        }
        for relation in page
    ]
    return ok(external_contact_list=rows, next_cursor=cursor)


@api("POST", "/externalcontact/remark")
def remark(call: WeComCall) -> dict[str, Any]:
    """Overwrites what is given; phones are cleared with an empty one. No event: it came by the API (2.3)."""
    data = call.json()
    member = call.serving(data.get("userid"))
    external = call.external(data.get("external_userid"))
    relation = call.corp.friend(member.userid, external)
    if relation is None:
        raise WeComError(84061)
    limits = {"remark": 20, "description": 150, "remark_company": 20}
    given = {name: call.string(data, name, most) for name, most in limits.items() if name in data}
    mobiles = [item for item in call.texts(data, "remark_mobiles", 10, needed=False) if item]
    relation.remark = given.get("remark", relation.remark)
    relation.description = given.get("description", relation.description)
    relation.company = given.get("remark_company", relation.company)
    if data.get("remark_mobiles"):
        relation.mobiles = mobiles
    return ok()


@api("POST", "/externalcontact/contact_list")
def served(call: WeComCall) -> dict[str, Any]:
    """Everybody who was served: customers, and people in groups who are none (已服务的外部联系人)."""
    data = call.json()
    rows: list[dict[str, Any]] = []
    for external, person in call.corp.contacts.items():
        relations = call.corp.of_customer(external)
        rows += [
            {
                "is_customer": True,
                "external_userid": external,
                "name": call.sim.world.people[person].nickname,
                "follow_userid": relation.userid,
                "add_time": int(relation.at),
            }
            for relation in relations
        ]
        if not relations:
            rows += [
                {
                    "is_customer": False,
                    "tmp_openid": "wo" + token_urlsafe(28, call.corp.corpid, "tmp", external),
                    "chat_id": chat.chat_id,
                    "chat_name": chat.name,
                    "add_time": chat.members[external]["join_time"],
                }
                for chat in call.corp.chats.values()
                if external in chat.members
            ]
    page, cursor = cut(rows, call.start(data), call.number(data, "limit", 1_000, 1_000))
    return ok(info_list=page, next_cursor=cursor)


# --- ids (reference: WeCom 2.5) ---------------------------------------------------------------------------------------


def _customer_of(call: WeComCall, person: str) -> str:
    """The external id of somebody who is a customer now; empty when nobody's."""
    ids = call.sim.wecom.ids_of(call.corp, call.sim.world.people[person])
    return next((external for external in ids if call.corp.of_customer(external)), "")


def _pair(call: WeComCall, data: dict[str, Any]) -> str:
    """The person of a unionid and an openid of an account whose subject is the corp's."""
    unionid, openid = call.string(data, "unionid", needed=True), call.string(data, "openid", needed=True)
    fan = call.sim.world.fans.get(openid)
    subject = call.corp.subject
    if fan is None or not subject or fan.account.subject != subject:
        raise WeComError(call.sim.switches.wecom_foreign_pair_code, "openid")
    if call.sim.world.unionid(fan.account, fan.person) != unionid:
        raise WeComError(call.sim.switches.wecom_foreign_pair_code, "unionid")
    return fan.person.id


def pending_of(call: WeComCall, person: str, *, new: bool) -> Pending | None:
    """The living pending_id of a person: 90 days, then another one."""
    pending = call.corp.pendings.get(person)
    life = call.sim.switches.wecom_pending_days * DAY
    if pending is not None and pending.at + life > call.now:
        return pending
    if not new:
        return None
    pending = Pending(call.sim.wecom.new_id("p", "pending", call.corp.corpid, person), person, call.now)
    call.corp.pendings[person] = pending
    return pending


@api("POST", "/idconvert/unionid_to_external_userid")
def unionid_to_external(call: WeComCall) -> dict[str, Any]:
    """The customer, or a ``pending_id`` for one who is none yet; for verified corps (48002)."""
    data = call.json()
    if not call.corp.verified:
        raise WeComError(48002)
    if data.get("subject_type", 0) not in (0, 1):
        raise WeComError(40058, "subject_type")
    if data.get("subject_type", 0) == 1:
        raise WeComError(call.sim.switches.wecom_foreign_pair_code, "subject_type")  # there are no providers here
    call.sim.wecom.conversion(call.corp, call.path, call.now)
    person = _pair(call, data)
    if external := _customer_of(call, person):
        return ok(external_userid=external)
    pending = pending_of(call, person, new=True)
    return ok(pending_id=pending.pending_id if pending else "")


@api("POST", "/idconvert/batch/external_userid_to_pending_id")
def pending_ids(call: WeComCall) -> dict[str, Any]:
    """The pending ids that customers had; who never had one, or had it too long ago, is left out."""
    data = call.json()
    chat_id = call.string(data, "chat_id")
    wanted = [call.external(item) for item in call.texts(data, "external_userid", 100)]
    if chat_id:
        chat = call.corp.chats.get(chat_id)
        if chat is None or chat.dismissed:
            raise WeComError(90501)
        wanted = [external for external in wanted if external in chat.members]
    call.sim.wecom.conversion(call.corp, call.path, call.now, max(len(wanted), 1))
    rows = []
    for external in wanted:
        pending = pending_of(call, call.corp.contacts[external], new=False)
        if pending is not None and not external.startswith("wo"):
            rows.append({"external_userid": external, "pending_id": pending.pending_id})
    return ok(result=rows)


@api("POST", "/externalcontact/unionid_to_external_userid")
def unionid_to_external_before(call: WeComCall) -> dict[str, Any]:
    """The older form: 84061 for who is no customer."""
    data = call.json()
    call.sim.wecom.conversion(call.corp, call.path, call.now)
    external = _customer_of(call, _pair(call, data))
    if not external:
        raise WeComError(84061)
    return ok(external_userid=external)


@api("POST", "/externalcontact/convert_to_openid")
def to_openid(call: WeComCall) -> dict[str, Any]:
    """The openid under the corp's own number, for payments; WeChat users only."""
    external = call.external(call.json().get("external_userid"))
    if external.startswith("wo"):
        raise WeComError(40096)
    person = call.corp.contacts[external]
    return ok(openid="o" + token_urlsafe(27, call.sim.world.seed, "openid", call.corp.corpid, person))
