"""How PostgreSQL reads the inbox: lists, threads and the search of one brand, each by its index."""

import pytest

from accounts.roles import Role
from accounts.viewer import Viewer
from common import clock
from inbox import figures, selectors, services
from inbox.models import Message
from inbox.words import grams
from tests.factories import make_account, make_follower
from tests.inbox.conftest import say
from tests.plans.test_plans import watch

__all__ = ["watch"]


@pytest.fixture
def talked(in_brand):
    """Some conversations, and somebody who sees them all."""
    account, at = make_account(), clock.now()
    for number in range(12):
        conversation = say(make_follower(account), f"第 {number} 位想退货", at=at)
    return conversation, Viewer(None, "", in_brand.pk, Role.OWNER), at


def test_lists_threads_and_figures_read_one_brand_by_an_index(talked, watch):
    conversation, viewer, at = talked
    watch.seen.clear()
    for view in ("mine", "unassigned", "waiting", "all"):
        list(selectors.listed(viewer, view)[:40])
    selectors.waiting_counts(viewer)
    selectors.conversation_seen_by(viewer, conversation.pk)
    line = selectors.thread(conversation)[-1].pk
    for part in ("before", "after", "around"):
        selectors.window(conversation, **{part: line})
    selectors.hops_of(conversation)
    selectors.open_tasks_of(conversation)
    list(selectors.tasks_for(viewer, at=at)[:5])
    selectors.allowance_of(conversation.follower_id, at=at)
    for by in figures.GROUPS:
        figures.response_times(viewer, by=by, at=at)

    assert watch.faults() == []


def test_writing_a_message_and_tending_the_inbox_read_one_brand_by_an_index(talked, watch):
    conversation, _viewer, at = talked
    watch.seen.clear()
    say(conversation.follower, "还在吗", at=at)
    services.wake_due(at=at)
    services.return_due(at=at)
    services.fill_all(at=at)
    services.sweep_messages(at=at)
    services.due_attachments(at=at)

    tables = ("inbox_", "members_follower")
    assert [fault for fault in watch.faults() if fault[0].startswith(tables)] == []


def test_the_search_looks_words_up_in_their_index(talked, watch):
    conversation, viewer, at = talked
    Message.objects.bulk_create(  # so many that reading all of them costs more
        Message(conversation=conversation, direction="IN", kind="text", text="x", grams=grams(f"{n}号 几点开门"), at=at)
        for n in range(6_000)
    )
    watch.seen.clear()

    assert len(selectors.search(viewer, "退货")) == 12
    found = [(kind, conditions) for _sql, table, kind, conditions in watch.scans() if table == "inbox_message"]
    assert [kind for kind, _conditions in found] == ["Index Scan", "Bitmap Heap Scan"]
    assert "grams" in found[1][1]
    assert watch.faults() == []
