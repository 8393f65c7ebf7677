"""In a real browser: a nested segment is built and counted, a campaign is made from it, launched and watched to its end."""

import re
from contextlib import suppress

import pytest
from django.db import connections
from django.test import Client
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

from campaigns import services
from campaigns.models import Campaign
from common import clock
from members.models import Member, Segment
from members.services import tag_members
from tests.browser import MARKS, expect, launch, patient
from tests.campaigns.conftest import stage, wechat, wechat_server  # noqa: F401 - fixtures
from tests.factories import AT, make_staff, make_tag

pytestmark = MARKS
WIDTHS = {"wide": 1400, "phone": 375}


@pytest.fixture
def browser(monkeypatch):
    # Playwright's loop runs in this thread: Django takes that for an async context, with connections of its own.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as started:
        connections.close_all()
        chromium = launch(started)
        yield chromium
        chromium.close()
        connections.close_all()
    connections.close_all()


@pytest.fixture
def open_page(browser, stage, live_server):  # noqa: F811 - a fixture
    """Give a page of the console, signed in with a role; what the page's scripts complain of fails the test."""
    complaints = []

    def opened(role="MARKETER", width=1400, scheme="light"):
        with stage.scope:
            staff = make_staff(f"browser-{role.lower()}", role)
        client = Client()
        client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
        context = browser.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
        )
        patient(context)
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield opened
    assert complaints == []


@pytest.fixture
def audience(stage):  # noqa: F811 - a fixture
    """Six followers: four carry 静安店, one of these 七夕已触达, too."""
    stage.people(6)
    with stage.scope:
        ids = list(Member.objects.order_by("pk").values_list("pk", flat=True))
        near, done = make_tag("静安店"), make_tag("七夕已触达")
        tag_members(member_ids=ids[:4], tag_ids=[near.pk], source="test", at=AT)
        tag_members(member_ids=ids[:1], tag_ids=[done.pk], source="test", at=AT)


def count_on(page):
    return page.get_by_test_id("count")


def pick(page, where, name):
    """Pick a tag by searching for it, with the keyboard."""
    where.locator("[data-find]").fill(name)
    expect(where.locator("[data-choice]").first).to_have_text(name)
    where.locator("[data-find]").press("Enter")
    expect(where.locator(".seg-picked")).to_contain_text(name)


@pytest.mark.long(20)
def test_segment_to_campaign_to_the_last_message(open_page, stage, audience):  # noqa: F811, PLR0915 - one story
    page = open_page()
    prefix = f"/b/{stage.brand.slug}"

    # A nested rule: follows, carries 静安店, and does not carry 七夕已触达.
    page.goto(f"{prefix}/segments/")
    page.get_by_role("link", name="新建人群").first.click()
    expect(count_on(page)).to_have_text("6")
    root = page.get_by_test_id("group").first
    root.get_by_test_id("add-condition").click()
    root.get_by_test_id("add-tag").click()
    expect(page.get_by_test_id("fault")).to_be_visible()  # no tag is chosen yet
    leaf = page.get_by_test_id("condition").nth(1)
    expect(leaf.locator(".seg-error:not([hidden])")).to_have_text("至少选一个")
    pick(page, leaf, "静安店")
    expect(count_on(page)).to_have_text("4")
    page.get_by_test_id("add-group").first.click()
    inner = page.get_by_test_id("group").nth(1)
    inner.locator(".seg-kind").select_option("none")
    inner.get_by_test_id("add-condition").click()
    inner.get_by_test_id("add-tag").click()
    pick(page, inner.get_by_test_id("condition"), "七夕已触达")
    expect(count_on(page)).to_have_text("3")
    expect(page.locator(".zy-sentence")).to_contain_text("七夕已触达")
    page.get_by_label("名称", exact=True).fill("静安未触达")
    page.get_by_test_id("save-segment").click()
    expect(page.locator(".zy-message-success")).to_contain_text("3 人")
    with stage.scope:
        saved = Segment.objects.get(name="静安未触达")
    assert saved.counted == 3

    # A campaign for it.
    page.goto(f"{prefix}/campaigns/campaign/")
    page.get_by_role("link", name="新建活动").first.click()
    page.get_by_label("名称", exact=True).fill("到店提醒")
    page.get_by_role("button", name="新建活动").click()
    launch = page.get_by_test_id("to-launch")
    expect(launch).to_be_disabled()
    page.get_by_label("人群", exact=True).select_option(label="静安未触达")
    expect(page.get_by_test_id("will-send")).to_have_text("3")
    page.get_by_label("消息模板", exact=True).select_option(label="预约提醒")
    page.get_by_label("事项", exact=True).fill("{姓名|会员}的预约")
    page.get_by_label("时间", exact=True).fill("明天下午")
    page.get_by_label("时间", exact=True).blur()
    expect(page.locator("[data-error-of='content.time2']")).to_contain_text("明天下午")
    page.get_by_label("时间", exact=True).fill("2025-06-02 15:30")
    page.get_by_label("时间", exact=True).blur()
    expect(page.get_by_test_id("phone")).to_contain_text("顾客")
    page.get_by_label("预览", exact=True).select_option("odd:nameless")
    expect(page.get_by_test_id("phone")).to_contain_text("会员的预约")
    expect(page.get_by_test_id("checks").locator(".is-wrong")).to_have_count(0)
    expect(launch).to_be_enabled()

    # Launch: says how many, then goes.
    launch.click()
    expect(page.get_by_test_id("will-send")).to_have_text("3")
    page.get_by_test_id("launch").click()
    progress = page.get_by_test_id("progress")
    expect(progress).to_have_attribute("data-state", "FREEZING")
    with stage.scope:
        campaign = Campaign.objects.get(name="到店提醒")
        services.freeze_audience(campaign_id=campaign.pk, at=clock.now())
    expect(progress).to_have_attribute("data-state", "SENDING")  # by itself: the page polls

    # Pause, resume, and to the end.
    page.get_by_test_id("pause").click()
    expect(progress).to_have_attribute("data-state", "PAUSED")
    page.get_by_test_id("resume").click()
    page.get_by_test_id("confirm-resume").click()
    expect(progress).to_have_attribute("data-state", "SENDING")
    stage.send(campaign)
    expect(progress).to_have_attribute("data-state", "FINISHED")
    stage.report(stage.truth())
    expect(page.locator(".cmp-part").first).to_contain_text("3")
    parts = [int(number) for number in page.locator("[data-part]").evaluate_all("all => all.map(e => e.dataset.part)")]
    assert (parts, sum(parts)) == ([3, 0, 0, 0, 0, 0, 0], 3)
    expect(page.get_by_test_id("sum")).to_contain_text("✓")
    page.locator(".cmp-part").first.click()
    expect(page.get_by_test_id("messages").locator("tbody tr")).to_have_count(3)


