"""What a person and the brand said to each other, as `members.personal` wants it."""

from __future__ import annotations

from inbox.models import Attachment, Message
from members.personal import by_follower, register

OF = "conversation__follower_id"

register("inbox.ReplyLedger", by_follower("inbox.ReplyLedger"), "message_at", "menu_at", "follow_at", "scan_at")
register(
    "inbox.Attachment",
    lambda person: Attachment.objects.filter(
        pk__in=Message.objects.filter(conversation__follower_id__in=person.follower_ids).values("attachment_id")
    ).order_by("pk"),
    "content_type", "size", "created_at",
)  # fmt: skip
register("inbox.Hop", by_follower("inbox.Hop", OF), "at", "reason")
register("inbox.Answer", by_follower("inbox.Answer", OF), "at", "seconds")
register("inbox.AgentTask", by_follower("inbox.AgentTask", OF), "kind", "note", "due_at", "done_at")
register("inbox.Message", by_follower("inbox.Message", OF), "direction", "kind", "text", "at")
register("inbox.Conversation", by_follower("inbox.Conversation"), "account__name", "opened_at", "resolved_at")
