"""The main job: a follower scans a code, becomes known, and receives the campaign meant for them."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
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
    stage.check("tag of the code", "静安店" in facts["tags"], True)  # automatic tags may have joined it
    stage.check("guide", facts["guide"], "LY0007")
    stage.say(f"后台：粉丝有来访记录「{code}」、标签「静安店」、专属导购 LY0007")
    rows = stage.query(brand, f"InboundPush.objects.filter(openid='{openid}').count()")
    stage.check("the copy is answered alike", replayed(stage, push["n"]), (["replied", "replied"], push["reply"]))
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
    answer = stage.act(PERSON, "tap", brand, name="附近门店")  # on the menu of everybody, and on that of her new tag
    stage.holds("menu reply", "最近的三家店" in stage.saw(answer)[0], stage.saw(answer))
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
    log = stage.sim(f"/_sim/pushes?appid={brand['appid']}&limit=1000")["pushes"]
    push = next(each for each in log if each["fields"].get("Content") == "预约")
    stage.check("three deliveries", [each["outcome"] for each in push["tries"]], ["replied"] * 3)
    stage.check("one row for all copies", stage.query(brand, "InboundPush.objects.count()"), before + 1)
    text = stage.query(brand, "change_rule('预约', '改过的回答')")
    stage.until(
        "the changed rule answers",
        lambda: stage.saw(stage.act(PERSON, "text", brand, content="预约"))[0] == "改过的回答",
    )
    stage.check("a retry gets the stored reply", replayed(stage, push["n"]), (["replied"] * 4, push["reply"]))
    stage.query(brand, f"change_rule('预约', {text!r})")
    stage.say("同一推送送达四次：只记一行；期间改了规则，重试仍得到当初那条回复")


def replayed(stage: Stage, n: int) -> tuple[list[str], Any]:
    """Deliver a push once more; give the outcome of every delivery and the last reply."""
    stage.sim("/_sim/pushes/replay", {"n": n})
    stage.sim("/_sim/settle", {"timeout": 20})
    push = next(each for each in stage.sim("/_sim/pushes?limit=1000")["pushes"] if each["n"] == n)
    return [each["outcome"] for each in push["tries"]], push["reply"]


def join(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 3: a mini-program signs in, binds the phone, reads card, guide and stores; it is the same member."""
    api, mini = stage.demo["api"], brand["mini_program"]["appid"]
    stage.until(
        "the unionid is known",
        lambda: (
            stage.query(brand, "Follower.objects.exclude(unionid='').order_by('-pk').first().openid")
            == stage.sim(f"/_sim/people/{PERSON}")["accounts"][brand["appid"]]["openid"]
        ),
    )
    code = stage.act(PERSON, "login", brand, appid=mini)["code"]
    session = stage.http.post(f"{api}session/", json={"appid": mini, "code": code}, timeout=30)
    stage.check("session", session.status_code, 201)
    headers = {"Authorization": f"Bearer {session.json()['token']}"}
    used = stage.http.post(f"{api}session/", json={"appid": mini, "code": code}, timeout=30)
    stage.check("the same code again", used.status_code, 401)
    phone_code = stage.act(PERSON, "phone", brand, appid=mini)["code"]
    bound = stage.http.post(f"{api}me/phone/", json={"code": phone_code}, headers=headers, timeout=30)
    stage.check("phone", bound.status_code, 200)
    card = stage.http.get(f"{api}me/", headers=headers, timeout=30).json()
    guide = stage.http.get(f"{api}me/guide/", headers=headers, timeout=30).json()["guide"]
    near = stage.http.get(f"{api}stores/nearby/", params={"lat": 31.2234, "lng": 121.4459}, headers=headers, timeout=30)
    stage.check("phone on the card", card["phone"], "138****0001")
    stage.check("own guide", guide["staff_no"], "LY0007")
    stores = near.json()
    first = (stores["results"] if isinstance(stores, dict) else stores)[0]
    stage.check("nearest store", first["name"], "上海静安店")
    same = "Member.objects.filter(phone_masked='138****0001', merged_into=None)"
    people = stage.query(brand, f"list({same}.values_list('member_no', flat=True))")
    stage.check("one member", people, [card["member_no"]])
    followers = stage.query(brand, f"Follower.objects.filter(member__member_no='{card['member_no']}').count()")
    stage.check("follower and mini-program user are one", followers, 1)
    stage.say(
        f"小程序登录并绑手机：会员号 {card['member_no']}，手机 {card['phone']}，专属导购 {guide['name']}，粉丝与小程序用户是同一人"
    )