def test_an_older_count_never_replaces_a_newer_one(open_page, stage, audience):  # noqa: F811
    page = open_page()
    held = []

    def hold_the_first(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    page.goto(f"/b/{stage.brand.slug}/segments/new/")
    expect(count_on(page)).to_have_text("6")
    page.route("**/segments/preview/", hold_the_first)
    value = page.get_by_test_id("condition").locator("select")
    value.select_option("no")
    page.wait_for_function("() => document.querySelector('#segment-preview').classList.contains('htmx-request')")
    value.select_option("yes")
    expect(page.locator("#segment-preview")).not_to_have_class(re.compile("htmx-request"))
    assert len(held) == 1
    with suppress(PlaywrightError):  # the browser has given it up already
        held[0].continue_()
    page.wait_for_timeout(500)
    expect(count_on(page)).to_have_text("6")


def test_tree_can_be_built_without_a_mouse(open_page, stage, audience):  # noqa: F811
    page = open_page()
    page.goto(f"/b/{stage.brand.slug}/segments/new/")
    expect(count_on(page)).to_have_text("6")
    page.get_by_test_id("add-condition").focus()
    page.keyboard.press("Enter")
    page.get_by_test_id("add-last_interaction").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("condition")).to_have_count(2)
    expect(page.get_by_label("在", exact=True)).to_be_focused()  # the new condition takes the focus
    page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type("7")
    expect(page.locator(".zy-sentence")).to_contain_text("近 7 天")


@pytest.mark.parametrize(("width", "scheme"), [(WIDTHS["wide"], "light"), (WIDTHS["phone"], "dark")], ids=WIDTHS)
def test_pages_fit_the_screen(open_page, stage, audience, width, scheme):  # noqa: F811
    campaign = stage.campaign(name="名字特别特别长的活动" * 4)
    running = stage.launched(name="发送中的活动")
    stage.send(running)
    page = open_page(width=width, scheme=scheme)
    prefix = f"/b/{stage.brand.slug}"
    for path in (
        "/segments/",
        "/segments/new/",
        f"/segments/{stage.segment.pk}/",
        "/campaigns/campaign/",
        "/campaigns/new/",
        f"/campaigns/{campaign.pk}/",
        f"/campaigns/{campaign.pk}/launch/",
        f"/campaigns/{running.pk}/",
        f"/campaigns/{running.pk}/messages/",
        "/campaigns/templates/",
    ):
        page.goto(prefix + path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.add_style_tag(content=".material-symbols-outlined { display: none !important; }")  # names of icons
        words = page.locator("main").inner_text()
        known = (
            r"RFM|OpenID …\S+|OpenID|MsgID|AppID|LANYU|Asia/Shanghai|UTC|https|pages/order/index|tpl-\d+|thing\d|time\d"
        )
        left = re.findall(r"[A-Za-z]{3,}", re.sub(known, "", words))
        assert left == [], path
        assert page.locator(".zy-primary:visible").count() <= 1, path


def test_reading_role_cannot_press_anything(open_page, stage, audience):  # noqa: F811
    campaign = stage.campaign()
    running = stage.launched(name="发送中的活动")
    page = open_page("ANALYST")
    prefix = f"/b/{stage.brand.slug}"
    for path in (f"/segments/{stage.segment.pk}/", f"/campaigns/{campaign.pk}/", f"/campaigns/{running.pk}/"):
        page.goto(prefix + path)
        page.wait_for_load_state("networkidle")
        enabled = page.locator("main button:visible:enabled").all_inner_texts()
        assert [text for text in enabled if text.strip() != "换一批"] == [], path
