"""Old conversations leave: lines, what they are found by, files, figures; others, young ones and waiting ones stay."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import AuditEntry
from accounts.tenancy import brand_scope
from common import clock, failpoints
from common.errors import Invalid
from inbox import selectors, services
from inbox.models import Answer, Attachment, Conversation, ConversationState, Hop, Message
from inbox.services import retention
from library import files
from tests.console.conftest import as_marketer, as_owner, marketer, ours, owner, theirs
from tests.factories import AT, make_account, make_follower, make_staff
from tests.inbox.conftest import say, seconds
from tests.inbox.test_media import PNG, _own_storage

__all__ = ["_own_storage", "as_marketer", "as_owner", "marketer", "ours", "owner", "theirs"]
DAY = timedelta(days=1)
KEPT = 180 * DAY  # what the product proposes


def talked(brand, at, *, closed=True, words="我想退货"):
    """A conversation with a picture and an answer at a moment."""
    with brand_scope(brand.pk):
        follower = make_follower(make_account())
        conversation = say(follower, words, at=at)
        say(follower, "", kind="image", media_id="m", at=at + seconds(1))
        Attachment.objects.filter(path="").update(state="STORED", path=files.store(PNG, brand_id=brand.pk))
        desk = make_staff(f"desk-{brand.slug}", "MARKETER")
        services.send_text(
            conversation_id=conversation.pk, staff_id=desk.pk, text="好的", client_key=uuid4(), at=at + seconds(2)
        )
        if closed:
            services.resolve(conversation_id=conversation.pk, at=at + seconds(3))
    return conversation


def left(brand):
    with brand_scope(brand.pk):
        return (
            Conversation.objects.count(),
            Message.objects.count(),
            Attachment.objects.count(),
            Answer.objects.count(),
            Hop.objects.count(),
        )


def test_what_is_old_leaves_with_its_files_and_nothing_else_does(brand, other_brand, tmp_path):
    talked(brand, AT)
    young = talked(brand, AT + DAY)
    talked(other_brand, AT)
    before, others = left(brand), left(other_brand)
    stored = {path.name for path in tmp_path.rglob("*.png")}
    at = AT + KEPT + seconds(4)
    with brand_scope(brand.pk):
        counted = selectors.leaving(keep_days=180, at=at)
    assert left(brand) == before  # counting changes nothing

    gone = services.forget_old(brand_id=brand.pk, at=at)
    assert (gone, counted.files, counted.conversations) == (counted.lines, 1, 1)
    assert gone >= 4
    assert left(other_brand) == others
    with brand_scope(brand.pk):
        assert [row.pk for row in Conversation.objects.all()] == [young.pk]
        assert {row.conversation_id for row in Message.objects.all()} == {young.pk}
        assert (Answer.objects.count(), Attachment.objects.count()) == (1, 1)
        kept = {Attachment.objects.get().path.rpartition("/")[2]}
    with brand_scope(other_brand.pk):
        kept.add(Attachment.objects.get().path.rpartition("/")[2])
    assert {path.name for path in tmp_path.rglob("*.png")} == kept
    assert len(stored) == 3
    assert services.forget_old(brand_id=brand.pk, at=at) == 0


class Killed(BaseException):
    """The process is gone."""


def test_a_worker_killed_between_lines_and_files_leaves_files_that_nobody_knows(brand, monkeypatch):
    def die():
        raise Killed

    talked(brand, AT)
    at = AT + KEPT + seconds(4)
    monkeypatch.setitem(failpoints.armed, "inbox: lines gone, files not", die)
    with pytest.raises(Killed):
        services.forget_old(brand_id=brand.pk, at=at)
    monkeypatch.delitem(failpoints.armed, "inbox: lines gone, files not")
    assert services.forget_old(brand_id=brand.pk, at=at) == 0
    assert left(brand) == (0, 0, 0, 0, 0)


def test_the_search_no_longer_finds_what_has_left(brand):
    from accounts.viewer import Viewer

    conversation = talked(brand, AT)
    with brand_scope(brand.pk):
        say(conversation.follower, "还在吗", at=AT + DAY)
        viewer = Viewer(None, "", brand.pk, "OWNER")
        assert [row.pk for row in selectors.search(viewer, "退货")] == [conversation.pk]
    services.forget_old(brand_id=brand.pk, at=AT + KEPT + seconds(9))
    with brand_scope(brand.pk):
        assert selectors.search(viewer, "退货") == []
        assert [row.pk for row in selectors.search(viewer, "还在")] == [conversation.pk]
        assert Conversation.objects.get().last_text == "还在吗"


def test_the_last_moment_is_kept_to_the_second(brand):
    talked(brand, AT)
    with brand_scope(brand.pk):
        first = Message.objects.order_by("at", "pk").first()
    services.forget_old(brand_id=brand.pk, at=first.at + KEPT)
    assert left(brand)[1] > 0
    with brand_scope(brand.pk):
        assert Message.objects.filter(pk=first.pk).exists()
    services.forget_old(brand_id=brand.pk, at=first.at + KEPT + timedelta(microseconds=1))
    with brand_scope(brand.pk):
        assert not Message.objects.filter(pk=first.pk).exists()


def test_who_still_waits_stays_in_the_list_without_the_words(brand):
    conversation = talked(brand, AT, closed=False)
    with brand_scope(brand.pk):
        say(conversation.follower, "有人吗", at=AT + seconds(9))
    services.forget_old(brand_id=brand.pk, at=AT + KEPT + DAY)
    with brand_scope(brand.pk):
        row = Conversation.objects.get()
        assert (row.state, row.last_text, Message.objects.count()) == (ConversationState.WAITING, "", 0)
        services.resolve(conversation_id=row.pk, at=AT + KEPT + DAY)
    services.forget_old(brand_id=brand.pk, at=AT + KEPT * 3)
    assert left(brand)[:2] == (0, 0)


def test_pieces_are_small_and_each_is_a_transaction_of_its_own(brand, monkeypatch):
    monkeypatch.setattr(retention, "PIECE", 2)
    for number in range(3):
        talked(brand, AT + seconds(20 * number))
    lines = left(brand)[1]
    seen = []

    def note(execute, sql, params, many, context):
        if "DELETE FROM inbox_message" in sql:
            seen.append((params["piece"], len(connection.savepoint_ids)))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        assert services.forget_old(brand_id=brand.pk, at=AT + KEPT + DAY) == lines
    assert len(seen) == lines // 2 + 1
    assert {piece for piece, _depth in seen} == {2}
    assert left(brand) == (0, 0, 0, 0, 0)


def test_a_brand_chooses_its_days_and_the_choice_is_written_down(brand, other_brand):
    for each in (brand, other_brand):
        talked(each, AT)
    with brand_scope(brand.pk):
        for days in (29, 1_096):
            with pytest.raises(Invalid):
                services.set_inbox_policy(keep_days=days, at=AT)
        services.set_inbox_policy(keep_days=30, at=AT)
        entry = AuditEntry.objects.get(action="change retention")
        assert entry.changes == {"keep_days": [180, 30]}
    for each in (brand, other_brand):
        services.forget_old(brand_id=each.pk, at=AT + 31 * DAY)
    assert [left(each)[0] for each in (brand, other_brand)] == [0, 1]


PAGE = "/b/lanyu/inbox/retention/"


@pytest.mark.django_db
def test_the_page_counts_before_anything_leaves(as_owner, ours, theirs):
    for world in (ours, theirs):
        talked(world.brand, clock.now() - 100 * DAY)
    before = left(ours.brand)
    looked = as_owner.post(PAGE, {"keep_days": "60", "act": "look"})
    assert looked.context["leaving"] == selectors.Leaving(before[1], 1, 1)
    assert "按 60 天计" in looked.content.decode()
    assert as_owner.get(PAGE).context["leaving"].lines == 0
    assert left(ours.brand) == before
    wrong = as_owner.post(PAGE, {"keep_days": "7", "act": "save"})
    assert "30 到 1095 天" in wrong.content.decode()
    as_owner.post(PAGE, {"keep_days": "60", "act": "save"})
    with brand_scope(ours.brand.pk):
        assert selectors.inbox_policy().keep_days == 60
    with brand_scope(theirs.brand.pk):
        assert selectors.inbox_policy().keep_days == 180


@pytest.mark.django_db
def test_only_who_answers_for_privacy_sees_the_page(as_marketer, ours):
    from accounts.roles import Role
    from tests.console.conftest import signed_in

    assert as_marketer.get(PAGE).status_code == 403
    with brand_scope(ours.brand.pk):
        auditor = signed_in(make_staff("auditor", Role.AUDITOR))
    assert auditor.get(PAGE).status_code == 200
    assert auditor.post(PAGE, {"keep_days": "60", "act": "save"}).status_code == 403
    with brand_scope(ours.brand.pk):
        assert selectors.inbox_policy().keep_days == 180
