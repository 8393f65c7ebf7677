"""Changes to conversations, to who answers them, and to what may be sent."""

from __future__ import annotations

from inbox.services.ledger import record_act, reserve_send, reserve_sends, settle_sends
from inbox.services.lines import hold_followers
from inbox.services.media import due_attachments, fetch_attachment
from inbox.services.promises import set_promise
from inbox.services.queue import fill, fill_all, note_seen, return_due, set_duty
from inbox.services.recording import ask_for_person, look_up_people, record_push
from inbox.services.resolving import resolve_answered, set_resolving
from inbox.services.retention import forget_old, set_inbox_policy
from inbox.services.sending import (
    deliver,
    record_notice,
    send_by_itself,
    send_otherwise,
    send_otherwise_by_itself,
    send_picture,
    send_text,
    send_unasked,
    sweep_messages,
)
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
from inbox.services.untold import Fate, settle_reported

__all__ = [
    "Fate",
    "ask_for_person",
    "deliver",
    "due_attachments",
    "fetch_attachment",
    "fill",
    "fill_all",
    "finish_task",
    "forget_old",
    "give_task",
    "hold_followers",
    "look_up_people",
    "note_seen",
    "record_act",
    "record_notice",
    "record_push",
    "remind_me",
    "reserve_send",
    "reserve_sends",
    "resolve",
    "resolve_answered",
    "return_due",
    "send_by_itself",
    "send_otherwise",
    "send_otherwise_by_itself",
    "send_picture",
    "send_text",
    "send_unasked",
    "set_duty",
    "set_inbox_policy",
    "set_promise",
    "set_resolving",
    "settle_reported",
    "settle_sends",
    "snooze",
    "sweep_messages",
    "take",
    "transfer",
    "wake_due",
    "write_note",
]
