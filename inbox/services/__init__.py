"""Changes to conversations, to who answers them, and to what may be sent."""

from __future__ import annotations

from inbox.services.ledger import note_sends, record_act, reserve_send, take_back
from inbox.services.media import due_attachments, fetch_attachment
from inbox.services.queue import fill, fill_all, note_seen, return_due, set_duty
from inbox.services.recording import ask_for_person, record_push
from inbox.services.retention import forget_old, set_inbox_policy
from inbox.services.sending import deliver, send_by_itself, send_picture, send_text, sweep_messages
from inbox.services.steps import (
    finish_task,
    give_task,
    remind_me,
    resolve,
    snooze,
    take,
    transfer,
    wake_due,
    write_note,
)

__all__ = [
    "ask_for_person",
    "deliver",
    "due_attachments",
    "fetch_attachment",
    "fill",
    "fill_all",
    "finish_task",
    "forget_old",
    "give_task",
    "note_seen",
    "note_sends",
    "record_act",
    "record_push",
    "remind_me",
    "reserve_send",
    "resolve",
    "return_due",
    "send_by_itself",
    "send_picture",
    "send_text",
    "set_duty",
    "set_inbox_policy",
    "snooze",
    "sweep_messages",
    "take",
    "take_back",
    "transfer",
    "wake_due",
    "write_note",
]
