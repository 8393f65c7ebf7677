"""Scenes in which several of WeChat's worlds meet: a code in a store, a guide in WeCom, the mini program, an order."""

from __future__ import annotations

import re
from typing import Any

from tests.smoke.stage import Operator, Stage

HE, PHONE = "story-he", "19900003501"
YU, HER_PHONE = "story-yu", "19900003502"
LIVE = "活动开始提醒"
CODE, GUIDE = "上海静安店 · LY0007", "LY0007"
CORP = "ww00000000story17"
SCOPES = ("members.read", "members.write", "points.write")


def store_to_wecom(stage: Stage, brand: dict[str, Any]) -> None:
    """A code in the store → a guide in WeCom → the mini program → an order: all ids are one person, whose guide is set."""
    stage.sim("/_sim/people", {"id": HE, "nickname": "阿禾", "phone": PHONE})
    (welcome,) = stage.saw(stage.act(HE, "scan", brand, code_name=CODE, follow=True))
    stage.holds("the reply names the guide", GUIDE in welcome, welcome)
    openid = stage.sim(f"/_sim/people/{HE}")["accounts"][brand["appid"]]["openid"]
    known = f"Follower.objects.filter(openid='{openid}').exclude(unionid='').exists()"
    stage.until("the UnionID is known", lambda: stage.query(brand, known))

    key = stage.query(brand, f"issue_api_key(label='企业微信', scopes={SCOPES!r}, at=clock.now())[1]")
    system = {"Authorization": f"Key {key}"}
    contact = contact_in_wecom(stage, brand)
    told = [posted(stage, "guides/contacts/", system, 200, contact) for _retry in range(2)]
    stage.check("told twice, kept once", [each["is_new"] for each in told], [True, False])
    stage.check("who looks after them", told[0]["guide"], GUIDE)

    number, own = ordered(stage, brand, HE, system, "STORY-17")
    people = (
        f"sorted({{Member.objects.get(pk=pk).member_no for pk in ["
        f"*Follower.objects.filter(openid='{openid}').values_list('member', flat=True),"
        f" *Identity.objects.filter(value='{contact['external_userid']}', ended_at=None).values_list('member', flat=True),"
        f" *Identity.objects.filter(value='{contact['unionid']}', ended_at=None).values_list('member', flat=True)]}})"
    )
    stage.check("one person by every id", stage.query(brand, people), [number])
    kinds = f"sorted(set(Identity.objects.filter(member__member_no='{number}', ended_at=None).values_list('kind', flat=True)))"
    known_by = stage.query(brand, kinds)
    stage.holds("known by all of them", {"EXTERNAL", "OPENID", "PHONE", "UNIONID"} <= set(known_by), known_by)
    guide = stage.http.get(f"{stage.demo['api']}me/guide/", headers=own, timeout=30).json()["guide"]
    stage.check("the guide in the mini program", guide["staff_no"], GUIDE)
    stage.say(
        f"组合：扫店码关注 → 加 {GUIDE} 企业微信 → 小程序绑手机 → 下单，四种身份合为会员 {number}，专属导购 {GUIDE}"
    )


