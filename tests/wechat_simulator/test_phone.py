"""The phone page in a real browser: what a person does on it, what the simulator makes of it, what the page shows."""

import json
import re
import threading

import pytest
import segno
from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import MARKS, expect, launch, patient
from tests.wechat_simulator.conftest import APPID, MINI, OTHER, Callback, Simulator, wait_until
from tests.wechat_simulator.pay import Shop
from wechat_simulator import control, wire
from wechat_simulator.crypto import MessageCipher, signature
from wechat_simulator.serving import make_server
from wechat_simulator.simulation import Simulation

pytestmark = [
    *MARKS,
    # The browser's and the server's sockets are closed by their owners after the test that used them.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TEMPLATE = "tpl-phone-0001"
WELCOME = "欢迎来到静安店，我是导购王敏。回复「营业」看营业时间。"
MENU = [
    {"name": "会员中心", "type": "click", "key": "MEMBER"},
    {
        "name": "服务",
        "sub_button": [
            {
                "name": "预约到店",
                "type": "miniprogram",
                "appid": MINI,
                "pagepath": "pages/book/index?store=jingan&from=menu",
                "url": "https://example.com/book",
            },
            {"name": "附近门店", "type": "location_select", "key": "NEAR"},
            {"name": "扫码积分", "type": "scancode_waitmsg", "key": "POINTS"},
            {"name": "晒单有礼", "type": "pic_photo_or_album", "key": "SHOW"},
        ],
    },
    {"name": "商城", "type": "view", "url": "https://shop.example.com/home?channel=wechat&campaign=qixi"},
]
WORLD = {
    "accounts": [
        {
            "appid": APPID,
            "name": "澜屿 LANYU",
            "menu": MENU,
            "templates": [
                {
                    "template_id": TEMPLATE,
                    "title": "预约提醒",
                    "keys": [
                        {"key": "thing1", "label": "门店"},
                        {"key": "thing2", "label": "服务"},
                        {"key": "time3", "label": "时间"},
                    ],
                }
            ],
            "codes": [
                {"scene": "store-jingan-door", "name": "静安店门口"},
                {"scene": "guide-LY0007", "name": "LY0007 名片"},
                {"scene": "store-xuhui-desk", "name": "徐汇店柜台"},
            ],
        },
        {
            "appid": OTHER,
            "name": "灶山小馆 ZAOSHAN",
            "menu": [{"name": "排号", "type": "click", "key": "QUEUE"}],
            "codes": [{"scene": "table-8", "name": "8 号桌"}],
        },
    ],
    "people": [
        {"id": "longname", "nickname": "一个名字特别特别长的粉丝🌸喜欢把签名写进昵称里还要加上一串小尾巴"},
    ],
}
DATA = {
    "thing1": {"value": "上海静安店"},
    "thing2": {"value": "秋季新品搭配"},
    "time3": {"value": "2025-06-02 15:30"},
}


def answer_of(fields):
    """What the service account of these tests says: fields of a passive reply, or None."""
    kind = fields.get("Event") or fields["MsgType"]
    if kind == "subscribe":
        return {"MsgType": "text", "Content": WELCOME}
    if kind == "CLICK":
        return {"MsgType": "text", "Content": "你是知音会员，积分 1,280。"}
    if kind == "location":
        return {"MsgType": "text", "Content": f"收到位置：{fields['Label']}"}
    if kind == "text" and "营业" in fields["Content"]:
        article = {
            "Title": "静安店营业时间与停车指引",
            "Description": "每日 10:00–22:00，恒隆广场地下二层停车，消费满额免两小时。",
            "PicUrl": "http://mmbiz.qpic.cn/cover/0",
            "Url": "https://shop.example.com/stores/jingan?from=reply",
        }
        return {"MsgType": "news", "ArticleCount": 1, "Articles": {"item": [article]}}
    if kind == "text":
        return {"MsgType": "text", "Content": f"收到「{fields['Content']}」"}
    return None


def replier(account):
    """The reply function of a callback: opens the push, answers in safe mode."""
    cipher = MessageCipher(account["aes_key"], account["appid"])

    def reply(request):
        if request["method"] == "GET":
            return 200, request["query"]["echostr"].encode()
        fields = wire.parse(cipher.decrypt(wire.parse(request["body"], "xml")["Encrypt"]), "xml")
        answer = answer_of(fields)
        if answer is None:
            return 200, b"success"
        created = int(fields["CreateTime"])
        plain = {
            "ToUserName": fields["FromUserName"],
            "FromUserName": fields["ToUserName"],
            "CreateTime": created,
            **answer,
        }
        sealed = cipher.encrypt(wire.to_xml(plain))
        proof = signature(account["token"], str(created), "nonce", sealed)
        envelope = {"Encrypt": sealed, "MsgSignature": proof, "TimeStamp": created, "Nonce": "nonce"}
        return 200, wire.to_xml(envelope)

    return reply


@pytest.fixture
def empty_world():
    """A simulator without any account."""
    sim = Simulation()
    server = make_server(sim, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    running = Simulator(sim, server.port)
    yield running
    running.http.close()
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture
def answering(simulator, callback):
    """The simulator with this file's world and a service account that answers."""
    made = simulator.control("/world", WORLD)
    callback.reply = replier(made["accounts"][0])
    return simulator


@pytest.fixture
def open_page(browser, answering):
    """Opens a phone; afterwards nothing may have gone wrong in it and nobody else may have been asked.

    A test that makes calls fail empties ``problems`` after looking at them.
    """
    problems = []
    contexts = []

    def open_phone(query="", width=1400, height=900, **options):
        context = patient(browser.new_context(viewport={"width": width, "height": height}, **options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: problems.append(told(line)) if line.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        context.on(
            "request", lambda request: None if is_own(request.url, answering.url) else problems.append(request.url)
        )
        page.goto(f"{answering.url}/phone/{query}")
        expect(page.get_by_test_id("live")).to_have_text("实时")
        return page

    open_phone.problems = problems
    yield open_phone
    for context in contexts:
        context.close()
    assert problems == []


def told(line):
    return f"{line.text} {line.location['url']}".rstrip()


def is_own(url, own):
    return url.startswith((own, "data:", "blob:"))


def entries(page, kind=""):
    chosen = '[data-testid="entry"]' + (f'[data-kind="{kind}"]' if kind else "")
    return page.locator(chosen)


def follow(page):
    page.get_by_test_id("follow").click()
    expect(entries(page, "text").last).to_contain_text(WELCOME)


# --- following --------------------------------------------------------------------------------------------------------


def test_scan_by_name_shows_account_card_then_follow_brings_the_welcome(open_page):
    page = open_page("?person=xiaoyu")
    page.get_by_test_id("scan-all").click()
    page.get_by_test_id("scan-text").fill("静安店门口")
    page.get_by_test_id("scan-code").click()
    expect(page.get_by_test_id("card-name")).to_have_text("澜屿 LANYU")
    expect(page.get_by_test_id("card-code")).to_have_text("来自「静安店门口」")
    page.get_by_test_id("card-follow").click()
    expect(entries(page).nth(0)).to_have_text("你已关注「澜屿 LANYU」")
    expect(entries(page, "text")).to_contain_text([WELCOME])
    row = page.locator('[data-testid="person-row"][data-person="xiaoyu"]')
    expect(row.get_by_test_id("person-state")).to_have_text("已关注")


def test_scanner_opened_before_the_codes_are_there_shows_them_when_they_come(open_page):
    page = open_page("?person=xiaoyu")
    held = []
    page.route("**/_sim/codes?**", lambda route: held.append(route))
    page.reload()
    page.get_by_test_id("scan-all").click()
    page.get_by_test_id("scan-text").fill("静安店门口")
    expect(page.get_by_test_id("scan-note")).to_have_text("还没有服务号生成过渠道码。")
    for route in held:
        route.continue_()
    page.unroute("**/_sim/codes?**")
    page.get_by_test_id("scan-code").click()
    expect(page.get_by_test_id("card-code")).to_have_text("来自「静安店门口」")


def test_what_went_wrong_stays_said_when_the_codes_come_after_it(open_page, tmp_path):
    (tmp_path / "words.png").write_text("no picture")
    page = open_page("?person=xiaoyu")
    held = []
    page.route("**/_sim/codes?**", lambda route: held.append(route))
    page.reload()
    page.get_by_test_id("scan-all").click()
    page.get_by_test_id("scan-file").set_input_files(tmp_path / "words.png")
    expect(page.get_by_test_id("scan-note")).to_contain_text("读不出图片")
    for route in held:
        route.continue_()
    page.unroute("**/_sim/codes?**")
    expect(page.get_by_test_id("scan-code").first).to_be_visible()
    expect(page.get_by_test_id("scan-note")).to_contain_text("读不出图片")

    page.get_by_test_id("scan-text").fill("静安店门口")

    expect(page.get_by_test_id("scan-note")).to_have_text("")


def test_scan_reads_a_picture_of_a_code(open_page, answering, tmp_path):
    (code,) = [
        each for each in answering.get(f"/_sim/codes?appid={APPID}").json()["codes"] if each["name"] == "静安店门口"
    ]
    other = segno.make(f"https://mp.weixin.qq.com/a/~{MINI}~7K3QX9TM~pages/store/index", error="m")
    segno.make(code["url"], error="q").save(tmp_path / "door.png", scale=6)
    other.save(tmp_path / "mini.png", scale=6)
    (tmp_path / "words.png").write_text("no picture")
    page = open_page("?person=xiaoyu")

    page.get_by_test_id("scan-all").click()
    page.get_by_test_id("scan-file").set_input_files(tmp_path / "words.png")
    expect(page.get_by_test_id("scan-note")).to_contain_text("读不出图片")
    page.get_by_test_id("scan-file").set_input_files(tmp_path / "mini.png")
    expect(page.get_by_text("7K3QX9TM")).to_be_visible()
    page.reload()
    page.get_by_test_id("scan-all").click()
    page.get_by_test_id("scan-file").set_input_files(tmp_path / "door.png")
    expect(page.get_by_test_id("card-code")).to_have_text("来自「静安店门口」")


def test_sheet_with_several_codes_asks_which(open_page, answering, tmp_path):
    codes = [each for each in answering.get(f"/_sim/codes?appid={APPID}").json()["codes"] if each["name"]][:2]
    sheet = Image.new("L", (800, 400), 255)
    for number, code in enumerate(codes):
        segno.make(code["url"], error="q").save(tmp_path / "one.png", scale=8)
        sheet.paste(Image.open(tmp_path / "one.png").convert("L"), (20 + number * 400, 20))
    sheet.save(tmp_path / "sheet.png")
    page = open_page("?person=xiaoyu")
    page.get_by_test_id("scan-all").click()
    page.get_by_test_id("scan-file").set_input_files(tmp_path / "sheet.png")
    expect(page.get_by_test_id("scan-found")).to_have_count(2)
    page.get_by_test_id("scan-found").filter(has_text=codes[1]["name"]).click()

    expect(page.get_by_test_id("card-code")).to_have_text(f"来自「{codes[1]['name']}」")


def test_scan_of_a_follower_leads_to_the_chat(open_page, answering):
    answering.act("老周", "follow", OTHER)
    page = open_page(f"?person=laozhou&appid={APPID}")
    page.get_by_test_id("scan-all").click()
    page.get_by_test_id("scan-text").fill("http://weixin.qq.com/q/unknown")
    page.get_by_test_id("scan-text").press("Enter")
    expect(page.get_by_test_id("scan-note")).to_contain_text("没有这个码")
    page.get_by_test_id("scan-text").fill("table-8")
    page.get_by_test_id("scan-text").press("Enter")
    expect(page.get_by_test_id("chat-title")).to_have_text("灶山小馆 ZAOSHAN")
    expect(entries(page, "scan")).to_have_text("你扫描了「8 号桌」")


def test_unfollow_asks_first_and_ends_the_menu(open_page, answering):
    answering.act("xiaoyu", "follow")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    expect(page.get_by_test_id("menu-button")).to_have_text(["会员中心", "服务", "商城"])
    page.get_by_test_id("act-unfollow").click()
    assert answering.look("/people/xiaoyu")["accounts"][APPID]["subscribed"] is True
    page.get_by_test_id("confirm").click()
    expect(page.get_by_test_id("follow")).to_be_visible()
    expect(page.get_by_test_id("menu-button")).to_have_count(0)
    assert answering.look("/people/xiaoyu")["accounts"][APPID]["subscribed"] is False


def test_blocking_shows_in_the_list(open_page, answering):
    answering.act("xiaoyu", "follow")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    page.get_by_test_id("act-block").click()
    row = page.locator('[data-testid="person-row"][data-person="xiaoyu"]')
    expect(row.get_by_test_id("person-state")).to_have_text("已拉黑")
    page.get_by_test_id("act-unblock").click()
    expect(row.get_by_test_id("person-state")).to_have_text("已关注")


# --- talking ----------------------------------------------------------------------------------------------------------


def test_typed_text_becomes_a_bubble_and_is_answered(open_page):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    follow(page)
    page.get_by_test_id("keyboard-toggle").click()
    page.get_by_test_id("composer").fill("想看新款 <b>手袋</b>")
    page.get_by_test_id("composer").press("Enter")
    mine = page.locator('[data-testid="entry"][data-from="person"]')
    expect(mine.get_by_test_id("bubble")).to_have_text("想看新款 <b>手袋</b>")
    assert mine.get_by_test_id("bubble").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(149, 236, 105)"
    expect(entries(page, "text").last).to_contain_text("收到「想看新款 <b>手袋</b>」")
    expect(page.get_by_test_id("composer")).to_have_value("")


def test_news_reply_is_a_card_that_opens_the_address_without_asking_the_site(open_page):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    follow(page)
    page.get_by_test_id("keyboard-toggle").click()
    page.get_by_test_id("composer").fill("营业时间")
    page.get_by_test_id("send").click()
    page.get_by_test_id("news-card").get_by_text("静安店营业时间与停车指引").click()
    expect(page.get_by_test_id("overlay-address")).to_contain_text("shop.example.com")
    expect(page.get_by_test_id("overlay-address")).to_contain_text("/stores/jingan")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("web-overlay")).to_have_count(0)


def test_menu_click_is_answered(open_page):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    follow(page)
    page.get_by_test_id("menu-button").filter(has_text="会员中心").click()
    expect(entries(page, "text").last).to_contain_text("积分 1,280")
    push = page.locator('[data-testid="push-row"][data-kind="CLICK"]')
    expect(push).to_contain_text("已回复，签名正确")


def test_sub_menu_opens_a_mini_program_that_gives_codes(open_page, answering):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    follow(page)
    page.get_by_test_id("menu-button").filter(has_text="服务").click()
    page.get_by_test_id("menu-item").filter(has_text="预约到店").click()
    address = page.get_by_test_id("overlay-address")
    expect(address).to_contain_text("pages/book/index")
    expect(address).to_contain_text("jingan")
    page.get_by_test_id("bridge-phone").click()
    page.get_by_test_id("consent-refuse").click()
    expect(page.get_by_test_id("bridge-refused")).to_be_visible()
    page.get_by_test_id("bridge-login").click()
    code = page.get_by_test_id("bridge-code").inner_text()
    secret = answering.secret(MINI)
    session = answering.get(
        "/sns/jscode2session", appid=MINI, secret=secret, js_code=code, grant_type="authorization_code"
    ).json()
    assert session["openid"] == answering.openid("xiaoyu", MINI)
    page.get_by_test_id("overlay-close").click()
    expect(page.get_by_test_id("chat")).to_be_visible()


def test_place_and_photo_are_sent_from_the_panel(open_page, answering):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    follow(page)
    page.get_by_test_id("keyboard-toggle").click()
    page.get_by_test_id("plus").click()
    page.get_by_test_id("plus-place").click()
    page.locator('[data-testid="place-choice"][data-place="wukang"]').click()
    expect(page.get_by_test_id("place-card")).to_contain_text("武康路")
    expect(entries(page, "text").last).to_contain_text("收到位置：上海市徐汇区武康路")
    page.get_by_test_id("plus").click()
    page.get_by_test_id("plus-photo").click()
    page.locator('[data-testid="photo-choice"][data-photo="bag"]').click()
    picture = entries(page, "image").locator("img")
    expect(picture).to_have_attribute("src", f"{answering.url}/phone/photos/bag.jpg")
    assert answering.get("/phone/photos/bag.jpg").content.startswith(b"\xff\xd8")


def test_location_button_asks_for_the_place(open_page, answering):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    follow(page)
    page.get_by_test_id("menu-button").filter(has_text="服务").click()
    page.get_by_test_id("menu-item").filter(has_text="附近门店").click()
    page.locator('[data-testid="place-choice"][data-place="jingansi"]').click()
    expect(page.locator('[data-testid="push-row"][data-kind="location_select"]')).to_be_visible()
    expect(page.get_by_test_id("place-card")).to_contain_text("静安寺")


# --- what the account sends -------------------------------------------------------------------------------------------


def send_template(simulator, person, **more):
    body = {"touser": simulator.openid(person), "template_id": TEMPLATE, "data": DATA, **more}
    answer = simulator.api("/cgi-bin/message/template/send", body)
    assert answer["errcode"] == 0
    return str(answer["msgid"])


def test_template_message_arrives_as_a_card_without_reload(open_page, answering):
    answering.follow("xiaoyu")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    send_template(answering, "xiaoyu")
    card = page.get_by_test_id("template-card")
    expect(card).to_contain_text("预约提醒")
    expect(card.get_by_test_id("template-value")).to_have_text(["上海静安店", "秋季新品搭配", "2025-06-02 15:30"])
    expect(card.get_by_test_id("template-detail")).to_have_count(0)
    send_template(answering, "xiaoyu", url="https://shop.example.com/book/1")
    expect(page.get_by_test_id("template-detail")).to_have_text("查看详情")
    expect(page.get_by_test_id("truth-duplicates")).to_have_text("1")


def test_agreeing_to_a_notice_and_the_notice_itself_are_seen(open_page, answering):
    keys = [{"key": "thing1", "label": "商品"}]
    notice = {"template_id": "ntc-phone-0001", "title": "取货提醒", "keys": keys}
    answering.control("/world", {"accounts": [{"appid": APPID, "notices": [notice]}]})
    page = open_page("?person=xiaoyu")
    follow(page)
    page.get_by_test_id("chat-more").click()
    expect(page.get_by_test_id("notice-left")).to_have_text("一次性 · 没有允许")
    page.get_by_test_id("notice-ask").click()
    page.get_by_test_id("consent-allow").click()
    expect(page.get_by_test_id("notice-left")).to_have_text("一次性 · 还可收 1 条")
    openid = answering.openid("小雨")
    body = {"touser": openid, "template_id": "ntc-phone-0001", "data": {"thing1": {"value": "亚麻衬衫"}}}
    assert answering.api("/cgi-bin/message/subscribe/bizsend", body)["errcode"] == 0
    expect(page.get_by_test_id("notice-left")).to_have_text("一次性 · 没有允许")
    page.get_by_test_id("profile-chat").click()
    expect(page.get_by_test_id("notice-card")).to_contain_text("取货提醒")
    expect(page.get_by_test_id("notice-card")).to_contain_text("亚麻衬衫")


def test_typing_shows_in_the_title(open_page, answering):
    openid = answering.follow("xiaoyu")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    answering.act("xiaoyu", "text", content="在吗")
    answering.api("/cgi-bin/message/custom/typing", {"touser": openid, "command": "Typing"})
    expect(page.get_by_test_id("chat-title")).to_have_text("对方正在输入…")
    answering.api("/cgi-bin/message/custom/send", {"touser": openid, "msgtype": "text", "text": {"content": "在的"}})
    expect(entries(page, "text").last).to_contain_text("在的")
    expect(page.get_by_test_id("chat-title")).to_have_text("澜屿 LANYU")


def test_menu_of_the_person_changes_after_five_minutes_of_the_clock(open_page, answering):
    answering.follow("xiaoyu")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    expect(page.get_by_test_id("menu-button")).to_have_text(["会员中心", "服务", "商城"])
    answering.api("/cgi-bin/menu/create", {"button": [{"type": "click", "name": "新菜单", "key": "NEW"}]})
    expect(page.get_by_test_id("person-card")).to_contain_text("到手机")
    expect(page.get_by_test_id("menu-button")).to_have_text(["会员中心", "服务", "商城"])
    answering.control("/clock", {"advance": 301})
    expect(page.get_by_test_id("menu-button")).to_have_text(["新菜单"])


# --- the world --------------------------------------------------------------------------------------------------------


def test_clock_pauses_and_jumps_after_saying_what_falls_due(open_page, answering):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    page.get_by_test_id("rate-0").click()
    expect(page.get_by_test_id("rate-0")).to_have_attribute("aria-pressed", "true")
    wait_until(lambda: answering.look("/clock")["rate"] == 0)
    # Not the moment at which the world begins: the page may still show that one when it has not heard of this yet.
    answering.control("/clock", {"set": "2025-06-01T10:00"})
    expect(page.get_by_test_id("clock-now")).to_have_text("2025-06-01 10:00:00")
    expect(page.get_by_test_id("phone-time")).to_have_text("10:00")
    page.get_by_test_id("clock-add-3600").click()
    expect(page.get_by_test_id("clock-now")).to_have_text("2025-06-01 11:00:00")
    page.get_by_test_id("clock-add-86400").click()
    expect(page.get_by_test_id("clock-plan")).to_contain_text("每日额度重置")
    expect(page.get_by_test_id("clock-now")).to_have_text("2025-06-01 11:00:00")
    page.get_by_test_id("clock-confirm").click()
    expect(page.get_by_test_id("clock-now")).to_have_text("2025-06-02 11:00:00")
    assert answering.look("/clock")["iso"].startswith("2025-06-02T11:00:00")


def test_fault_is_made_hits_and_is_turned_off(open_page, answering):
    openid = answering.follow("xiaoyu")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    page.get_by_test_id("fault-quota").click()
    row = page.get_by_test_id("fault-row")
    expect(row).to_contain_text("额度用尽 45009")
    expect(row).to_contain_text("澜屿 LANYU · 模板消息发送 · 还有 10 次")
    body = {"touser": openid, "template_id": TEMPLATE, "data": DATA}
    assert answering.api("/cgi-bin/message/template/send", body)["errcode"] == 45009
    expect(row).to_contain_text("已命中 1 次")
    page.get_by_test_id("fault-off").click()
    expect(row).to_have_count(0)
    assert answering.look("/faults")["faults"] == []


@pytest.mark.parametrize(
    ("button", "kind", "effect"),
    [
        ("busy", "errcode", "before"),
        ("token", "kill_token", "before"),
        ("timeout", "hang", "after"),
        ("duplicate", "push_duplicate", "after"),
    ],
)
def test_quick_fault_is_the_one_it_says(open_page, answering, button, kind, effect):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    page.get_by_test_id(f"fault-{button}").click()
    expect(page.get_by_test_id("fault-row")).to_have_count(1)
    (fault,) = answering.look("/faults")["faults"]
    assert (fault["kind"], fault["effect"], fault["appid"], fault["count_left"]) == (kind, effect, APPID, 10)


def test_repeated_push_is_counted(open_page, answering):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    follow(page)
    page.locator('[data-testid="push-row"][data-kind="subscribe"] summary').click()
    page.get_by_test_id("push-replay").click()
    expect(page.locator('[data-testid="push-row"][data-kind="subscribe"]')).to_contain_text("2 次")
    expect(page.get_by_test_id("truth-received")).to_have_text("2")


def test_report_is_set_against_the_truth(open_page, answering, tmp_path):
    answering.follow("xiaoyu")
    answering.follow("laozhou")
    good, silent, besides = (
        send_template(answering, "xiaoyu", data=DATA | {"thing2": {"value": v}}) for v in ("甲", "乙", "丙")
    )
    answering.act("laozhou", "block")
    refused = send_template(answering, "laozhou")
    answering.settle()
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    report = tmp_path / "触达.csv"
    report.write_text(f"\ufeffmsgid,状态\n{good},已送达\n{silent},失败\n{refused},已送达\n", encoding="utf-8")
    page.get_by_test_id("report-file").set_input_files(report)
    expect(page.get_by_test_id("report-claims")).to_have_text("2")
    expect(page.get_by_test_id("report-truth")).to_have_text("2")
    expect(page.get_by_test_id("report-difference")).to_have_text("2")
    result = page.get_by_test_id("report-result")
    expect(result).to_contain_text(f"手机没有收到 1{refused}")
    expect(result).to_contain_text(f"报告说没有送达 1{silent}")
    expect(page.get_by_test_id("report-besides")).to_contain_text("另有 1 个")
    exact = tmp_path / "export.json"
    exact.write_text(
        json.dumps({"rows": [{"msgid": int(item), "status": "success"} for item in (good, silent, besides)]})
    )
    page.get_by_test_id("report-file").set_input_files(exact)
    expect(page.get_by_test_id("report-difference")).to_have_text("0")
    expect(page.get_by_test_id("report-claims")).to_have_text("3")


# --- people -----------------------------------------------------------------------------------------------------------


def test_two_thousand_people_scroll_and_are_searched(open_page, answering):
    answering.control("/world", {"crowds": [{"prefix": "fan", "count": 2000, "follows": [APPID]}]})
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    expect(page.get_by_test_id("people-total")).to_have_text("共 2,016 人")
    assert page.get_by_test_id("person-row").count() < 60
    page.get_by_test_id("person-list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    expect(page.locator('[data-person="fan002000"]')).to_be_visible()
    page.get_by_test_id("person-search").fill("fan001234")
    expect(page.get_by_test_id("people-total")).to_have_text("找到 1 人")
    page.get_by_test_id("person-row").click()
    assert "person=fan001234" in page.url
    page.get_by_test_id("person-search").fill("没有这样的人")
    expect(page.get_by_test_id("people-empty")).to_be_visible()


def test_arrows_enter_and_escape_work_without_a_mouse(open_page, answering):
    answering.follow("laozhou")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    expect(page.locator('[data-person="xiaoyu"][aria-selected="true"]')).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator('[data-person="laozhou"][aria-selected="true"]')).to_be_visible()
    assert "person=laozhou" in page.url
    expect(page.get_by_test_id("menu-bar")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("composer")).to_be_focused()
    page.keyboard.type("键盘也行")
    page.keyboard.press("Enter")
    expect(entries(page, "text").last).to_contain_text("收到「键盘也行」")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("chat-row")).to_have_count(2)


def test_new_person_gets_a_phone(open_page, answering):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    page.get_by_test_id("person-new").click()
    page.get_by_test_id("new-nickname").fill("林小满")
    page.get_by_test_id("new-phone").fill("13912345678")
    page.get_by_test_id("new-save").click()
    expect(page.get_by_test_id("person-card")).to_contain_text("林小满")
    expect(page.get_by_test_id("person-card")).to_contain_text("139****5678")
    assert answering.look("/people", q="林小满")["total"] == 1


def test_two_phones_see_only_their_own_chat(open_page, answering):
    answering.follow("xiaoyu")
    answering.follow("laozhou")
    left = open_page(f"?person=xiaoyu&appid={APPID}")
    right = open_page(f"?person=laozhou&appid={APPID}")
    send_template(answering, "laozhou")
    expect(right.get_by_test_id("template-card")).to_have_count(1)
    send_template(answering, "xiaoyu", data=DATA | {"thing2": {"value": "只给小雨"}})
    expect(left.get_by_test_id("template-card")).to_contain_text("只给小雨")
    expect(right.get_by_test_id("template-card")).to_have_count(1)
    assert answering.look("/truth/summary", person="xiaoyu")["person"]["received"] == 2


def test_another_phone_opens_in_a_window_of_its_own(open_page):
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    with page.expect_popup() as opened:
        page.get_by_test_id("another-phone").click()
    expect(opened.value.get_by_test_id("chat")).to_be_visible()
    assert "person=laozhou" in opened.value.url
    assert APPID in opened.value.url


def test_eight_phones_of_one_browser_are_live_together(open_page, answering):
    ids = ["xiaoyu", "laozhou", "aling", "chenchen", "zhaoyi", "qianduoduo", "sunwei", "lijianguo"]
    for person in ids:
        answering.follow(person)
    first = open_page(f"?person=xiaoyu&appid={APPID}")
    pages = [first] + [first.context.new_page() for _ in ids[1:]]
    for page, person in zip(pages[1:], ids[1:], strict=True):
        page.goto(f"{answering.url}/phone/?person={person}&appid={APPID}")
    for person in ids:
        send_template(answering, person)
    for page in pages:
        expect(page.get_by_test_id("template-card")).to_have_count(1)


# --- when something is missing ----------------------------------------------------------------------------------------


def test_unknown_person_in_the_address_offers_the_first(open_page):
    page = open_page(f"?person=nobody&appid={APPID}")
    expect(page.get_by_test_id("nobody")).to_have_text("没有叫「nobody」的人")
    assert [text for text in open_page.problems if "400" not in text] == []
    open_page.problems.clear()
    page.get_by_test_id("first-person").click()
    expect(page.get_by_test_id("person-card")).to_contain_text("小雨")


def test_world_without_accounts_fills_by_itself(browser, empty_world):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{empty_world.url}/phone/")
    expect(page.get_by_test_id("nobody")).to_have_text("还没有服务号")
    empty_world.control("/world", {"accounts": [{"appid": APPID, "name": "澜屿 LANYU"}]})
    expect(page.get_by_test_id("chat-title")).to_have_text("澜屿 LANYU")
    expect(page.get_by_test_id("follow")).to_be_visible()
    context.close()


def test_lost_connection_is_said_and_mends(open_page, answering):
    answering.follow("xiaoyu")
    page = open_page(f"?person=xiaoyu&appid={APPID}")
    expect(page.get_by_test_id("menu-bar")).to_be_visible()
    page.get_by_test_id("keyboard-toggle").click()
    page.route("**/_sim/**", lambda route: route.abort())
    page.get_by_test_id("composer").fill("没有网")
    page.get_by_test_id("composer").press("Enter")
    expect(page.get_by_test_id("toast").first).to_contain_text("连不上模拟器")  # a second call may have met the same
    expect(page.get_by_test_id("composer")).to_have_value("没有网")
    page.unroute("**/_sim/**")
    page.get_by_test_id("composer").press("Enter")
    expect(entries(page, "text").last).to_contain_text("收到「没有网」")
    # What was cut off may be told long after; anything else is a fault.
    open_page.problems[:] = [text for text in open_page.problems if "ERR_FAILED" not in text]


# --- how it looks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 375, 768, 1119, 1120, 1400])
def test_no_sideways_scroll(open_page, answering, width):
    answering.follow("longname")
    page = open_page(f"?person=longname&appid={APPID}", width=width, height=812)
    for tab in ("people", "phone", "world"):
        if width < 1120:
            page.get_by_test_id(f"tab-{tab}").click()
        expect(page.get_by_test_id(tab)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
        assert page.get_by_test_id(tab).evaluate("e => e.scrollWidth - e.clientWidth") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_and_not_small(open_page, answering, scheme):
    answering.follow("xiaoyu")
    send_template(answering, "xiaoyu", url="https://shop.example.com/")
    page = open_page(f"?person=xiaoyu&appid={APPID}", color_scheme=scheme)
    expect(page.get_by_test_id("template-card")).to_be_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.evaluate(SMALL_OR_PALE) == []
    page.get_by_test_id("chat-more").click()
    assert page.evaluate(SMALL_OR_PALE) == []
    page.keyboard.press("Escape")
    page.get_by_test_id("scan-all").click()
    assert page.evaluate(SMALL_OR_PALE) == []
    page.get_by_test_id("scan-code").filter(has_text="8 号桌").click()
    expect(page.get_by_test_id("card-follow")).to_be_visible()
    assert page.evaluate(SMALL_OR_PALE) == []


SMALL_OR_PALE = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.matches("option, .hide, noscript, :disabled")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(numbers(style.color)), light(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (parseFloat(style.fontSize) < 12 || contrast < 4.5) bad.push([element.textContent.slice(0, 20), style.fontSize, contrast.toFixed(2)]);
  }
  return bad;
}"""


def test_every_page_says_that_it_is_not_official(open_page):
    page = open_page(f"?person=xiaoyu&appid={APPID}", width=375, height=812)
    expect(page.locator(".stamp")).to_have_text("模拟器，非微信官方")
    expect(page.get_by_test_id("not-official")).to_have_text("模拟器，非微信官方")
    assert re.search(r"[A-Za-z]{4,}", page.get_by_test_id("chat").inner_text().replace("LANYU", "")) is None


def test_files_of_the_page_name_no_other_host():
    files = sorted(control.PHONE.glob("*.*"))
    assert {"index.html", "main.js", "page.css"} <= {file.name for file in files}
    allowed = ("http://www.w3.org/", "http://127.0.0.1", "http://localhost")
    found = [url for file in files for url in re.findall(r"https?://[\w.-]+[/:]?", file.read_text(encoding="utf-8"))]
    assert [url for url in found if not url.startswith(allowed)] == []


def test_mass_message_says_so_and_its_link_asks_before_the_page_opens(open_page, answering):
    answering.control("/world", {"accounts": [{"appid": APPID, "oauth_domains": ["lanyu.example.com"]}]})
    page = open_page("?person=xiaoyu")
    follow(page)
    asked = f"appid={APPID}&redirect_uri=https%3A%2F%2Flanyu.example.com%2Fh5&response_type=code"
    link = f"https://open.weixin.qq.com/connect/oauth2/authorize?{asked}&scope=snsapi_userinfo&state=s1#wechat_redirect"
    body = {"filter": {"is_to_all": True}, "msgtype": "text", "text": {"content": f"会员页：{link}"}}
    assert answering.api("/cgi-bin/message/mass/sendall", body)["errcode"] == 0

    said = entries(page, "text").filter(has_text="会员页")
    expect(said.get_by_test_id("via")).to_have_text("群发")
    said.get_by_role("button").click()
    page.get_by_test_id("oauth-allow").click()
    (code,) = wait_for_code(answering)
    expect(page.get_by_test_id("overlay-address")).to_contain_text(code)
    assert answering.sim.web_logins.codes[code].nickname == "小雨"


def wait_for_code(simulator):
    wait_until(lambda: simulator.sim.web_logins.codes)
    return list(simulator.sim.web_logins.codes)


# --- WeChat Pay, and what is forwarded --------------------------------------------------------------------------------


@pytest.fixture
def shop(answering):
    """A shop whose notifications a careless till takes: whatever comes is answered 204."""
    till = Callback()
    till.reply = lambda _request: (204, b"")
    shop = Shop(answering)
    shop.notify_url = till.url
    yield shop
    till.close()


def test_an_order_waits_on_the_phone_and_is_paid(shop, open_page):
    page = open_page("?person=xiaoyu", width=375, height=780)
    bar = page.get_by_test_id("pay-bar")
    expect(bar).to_be_hidden()
    shop.prepay(total=12880)
    expect(bar).to_contain_text("待支付 ¥128.80 · 澜屿商城")
    page.get_by_test_id("pay-open").click()
    expect(page.get_by_test_id("pay-sum")).to_have_text("¥128.80")
    page.get_by_test_id("pay-no").click()
    expect(page.get_by_test_id("toast")).to_contain_text("没有支付")
    assert shop.query()[1]["trade_state"] == "NOTPAY"
    page.get_by_test_id("pay-open").click()
    page.get_by_test_id("pay-yes").click()
    expect(page.get_by_test_id("pay-state")).to_have_text("已支付")
    expect(page.get_by_test_id("pay-note")).to_contain_text("商户已收下")
    expect(bar).to_be_hidden()
    assert shop.query()[1]["trade_state"] == "SUCCESS"
    shop.refund(refund=5000, total=12880)
    shop.simulator.control("/clock", {"advance": 60})
    expect(page.get_by_test_id("pay-state")).to_have_text("已退 ¥50.00")
    page.get_by_test_id("page-back").click()
    page.get_by_test_id("chat-back").click()
    page.get_by_test_id("chats-orders").click()
    expect(page.get_by_test_id("order-row")).to_contain_text("已退 ¥50.00")


def test_faults_of_pay_are_set_on_the_page_and_their_end_is_told(shop, open_page):
    page = open_page("?person=xiaoyu")
    page.get_by_test_id("fault-count").select_option("1")
    page.get_by_test_id("pay-faults").locator("summary").click()
    page.get_by_test_id("fault-pay-forged").click()
    expect(page.get_by_test_id("fault-row")).to_contain_text("支付通知签名伪造")
    shop.prepay()
    page.get_by_test_id("pay-open").click()
    page.get_by_test_id("pay-yes").click()
    expect(page.get_by_test_id("pay-problem")).to_have_text("商户收下了假通知")
    expect(page.get_by_test_id("pay-note")).to_contain_text("伪造签名的通知")
    shop.simulator.control("/clock", {"advance": 15})
    expect(page.get_by_test_id("pay-note")).to_contain_text("商户已收下")


def test_an_expired_order_cannot_be_paid_any_more(shop, open_page):
    page = open_page("?person=xiaoyu")
    shop.prepay()
    page.get_by_test_id("pay-open").click()
    shop.simulator.control("/clock", {"advance": 2 * 3600})
    expect(page.get_by_test_id("pay-state")).to_have_text("已过期")
    expect(page.get_by_test_id("pay-yes")).to_have_count(0)
    expect(page.get_by_test_id("pay-bar")).to_be_hidden()


def test_a_page_is_forwarded_to_a_friend_who_opens_it(answering, open_page):
    page = open_page("?person=xiaoyu", width=375, height=780)
    answering.follow("小雨")
    page.get_by_test_id("menu-button").nth(1).click()
    page.get_by_test_id("menu-item").first.click()
    page.get_by_test_id("overlay-more").click()
    page.get_by_test_id("overlay-share").click()
    page.get_by_test_id("friend-search").fill("老周")
    expect(page.get_by_test_id("friend")).to_have_count(1)
    page.get_by_test_id("friend").click()
    expect(page.get_by_test_id("toast")).to_contain_text("已转发给老周")
    friend = open_page("?person=laozhou", width=375, height=780)
    friend.get_by_test_id("chat-back").click()
    friend.get_by_test_id("chats-shares").click()
    expect(friend.get_by_test_id("share-row")).to_contain_text("小雨转发")
    friend.get_by_test_id("share-row").click()
    expect(friend.get_by_test_id("overlay-address")).to_contain_text("pages/book/index")


def test_an_account_is_recommended_to_a_friend_who_follows_it(answering, open_page):
    answering.follow("小雨")
    answering.act("小雨", "share", to="老周")
    friend = open_page("?person=laozhou", width=375, height=780)
    friend.get_by_test_id("chat-back").click()
    friend.get_by_test_id("chats-shares").click()
    friend.get_by_test_id("share-row").click()
    friend.get_by_test_id("card-follow").click()
    expect(friend.get_by_test_id("bubble").first).to_have_text(WELCOME)
    openid = answering.openid("老周")
    assert answering.ask("/cgi-bin/user/info", openid=openid)["subscribe_scene"] == "ADD_SCENE_PROFILE_CARD"
