"""Scenes in which several of WeChat's worlds meet: a code in a store, a guide in WeCom, the mini program, an order."""

from __future__ import annotations

from typing import Any

from tests.smoke.stage import Stage

HE, PHONE = "story-he", "19900003501"
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

    api, mini = stage.demo["api"], brand["mini_program"]["appid"]
    session = posted(
        stage, "session/", {}, 201, {"appid": mini, "code": stage.act(HE, "login", brand, appid=mini)["code"]}
    )
    own = {"Authorization": f"Bearer {session['token']}"}
    posted(stage, "me/phone/", own, 200, {"code": stage.act(HE, "phone", brand, appid=mini)["code"]})
    number = stage.http.get(f"{api}me/", headers=own, timeout=30).json()["member_no"]
    order = {
        "system": "pos", "kind": "PURCHASE", "number": "STORY-17", "member_no": number, "amount": 20_000,
        "lines": [{"sku": "LY-1", "category": "shirts", "amount": 20_000}], "happened_at": stage.moment(),
    }  # fmt: skip
    bought = posted(stage, "facts/", system, 201, order)
    stage.holds("the order earns", sum(each["points"] for each in bought["entries"]) > 0, bought)

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
    guide = stage.http.get(f"{api}me/guide/", headers=own, timeout=30).json()["guide"]
    stage.check("the guide in the mini program", guide["staff_no"], GUIDE)
    stage.say(
        f"组合：扫店码关注 → 加 {GUIDE} 企业微信 → 小程序绑手机 → 下单，四种身份合为会员 {number}，专属导购 {GUIDE}"
    )


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
