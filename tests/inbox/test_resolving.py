"""Answered conversations that are quiet for days are resolved by themselves; what somebody still has to do stays."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common import clock, failpoints
from common.errors import Invalid
from inbox import services
from inbox.models import Conversation, ConversationState, Message
from inbox.on_screen import step_sentence
from inbox.services import resolving
from tests.console.conftest import as_guide, as_marketer, as_owner, guide_user, marketer, ours, owner, theirs
from tests.factories import AT, make_account, make_follower, make_staff
from tests.inbox.conftest import say, seconds

__all__ = ["as_guide", "as_marketer", "as_owner", "guide_user", "marketer", "ours", "owner", "theirs"]
pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)
PAGE = "/b/lanyu/inbox/resolving/"


def answered(account, at=AT, desk=None):
    """A conversation in which somebody of the brand wrote last."""
    conversation = say(make_follower(account), "有货吗", at=at)
    desk = desk or make_staff(f"desk-{uuid4().hex[:8]}", "MARKETER")
    services.send_text(
        conversation_id=conversation.pk, staff_id=desk.pk, text="有的", client_key=uuid4(), at=at + seconds(2)
    )
    return conversation


def state(conversation):
    return Conversation.objects.get(pk=conversation.pk).state


def test_what_was_answered_and_is_quiet_for_a_week_is_resolved_and_opens_again(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            answered(make_account())
    with brand_scope(brand.pk):
        conversation = Conversation.objects.get()
        waiting = say(make_follower(conversation.account), "在吗", at=AT)
    assert services.resolve_answered(brand_id=brand.pk, at=AT + 6 * DAY) == 0
    assert services.resolve_answered(brand_id=brand.pk, at=AT + 8 * DAY) == 1
    assert services.resolve_answered(brand_id=brand.pk, at=AT + 8 * DAY) == 0
    with brand_scope(brand.pk):
        assert (state(conversation), state(waiting)) == (ConversationState.RESOLVED, ConversationState.WAITING)
        line = Message.objects.filter(conversation=conversation).order_by("-pk").first()
        assert step_sentence(line.kind, line.facts) == "自动结束：上次回复后 7 天没有来消息"
        entry = AuditEntry.objects.filter(action="resolve conversations").get()
        assert entry.changes["conversations"] == [None, 1]
        row = Conversation.objects.get(pk=conversation.pk)
        assert (row.assignee_id, row.resolved_at) == (None, AT + 8 * DAY)
        say(row.follower, "还有别的颜色吗", at=AT + 9 * DAY)
        assert state(conversation) == ConversationState.WAITING
        assert Message.objects.filter(conversation=conversation, kind="reopened").exists()
    with brand_scope(other_brand.pk):
        assert Conversation.objects.get().state == ConversationState.OPEN


def test_a_task_a_snooze_and_zero_days_keep_a_conversation(brand):
    with brand_scope(brand.pk):
        account = make_account()
        task, snoozed = answered(account), answered(account)
        services.give_task(conversation_id=task.pk, staff_id=None, note="打电话", due_at=AT + 20 * DAY, at=AT + DAY)
        services.snooze(conversation_id=snoozed.pk, until=AT + 30 * DAY, at=AT + DAY)
    assert services.resolve_answered(brand_id=brand.pk, at=AT + 10 * DAY) == 0
    with brand_scope(brand.pk):
        other = answered(account)
        services.set_resolving(days=0, at=AT)
    assert services.resolve_answered(brand_id=brand.pk, at=AT + 400 * DAY) == 0
    with brand_scope(brand.pk):
        services.set_resolving(days=365, at=AT)
        assert state(other) == ConversationState.OPEN
        for days in (-1, 366):
            with pytest.raises(Invalid):
                services.set_resolving(days=days, at=AT)


def test_pieces_are_small_and_a_crash_between_line_and_state_leaves_neither(brand, monkeypatch):
    monkeypatch.setattr(resolving, "PIECE", 2)
    with brand_scope(brand.pk):
        account = make_account()
        desk = make_staff("desk", "MARKETER")
        for _each in range(5):
            answered(account, desk=desk)

    def die():
        raise InterruptedError

    with monkeypatch.context() as broken:
        broken.setitem(failpoints.armed, "inbox: resolved lines written, states not", die)
        with pytest.raises(InterruptedError):
            services.resolve_answered(brand_id=brand.pk, at=AT + 8 * DAY)
    with brand_scope(brand.pk):
        assert not Message.objects.filter(kind="resolved_quietly").exists()
    assert services.resolve_answered(brand_id=brand.pk, at=AT + 8 * DAY) == 5
    with brand_scope(brand.pk):
        assert Message.objects.filter(kind="resolved_quietly").count() == 5
        counts = AuditEntry.objects.filter(action="resolve conversations").values_list("changes", flat=True)
        assert sorted(each["conversations"][1] for each in counts) == [1, 2, 2]


def test_the_page_counts_changes_and_refuses(as_owner, as_guide, ours, theirs, settings):
    as_owner.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    for side in (ours, theirs):
        with brand_scope(side.brand.pk):
            answered(side.account, at=clock.now() - 9 * DAY)
    looked = re.sub(r"\s+", " ", as_owner.get(PAGE).content.decode())
    assert "With 7 days there would be resolved now" in looked
    assert "<dt>conversations</dt><dd>1</dd>" in looked
    assert "<dd>0</dd>" in as_owner.post(PAGE, {"resolve_days": "10", "act": "look"}).content.decode()
    for wrong in ("400", "x", ""):
        refused = as_owner.post(PAGE, {"resolve_days": wrong, "act": "save"})
        assert (refused.status_code, "From 0 to 365 days are possible." in refused.content.decode()) == (422, True)
    assert as_owner.post(PAGE, {"resolve_days": "3", "act": "save"}).status_code == 302
    with brand_scope(ours.brand.pk):
        assert AuditEntry.objects.filter(action="change resolving").get().changes == {"resolve_days": [7, 3]}
    assert as_guide.post(PAGE, {"resolve_days": "5", "act": "save"}).status_code == 403
