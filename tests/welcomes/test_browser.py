"""The page of sequences in a browser: written, shown on the phone, read on a narrow screen."""

from __future__ import annotations

import os

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from tests.browser import MARKS
from tests.console.test_browser import visitor
from tests.welcomes.test_pages import make
from wechat_gateway.models import OfficialAccount
from welcomes.models import Sequence

__all__ = ["visitor"]
pytestmark = [
    *MARKS,
    pytest.mark.django_db(transaction=True),
]
SHOTS = os.environ.get("SHOTS", "")


class Ours:
    """The brand of the visitor, as `make` wants it."""

    def __init__(self):
        self.brand = Brand.objects.get(slug="lanyu")
        with brand_scope(self.brand.pk):
            self.account = OfficialAccount.objects.get()


def test_a_sequence_is_written_and_stands_on_the_phone(visitor):
    ours = Ours()
    visitor.goto("/b/lanyu/welcomes/sequence/")
    visitor.get_by_text("新建序列").first.click()
    visitor.select_option("[name=account]", label="澜服务号")
    visitor.fill("[name=name]", "新粉 48 小时")
    visitor.fill("[name=s1_text]", "欢迎来到澜屿")
    visitor.fill("[name=s1_after]", "10")
    visitor.select_option("[name=s1_unit]", "second")
    visitor.locator(".zy-primary").click()
    visitor.wait_for_url("**/welcomes/sequence/")
    with brand_scope(ours.brand.pk):
        row = Sequence.objects.get()
    assert [step["text"] for step in row.steps] == ["欢迎来到澜屿"]
    visitor.goto(f"/b/lanyu/welcomes/sequence/{row.pk}/change/")
    assert "关注后 10 秒" in visitor.get_by_test_id("phone").inner_text()
    assert visitor.complaints == []


def test_the_report_fits_a_narrow_screen(visitor):
    row = make(Ours(), name="新粉 48 小时", people=60)
    for width in (1400, 375):
        visitor.set_viewport_size({"width": width, "height": 900})
        for place, address in (
            ("list", "/b/lanyu/welcomes/sequence/"),
            ("page", f"/b/lanyu/welcomes/sequence/{row.pk}/change/"),
        ):
            visitor.goto(address)
            visitor.wait_for_load_state("networkidle")
            if SHOTS:
                visitor.screenshot(path=f"{SHOTS}/{place}-{width}.png", full_page=True)
            assert visitor.evaluate("document.documentElement.scrollWidth") <= width
    assert visitor.complaints == []