def campaign(stage: Stage, brand: dict[str, Any]) -> None:  # noqa: PLR0915 - one scene, told in order
    """Scene 4: a segment on a form, a campaign, a test, a launch, pause and resume, a report that adds up."""
    operator = Operator(stage, brand, "lanyu-ops")
    home = plain(operator.get("/").text)
    stage.holds("own brand only", "澜屿" in home and "灶山" not in home, home[:200])
    foreign = operator.http.get(f"{stage.demo['console']}/b/zaoshan/", timeout=30)
    missing = operator.http.get(f"{stage.demo['console']}/b/no-such-brand/", timeout=30)
    stage.check("another brand looks like none", (foreign.status_code, missing.status_code), (404, 404))

    form = segment_form(stage, brand)
    counted = operator.post("/segments/preview/", **form).text
    count = int(re.search(r'data-count="(\d+)"', counted)[1])
    stage.holds("count before saving", count > 100, count)
    stage.holds("sample before saving", counted.count("<li>") >= 20, counted.count("<li>"))
    operator.post("/segments/new/", name="静安高活", **form)
    segment = stage.query(brand, "list(Segment.objects.filter(name='静安高活').values('pk', 'rule', 'counted'))")[0]
    stage.check("saved size", segment["counted"], count)
    stage.say(f"人群「静安高活」：保存前看到 {count} 人和抽样，保存后同为 {count} 人")

    template = stage.query(brand, "list(MessageTemplate.objects.filter(title='到店提醒').values('pk', 'fields'))")[0]
    created = operator.post("/campaigns/new/", name="周末到店提醒", purpose="SERVICE", segment=str(segment["pk"]))
    path = created.url.removeprefix(operator.base).partition("?")[0]
    content = {
        "thing1": "上海静安店",
        "time2": "2025-06-07 15:30",
        "thing3": "凭会员码领取搭配手册",
        "name4": "{姓名|会员}",
    }
    fields = {
        "name": "周末到店提醒",
        "purpose": "SERVICE",
        "segment": str(segment["pk"]),
        "carrier": "template",
        "template": str(template["pk"]),
        "rate_per_second": "60",
        **{f"content.{key}": text for key, text in content.items()},
    }
    operator.post(path, **fields)
    openid = stage.sim(f"/_sim/people/{PERSON}")["accounts"][brand["appid"]]["openid"]
    receipt = plain(operator.post(f"{path}test/", openid=openid, **{**fields, "content.thing3": "这是一条测试"}).text)
    shown = stage.until("the test message is on the phone", lambda: cards(stage, brand))
    stage.check("personal fields", [row["value"] for row in shown[-1]["rows"]][:2], ["上海静安店", "2025-06-07 15:30"])
    stage.say(f"发送测试：{receipt.strip()[:40]}… 手机上出现「{shown[-1]['title']}」")

    operator.post(path, **fields)
    refusing, gone = odd_people(stage, brand)
    confirm = operator.get(f"{path}launch/").text
    will_send = re.search(r'name="seen" value="(\d+)"', confirm)[1]
    operator.post(f"{path}launch/", seen=will_send)
    pk = int(path.strip("/").split("/")[-1])
    stage.until("some are sent", lambda: tally(stage, brand, pk, "SENT", "DELIVERED") > 20)
    operator.post(f"{path}steer/", act="pause")
    before = at_rest(stage, brand, pk)
    time.sleep(2)
    stage.check("nothing is sent while paused", sent_calls(stage, brand), before)
    stage.holds("the pause came in the middle", tally(stage, brand, pk, "PENDING") > 0, before)
    operator.post(f"{path}steer/", act="resume")
    stage.say(f"发送 {will_send} 人：发出 {before} 次调用后暂停，两秒内一条也没有再发；继续")
    stage.until(
        "every message is final",
        lambda: tally(stage, brand, pk, "PENDING", "LEASED", "SENT", "UNKNOWN") == 0,
        seconds=90,
    )
    states = slices(stage, brand, pk)
    audience = stage.query(brand, f"Campaign.objects.get(pk={pk}).audience_count")
    stage.check("slices add up to the audience", sum(states.values()), audience)
    stage.check("people who refuse messages and who left", states.get("REFUSED", 0), refusing + gone)
    truth = stage.sim(f"/_sim/truth/summary?appid={brand['appid']}")["messages"][brand["appid"]]["template"]
    stage.check("visible duplicates", truth.get("visible_duplicates", 0), 0)
    stage.check("received as the simulator knows it", truth["received"], states["DELIVERED"] + 1)
    report = plain(operator.get(path).text)
    stage.holds("the report explains the code in Chinese", "43004" in report and "关注" in report, report[:400])
    stage.say(f"报告：{states}，合计 {audience} ＝ 受众；真相与报告一致，重复 0")

    copied = operator.post(f"{path}copy/")
    second = copied.url.removeprefix(operator.base).partition("?")[0]
    confirm = operator.get(f"{second}launch/").text
    operator.post(f"{second}launch/", seen=re.search(r'name="seen" value="(\d+)"', confirm)[1])
    pk = int(second.strip("/").split("/")[-1])
    stage.until("the second one sends", lambda: tally(stage, brand, pk, "SENT", "DELIVERED") > 5)
    operator.post(f"{second}steer/", act="stop")
    stage.until("nothing is open after a stop", lambda: tally(stage, brand, pk, "PENDING", "LEASED", "SENT") == 0, 60)
    states = slices(stage, brand, pk)
    stage.check(
        "slices add up after a stop",
        sum(states.values()),
        stage.query(brand, f"Campaign.objects.get(pk={pk}).audience_count"),
    )
    stage.say(f"第二个活动中途终止：{states}")


