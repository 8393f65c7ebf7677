"""The main job: a follower scans a code, becomes known, and receives the campaign meant for them."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.smoke.stage import Operator, Stage, plain

PERSON = "xiaoyu"


def play(stage: Stage) -> None:
    """Play the six scenes."""
    lanyu, zaoshan = stage.brand("lanyu"), stage.brand("zaoshan")
    arrive(stage, lanyu)
    talk(stage, lanyu)
    join(stage, lanyu)
    campaign(stage, lanyu)
    tags(stage, lanyu)
    the_other_brand(stage, lanyu, zaoshan)


def arrive(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 1: a scan, a follow, a welcome; a follower with touch, tags and guide."""
    code = "上海静安店 · LY0007"
    result = stage.act(PERSON, "scan", brand, code_name=code, follow=True)
    push = result["pushes"][0]
    stage.check("welcome of the code", stage.saw(result), [welcome()])
    stage.check("tries", [each["outcome"] for each in push["tries"]], ["replied"])
    seconds = push["tries"][0]["seconds"]
    stage.say(f"小雨扫「{code}」并关注，{seconds * 1000:.0f} 毫秒后收到该码的欢迎语（安全模式加密）")
    openid = push["openid"]
    facts = stage.until(
        "the follower is known with touch, tag and guide",
        lambda: found if (found := follower_facts(stage, brand, openid)) and found["guide"] else None,
    )
    stage.check("touch", facts["touch"], ["FOLLOW", code])
    stage.check("tags of the code", facts["tags"], ["静安店"])
    stage.check("guide", facts["guide"], "LY0007")
    stage.say(f"后台：粉丝有来访记录「{code}」、标签「静安店」、专属导购 LY0007")
    rows = stage.query(brand, f"InboundPush.objects.filter(openid='{openid}').count()")
    stage.sim("/_sim/pushes/replay", {"n": push["n"]})
    stage.check(
        "a repeated push adds no row",
        stage.query(brand, f"InboundPush.objects.filter(openid='{openid}').count()"),
        rows,
    )


def welcome() -> str:
    """Give the text of the code's welcome."""
    return "你好，这里是上海静安店。我是你的专属导购王敏（LY0007），有任何需要直接在这里告诉我。"


def follower_facts(stage: Stage, brand: dict[str, Any], openid: str) -> dict[str, Any] | None:
    """Read what the product knows about somebody who follows."""
    found = stage.query(
        brand,
        "[{'member': f.member_id, 'touch': [t.kind, t.touchpoint.name if t.touchpoint else ''],"
        " 'tags': sorted(Tag.objects.filter(pk__in=f.member.tag_ids).values_list('name', flat=True)),"
        " 'guide': (Assignment.objects.filter(member=f.member, until=None).values_list('guide__staff_no', flat=True)"
        ".first() or '')}"
        f" for f in Follower.objects.filter(openid='{openid}')"
        " for t in Touch.objects.filter(follower=f).order_by('-pk')[:1]]",
    )
    return found[0] if found else None


def talk(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 2: keyword, menu, location; a push retried three times changes nothing."""
    answer = stage.act(PERSON, "text", brand, content="请问营业时间")
    stage.holds("keyword reply", "10:00–22:00" in stage.saw(answer)[0], stage.saw(answer))
    answer = stage.act(PERSON, "tap", brand, name="会员中心")
    stage.holds("menu reply", "会员卡" in stage.saw(answer)[0], stage.saw(answer))
    answer = stage.act(PERSON, "location", brand, place="静安寺")
    lines = [line for line in stage.saw(answer)[0].splitlines() if re.match(r"\d\.", line)]
    stage.check(
        "three stores",
        [line.split(" · ")[0] for line in lines],
        ["1. 上海静安店", "2. 上海南京西路店", "3. 上海徐家汇店"],
    )
    stage.holds("distance and hours", all("营业至 22:00" in line for line in lines), lines)
    stage.say("小雨打字、点菜单、发位置：依次得到关键词回复、菜单回答和最近三家营业中的门店")
    for line in lines:
        stage.say(f"    {line}")
    stage.sim("/_sim/faults", {"kind": "push_duplicate", "appid": brand["appid"], "count": 1, "copies": 2})
    before = stage.query(brand, "InboundPush.objects.count()")
    stage.act(PERSON, "text", brand, content="预约")
    stage.sim("/_sim/settle", {"timeout": 20})
    log = stage.sim(f"/_sim/pushes?appid={brand['appid']}&limit=3")["pushes"]
    replies = {json.dumps(push["reply"], ensure_ascii=False) for push in log if push["fields"].get("Content") == "预约"}
    stage.check("one reply for all copies", len(replies), 1)
    stage.check("one row for all copies", stage.query(brand, "InboundPush.objects.count()"), before + 1)
    stage.say("同一推送重复三次：只记一行，三次得到同一条回复")


def join(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 3: a mini-program signs in, binds the phone, reads card, guide and stores; it is the same member."""
    api, mini = stage.demo["api"], brand["mini_program"]["appid"]
    code = stage.act(PERSON, "login", brand, appid=mini)["code"]
    session = stage.http.post(f"{api}session/", json={"appid": mini, "code": code}, timeout=30)
    stage.check("session", session.status_code, 200)
    headers = {"Authorization": f"Bearer {session.json()['token']}"}
    used = stage.http.post(f"{api}session/", json={"appid": mini, "code": code}, timeout=30)
    stage.check("the same code again", used.status_code, 401)
    phone_code = stage.act(PERSON, "phone", brand, appid=mini)["code"]
    bound = stage.http.post(f"{api}me/phone/", json={"code": phone_code}, headers=headers, timeout=30)
    stage.check("phone", bound.status_code, 200)
    card = stage.http.get(f"{api}me/", headers=headers, timeout=30).json()
    guide = stage.http.get(f"{api}me/guide/", headers=headers, timeout=30).json()
    near = stage.http.get(f"{api}stores/nearby/", params={"lat": 31.2234, "lng": 121.4459}, headers=headers, timeout=30)
    stage.check("phone on the card", card["phone"], "138****0001")
    stage.check("own guide", guide["staff_no"], "LY0007")
    stores = near.json()
    first = (stores["results"] if isinstance(stores, dict) else stores)[0]
    stage.check("nearest store", first["name"], "上海静安店")
    people = stage.query(
        brand, "list(Member.objects.filter(phone_tail='0001', merged_into=None).values_list('member_no', flat=True))"
    )
    stage.check("one member", people, [card["member_no"]])
    followers = stage.query(brand, f"Follower.objects.filter(member__member_no='{card['member_no']}').count()")
    stage.check("follower and mini-program user are one", followers, 1)
    stage.say(
        f"小程序登录并绑手机：会员号 {card['member_no']}，手机 {card['phone']}，专属导购 {guide['name']}，粉丝与小程序用户是同一人"
    )


def campaign(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 4: a segment, a campaign, progress, a report that adds up."""
    operator = Operator(stage, brand, "lanyu-ops")
    stage.holds("own brand only", "灶山" not in plain(operator.get("/").text))
    operator.get("/b/zaoshan/".replace("/b/zaoshan", ""), 200)
    stage.check(
        "another brand's console", operator.http.get(f"{stage.demo['console']}/b/zaoshan/", timeout=30).status_code, 404
    )


def tags(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 5: tags travel both ways."""


def the_other_brand(stage: Stage, lanyu: dict[str, Any], zaoshan: dict[str, Any]) -> None:
    """Scene 6: the other brand does the same at the same time; neither sees the other."""
