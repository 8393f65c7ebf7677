"""We know them and we owe them: an old till's members, points, coupons, codes, segments, wishes and requests."""

from __future__ import annotations

from typing import Any

from tests.smoke.scenes import left_out, linked, one_person, what_is_old
from tests.smoke.stage import Operator, Stage, StoryFailed, plain

LAN, YUE = "story-lan", "story-yue"
PHONES = {LAN: "19900002601", YUE: "19900002602"}
CODE = "上海静安店 · LY0007"
SCOPES = (
    "members.read",
    "members.write",
    "counter.use",
    "imports.write",
    "segments.read",
    "points.read",
    "points.write",
    "coupons.read",
    "coupons.redeem",
)


class Caller:
    """Somebody who calls the REST API: a member's mini program, or a system of the brand."""

    def __init__(self, stage: Stage, kind: str, token: str) -> None:
        self.stage, self.headers = stage, {"Authorization": f"{kind} {token}"}

    def call(self, verb: str, path: str, expect: int = 200, **how: Any) -> Any:
        """Make a call; give its JSON."""
        answer = self.stage.http.request(
            verb, self.stage.demo["api"] + path, headers=self.headers | how.pop("headers", {}), timeout=30, **how
        )
        if answer.status_code != expect:
            raise StoryFailed(f"{verb} {path}: {answer.status_code} instead of {expect}: {answer.text[:500]}")
        self.stage.checked += 1
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        """Read."""
        return self.call("GET", path, params=params)

    def post(self, path: str, expect: int = 200, **body: Any) -> Any:
        """Write."""
        return self.call("POST", path, expect, json=body)


def play(stage: Stage) -> None:
    """Play the thirteen scenes."""
    brand = stage.brand("lanyu")
    for person, name in ((LAN, "阿澜"), (YUE, "阿悦")):
        stage.sim("/_sim/people", {"id": person, "nickname": name, "phone": PHONES[person]})
    operator = Operator(stage, brand, "lanyu-ops")
    system = Caller(
        stage, "Key", stage.query(brand, f"issue_api_key(label='POS', scopes={SCOPES!r}, at=clock.now())[1]")
    )
    owner = Operator(stage, brand, "lanyu-owner")
    number = old_members(stage, brand, system)
    wrong_table(stage, brand, system)
    member = joins(stage, brand, number)
    points(stage, system, member, number)
    coupons(stage, brand, system, member)
    code(stage, system, member, number)
    segment = known(stage, brand, system, operator, number)
    left_out(stage, system, number)
    linked(stage, system, number)
    one_person(stage, brand, owner, system)
    wishes(stage, brand, member, number, segment)
    what_is_old(stage, brand, owner)
    farewell(stage, brand, owner, member, number)


def settled(stage: Stage, system: Caller, job: dict[str, Any], *ends: str) -> dict[str, Any]:
    """Wait until an import is at one of these stages; give it."""

    def look() -> dict[str, Any] | None:
        now = system.get(f"imports/{job['id']}/")
        return now if now["state"] in ends else None

    found: dict[str, Any] = stage.until(f"the import is {' or '.join(ends)}", look)
    return found


def upload(system: Caller, body: bytes, key: str) -> dict[str, Any]:
    """Hand a table in."""
    job: dict[str, Any] = system.call(
        "POST",
        "imports/",
        201,
        files={"file": ("会员.csv", body, "text/csv")},
        data={"kind": "members", "source": "老收银", "create_tags": "true", "give_points": "true"},
        headers={"Idempotency-Key": key},
    )
    return job


def old_members(stage: Stage, brand: dict[str, Any], system: Caller) -> str:
    """Scene 1: the old till's table is tried out, imported, and changes nothing the second time; gives a number."""
    table = (
        "手机号,姓名,生日,城市,会员卡号,期初积分,标签\r\n"
        f"{PHONES[LAN]},周澜,1990-08-17,上海,POS-2601,300,老收银客\r\n"
        f"{PHONES[YUE]},陈悦,1988-02-29,上海,POS-2602,120,老收银客\r\n"
        "1.39E+10,王科学,1985-01-01,北京,POS-2603,10,老收银客\r\n"
    ).encode("utf-8-sig")
    job = settled(stage, system, upload(system, table, "old-till"), "CHECKED")
    stage.check("dry run", {key: job["found"].get(key) for key in ("NEW", "ERROR")}, {"NEW": 2, "ERROR": 1})
    (wrong,) = system.get(f"imports/{job['id']}/errors/")["results"]
    stage.check("the row that cannot be taken", wrong["row"], 4)
    nobody = stage.query(brand, "Identity.objects.filter(value__in=['POS-2601', 'POS-2602']).count()")
    stage.check("a dry run makes nobody", nobody, 0)
    system.post(f"imports/{job['id']}/start/")
    done = settled(stage, system, job, "DONE")
    stage.say(
        f"老收银的 3 行：试运行看到新增 2、第 {wrong['row']} 行「{wrong['what']}」{wrong['why']}；导入后 {done['became']}"
    )
    again = settled(stage, system, upload(system, table, "old-till-2"), "CHECKED")
    stage.check("the same table again", again["found"].get("UNCHANGED"), 2)
    return str(stage.query(brand, "Identity.objects.get(value='POS-2601').member.member_no"))


