"""What leaves with a person: everything they and the brand said to each other, the files, and what was noted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from inbox.models import Answer, Attachment, Conversation, Message, ReplyLedger
from library import files

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Follower


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
    Attachment.objects.filter(pk__in=[each.pk for each in attachments]).delete()
    for conversation in conversations:
        conversation.delete()
    for each in attachments:
        if each.path:
            _drop_later(each.path)
    return gone


def _drop_later(path: str) -> None:
    transaction.on_commit(lambda: files.drop(path))
