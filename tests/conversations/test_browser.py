"""Rules in a real browser: overlaps appear while somebody types, and a file is looked at before it is imported."""

import pytest

from common.spreadsheets import write_xlsx
from tests.console.test_browser import latin_words, pytestmark, visitor

__all__ = ["pytestmark", "visitor"]

HEAD = ["名称", "触发条件", "匹配方式", "关键词", "回复类型", "文字"]


def test_overlaps_appear_while_a_rule_is_typed_and_go_when_they_are_gone(visitor):
    visitor.goto("/b/lanyu/conversations/replyrule/add/", wait_until="networkidle")
    visitor.select_option("[name=trigger]", "KEYWORD")
    visitor.select_option("[name=match]", "CONTAINS")
    visitor.locator("[name=words]").press_sequentially("几")
    table = visitor.locator("[data-testid=overlaps]")
    table.wait_for()
    assert "澜规则" in table.inner_text()
    # Below the keywords they are about, not above them: nothing moves under the hand that types.
    words, shown = visitor.locator("[name=words]").bounding_box(), table.bounding_box()
    assert shown["y"] > words["y"]
    visitor.fill("[name=words]", "停车")
    visitor.locator("[data-testid=no-overlaps]").wait_for()
    assert table.count() == 0
    assert visitor.complaints == []


@pytest.mark.parametrize("width", [1400, 375])
def test_a_file_is_looked_at_and_imported(visitor, width):
    visitor.set_viewport_size({"width": width, "height": 900})
    visitor.goto("/b/lanyu/conversations/rules/import/", wait_until="networkidle")
    assert latin_words(visitor) == []
    body = write_xlsx(
        [
            HEAD,
            ["停车", "关键词回复", "半匹配", "停车", "文字", "B2"],
            ["几点", "关键词回复", "全匹配", "几点", "文字", "九点"],
        ],
        sheet="1",
    )
    visitor.set_input_files("[name=file]", {"name": "r.xlsx", "mimeType": "application/octet-stream", "buffer": body})
    visitor.click("button[value=look]")
    visitor.locator("[data-testid=plan]").wait_for()
    assert "几点" in visitor.locator("[data-testid=import-overlaps]").inner_text()
    assert visitor.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert visitor.locator(".zy-primary:visible").count() == 1
    visitor.click("button[value=import]")
    visitor.wait_for_url("**/conversations/replyrule/")
    assert visitor.get_by_text("停车", exact=True).first.is_visible()
    assert visitor.complaints == []