def wrong_table(stage: Stage, brand: dict[str, Any], system: Caller) -> None:
    """Scene 2: a table of the wrong shop is taken back: whom it made is gone again."""
    table = "手机号,姓名,会员卡号,期初积分\r\n19900002690,路过,POS-2690,50\r\n".encode("utf-8-sig")
    job = settled(stage, system, upload(system, table, "wrong-shop"), "CHECKED")
    system.post(f"imports/{job['id']}/start/")
    settled(stage, system, job, "DONE")
    there = "Identity.objects.filter(value='POS-2690', ended_at=None).count()"
    stage.check("the stranger is there", stage.query(brand, there), 1)
    system.post(f"imports/{job['id']}/undo/")
    settled(stage, system, job, "UNDONE")
    stage.check("and gone again", stage.query(brand, there), 0)
    stage.check("the ledger adds up", stage.query(brand, "breaches()"), [])
    stage.say("导错一张表：撤销后表里新增的人和期初积分都收回，账本平")


def session_of(stage: Stage, brand: dict[str, Any], person: str) -> Caller:
    """Sign somebody in to the mini program."""
    mini = brand["mini_program"]["appid"]
    login = stage.act(person, "login", brand, appid=mini)["code"]
    session = stage.http.post(f"{stage.demo['api']}session/", json={"appid": mini, "code": login}, timeout=30)
    stage.check("session", session.status_code, 201)
    return Caller(stage, "Bearer", session.json()["token"])


def joins(stage: Stage, brand: dict[str, Any], number: str) -> Caller:
    """Scene 3: she scans, follows and gives her phone twice at once: the imported member, with points and tag."""
    stage.act(LAN, "scan", brand, code_name=CODE, follow=True)
    openid = stage.sim(f"/_sim/people/{LAN}")["accounts"][brand["appid"]]["openid"]
    stage.until(
        "the follower is known", lambda: stage.query(brand, f"Follower.objects.filter(openid='{openid}').count()")
    )
    member = session_of(stage, brand, LAN)
    phone = stage.act(LAN, "phone", brand, appid=brand["mini_program"]["appid"])["code"]
    consent = {"text_version": "2025-06", "purposes": ["SERVICE", "MARKETING"]}
    member.call("POST", "me/phone/", json={"code": phone, "consent": consent})
    card = member.get("me/")
    stage.check("the imported member", card["member_no"], number)
    stage.check("opening balance", card["points"]["spendable"], 300)
    stage.check("birthday of the table", card["birthday"], "08-17")
    names = f"list(MemberTag.objects.filter(member__member_no='{number}').values_list('tag__name', flat=True))"
    tags = stage.until(
        "the table's tag and the code's",
        lambda: found if {"老收银客", "静安店"} <= set(found := stage.query(brand, names)) else None,
    )
    one = stage.query(brand, "Member.objects.filter(name='周澜', phone_tail='2601', merged_into=None).count()")
    stage.check("nobody twice", one, 1)
    stage.say(f"阿澜扫码关注、绑手机：认出是老会员 {number}，期初积分 300，标签 {'、'.join(sorted(tags))}")
    return member


def points(stage: Stage, system: Caller, member: Caller, number: str) -> None:
    """Scene 4: a purchase told twice counts once; a part is refunded; the ledger adds up to the balance."""
    now = stage.moment()
    fact = {
        "system": "pos",
        "kind": "PURCHASE",
        "number": "KNOW-0001",
        "member_no": number,
        "amount": 89_900,
        "lines": [{"sku": "LY-1024", "category": "shirts", "amount": 89_900}],
        "happened_at": now,
    }
    told = system.post("facts/", 201, **fact)
    again = system.call("POST", "facts/", 201, json=fact)
    stage.check("told twice, given once", again["entries"], told["entries"])
    earned = sum(entry["points"] for entry in told["entries"])
    stage.holds("points for the purchase", earned > 0, told)
    before = member.get("me/points/")
    stage.check("balance", before["spendable"], 300 + earned)
    back = {"system": "pos", "kind": "REFUND", "number": "KNOW-0001-R1", "refers": "KNOW-0001", "amount": 30_000}
    system.post("facts/", 201, **back, member_no=number, happened_at=now)
    after = member.get("me/points/")
    stage.holds("the refund takes its points back", 300 < after["spendable"] < before["spendable"], after)
    held = {"key": "know-hold", "points": 100, "number": "KNOW-0002"}
    hold = system.post(f"members/{number}/points/freeze/", 201, **held)
    stage.check("frozen", member.get("me/points/")["held"], 100)
    too_many = stage.http.post(
        f"{stage.demo['api']}members/{number}/points/burn/",
        json={"key": "know-too-many", "points": after["spendable"], "number": "KNOW-0003"},
        headers=system.headers,
        timeout=30,
    )
    stage.check("frozen points are not spent twice", too_many.json()["error"]["code"], "points_short")
    system.post(f"points/holds/{hold['hold']}/release/", 201, key="know-release")
    ledger = member.get("me/points/ledger/")["results"]
    stage.check("the ledger's last line is the balance", ledger[0]["available"], member.get("me/points/")["available"])
    stage.say(
        f"收银报两次同一单，只给一次 {earned} 分；退 300 元后余 {after['spendable']} 分；冻结 100 分再放开，账本 {len(ledger)} 行，末行即余额"
    )


