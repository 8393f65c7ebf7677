"""WeCom on the phone page: adding staff, welcome, groups, mass messages that staff confirms."""

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import MARKS, expect, launch, patient

pytestmark = [*MARKS, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
LINK = {"msgtype": "link", "link": {"title": "会员权益", "desc": "点击查看", "url": "https://m.example.com/vip"}}


@pytest.fixture
def page(wecom):
    problems = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = patient(browser.new_context(viewport={"width": 375, "height": 760}, locale="zh-CN")).new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{wecom.simulator.url}/phone/?person=xiaoyu")
        expect(page.get_by_test_id("live")).to_have_text("实时")
        page.get_by_test_id("chat-back").click()
        yield page
        browser.close()
    assert problems == []


def test_a_person_adds_staff_by_a_code_and_reads_the_welcome(wecom, ear, page):
    settings = {"type": 2, "scene": 2, "remark": "静安店", "state": "store_8", "user": ["guide01"]}
    wecom.good("/add_contact_way", settings)
    page.get_by_test_id("wecom-add").click()
    page.locator("[data-testid=wecom-way][data-name=静安店]").click()
    expect(page.get_by_test_id("wecom-title")).to_contain_text("顾问小王")
    code = ear.last("add_external_contact")["WelcomeCode"]
    assert ear.last("add_external_contact")["State"] == "store_8"
    wecom.good(
        "/send_welcome_msg", {"welcome_code": code, "text": {"content": "您好，我是小王"}, "attachments": [LINK]}
    )
    log = page.get_by_test_id("wecom-log")
    expect(log).to_contain_text("您好，我是小王")
    expect(log).to_contain_text("会员权益")
    page.get_by_test_id("wecom-composer").fill("你好，几点关门？")
    page.get_by_test_id("wecom-send").click()
    expect(log.locator("[data-from=person]")).to_contain_text("几点关门")
    page.get_by_test_id("wecom-menu").click()
    page.get_by_test_id("wecom-delete").click()
    expect(page.get_by_test_id("wecom-again")).to_be_visible()
    assert ear.kinds()[-1] == "del_follow_user"


def test_scanning_the_picture_of_a_contact_code_adds_staff(wecom, page):
    made = wecom.good("/add_contact_way", {"type": 1, "scene": 2, "user": ["guide02"]})
    vcode = made["qr_code"].partition("vcode=")[2]
    page.get_by_test_id("chats-scan").click()
    page.get_by_test_id("scan-text").fill(f"https://work.weixin.qq.com/ca/{vcode}")
    page.get_by_test_id("scan-submit").click()
    expect(page.get_by_test_id("wecom-title")).to_contain_text("顾问小李")


def test_staff_confirms_a_mass_task_and_accepts_who_waits(wecom, page):
    external = wecom.add()
    wecom.act("老周", "add", userid="guide02", half=True)
    wecom.good(
        "/add_msg_template", {"sender": "guide01", "external_userid": [external], "text": {"content": "新品到店"}}
    )
    page.get_by_test_id("tab-world").click()
    page.get_by_test_id("wecom-confirm").click()
    expect(page.get_by_test_id("wecom-task")).to_contain_text("已发 1")
    expect(page.get_by_test_id("wecom-task")).to_contain_text("已确认")
    page.get_by_test_id("wecom-accept").click()
    expect(page.get_by_test_id("wecom-waiting")).to_have_count(0)
    page.get_by_test_id("tab-phone").click()
    row = page.locator("[data-testid=wecom-row][data-name=顾问小王]")
    expect(row).to_contain_text("新品到店")
    row.click()
    expect(page.get_by_test_id("via")).to_have_text("企业群发")


def test_group_and_transfer(wecom, page):
    external = wecom.add()
    chat = wecom.staff("guide01", "create_group", name="老客群", people=["小雨"])["chat_id"]
    wecom.staff("guide01", "say", chat_id=chat, content="本周六有品鉴会")
    page.locator("[data-testid=wecom-row][data-name=老客群]").click()
    expect(page.get_by_test_id("wecom-log")).to_contain_text("本周六有品鉴会")
    page.get_by_test_id("wecom-menu").click()
    page.get_by_test_id("wecom-leave").click()
    expect(page.locator("[data-testid=wecom-row][data-name=老客群]")).to_have_count(0)
    pair = {"handover_userid": "guide01", "takeover_userid": "guide02", "external_userid": [external]}
    wecom.good("/transfer_customer", pair)
    page.locator("[data-testid=wecom-row][data-name=顾问小王]").click()
    page.get_by_test_id("wecom-refuse").click()
    expect(page.get_by_test_id("wecom-transfer")).to_have_count(0)
    assert wecom.good("/transfer_result", pair)["customer"][0]["status"] == 3
