"""A person arrives and is talked to: codes, answers, a dialogue, menus, people's inbox, incidents, channels."""

from __future__ import annotations

import itertools
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from tests.smoke.combinations import channels_to_order, store_to_wecom
from tests.smoke.stage import Operator, Stage, plain

if TYPE_CHECKING:
    from collections.abc import Callable

CODE = "上海静安店 · LY0007"
NING, QIAO, MO = "story-ning", "story-qiao", "story-mo"
REMEMBERED_SECONDS = 2.0  # what the gateway remembers of people may be that old (docs/decisions/0026)
FIVE = 5  # WeChat allows five messages within 48 hours of a person's last one


def play(stage: Stage) -> None:
    """Play the ten scenes."""
    brand = stage.brand("lanyu")
    for person, name in ((NING, "阿宁"), (QIAO, "阿乔"), (MO, "小墨")):
        stage.sim("/_sim/people", {"id": person, "nickname": name})
    operator = Operator(stage, brand, "lanyu-ops")
    welcome(stage, brand)
    words(stage, brand, operator)
    dialogue(stage, brand)
    menus(stage, brand, operator)
    people(stage, brand)
    channels(stage, brand, operator)
    ways_in(stage, brand, operator)
    store_to_wecom(stage, brand)
    channels_to_order(stage, brand, operator)
    incident(stage, brand, operator)


def texts(stage: Stage, brand: dict[str, Any], person: str) -> list[str]:
    """Give all texts that somebody has got from the account so far."""
    chat = stage.sim(f"/_sim/people/{person}/conversation?appid={brand['appid']}&limit=1000")["entries"]
    return [entry["content"] for entry in chat if entry["from"] == "account" and entry["kind"] == "text"]


def openid_of(stage: Stage, brand: dict[str, Any], person: str) -> str:
    """Give somebody's openid at the brand."""
    return stage.sim(f"/_sim/people/{person}")["accounts"][brand["appid"]]["openid"]


def only(stage: Stage, what: str, result: dict[str, Any]) -> str:
    """Give the one text that an act was answered with."""
    seen = stage.saw(result)
    stage.check(f"{what}: one answer", len(seen), 1)
    return seen[0]


