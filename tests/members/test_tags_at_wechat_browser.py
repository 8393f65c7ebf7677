"""Tags at WeChat, menus that differ, imports and what was not compared, in a browser: whole on a phone, in Chinese."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common.clock import now
from common.spreadsheets import write_csv
from conversations.models import Dialogue, DialogueVersion, Menu, MenuVersion
from conversations.services import save_menu
from members.models import RemoteTag, TagRoll
from tests.browser import MARKS
from tests.console.test_browser import latin_words, visitor
from tests.factories import make_tag
from wechat_gateway.models import OfficialAccount

__all__ = ["visitor"]
pytestmark = [*MARKS, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")
BUTTON = {"type": "view", "name": "商城", "url": "https://shop.example.com/spring"}
_ALL = [(scheme, width) for scheme in ("light", "dark") for width in (1400, 375)]


def furnished():
    """Tags in every state at WeChat, and a menu that WeChat has otherwise."""
    at = now()
    with brand_scope(Brand.objects.get(slug="lanyu").pk):
        account = OfficialAccount.objects.get()
        tags = {name: make_tag(name) for name in ("七夕到店", "老客", "春节礼盒")}
        tags["会员"] = make_tag("会员", sync=True)
        for number, (name, more) in enumerate(
            {
                "七夕到店": {},
                "老客": {"state": "LEAVING", "problem": "连不上微信。"},
                "春节礼盒": {"refused_code": 45057},
                "会员": {},
            }.items()
        ):
            RemoteTag.objects.create(account=account, tag=tags[name], remote_id=100 + number, agreed_name=name, **more)
        rows = [{"id": 100 + number, "name": name, "count": 12_480 * number} for number, name in enumerate(tags)]
        rows += [{"id": 200 + number, "name": f"别处做的{number}", "count": 3} for number in range(8)]
        TagRoll.objects.create(account=account, tags=rows, read_at=at)
        there = [{**BUTTON, "url": "https://shop.example.com/"}]
        save_menu(account=account, buttons=[BUTTON])
        Menu.objects.update(
            published=[BUTTON], published_at=at, fetched=there, fetched_at=at, wanted_at=at + timedelta(days=1),
            wanted={"buttons": [BUTTON], "tag_menus": []}, state="WAITING",
        )  # fmt: skip
        for number in (1, 2):
            MenuVersion.objects.create(account=account, number=number, buttons=[BUTTON], tag_menus=[], published_at=at)
        begun = Dialogue.objects.create(account=account, name="生日与爱好", keywords=["生日"], updated_at=at)
        DialogueVersion.objects.create(dialogue=begun, number=1, steps=[], published_at=at)
        return tags


def seen(page, name):
    """Look at what the page shows in every width and scheme; gives what sticks out, and English."""
    wide, words = {}, {}
    for scheme, width in _ALL if SHOTS else (("light", 375),):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        if SHOTS:
            page.wait_for_timeout(300)
            page.screenshot(path=f"{SHOTS}/{name}-{width}-{scheme}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide[name] = width
        if found := latin_words(page):
            words[name] = found
    return wide | words


def test_pages_of_tags_and_menus_at_wechat_are_whole_and_speak_chinese(visitor):
    tags = furnished()
    pages = {f"tag-{number}": f"tags/{tag.pk}/wechat/" for number, tag in enumerate(tags.values())}
    pages |= {"tags": "members/tag/", "tag-form": f"members/tag/{tags['七夕到店'].pk}/change/"}
    pages |= {"menu": "conversations/menu/", "dialogue": "conversations/dialogue/add/"}
    if SHOTS:
        pages |= {"pushes": "wechat_gateway/inboundpush/", "adjustments": "loyalty/adjustment/"}
    wrong = {}
    for name, address in pages.items():
        visitor.goto(f"/b/lanyu/{address}", wait_until="load")
        wrong |= seen(visitor, name)
    assert wrong == {}
    assert visitor.complaints == []


def test_dialogs_of_deleting_a_tag_and_restoring_a_menu_open_and_do_what_they_say(visitor):
    tags = furnished()
    visitor.goto(f"/b/lanyu/tags/{tags['七夕到店'].pk}/wechat/", wait_until="load")
    visitor.locator("[data-dialog^=delete]").click()
    wrong = seen(visitor, "delete-dialog")
    visitor.locator("dialog[open] .zy-danger").click()
    visitor.get_by_text("正在从微信删除这个标签。").wait_for()
    visitor.goto("/b/lanyu/conversations/menu/", wait_until="load")
    visitor.locator("[data-dialog^=restore]").click()
    wrong |= seen(visitor, "restore-dialog")
    visitor.locator("dialog[open] [data-close]").click()
    visitor.locator("[name=act][value=compare]").first.click()
    visitor.get_by_text("正在与微信比较…").first.wait_for()
    assert wrong == {}
    assert visitor.complaints == []
    with brand_scope(Brand.objects.get(slug="lanyu").pk):
        assert RemoteTag.objects.get(tag=tags["七夕到店"]).state == "LEAVING"
        assert Menu.objects.get().compare_asked_at is not None


def test_an_import_shows_what_overlaps_and_what_was_not_compared(visitor, monkeypatch):
    furnished()
    monkeypatch.setattr("conversations.services.imports.MOST_COMPARED", 0)
    monkeypatch.setattr("conversations.services.imports._MOST_HARD", 0)
    head = ["名称", "触发条件", "匹配方式", "关键词", "回复类型", "文字"]
    table = [
        head,
        ["生日礼", "关键词回复", "半匹配", "生日", "文字", "到店领取生日礼"],
        ["几点", "关键词回复", "正则匹配", "^几点(开|关)?$", "文字", "十点到二十二点"],
        ["停车", "关键词回复", "半匹配", "停车、车位", "文字", "B2"],
    ]
    visitor.goto("/b/lanyu/conversations/rules/import/", wait_until="load")
    visitor.set_input_files("#zy-file", files=[{"name": "r.csv", "mimeType": "text/csv", "buffer": write_csv(table)}])
    visitor.locator("[name=act][value=look]").click()
    visitor.get_by_test_id("not-compared").wait_for()
    wrong = seen(visitor, "import")
    assert "对话排在规则之前" in visitor.get_by_test_id("import-overlaps").inner_text()
    assert wrong == {}
    assert visitor.complaints == []
