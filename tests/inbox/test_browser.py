"""The inbox in a browser: the meter across the fifth message, the composer that locks, news without a reload."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import Brand
from accounts.tenancy import brand_scope
from common import clock
from inbox import services
from inbox.models import CannedReply
from members.models import Follower
from tests.browser import MARKS
from tests.console.test_browser import visitor
from tests.factories import AT
from tests.inbox.conftest import say

__all__ = ["visitor"]
pytestmark = [
    *MARKS,
    pytest.mark.django_db(transaction=True),
]


def wrote(content):
    with brand_scope(Brand.objects.get(slug="lanyu").pk):
        return say(Follower.objects.order_by("pk").first(), content, at=clock.now())


def test_the_meter_counts_down_across_five_messages_then_the_composer_offers_what_remains(visitor):
    conversation = wrote("几点关门？")
    visitor.goto(f"/b/lanyu/inbox/{conversation.pk}/?view=waiting")
    left, send, box = (visitor.get_by_test_id(name) for name in ("left", "send", "composer"))
    assert visitor.get_by_test_id("seconds").inner_text().startswith(("47:59", "48:00:00"))
    for number in range(5):
        assert left.inner_text() == f"{5 - number}/5"
        box.fill(f"第 {number + 1} 条")
        send.click()
        visitor.get_by_text(f"第 {number + 1} 条").first.wait_for()
        visitor.wait_for_function("document.querySelector('[data-testid=composer]').value === ''")
    visitor.get_by_test_id("offers").wait_for()
    box.fill("第六条")
    assert send.is_disabled()

    wrote("谢谢")  # their next message allows five again, without a reload
    left.wait_for()
    assert left.inner_text() == "5/5"
    assert visitor.get_by_text("谢谢").first.is_visible()
    assert box.input_value() == "第六条"  # what was typed stays
    assert not send.is_disabled()
    assert visitor.complaints == []


def test_a_slash_finds_a_canned_reply_and_enter_takes_it(visitor):
    conversation = wrote("几点关门？")
    with brand_scope(conversation.brand_id):
        CannedReply.objects.create(shortcut="hours", title="营业时间", text="10:00–22:00 营业", updated_at=AT)
    visitor.goto(f"/b/lanyu/inbox/{conversation.pk}/")
    box = visitor.get_by_test_id("composer")
    box.press_sequentially("/ho")
    visitor.get_by_text("/hours 营业时间").wait_for()
    box.press("Enter")
    assert box.input_value() == "10:00–22:00 营业"
    assert visitor.complaints == []


def test_a_new_conversation_appears_in_the_list_by_itself(visitor):
    visitor.goto("/b/lanyu/inbox/?view=waiting")
    assert visitor.locator(".ibx-row").count() == 0
    wrote("有人吗")
    visitor.get_by_text("有人吗").wait_for()
    assert visitor.locator(".ibx-row").count() == 1
    assert visitor.complaints == []


def test_a_phone_shows_one_pane_with_a_way_back(visitor):
    conversation = wrote("几点关门？")
    visitor.set_viewport_size({"width": 375, "height": 740})
    visitor.goto(f"/b/lanyu/inbox/{conversation.pk}/?view=waiting")
    assert visitor.evaluate("document.documentElement.scrollWidth") == 375
    assert not visitor.get_by_test_id("rows").is_visible()
    assert visitor.get_by_test_id("send").is_visible()
    visitor.locator(".ibx-back").click()
    visitor.locator(".ibx-row").wait_for()


def test_tasks_and_the_card_follow_without_a_reload(visitor):
    conversation = wrote("几点关门？")
    visitor.goto(f"/b/lanyu/inbox/{conversation.pk}/?view=waiting")
    card, bar = visitor.locator("#ibx-card"), visitor.get_by_test_id("tasks")
    visitor.get_by_test_id("hops").wait_for()
    assert not bar.is_visible()

    with brand_scope(conversation.brand_id):
        task = services.give_task(
            conversation_id=conversation.pk, staff_id=None, note="打电话给她", at=clock.now(),
            due_at=clock.now() + timedelta(hours=2),
        )  # fmt: skip
        services.transfer(conversation_id=conversation.pk, to_staff_id=None, reason="换人", at=clock.now())
    card.get_by_text("打电话给她").wait_for()
    bar.get_by_text("打电话给她").wait_for()
    with brand_scope(conversation.brand_id):
        services.finish_task(task_id=task.pk, at=clock.now())
    card.get_by_text("打电话给她").wait_for(state="detached")
    bar.get_by_text("打电话给她").wait_for(state="detached")
    assert visitor.complaints == []
