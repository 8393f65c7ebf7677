"""Whoever is erased leaves no conversation, no line, no file; others keep theirs."""

from __future__ import annotations

from uuid import uuid4

from inbox import services
from inbox.models import Attachment, Conversation, Message, ReplyLedger
from library import files
from members.services.erasure import on_erase
from tests.factories import AT, make_follower, make_staff
from tests.inbox.conftest import say, seconds
from tests.inbox.test_media import PNG, _own_storage

__all__ = ["_own_storage"]


def test_a_conversation_goes_with_its_lines_tasks_and_files(follower, django_capture_on_commit_callbacks, tmp_path):
    desk = make_staff("desk", "MARKETER")
    other = say(make_follower(follower.account), "我还在", at=AT)
    conversation = say(follower, "忘了我", at=AT)
    say(follower, "", kind="image", media_id="m", at=AT + seconds(1))
    Attachment.objects.update(state="STORED", path=files.store(PNG, brand_id=follower.brand_id))
    services.send_text(
        conversation_id=conversation.pk, staff_id=desk.pk, text="好的", client_key=uuid4(), at=AT + seconds(2)
    )
    services.remind_me(conversation_id=conversation.pk, staff_id=desk.pk, at=AT)
    assert len(list(tmp_path.rglob("*.png"))) == 1

    with django_capture_on_commit_callbacks(execute=True):
        gone = dict(on_erase.items())["inbox.conversations"](follower=follower, whole=False, at=AT)

    assert gone >= 3
    assert [row.pk for row in Conversation.objects.all()] == [other.pk]
    assert {row.conversation_id for row in Message.objects.all()} == {other.pk}
    assert [row.follower_id for row in ReplyLedger.objects.all()] == [other.follower_id]
    assert (Attachment.objects.count(), list(tmp_path.rglob("*.png"))) == (0, [])