def coupons(stage: Stage, brand: dict[str, Any], system: Caller, member: Caller) -> None:
    """Scene 5: a coupon claimed with two taps is one; why it cannot be used; a shop redeems it once."""
    offers = member.get("me/coupons/offers/")["results"]
    offer = next(each for each in offers if each["name"] == "满 500 减 60")
    tap = {"key": "know-tap", "template": offer["template"]}
    first, second = (member.post("me/coupons/claim/", 201, **tap) for _ in range(2))
    stage.check("two taps, one coupon", first["coupon"], second["coupon"])
    small = {"lines": [{"sku": "LY-1", "category": "shirts", "amount": 20_000, "quantity": 1}]}
    large = {"lines": [{"sku": "LY-1", "category": "shirts", "amount": 60_000, "quantity": 1}]}

    def judged(cart: dict[str, Any]) -> dict[str, Any]:
        rows = member.post("me/coupons/check/", **cart)["results"]
        return next(each for each in rows if each["id"] == first["coupon"])

    why = judged(small)
    stage.check("too small a cart", (why["usable"], why["reason"]["code"]), (False, "below_threshold"))
    stage.check("a large one saves", (judged(large)["usable"], judged(large)["saving"]), (True, 6_000))
    shown = member.post(f"me/coupons/{first['coupon']}/counter-code/")
    store = stage.query(brand, "Store.objects.get(name='上海静安店').code")
    scan = {"key": "till-know-1", "code": shown["code"], "store": store, "amount": 60_000, "cashier": "LY0007"}
    used, same = (system.post("coupons/counter/", 201, **scan) for _ in range(2))
    stage.check(
        "used, and the repeated call is the same",
        (used["state"], used["saved"], same["id"]),
        ("USED", 6_000, used["id"]),
    )
    other = stage.http.post(
        f"{stage.demo['api']}coupons/counter/", json=scan | {"key": "till-know-2"}, headers=system.headers, timeout=30
    )
    stage.check("not a second time", other.status_code, 409)
    stage.say(
        f"领「{offer['text'][:20]}…」点两下只得一张；满 200 元时说「{why['reason']['message']}」；到店核销一次减 60 元，再扫被拒"
    )


def code(stage: Stage, system: Caller, member: Caller, number: str) -> None:
    """Scene 6: the rotating member code opens the card at a counter once."""
    shown = member.get("me/code/")
    now = stage.moment()
    scan = {"code": shown["code"], "key": "till-code-1", "scanned_at": now}
    opened, again = (system.post("counter/codes/", 201, **scan) for _ in range(2))
    stage.check("the card", opened["member"]["member_no"], number)
    stage.check("the repeated call is the same", again["use"], opened["use"])
    picture = stage.http.post(
        f"{stage.demo['api']}counter/codes/", json=scan | {"key": "till-code-2"}, headers=system.headers, timeout=30
    )
    stage.check("a picture of it is worth nothing", picture.status_code, 409)
    stage.say(f"会员码每 {shown['rotates_every']} 秒一变：柜台一扫见到会员卡，截图再扫被拒")


