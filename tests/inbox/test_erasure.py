"""Whoever is erased leaves no conversation, no line, no file; others keep theirs."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from inbox import services
from inbox.models import Attachment, Conversation, Message, ReplyLedger
from library import files
from members import services as member_services
from members.models import ErasureReason
from members.services.erasure import on_erase
from tests.factories import AT, make_follower, make_staff
from tests.inbox.conftest import say, seconds
from tests.inbox.test_media import PNG, _own_storage
from wechat_gateway.models import InboundPush

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


@pytest.fixture
def sent(follower):
    """A person who sent a place, a picture and a voice message, and wrote; gives what is left of it."""
    say(follower, kind="image", media_id="m", at=AT)
    say(follower, kind="voice", fields={"Recognition": "我要退货"}, at=AT + seconds(1))
    say(follower, "我住在这里", at=AT + seconds(2))
    say(follower, "", kind="location", label="静安寺", latitude=31.22, longitude=121.44, at=AT + seconds(3))
    Attachment.objects.update(state="STORED", path=files.store(PNG, brand_id=follower.brand_id))
    InboundPush.objects.update(state="HANDLED")

    def left():
        texts = dict(Message.objects.filter(direction="IN").values_list("kind", "text"))
        place = Message.objects.get(kind="location").facts.get("lat")
        pushes = set(InboundPush.objects.values_list("kind", flat=True))
        return texts["text"], texts["voice"], texts["location"], place, Attachment.objects.count(), pushes

    return left


@pytest.mark.parametrize(
    ("what", "voice", "label", "lat", "pictures", "pushes"),
    [
        ("205", "我要退货", "静安寺", 31.22, 1, {"image", "voice", "text", "location"}),
        ("206", "我要退货", "", None, 1, {"image", "voice", "text"}),
        ("207", "我要退货", "静安寺", 31.22, 0, {"voice", "text", "location"}),
        ("204", "", "静安寺", 31.22, 1, {"image", "text", "location"}),
        ("1", "", "", None, 0, {"text"}),  # whatever WeChat has no number for means everything (reference 3.7)
    ],
)
def test_what_is_withdrawn_leaves_the_conversation(
    follower, sent, tmp_path, django_capture_on_commit_callbacks, what, voice, label, lat, pictures, pushes
):
    at = AT + timedelta(hours=1)
    member_services.start_clocks(followers=[follower], reason=ErasureReason.REVOKED, what=what, at=at)

    with django_capture_on_commit_callbacks(execute=True):
        assert member_services.erase_due(follower.brand_id, at=at + timedelta(days=1)) == 1

    assert sent() == ("我住在这里", voice, label, lat, pictures, pushes)
    assert len(list(tmp_path.rglob("*.png"))) == pictures
    shown = Conversation.objects.get()
    assert (shown.last_text, Message.objects.filter(conversation=shown, direction="IN").count()) == (
        label or "[location]",
        4,
    )
    found = {line.kind for line in Message.objects.all() if "静" in line.grams or "退" in line.grams}
    assert found == {kind for kind, text in (("location", label), ("voice", voice)) if text}


def test_what_is_sent_after_a_withdrawal_was_given_anew_and_stays(follower, sent):
    at = AT + timedelta(hours=1)
    member_services.start_clocks(followers=[follower], reason=ErasureReason.REVOKED, what="207", at=at)
    say(follower, kind="image", media_id="new", at=at + seconds(1))

    member_services.erase_due(follower.brand_id, at=at + timedelta(days=1))

    assert list(Attachment.objects.values_list("media_id", flat=True)) == ["new"]
