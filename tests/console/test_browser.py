"""A person signs in with a browser and looks around: Chinese throughout, nothing from other hosts, no errors."""

import re

import pytest
from django.db import connections
from playwright.sync_api import sync_playwright

from accounts.roles import Role
from accounts.tenancy import brand_scope
from tests.browser import MARKS, launch, patient
from tests.console.conftest import PASSWORD, furnish
from tests.factories import make_brand, make_staff

pytestmark = [*MARKS, pytest.mark.django_db(transaction=True)]
PAGES = [
    "",
    "members/member/",
    "members/follower/",
    "members/tag/",
    "members/tag/add/",
    "touchpoints/touchpoint/",
    "touchpoints/touchpoint/add/",
    "touchpoints/quality/",
    "touchpoints/attribution/",
    "touchpoints/batch/",
    "touchpoints/sheet/",
    "stores/store/",
    "stores/store/add/",
    "guides/guide/",
    "conversations/replyrule/",
    "conversations/replyrule/add/",
    "conversations/rules/import/",
    "conversations/unmatched/",
    "conversations/replyrecord/",
    "conversations/dialogue/",
    "conversations/dialogue/add/",
    "conversations/menu/",
    "inbox/",
    "inbox/speed/",
    "inbox/promise/",
    "inbox/resolving/",
    "inbox/retention/",
    "inbox/cannedreply/",
    "inbox/cannedreply/add/",
    "inbox/agent/",
    "inbox/servicehours/add/",
    "library/mediaitem/",
    "library/mediaitem/add/",
    "wechat_gateway/officialaccount/",
    "wechat_gateway/officialaccount/add/",
    "wechat_gateway/inboundpush/",
    "accounts/rolegrant/",
    "accounts/rolegrant/add/",
    "accounts/apikey/add/",
    "accounts/auditentry/",
]
# Names WeChat and the trade write in Latin letters, and what people typed.
ALLOWED = {
    "AppID",
    "AppSecret",
    "OpenID",
    "UnionID",
    "Token",
    "URL",
    "API",
    "IP",
    "KEY",
    "ID",
    "PNG",
    "SVG",
    "PDF",
    "mm",
    "JSON",
    "XML",
    "CSV",
    "XLSX",
    "JPEG",
    "GIF",
    "AMR",
    "MP",
    "MB",
    "KB",
    "s",
    "Ctrl",
    "K",
    "English",
    "VIP",
    "gh",
    "wx",
    "owner",
}