def known(stage: Stage, brand: dict[str, Any], system: Caller, operator: Operator, number: str) -> int:
    """Scene 7: a segment of what the table and the till said; why she is in it; gives the segment."""
    table_tag = stage.query(brand, "Tag.objects.get(name='老收银客').pk")
    rule = {"all": [{"condition": "tag", "params": {"how": "any", "tags": [table_tag]}}]}
    counted = system.post("segments/preview/", rule=rule)
    stage.check("the table's people", counted["count"], 2)
    bought = {"condition": "orders", "params": {"how": "least", "times": 1, "days": 30}}
    stage.check(
        "one of them has bought", system.post("segments/preview/", rule={"all": [*rule["all"], bought]})["count"], 1
    )
    saved: int = stage.query(
        brand, f"member_services.save_segment(name='老收银的客人', rule={rule!r}, at=clock.now()).pk"
    )
    why = system.get(f"segments/{saved}/why/", member_no=number)
    stage.check("why she is in", (why["holds"], why["tree"]["parts"][0]["holds"]), (True, True))
    key = stage.query(brand, f"Member.objects.get(member_no='{number}').pk")
    page = plain(operator.get(f"/members/member/{key}/").text)
    stage.holds("the operator's page", "周澜" in page and "老收银客" in page, page[:400])
    stage.say(f"人群「{counted['sentence']}」2 人，其中买过的 1 人；她为何在内：{why['tree']['parts'][0]['fact']}")
    return saved


def wishes(stage: Stage, brand: dict[str, Any], member: Caller, number: str, segment: int) -> None:
    """Scene 10: she wants no marketing any longer; a message meant to sell reaches the other one and leaves her out."""
    stage.act(YUE, "follow", brand)
    for person in (LAN, YUE):
        stage.act(person, "text", brand, content="你好")  # from now on WeChat allows messages for 48 hours
    waiting = "InboundPush.objects.filter(state='NEW').count()"
    stage.until("what they wrote is known", lambda: stage.query(brand, waiting) == 0)
    joined = session_of(stage, brand, YUE)
    given = {"text_version": "2025-06", "purposes": ["SERVICE", "MARKETING"]}
    joined.post(
        "me/phone/", code=stage.act(YUE, "phone", brand, appid=brand["mini_program"]["appid"])["code"], consent=given
    )
    openid = stage.sim(f"/_sim/people/{YUE}")["accounts"][brand["appid"]]["openid"]
    one = f"Follower.objects.filter(openid='{openid}', member__phone_tail='{PHONES[YUE][-4:]}').exists()"
    stage.until("who follows is known as who is in the mini program", lambda: stage.query(brand, one), seconds=60)
    member.post("me/consents/", purpose="MARKETING", granted=False)
    stage.check("marketing is off", member.get("me/preferences/")["marketing"], False)
    campaign = stage.query(brand, f"speak_to({segment}, '专享：本周到店有礼')")
    key = stage.query(brand, f"Member.objects.get(member_no='{number}').pk")
    rows = f"list(Delivery.objects.filter(campaign_id={campaign}).values_list('member_id', 'state', 'reason'))"

    def ends() -> list[list[Any]] | None:
        found: list[list[Any]] = stage.query(brand, rows)
        return found if found and not {row[1] for row in found} & {"PENDING", "LEASED"} else None

    found = stage.until("every message is settled", ends, seconds=60)
    stage.check("she is left out, and why", [row[1:] for row in found if row[0] == key], [["SUPPRESSED", "OPTED_OUT"]])
    stage.check("the other one has it", [row[1:] for row in found if row[0] != key], [["SENT", ""]])
    stage.say("阿澜关掉营销：同一条营销消息阿悦收到，阿澜被留下，原因「不再接收营销」")


def farewell(stage: Stage, brand: dict[str, Any], operator: Operator, member: Caller, number: str) -> None:
    """Scene 12: she fetches a copy of what is kept, once; then she is forgotten, and the ledger still adds up."""
    asked = member.post("me/requests/", 201, kind="COPY")

    def answered() -> bool:
        rows = member.get("me/requests/")["results"]
        return next(each for each in rows if each["id"] == asked["id"])["state"] != "OPEN"

    stage.until("the copy is made", answered, seconds=90)
    told = member.post(f"me/requests/{asked['id']}/copy/")
    words = str(told["json"])
    stage.holds("the copy holds what was said", "POS-2601" in words and "KNOW-0001" in words, words[:300])
    again = stage.http.post(f"{stage.demo['api']}me/requests/{asked['id']}/copy/", headers=member.headers, timeout=30)
    stage.check("it is fetched once", again.status_code, 409)
    wish = member.post("me/requests/", 201, kind="ERASE", words="不再使用")
    row = stage.query(brand, f"RightsRequest.objects.get(public_id='{wish['id']}').pk")
    operator.post(f"/members/rightsrequest/{row}/change/", act="erase", text=number)
    left = stage.query(brand, f"Member.objects.get(member_no='{number}').erased_at is not None")
    stage.check("forgotten", left, True)
    stage.check("the ledger adds up without her name", stage.query(brand, "breaches()"), [])
    kept = stage.query(brand, "Identity.objects.filter(value='POS-2601', ended_at=None).count()")
    stage.check("her card leads to nobody", kept, 0)
    stage.say(
        f"阿澜取走个人信息副本（{len(told['json']['tables'])} 张表，仅此一次），再请求删除：{number} 已无名，账本仍平"
    )
