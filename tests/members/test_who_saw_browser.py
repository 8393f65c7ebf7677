"""The pages of who saw what in a browser: whole on a phone, and in Chinese."""

from __future__ import annotations

import os

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from accounts.viewer import Viewer, viewing
from common.clock import now
from members.models import Member
from members.services import note_listed, note_opened
from tests.browser import MARKS
from tests.console.test_browser import latin_words, visitor
from tests.factories import make_member, make_staff
from wechat_gateway.models import OfficialAccount

__all__ = ["visitor"]
pytestmark = [*MARKS, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")


def leaked():
    """Somebody of the service desk who looked around."""
    brand = Brand.objects.get(slug="lanyu")
    with brand_scope(brand.pk):
        member, account = Member.objects.get(name="澜陈子涵"), OfficialAccount.objects.get(name="澜服务号")
        others = [make_member(account, name=name) for name in ("吴敏", "周晓彤", "")]
        staff = make_staff("客服小赵", "SERVICE_DESK")
        with viewing(Viewer(staff.pk, str(staff), brand.pk, "SERVICE_DESK")):
            for page in ("card", "privacy", "conversation"):
                note_opened(member_id=member.pk, page=page, at=now())
            note_listed(people=[member.pk, *(each.pk for each in others)], page="members.member", at=now())
            note_listed(people=[others[0].pk], page="search", at=now())
    return staff


def test_pages_of_who_saw_what_are_whole_in_both_widths_and_speak_chinese(visitor):
    staff = leaked()
    pages = {
        "asked": "members/who-saw/",
        "found": f"members/who-saw/?who={staff.pk}",
        "report": f"members/who-saw/report/?who={staff.pk}",
    }
    for width in (1400, 375):
        visitor.set_viewport_size({"width": width, "height": 900})
        for name, path in pages.items():
            visitor.goto(f"/b/lanyu/{path}")
            assert visitor.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
            if name != "report":  # its second half is English
                assert set(latin_words(visitor)) <= {"API", "CSV"}, (name, latin_words(visitor))
            if SHOTS:
                visitor.screenshot(path=f"{SHOTS}/{name}-{width}.png", full_page=True)

    visitor.goto(f"/b/lanyu/{pages['found']}")
    with visitor.expect_download() as taken:
        visitor.get_by_role("button", name="下载 CSV").click()
    assert "吴敏" in taken.value.path().read_text(encoding="utf-8-sig")
    visitor.get_by_role("link", name="报告草稿").click()
    visitor.get_by_label("报告（Markdown）").fill("# 报告\n原因：账号共用")
    with visitor.expect_download() as taken:
        visitor.get_by_role("button", name="下载报告").click()
    assert "账号共用" in taken.value.path().read_text(encoding="utf-8")