def welcome(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 1: the welcome of the code, the one of a plain follow, the one of a return."""
    by_code = only(stage, "by code", stage.act(NING, "scan", brand, code_name=CODE, follow=True))
    plainly = only(stage, "plain", stage.act(QIAO, "follow", brand))
    stage.sim("/_sim/clock", {"advance": 600})  # WeChat tells whole seconds: who comes and goes within one has not left
    stage.act(QIAO, "unfollow", brand)
    handled = f"InboundPush.objects.filter(openid='{openid_of(stage, brand, QIAO)}', state='HANDLED').count()"
    stage.until("the product knows that they came and left", lambda: stage.query(brand, handled) == 2)
    time.sleep(REMEMBERED_SECONDS)
    stage.sim("/_sim/clock", {"advance": 600})
    back = only(stage, "return", stage.act(QIAO, "follow", brand))
    stage.holds("the code's own welcome", by_code.startswith("你好，这里是上海静安店"), by_code)
    stage.holds("the default welcome", plainly.startswith("欢迎来到澜屿"), plainly)
    stage.holds("a return is greeted as one", back.startswith("欢迎回来"), back)
    stage.say(f"扫码关注得到该码的欢迎语；直接关注「{plainly[:12]}…」；取消后再次关注「{back[:8]}…」")


def words(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """Scene 2: a safe expression with two answers; what nobody answers becomes a suggestion; overlaps are shown."""
    first = only(stage, "expression", stage.act(NING, "text", brand, content="我 172cm，想问下尺码"))
    stage.holds("first answer", "身高体重" in first, first)
    stage.until("the second answer follows", lambda: news(stage, brand, NING))
    stage.say(
        f"「我 172cm，想问下尺码」：5 秒内回复「{first[:10]}…」，随后客服消息送来「{news(stage, brand, NING)[0]}」"
    )

    page = plain(operator.get("/conversations/replyrule/", **{"try": "想预约"}).text)
    stage.holds("the test box explains", "预约" in page, page[:300])
    accounts = stage.query(brand, "list(OfficialAccount.objects.values_list('pk', flat=True))")
    rule = {
        "account": str(accounts[0]),
        "name": "停车",
        "trigger": "KEYWORD",
        "match": "CONTAINS",
        "words": "几点\n停车",
        "position": "60",
        "is_enabled": "on",
        "reply_kind": "TEXT",
        "text": "静安店地下二层可停车，凭会员码免两小时。",
        "pick": "ALL",
    }
    shown = operator.post("/conversations/replyrule/add/", **rule).text
    token = re.search(r'name="overlap_seen" value="(\w+)"', shown)
    stage.holds("the overlap is shown before saving", token and "营业时间" in plain(shown), plain(shown)[:300])
    example = re.search(r"「([^」]*几点[^」]*)」", plain(shown))
    stage.check("nothing is saved yet", stage.query(brand, "ReplyRule.objects.filter(name='停车').count()"), 0)
    operator.post("/conversations/replyrule/add/", **{**rule, "overlap_seen": token[1]})
    stage.until(
        "the new rule answers",
        lambda: "凭会员码免两小时" in stage.saw(stage.act(QIAO, "text", brand, content="请问停车怎么收费"))[0],
    )
    stage.say(
        f"新规则与「营业时间」重叠，保存前已指出（例句「{example[1] if example else ''}」）；保存后「停车」有人答了"
    )
    unmatched = plain(operator.get("/conversations/unmatched/").text)
    stage.holds("unmatched messages are clustered", "停车" in unmatched and "发票" in unmatched, unmatched[:300])


def news(stage: Stage, brand: dict[str, Any], person: str) -> list[str]:
    """Give the titles of article cards on a phone."""
    chat = stage.sim(f"/_sim/people/{person}/conversation?appid={brand['appid']}&limit=1000")["entries"]
    return [entry["articles"][0]["title"] for entry in chat if entry["kind"] == "news"]


def typed(stage: Stage, brand: dict[str, Any], content: str) -> dict[str, Any]:
    """Let the person type as people do: after what they wrote before was worked on."""
    rows = f"InboundPush.objects.filter(openid='{openid_of(stage, brand, NING)}', state='NEW').count()"
    stage.until("earlier messages are handled", lambda: stage.query(brand, rows) == 0)
    return stage.act(NING, "text", brand, content=content)


def dialogue(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 3: three questions; the person thinks about the first one for fifty hours."""
    asked = only(stage, "the dialogue begins", typed(stage, brand, "聊聊"))
    stage.holds("it asks, and says why", "生日是哪天" in asked and "一份礼" in asked, asked)
    openid = openid_of(stage, brand, NING)
    wrong = only(stage, "no date", typed(stage, brand, "十三月"))
    stage.holds("it says what is wrong", wrong != asked and "8" in wrong, wrong)
    stage.sim("/_sim/clock", {"advance": 50 * 3600})
    chosen = only(stage, "after fifty hours", typed(stage, brand, "8月8"))
    stage.holds("the next question", "喜欢哪一类" in chosen, chosen)
    last = only(stage, "the choice", typed(stage, brand, "礼盒"))
    stage.holds("the last question", "一句话" in last, last)
    done = only(stage, "the end", typed(stage, brand, "一条驼色羊绒围巾"))
    stage.holds("thanks", "都记下了" in done, done)
    found = stage.until(
        "the answers are kept, with consent",
        lambda: stage.query(
            brand,
            "[{'birthday': m.birth_mmdd,"
            " 'tags': sorted(Tag.objects.filter(pk__in=m.tag_ids).values_list('name', flat=True)),"
            " 'consents': Consent.objects.filter(member=m).count()}"
            f" for m in Member.objects.filter(followers__openid='{openid}') if m.birth_mmdd]",
        ),
    )[0]
    stage.check("birthday", found["birthday"], 808)
    stage.holds("tag of the choice", "礼盒" in found["tags"], found)
    stage.holds("consent beside the answer", found["consents"] >= 1, found)
    stage.say(
        f"对话机器人：说「十三月」被温和纠正，隔 50 小时答「8月8」照样接上；生日 8 月 8 日、标签 {found['tags']} 与授权一起记下"
    )


def menus(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """Scene 4: a menu is changed, published and fetched back; three people see what we predict."""
    account = stage.query(brand, "OfficialAccount.objects.get().pk")
    draft = stage.query(brand, "Menu.objects.get().draft")
    draft[0] = {**draft[0], "name": "会员之家"}
    operator.post("/conversations/menu/", account=str(account), act="publish", **menu_form(draft))
    stage.until(
        "the menu is published and fetched back",
        lambda: (
            stage.query(brand, "[(m.published[0]['name'], m.fetched_at is not None) for m in Menu.objects.all()][0]")
            == ["会员之家", True]
        ),
        seconds=60,
    )
    openids = [openid_of(stage, brand, person) for person in (NING, QIAO)]
    sync = f"from members.services import sync_tags; from common import clock; sync_tags({brand['id']}, {account}, at=clock.now())"
    stage.manage("shell", "-v", "0", "-c", sync)  # rather than waiting for its turn
    stage.until(
        "tags of the code have reached WeChat",
        lambda: first_button(stage, brand, NING) == "静安预约",
        seconds=240,
    )
    seen = [first_button(stage, brand, person) for person in (NING, QIAO)]
    stage.until(
        "what people see is what we predict",
        lambda: stage.query(brand, f"first_buttons({account}, {openids!r})") == seen,
    )
    stage.check("two people, two menus", seen, ["静安预约", "会员之家"])
    stage.say(f"菜单发布并取回核对；个性化菜单：阿宁见「{seen[0]}」，阿乔见「{seen[1]}」，与预测一致")


def menu_form(draft: list[dict[str, Any]]) -> dict[str, str]:
    """Give the fields of the menu page for a draft."""
    fields: dict[str, str] = {}
    for index, button in enumerate(draft):
        fields |= {f"b{index}-{key}": str(value) for key, value in button.items() if key != "sub_button"}
        for place, child in enumerate(button.get("sub_button") or []):
            fields |= {f"b{index}s{place}-{key}": str(value) for key, value in child.items()}
    return fields


def first_button(stage: Stage, brand: dict[str, Any], person: str) -> str:
    """Give the first button of the menu that WeChat holds for somebody."""
    return stage.sim(f"/_sim/people/{person}/menu?appid={brand['appid']}")["newest"][0]["name"]


def people(stage: Stage, brand: dict[str, Any]) -> None:
    """Scene 5: a question goes to the exclusive guide, who answers until WeChat allows no more."""
    guide = Operator(stage, brand, "lanyu-guide")
    guide.post("/inbox/duty/", duty="on")
    stage.act(NING, "text", brand, content="那件驼色大衣静安店还有吗？")
    openid = openid_of(stage, brand, NING)
    row = stage.until(
        "the conversation is with the exclusive guide",
        lambda: next(
            iter(
                stage.query(
                    brand,
                    "[{'pk': c.pk, 'why': list(c.hops.order_by('-pk').values_list('level', 'taken', 'reason')[:1])}"
                    f" for c in Conversation.objects.filter(follower__openid='{openid}', state='WAITING')"
                    " if c.assignee and c.assignee.username == 'lanyu-guide']",
                )
            ),
            None,
        ),
    )
    stage.check("the hop and its reason", row["why"][0][:2], ["GUIDE", True])
    path = f"/inbox/{row['pk']}/"
    thread = plain(guide.get(path).text)
    stage.holds("what the person said is there", "驼色大衣" in thread, thread[:300])
    before = texts(stage, brand, NING)
    left = allowance(stage, brand, openid)
    stage.holds("some may be written", 1 <= left <= FIVE, left)
    for number in range(left):
        key = str(uuid.uuid4())
        for _ in range(2):  # a double click
            guide.post(f"{path}say/", text=f"有的，第 {number + 1} 件给您留着", client_key=key)
    said = stage.until(
        "the phone shows each message once",
        lambda: found if len(found := texts(stage, brand, NING)[len(before) :]) >= left else None,
    )
    stage.check("each once, in order", said, [f"有的，第 {number + 1} 件给您留着" for number in range(left)])
    stage.check("nothing is left", allowance(stage, brand, openid), 0)
    guide.post(f"{path}say/", text="还有一句", client_key=str(uuid.uuid4()))
    stage.check("what WeChat would refuse is not sent", texts(stage, brand, NING)[len(before) :], said)
    locked = plain(guide.get(path).text)
    stage.holds("the composer offers what is legal", "次" in locked, locked[:300])
    refused = stage.sim(f"/_sim/truth/summary?appid={brand['appid']}")["quota_refusals"]
    stage.check("refusals by WeChat's windows", [code for code in refused if str(code) in {"45015", "45047"}], [])
    outsider = Operator(stage, brand, "lanyu-store")
    stage.holds("the store's manager sees it", "驼色大衣" in plain(outsider.get(path).text))
    guide.post(f"{path}step/", act="resolve")
    stage.say(
        f"会话：按专属关系分给导购，连点两次只发一条；还可发 {left} 条，用完后输入框换成合规的去处，微信一次也没有拒绝"
    )


def allowance(stage: Stage, brand: dict[str, Any], openid: str) -> int:
    """Give how many messages our meter still allows for somebody."""
    return stage.query(brand, f"left_for('{openid}')")


def channels(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """Scene 6: figures of a code add up, sheets print, the bargain hunters' channel ranks below the loyal one."""
    code = stage.query(brand, f"Touchpoint.objects.get(name='{CODE}').pk")
    before = stage.query(brand, f"Touch.objects.filter(touchpoint_id={code}).count()")
    stage.act(MO, "scan", brand, code_name=CODE, follow=True)
    stage.act(MO, "scan", brand, code_name=CODE)
    stage.until(
        "both scans are kept",
        lambda: stage.query(brand, f"Touch.objects.filter(touchpoint_id={code}).count()") == before + 2,
    )
    cases = stage.query(
        brand, f"list(Touch.objects.filter(touchpoint_id={code}).order_by('-pk').values_list('case', flat=True)[:2])"
    )
    stage.check("a new follower, then one who follows already", cases, ["FOLLOWING", "NEW"])
    sheet = operator.post("/touchpoints/sheet/file/", code=[str(code)], format="pdf", layout="six")
    stage.check("a sheet for print", sheet.content[:5], b"%PDF-")
    quality = plain(operator.get("/touchpoints/quality/").text)
    loyal, bargain = quality.find("会员日邀请卡"), quality.find("抽奖海报")
    stage.holds("the loyal channel is above the bargain hunters'", 0 <= loyal < bargain, (loyal, bargain))
    stage.say(
        f"渠道：「{CODE}」又来两次扫码（新关注、已关注）；印刷页 {len(sheet.content) // 1024} KB；质量榜里「会员日邀请卡」在「抽奖海报」之上"
    )


def ways_in(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """Scene 7: what else lets people in: agreed notices, openings, signed pages, a sequence, rules of a file, replay."""
    notice(stage, brand, operator)
    openings(stage, brand)
    imported(stage, brand, operator)
    sequence(stage, brand)
    replayed(stage, brand)


def notice(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """Somebody agrees to a notification on a page; it is sent from the conversation, once, and uses the consent up."""
    openid = openid_of(stage, brand, NING)
    stage.act(NING, "allow_notices", brand, titles=["取货提醒"])
    left = f"list(SubscriptionStock.objects.filter(follower__openid='{openid}').values_list('remaining', flat=True))"
    stage.until("we know that they agreed", lambda: stage.query(brand, left) == [1])
    talk = stage.query(brand, f"Conversation.objects.get(follower__openid='{openid}').pk")
    path = f"/inbox/{talk}/notice/"
    shown = operator.get(path).text
    stage.holds("the page says what it costs", "用掉一次允许" in plain(shown), plain(shown)[:300])
    form = {
        "template": re.search(r'name="template" value="(\d+)"', shown)[1],
        "client_key": re.search(r'name="client_key" value="([^"]+)"', shown)[1],
        "content.thing1": "驼色羊绒围巾",
        "content.time2": "2025-06-07 15:30",
        "content.thing3": "上海静安店",
    }
    for _ in range(2):  # a double click
        operator.post(path, **form)
    stage.until("the phone shows it", lambda: notices(stage, brand, NING))
    stage.check("once", [row["value"] for row in notices(stage, brand, NING)[0]["rows"]][:1], ["驼色羊绒围巾"])
    stage.check("one notification", len(notices(stage, brand, NING)), 1)
    stage.check("the consent is used up", stage.query(brand, left), [0])
    stage.say("订阅通知：阿宁在网页里允许一次，会话里写好并连点两次，手机只收到一条，剩余 0 次")


def notices(stage: Stage, brand: dict[str, Any], person: str) -> list[dict[str, Any]]:
    """Give the subscribe notifications on a phone."""
    chat = stage.sim(f"/_sim/people/{person}/conversation?appid={brand['appid']}&limit=1000")["entries"]
    return [entry for entry in chat if entry.get("via") == "subscribe"]


def openings(stage: Stage, brand: dict[str, Any]) -> None:
    """Somebody opens the mini program by a printed code, and one of the brand's web pages is signed."""
    api, mini = stage.demo["api"], brand["mini_program"]["appid"]
    code = stage.act(QIAO, "login", brand, appid=mini)["code"]
    session = stage.http.post(f"{api}session/", json={"appid": mini, "code": code}, timeout=30)
    stage.check("session", session.status_code, 201)
    headers = {"Authorization": f"Bearer {session.json()['token']}"}
    scene = stage.query(brand, "MiniCode.objects.order_by('pk').first().code")
    for _ in range(2):  # the mini program repeats the call
        body = {"opening": "story-arrive-0001"}
        kept = stage.http.post(f"{api}scenes/{scene}/openings/", json=body, headers=headers, timeout=30)
        stage.check("an opening", kept.status_code, 200)
    found = stage.query(brand, "Touch.objects.filter(opening__endswith=':story-arrive-0001').count()")
    stage.check("kept once", found, 1)
    # The words that answer open the page with a scene of the rule's.
    answer = " ".join(stage.saw(stage.act(QIAO, "text", brand, content="逛逛")))
    carried = stage.query(brand, "MiniCode.objects.get(sent_by='KEYWORD').code")
    stage.holds("the card carries its scene", f"scene={carried}" in answer, answer)
    body = {"opening": "story-arrive-0002"}
    kept = stage.http.post(f"{api}scenes/{carried}/openings/", json=body, headers=headers, timeout=30)
    stage.check("an opening by a keyword", kept.status_code, 200)
    told = stage.http.get(f"{api}scenes/{carried}/", headers=headers, timeout=30).json()
    stage.check("the scene says which reply", (told["sent_by"], told["sender"]), ("KEYWORD", "逛商城"))
    stage.say(f"关键词「逛逛」的小程序卡带场景 {carried}：打开后记为「{told['name']}」的触点")
    page = {"appid": brand["appid"], "url": "https://lanyu.example.com/h5/pickup?from=menu"}
    signed = stage.http.post(f"{api}js-config/", json=page, headers=headers, timeout=30)
    stage.check("a page of the brand is signed", signed.status_code, 200)
    stage.check("by SHA-1", len(signed.json()["signature"]), 40)
    foreign = {**page, "url": "https://elsewhere.example.org/"}
    refused = stage.http.post(f"{api}js-config/", json=foreign, headers=headers, timeout=30)
    stage.check("no other page is", refused.status_code, 422)
    stage.say(f"小程序码 {scene} 打开两次调用只记一次；js-config 只给本品牌域名签名，别的域名 422")


def imported(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """Rules come from a file: first it is shown what would happen, then it happens, and phones hear the answer."""
    account = str(stage.query(brand, "OfficialAccount.objects.get().pk"))
    file = "名称,触发条件,匹配方式,关键词,回复类型,文字\n洗护,关键词回复,全匹配,怎么洗,文字,羊绒请手洗，水温不超过三十度。\n"
    path = f"{operator.base}/conversations/rules/import/"
    token = {"account": account, "csrfmiddlewaretoken": operator.http.cookies["csrftoken"]}
    shown = operator.http.post(
        path, data=token, files={"file": ("rules.csv", file.encode())}, headers={"Referer": path}, timeout=30
    ).text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', shown))
    stage.holds("the file was read", fields.get("carried") and "洗护" in shown, plain(shown)[:400])
    stage.check("nothing is done yet", stage.query(brand, "ReplyRule.objects.filter(name='洗护').count()"), 0)
    done = {"account": account, "act": "import", "carried": fields["carried"], "digest": fields.get("digest", "")}
    operator.post("/conversations/rules/import/", **done)
    stage.until(
        "the imported rule answers", lambda: "水温" in stage.saw(stage.act(QIAO, "text", brand, content="怎么洗"))[0]
    )
    stage.say("规则表格：先看会做什么，再导入；手机上问「怎么洗」即得新规则的回答")


def sequence(stage: Stage, brand: dict[str, Any]) -> None:
    """A new follower hears of the sequence after they tapped the menu, three hours later."""
    name = ""
    for number in itertools.count():  # some belong to the control group, by chance
        name = f"story-new{number}"
        stage.sim("/_sim/people", {"id": name, "nickname": f"新粉{number}"})
        stage.act(name, "follow", brand)
        row = f"Enrolment.objects.filter(follower__openid='{openid_of(stage, brand, name)}')"
        stage.until("they are enrolled", lambda row=row: stage.query(brand, f"{row}.exists()"))
        if not stage.query(brand, f"{row}.get().in_control"):
            break
    stage.sim("/_sim/clock", {"advance": 3 * 3600 + 60})
    stage.act(name, "tap", brand, key="MEMBER_HOME")
    found = stage.until(
        "the step of the sequence", lambda: [text for text in texts(stage, brand, name) if "见面礼" in text]
    )
    stage.check("once", len(found), 1)
    stage.say(f"新粉 48 小时：关注 3 小时后点菜单，序列的下一步「{found[0][:12]}…」随即送到")


def replayed(stage: Stage, brand: dict[str, Any]) -> None:
    """A push that was not handled is handled again by a command, and counts once."""
    openid = openid_of(stage, brand, MO)
    scans = f"InboundPush.objects.filter(openid='{openid}', kind='SCAN')"
    touches = f"Touch.objects.filter(follower__openid='{openid}').count()"
    before = stage.query(brand, touches)
    push = stage.query(brand, f"{scans}.order_by('-pk').first().pk")
    stage.query(brand, f"InboundPush.objects.filter(pk={push}).update(state='FAILED')")
    said = stage.manage("replay_inbound", "--brand", brand["slug"], "--push", str(push))
    stage.holds("the command says what it did", said.startswith("1 of 1 pushes"), said)
    again = f"InboundPush.objects.get(pk={push}).state"
    stage.until("it is handled", lambda: stage.query(brand, again) == "HANDLED")
    stage.check("its effects count once", stage.query(brand, touches), before)
    stage.say("隔离区：一条推送用 replay_inbound 重新处理，来访记录没有多一条")


def incident(stage: Stage, brand: dict[str, Any], operator: Operator) -> None:
    """Scene 8: WeChat shuts the account out: one incident in plain words, which closes itself."""
    account = stage.query(brand, "OfficialAccount.objects.get().pk")
    page = f"/wechat_gateway/officialaccount/{account}/change/"
    stage.sim("/_sim/faults", {"kind": "errcode", "errcode": 48001, "name": "shut", "appid": brand["appid"]})
    operator_of_account = Operator(stage, brand, "lanyu-owner")

    def checked(what: str, look: Callable[[], Any]) -> Any:
        def again() -> Any:
            operator_of_account.post(page, act="check")
            return look()

        return stage.until(what, again, seconds=120)

    opened = checked("an incident opens", lambda: incidents(stage, brand, "closed_at__isnull=True"))
    stage.check("each once", len({tuple(each) for each in opened}), len(opened))
    shown = plain(operator_of_account.get("/wechat_gateway/incident/").text)
    stage.holds("in plain words", "48001" in shown or "权限" in shown, shown[:300])
    stage.sim("/_sim/faults/shut", method="DELETE")
    checked("it closes itself", lambda: not incidents(stage, brand, "closed_at__isnull=True"))
    stage.say(f"异常：接口权限被收回，{len(opened)} 条异常，没有重复，各自说明影响；恢复后自行关闭")
    stage.holds("the console goes on", operator.get("/").status_code == 200)


def incidents(stage: Stage, brand: dict[str, Any], condition: str) -> list[list[str]]:
    """Give kind and subject of incidents."""
    return stage.query(brand, f"list(Incident.objects.filter({condition}).values_list('kind', 'subject'))")