def channels_to_order(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """WeChat Channels → a follow → a reminder of the live show, agreed to once → an order: the whole path is known."""
    stage.sim("/_sim/people", {"id": YU, "nickname": "阿渝", "phone": HER_PHONE})
    stage.act(YU, "follow", brand, scene="ADD_SCENE_CHANNELS")
    openid = stage.sim(f"/_sim/people/{YU}")["accounts"][brand["appid"]]["openid"]
    came = (
        f"list(Touch.objects.filter(follower__openid='{openid}', touchpoint__origin='ADD_SCENE_CHANNELS')"
        ".values_list('touchpoint', flat=True))"
    )
    stage.until("they came by WeChat Channels", lambda: stage.query(brand, came))
    (channel,) = stage.query(brand, came)

    stage.act(YU, "allow_notices", brand, titles=[LIVE])
    left = f"list(SubscriptionStock.objects.filter(follower__openid='{openid}').values_list('remaining', flat=True))"
    stage.until("we know that they agreed", lambda: stage.query(brand, left) == [1])
    stage.act(YU, "text", brand, content="直播是什么时候")
    talk = f"list(Conversation.objects.filter(follower__openid='{openid}').values_list('pk', flat=True))"
    stage.until("there is a conversation", lambda: stage.query(brand, talk))
    path = f"/inbox/{stage.query(brand, talk)[0]}/notice/"
    shown = operator.get(path).text
    operator.post(
        path,
        template=re.search(r'name="template" value="(\d+)"', shown)[1],
        client_key=re.search(r'name="client_key" value="([^"]+)"', shown)[1],
        **{"content.thing1": "秋冬新品直播", "content.time2": "2025-06-07 20:00"},
    )
    chat = f"/_sim/people/{YU}/conversation?appid={brand['appid']}&limit=1000"
    stage.until(
        "the phone shows the reminder",
        lambda: [each["title"] for each in stage.sim(chat)["entries"] if each.get("via") == "subscribe"] == [LIVE],
    )

    key = stage.query(brand, f"issue_api_key(label='小商店', scopes={SCOPES!r}, at=clock.now())[1]")
    number, _own = ordered(stage, brand, YU, {"Authorization": f"Key {key}"}, "STORY-16")
    rule = {
        "all": [
            {"condition": "channel", "params": {"which": "first", "channels": [channel]}},
            {"condition": "event", "params": {"how": "did", "event": "loyalty.purchase", "times": 1, "days": 7}},
        ]
    }
    path_of = f"list(matching({rule!r}, at=clock.now()).values_list('member_no', flat=True))"
    found = stage.query(brand, path_of)
    stage.holds("who came by Channels and has bought", number in found, found)
    stage.say(f"组合：视频号关注 → 允许一次「{LIVE}」并收到 → 小程序下单，会员 {number} 的来源记在「视频号」下")


def ordered(
    stage: Stage, brand: dict[str, Any], person: str, system: dict[str, str], order: str
) -> tuple[str, dict[str, str]]:
    """Let somebody sign in to the mini program, bind their phone and buy; give their number and their session."""
    mini = brand["mini_program"]["appid"]
    code = stage.act(person, "login", brand, appid=mini)["code"]
    session = posted(stage, "session/", {}, 201, {"appid": mini, "code": code})
    own = {"Authorization": f"Bearer {session['token']}"}
    posted(stage, "me/phone/", own, 200, {"code": stage.act(person, "phone", brand, appid=mini)["code"]})
    number = stage.http.get(f"{stage.demo['api']}me/", headers=own, timeout=30).json()["member_no"]
    bought = {
        "system": "pos", "kind": "PURCHASE", "number": order, "member_no": number, "amount": 20_000,
        "lines": [{"sku": "LY-1", "category": "shirts", "amount": 20_000}], "happened_at": stage.moment(),
    }  # fmt: skip
    told = posted(stage, "facts/", system, 201, bought)
    stage.holds("the order earns", sum(each["points"] for each in told["entries"]) > 0, told)
    return number, own


def contact_in_wecom(stage: Stage, brand: dict[str, Any]) -> dict[str, str]:
    """Let the person add the guide in WeCom, and give what the brand's own system reads of it there."""
    subject = stage.query(brand, "OfficialAccount.objects.get().open_platform_subject")
    staff = [{"userid": GUIDE, "name": "导购"}]
    corp = {
        "corpid": CORP,
        "name": "澜屿",
        "subject": subject,
        "agents": [{"agentid": 1, "name": "CRM"}],
        "staff": staff,
    }
    stage.sim("/_sim/world", {"corps": [corp]})
    added = stage.sim(f"/_sim/wecom/{CORP}/people/{HE}/act", {"act": "add", "userid": GUIDE})
    secret = stage.sim(f"/_sim/wecom/{CORP}?secrets=1")["agents"][0]["secret"]
    token = stage.sim(f"/qyapi/cgi-bin/gettoken?corpid={CORP}&corpsecret={secret}")["access_token"]
    external = added["external_userid"]
    read = stage.sim(f"/qyapi/cgi-bin/externalcontact/get?access_token={token}&external_userid={external}")
    stage.check("WeCom tells of them", read["errcode"], 0)
    unionid = read["external_contact"]["unionid"]
    return {"staff_no": GUIDE, "corp": CORP, "external_userid": external, "unionid": unionid}


def posted(stage: Stage, path: str, headers: dict[str, str], expect: int, body: dict[str, Any]) -> Any:
    """Call the API; give its JSON."""
    answer = stage.http.post(stage.demo["api"] + path, json=body, headers=headers, timeout=30)
    stage.check(f"POST {path}: {answer.text[:300]}", answer.status_code, expect)
    return answer.json()
