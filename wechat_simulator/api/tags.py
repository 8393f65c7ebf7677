"""Fan tags (reference: service account 5.3)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.api.users import PAGE
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import SYSTEM_TAGS, Tag

MAX_TAGS, PER_USER, NAME_BYTES, BATCH, TOO_MANY_FANS = 100, 20, 30, 50, 100_000


def _name(call: Call, data: dict[str, Any], besides: int | None = None) -> str:
    name = data.get("name")
    if not isinstance(name, str) or not name.strip():
        raise WeChatError(45157)
    if len(name.encode()) > NAME_BYTES:
        raise WeChatError(45158)
    if any(tag.name == name and tag.id != besides for tag in call.account.tags.values()):
        raise WeChatError(45157)
    return name


def _tag(call: Call, tag_id: Any, *, change: bool = True) -> Tag:
    try:
        number = int(tag_id)
    except (TypeError, ValueError) as error:
        raise WeChatError(45159) from error
    if change and 0 <= number < 3:
        raise WeChatError(45058)
    tag = call.account.tags.get(number)
    if tag is None:
        raise WeChatError(45159)
    return tag


def _inner(call: Call) -> dict[str, Any]:
    tag = call.json().get("tag")
    if not isinstance(tag, dict):
        raise WeChatError(47001)
    return tag


@api("POST", "/cgi-bin/tags/create", raw_text=True)
def create(call: Call) -> dict[str, Any]:
    """A new tag; 100 at most."""
    name = _name(call, _inner(call))
    account = call.account
    if len(account.tags) >= MAX_TAGS:
        raise WeChatError(45056)
    account.next_tag = max(account.next_tag, SYSTEM_TAGS)
    tag = Tag(account.next_tag, name)
    account.next_tag += 1
    account.tags[tag.id] = tag
    return {"tag": {"id": tag.id, "name": tag.name}}


@api("GET", "/cgi-bin/tags/get")
def all_tags(call: Call) -> dict[str, Any]:
    """All tags with counts; the platform's star group (id 2) is always there."""
    rows = [{"id": 2, "name": "星标组", "count": 0}]
    rows += [{"id": tag.id, "name": tag.name, "count": len(tag.members)} for tag in call.account.tags.values()]
    return {"tags": rows}


@api("POST", "/cgi-bin/tags/update", raw_text=True)
def rename(call: Call) -> dict[str, Any]:
    """Another name."""
    data = _inner(call)
    tag = _tag(call, data.get("id"))
    tag.name = _name(call, data, besides=tag.id)
    return ok()


@api("POST", "/cgi-bin/tags/delete", raw_text=True)
def delete(call: Call) -> dict[str, Any]:
    """Not with more than 100,000 fans."""
    tag = _tag(call, _inner(call).get("id"))
    if len(tag.members) > TOO_MANY_FANS:
        raise WeChatError(45057)
    for openid in tag.members:
        call.account.fans[openid].tags.remove(tag.id)
    del call.account.tags[tag.id]
    return ok()


@api("POST", "/cgi-bin/user/tag/get")
def members(call: Call) -> dict[str, Any]:
    """Fans of a tag, in pages of 10,000."""
    data = call.json()
    openids = list(_tag(call, data.get("tagid"), change=False).members)
    after = str(data.get("next_openid") or "")
    start = openids.index(after) + 1 if after in openids else 0
    page = openids[start : start + PAGE]
    answer: dict[str, Any] = {"count": len(page)}
    if page:
        answer["data"] = {"openid": page}
    answer["next_openid"] = page[-1] if page else ""
    return answer


def _batch(call: Call) -> tuple[list[str], Tag]:
    data = call.json()
    openids = data.get("openid_list")
    if not isinstance(openids, list) or not openids:
        raise WeChatError(40031)
    if len(openids) > BATCH:
        raise WeChatError(40032)
    tag = _tag(call, data.get("tagid"))
    good: list[str] = []
    problem: WeChatError | None = None
    for openid in openids:
        fan = call.account.fans.get(openid) if isinstance(openid, str) else None
        if fan is not None and fan.subscribed:
            good.append(openid)
            continue
        elsewhere = fan is None and isinstance(openid, str) and openid in call.sim.world.fans
        call.sim.mix_ups += int(elsewhere)
        problem = problem or WeChatError(49003 if elsewhere else 40003)
    if problem is not None and (call.sim.switches.batch_tagging_all_or_nothing or not good):
        raise problem
    return good, tag


@api("POST", "/cgi-bin/tags/members/batchtagging")
def tag_people(call: Call) -> dict[str, Any]:
    """Up to 50 fans; 20 tags a fan at most. The last tag applied is the one menus match."""
    openids, tag = _batch(call)
    fans = [call.account.fans[openid] for openid in dict.fromkeys(openids)]
    if any(tag.id not in fan.tags and len(fan.tags) >= PER_USER for fan in fans):
        raise WeChatError(45059)
    for fan in fans:
        if tag.id in fan.tags:
            fan.tags.remove(tag.id)
        fan.tags.append(tag.id)
        tag.members[fan.openid] = None
    return ok()


@api("POST", "/cgi-bin/tags/members/batchuntagging")
def untag_people(call: Call) -> dict[str, Any]:
    """Up to 50 fans."""
    openids, tag = _batch(call)
    for openid in openids:
        fan = call.account.fans[openid]
        if tag.id in fan.tags:
            fan.tags.remove(tag.id)
        tag.members.pop(openid, None)
    return ok()


@api("POST", "/cgi-bin/tags/getidlist")
def tags_of(call: Call) -> dict[str, Any]:
    """Tag ids of a fan."""
    return {"tagid_list": list(call.fan(call.json().get("openid")).tags)}