@pytest.fixture
def visitor(monkeypatch, live_server):
    """A browser page of somebody who came in through the sign-in page, and what it complained of."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's loop runs in this thread
    ours = furnish(make_brand(), "澜")
    with brand_scope(ours.brand.pk):
        make_staff("owner", Role.OWNER)
    with sync_playwright() as started:
        connections.close_all()
        chromium = launch(started)
        context = patient(chromium.new_context(base_url=live_server.url, locale="zh-CN", timezone_id="Asia/Shanghai"))
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: _foreign(page, asked.url, live_server.url))
        page.goto("/b/lanyu/")
        page.fill("[name=username]", "owner")
        page.fill("[name=password]", PASSWORD)
        page.click("button[type=submit].zy-primary")
        page.wait_for_url("**/b/lanyu/")
        yield page
        chromium.close()
        connections.close_all()
    connections.close_all()


def _foreign(page, url, ours):
    if not url.startswith((ours, "data:", "blob:")):
        page.complaints.append(f"asked another host: {url}")


def latin_words(page):
    """English words a person can read on the page, without codes, numbers and what they typed themselves."""
    text = page.evaluate(
        """() => {
            const skip = (node) => node.closest("script, style, svg, code, pre, kbd, .material-symbols-outlined, [lang=en]");
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            const found = [];
            while (walker.nextNode()) {
                const parent = walker.currentNode.parentElement;
                if (parent && !skip(parent) && parent.checkVisibility()) found.push(walker.currentNode.data);
            }
            for (const input of document.querySelectorAll("[placeholder]")) found.push(input.placeholder);
            return found.join("\\n");
        }"""
    )
    words = re.findall(r"(?<![\w@./:_{-])[A-Za-z]{2,}(?![\w@./:_}-])", text)
    return sorted(set(words) - ALLOWED)


@pytest.mark.long(25)
def test_every_page_speaks_chinese_and_loads_nothing_from_elsewhere(visitor):
    english = {}
    for path in PAGES:
        answer = visitor.goto(f"/b/lanyu/{path}", wait_until="networkidle")
        assert answer.status == 200, path
        words = latin_words(visitor)
        if words:
            english[path] = words
    assert english == {}
    assert visitor.complaints == []


@pytest.mark.parametrize("width", [1400, 375])
def test_pages_fit_the_screen_with_one_heading_and_one_primary_action(visitor, width):
    visitor.set_viewport_size({"width": width, "height": 800})
    for path in PAGES:
        visitor.goto(f"/b/lanyu/{path}")
        wide = visitor.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
        assert visitor.locator("h1").count() == 1, path
        assert visitor.locator(".zy-primary:visible").count() <= 1, path
    assert visitor.complaints == []


def test_search_opens_by_keyboard_and_leads_to_the_member(visitor):
    visitor.set_viewport_size({"width": 1400, "height": 800})
    visitor.goto("/b/lanyu/")
    visitor.keyboard.press("Control+k")
    visitor.keyboard.type("6721")
    hit = visitor.locator("#zy-search-results a", has_text="澜陈子涵")
    hit.wait_for()
    hit.click()
    visitor.wait_for_url("**/members/member/*/change/")
    assert visitor.locator("h1").inner_text() == "澜陈子涵"
    assert visitor.complaints == []


def test_chart_is_drawn_and_its_table_holds_the_same_days(visitor):
    visitor.goto("/b/lanyu/", wait_until="networkidle")
    drawn = visitor.evaluate("Chart.getChart(document.querySelector('.zy-chart canvas')).data.labels")
    rows = visitor.locator("#zy-chart-home tbody th").all_text_contents()
    assert drawn == rows
    assert len(rows) == 14
    assert visitor.complaints == []


def test_switching_the_brand_lists_only_own_brands(visitor):
    visitor.set_viewport_size({"width": 1400, "height": 800})
    visitor.goto("/b/lanyu/members/tag/")
    visitor.click("[data-testid=brand-switch]")
    visitor.locator("#zy-brand-menu a").first.wait_for()
    assert visitor.locator("#zy-brand-menu a").all_inner_texts() == [
        "澜屿主管理员".replace("澜屿", "澜屿\n"),
        "全部品牌",
    ]
    assert visitor.complaints == []


WIDE_TABLE = """() => {
    const words = ["门店", "会话", "中位数", "九成不超过", "怎么办"];
    const row = (tag) => `<tr>${words.map((word) => `<${tag}>${word}</${tag}>`).join("")}</tr>`;
    document.querySelector(".zy-content").innerHTML =
        `<div class="zy-scroll"><table class="zy-table"><thead>${row("th")}</thead><tbody>${row("td")}</tbody></table></div>`;
    document.dispatchEvent(new Event("htmx:afterSettle"));
}"""
SHAPE = """() => {
    const table = document.querySelector(".zy-table"), box = table.parentElement;
    const labels = [...table.querySelectorAll("td")].map((cell) => getComputedStyle(cell, "::before").content);
    return [table.classList.contains("zy-stacked"), box.scrollWidth <= box.clientWidth, labels[2]];
}"""


def test_a_table_too_wide_for_a_phone_is_shown_as_cards(visitor):
    visitor.set_viewport_size({"width": 375, "height": 720})
    visitor.goto("/b/lanyu/members/tag/")
    visitor.evaluate(WIDE_TABLE)
    assert visitor.evaluate(SHAPE) == [True, True, '"中位数"']
    visitor.set_viewport_size({"width": 1400, "height": 800})
    visitor.wait_for_function("!document.querySelector('.zy-table').classList.contains('zy-stacked')")
    assert visitor.evaluate(SHAPE) == [False, True, "none"]
    assert visitor.complaints == []
