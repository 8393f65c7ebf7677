"""What leaves with a person: everything they and the brand said to each other, the files, and what was noted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from inbox.models import Answer, Attachment, Conversation, Direction, Message, ReplyLedger
from inbox.services import lines
from library import files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from members.models import Follower

#: In which lines a kind of data stands that somebody can withdraw.
_LINES: Final[Mapping[str, frozenset[str]]] = {
    "location": frozenset({"location", "location_select"}),
    "media": frozenset({"image", "video", "shortvideo"}),
    "microphone": frozenset({"voice"}),
}
WITHDRAWN: Final[dict[str, Any]] = {"withdrawn": True}


def forget_person(*, follower: Follower, whole: bool, at: datetime) -> int:
    """Delete the conversation with a follower and what hangs on it; gives how many lines went.

    Files go when the deletion has been committed: one that is left over by a crash has a name nobody knows.
    """
    conversations = list(Conversation.objects.select_for_update().filter(follower=follower).order_by("pk"))
    ReplyLedger.objects.filter(follower=follower).delete()
    rows = Message.objects.filter(conversation__in=conversations)
    attachments = list(Attachment.objects.filter(pk__in=rows.exclude(attachment=None).values("attachment_id")))
    Answer.objects.filter(conversation__in=conversations).delete()
    gone = rows.count()
    rows.delete()
    _drop_attachments(attachments)
    for conversation in conversations:
        conversation.delete()
    return gone


def forget_kinds(*, follower: Follower, kinds: Collection[str], until: datetime) -> int:
    """Empty what a follower sent of the kinds of data they withdrew; the lines say so. Gives how many there were."""
    shapes = [shape for kind in kinds for shape in _LINES.get(kind, ())]
    conversation = lines.conversation_of(follower)
    if conversation is None or not shapes:
        return 0
    rows = Message.objects.filter(conversation=conversation, kind__in=shapes, at__lte=until)
    rows = rows.filter(direction__in=[Direction.IN, Direction.EVENT]).exclude(facts=WITHDRAWN)
    shown = {lines.in_short(text, kind): f"[{kind}]" for text, kind in rows.values_list("text", "kind")}
    attachments = list(Attachment.objects.filter(pk__in=rows.exclude(attachment=None).values("attachment_id")))
    gone = rows.update(text="", grams=[], facts=WITHDRAWN, attachment=None)
    _drop_attachments(attachments)
    conversation.last_text = shown.get(conversation.last_text, conversation.last_text)
    if gone:
        lines.save(conversation)
    return gone


def _drop_attachments(attachments: list[Attachment]) -> None:
    Attachment.objects.filter(pk__in=[each.pk for each in attachments]).delete()
    for each in attachments:
        if each.path:
            _drop_later(each.path)


def _drop_later(path: str) -> None:
    transaction.on_commit(lambda: files.drop(path))