def segment_form(stage: Stage, brand: dict[str, Any]) -> dict[str, Any]:
    """Give the builder's form: following, (tag or store), interacted within 30 days, and not a gift box."""
    tag, box = stage.query(brand, "[Tag.objects.get(name=n).pk for n in ('静安店', '礼盒')]")
    store = stage.query(brand, "Store.objects.get(code='SH005').pk")
    return {
        "node": ["r", "r.0", "r.1", "r.1.0", "r.1.1", "r.2", "r.3", "r.3.0"],
        "r.kind": "all",
        "r.0.condition": "subscribed",
        "r.0.params.value": "yes",
        "r.1.kind": "any",
        "r.1.0.condition": "tag",
        "r.1.0.params.how": "any",
        "r.1.0.params.tags": [str(tag)],
        "r.1.1.condition": "store",
        "r.1.1.params.stores": [str(store)],
        "r.2.condition": "last_interaction",
        "r.2.params.how": "within",
        "r.2.params.days": "30",
        "r.3.kind": "none",
        "r.3.0.condition": "tag",
        "r.3.0.params.how": "any",
        "r.3.0.params.tags": [str(box)],
    }


def cards(stage: Stage, brand: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the template cards on the person's phone."""
    chat = stage.sim(f"/_sim/people/{PERSON}/conversation?appid={brand['appid']}")["entries"]
    return [entry for entry in chat if entry["kind"] == "template"]


def odd_people(stage: Stage, brand: dict[str, Any]) -> tuple[int, int]:
    """Let three people of the segment refuse messages and two leave without us hearing of it."""
    openids = stage.query(
        brand,
        "list(Follower.objects.filter(subscribed=True, member__tag_ids__contains=[Tag.objects.get(name='静安店').pk])"
        ".exclude(member__tag_ids__contains=[Tag.objects.get(name='礼盒').pk])"
        ".filter(member__last_interaction_at__gte=clock.ago(days=29))"
        ".order_by('pk').values_list('openid', flat=True)[:5])",
    )
    people = stage.sim(f"/_sim/people?appid={brand['appid']}&limit=5000")["people"]
    ids = {person["accounts"][brand["appid"]]["openid"]: person["id"] for person in people}
    for openid in openids[:3]:
        stage.act(ids[openid], "block", brand)
    stage.sim("/_sim/faults", {"kind": "push_drop", "name": "silent", "appid": brand["appid"], "event": "unsubscribe"})
    for openid in openids[3:]:
        stage.act(ids[openid], "unfollow", brand)
    stage.sim("/_sim/faults/silent", method="DELETE")
    return 3, 2


def tally(stage: Stage, brand: dict[str, Any], pk: int, *states: str) -> int:
    """Count messages of a campaign in some states."""
    return stage.query(brand, f"Delivery.objects.filter(campaign_id={pk}, state__in={list(states)!r}).count()")


def slices(stage: Stage, brand: dict[str, Any], pk: int) -> dict[str, int]:
    """Count the messages of a campaign by state."""
    rows = stage.query(brand, f"list(Delivery.objects.filter(campaign_id={pk}).values_list('state', flat=True))")
    return {state: rows.count(state) for state in sorted(set(rows))}


def at_rest(stage: Stage, brand: dict[str, Any], pk: int) -> int:
    """Wait until what was under way when a campaign was paused has ended; give the count of sends."""
    stage.until("nothing is under way", lambda: tally(stage, brand, pk, "LEASED") == 0)
    seen = [sent_calls(stage, brand)]

    def stands_still() -> bool:
        time.sleep(0.5)
        seen.append(sent_calls(stage, brand))
        return seen[-1] == seen[-2]

    stage.until("the calls under way have ended", stands_still)
    return seen[-1]


def sent_calls(stage: Stage, brand: dict[str, Any]) -> int:
    """Count the template sends the simulator has seen."""
    return stage.sim(f"/_sim/truth/summary?appid={brand['appid']}")["messages"][brand["appid"]]["template"]["accepted"]


def tags(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 5: tags travel both ways, and a day without WeChat loses none."""
    account = stage.query(brand, "OfficialAccount.objects.get().pk")

    def sync() -> None:
        stage.manage(
            "shell",
            "-v",
            "0",
            "-c",
            "from members.services import sync_tags; from common import clock; "
            f"sync_tags({brand['id']}, {account}, at=clock.now())",
        )

    sync()
    ours, theirs = at_wechat(stage, brand, "静安店"), here(stage, brand, "静安店")
    stage.check("tags of the codes have reached WeChat", ours, theirs)
    calls = stage.sim(f"/_sim/calls?appid={brand['appid']}&path=/cgi-bin/tags/members/batchtagging&limit=1000")["calls"]
    stage.holds("batches of fifty", len(calls) >= len(ours) // 50, len(calls))
    stage.say(
        f"标签「静安店」：后台 {len(theirs)} 人，微信 {len(ours)} 人，一致；打标签调用 {len(calls)} 次，每次至多 50 人"
    )

    stage.sim("/_sim/faults", {"kind": "http_status", "status": 502, "name": "outage", "appid": brand["appid"]})
    stage.sim("/_sim/clock", {"advance": 86_400})
    people = sorted(theirs)
    untag_in_the_console(stage, brand, people[:4])
    sync()
    stage.sim("/_sim/faults/outage", method="DELETE")
    token = stage.http.post(
        f"{stage.demo['simulator']}/cgi-bin/stable_token",
        json={"grant_type": "client_credential", "appid": brand["appid"], "secret": brand["secret"]},
        timeout=30,
    ).json()["access_token"]
    remote = {row["name"]: row["id"] for row in stage.sim(f"/_sim/accounts/{brand['appid']}")["tags"]}["静安店"]
    outsider = sorted(set(at_wechat(stage, brand, None)) - theirs)[:6]
    done = stage.http.post(
        f"{stage.demo['simulator']}/cgi-bin/tags/members/batchtagging",
        params={"access_token": token},
        json={"openid_list": outsider, "tagid": remote},
        timeout=30,
    ).json()
    stage.check("tags set at WeChat", done["errcode"], 0)
    stage.until(
        "the token of the day after",
        lambda: (sync(), at_wechat(stage, brand, "静安店") == here(stage, brand, "静安店"))[1],
    )
    stage.check("both sides after the outage", here(stage, brand, "静安店"), (theirs - set(people[:4])) | set(outsider))
    stage.say("微信停一天：期间后台去掉 4 人、微信侧加上 6 人，恢复后两边一致，一条不少")


def untag_in_the_console(stage: Stage, brand: dict[str, Any], openids: list[str]) -> None:
    """Take the tag off people, as an operator does on a member's page."""
    operator = Operator(stage, brand, "lanyu-ops")
    tag = stage.query(brand, "Tag.objects.get(name='静安店').pk")
    members = stage.query(
        brand, f"list(Follower.objects.filter(openid__in={openids!r}).values_list('member_id', flat=True))"
    )
    for pk in members:
        operator.post(f"/members/member/{pk}/change/", act="untag", tag=str(tag))


def here(stage: Stage, brand: dict[str, Any], tag: str) -> set[str]:
    """Give the openids that carry a tag here and follow."""
    return set(
        stage.query(
            brand,
            "list(Follower.objects.filter(subscribed=True, member__in=MemberTag.objects.filter("
            f"tag__name='{tag}').values('member')).values_list('openid', flat=True))",
        ),
    )


def at_wechat(stage: Stage, brand: dict[str, Any], tag: str | None) -> set[str]:
    """Give the openids that follow and carry a tag at WeChat (None: all who follow)."""
    wanted = {row["name"]: row["id"] for row in stage.sim(f"/_sim/accounts/{brand['appid']}")["tags"]}.get(tag or "")
    people = stage.sim(f"/_sim/people?appid={brand['appid']}&limit=5000")["people"]
    relations = [person["accounts"][brand["appid"]] for person in people]
    return {
        each["openid"] for each in relations if each["subscribed"] and (tag is None or wanted in each.get("tags", []))
    }


def the_other_brand(stage: Stage, lanyu: dict[str, Any], zaoshan: dict[str, Any]) -> None:
    """Scene 6: the other brand does the same at the same time; neither sees a row of the other."""
    code = next(code["name"] for code in zaoshan["codes"] if "ZS0001" in code["name"])
    plays = [
        (lanyu, "laozhou", "上海静安店 · LY0007", "营业时间", "10:00–22:00"),
        (zaoshan, "aling", code, "营业时间", "次日 02:00"),
    ]
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda each: both_at_once(stage, *each), plays))
    for (brand, _person, _code, _word, expected), answers in zip(plays, seen, strict=True):
        stage.holds(f"answers of {brand['name']}", all(expected in answer for answer in answers), answers[:2])
    sent = [
        (brand, stage.query(brand, f"send_to_everybody({template!r}, {content!r})"), sent_to(stage, brand))
        for brand, template, content in (
            (lanyu, "会员权益变更通知", {"thing1": "知音", "thing2": "新增生日礼", "time3": "2025-06-03 00:00"}),
            (zaoshan, "排队叫号通知", {"thing1": "灶山静安寺店", "character_string2": "A012", "thing3": "请到前台"}),
        )
    ]
    for brand, pk, before in sent:
        stage.until(
            f"the campaign of {brand['name']} is over",
            lambda brand=brand, pk=pk: (
                stage.query(brand, f"Campaign.objects.get(pk={pk}).state") == "FINISHED"
                and tally(stage, brand, pk, "SENT", "UNKNOWN") == 0
            ),
            seconds=90,
        )
        rows = f"Delivery.objects.filter(campaign_id={pk}, state='DELIVERED').values_list('openid', flat=True)"
        ours, theirs = set(stage.query(brand, f"list({rows})")), sent_to(stage, brand)
        stage.holds("enough people", len(ours) > 500, len(ours))
        stage.check(
            f"who got it at {brand['name']}",
            {openid for openid in ours if theirs[openid] > before.get(openid, 0)},
            ours,
        )
        stage.say(f"{brand['name']}：{len(ours)} 人收到，与模拟器的真相逐人一致")
    for brand, other in ((lanyu, zaoshan), (zaoshan, lanyu)):
        foreign = at_wechat(stage, other, None)
        rows = set(stage.query(brand, "list(Follower.objects.values_list('openid', flat=True))"))
        stage.holds("both have followers", len(foreign) > 100 and len(rows) > 100, (len(foreign), len(rows)))
        stage.check(f"followers of {other['name']} among those of {brand['name']}", rows & foreign, set())
        operator = Operator(stage, brand, f"{brand['slug']}-ops")
        pages = "".join(
            operator.get(path).text for path in ("/", "/members/member/", "/segments/", "/campaigns/campaign/")
        )
        stage.holds(
            f"{brand['name']} sees nothing of {other['name']}", other["name"] not in pages.replace("zaoshan", "")
        )
    stage.check("calls with another app's token", stage.sim("/_sim/health")["mix_ups"], 0)
    stage.say("「灶山小馆」同时进行：各自的推送、回复、粉丝和页面互不相见")


def sent_to(stage: Stage, brand: dict[str, Any]) -> dict[str, int]:
    """Count what each person received as template messages, as the simulator knows it."""
    found: dict[str, int] = {}
    since = 0
    while True:
        page = stage.sim(f"/_sim/truth?appid={brand['appid']}&kind=template&received=1&since={since}&limit=10000")
        for row in page["rows"]:
            found[row["openid"]] = found.get(row["openid"], 0) + 1
        if not page["rows"]:
            return found
        since = page["next"] or page["rows"][-1]["n"]


def both_at_once(stage: Stage, brand: dict[str, Any], person: str, code: str, word: str, expected: str) -> list[str]:
    """Follow through a code, then ask the same question twenty times."""
    stage.act(person, "scan", brand, code_name=code, follow=True)
    return [stage.saw(stage.act(person, "text", brand, content=word))[0] for _ in range(20)]
