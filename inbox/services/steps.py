"""What people do with a conversation beside writing: take, hand over, note, snooze, resolve, ask to be reminded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.services import record_audit
from inbox import routing
from inbox.errors import ConversationMissing, InThePast, NotAnAgent, NothingToSend, ReasonMissing
from inbox.models import AgentTask, Conversation, ConversationState, Direction, Hop, Message, TaskKind
from inbox.selectors import post_of, staff_named
from inbox.services import lines, queue

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


def take(*, conversation_id: int, staff_id: int, at: datetime) -> Conversation:
    """Let somebody take a conversation themselves, whoever has it. Raises `NotAnAgent`."""
    conversation = _locked(conversation_id)
    if conversation.assignee_id == staff_id:
        return conversation
    return _hand(conversation, staff_id, reason="", at=at)


def transfer(*, conversation_id: int, to_staff_id: int | None, reason: str, at: datetime) -> Conversation:
    """Hand a conversation to somebody, or (None) to the queue. Raises `ReasonMissing`, `NotAnAgent`."""
    reason = reason.strip()
    if not reason:
        raise ReasonMissing
    conversation = _locked(conversation_id)
    if to_staff_id is not None:
        return _hand(conversation, to_staff_id, reason=reason, at=at)
    had = conversation.assignee_id
    lines.note_step(conversation, "released", at=at, reason=reason)
    queue.free(conversation)
    if conversation.state != ConversationState.WAITING:
        conversation.state = ConversationState.WAITING
        conversation.waiting_since = conversation.waiting_since or at
    queue.route(conversation, at=at, passed=frozenset({had} if had else ()))
    lines.save(conversation)
    record_audit(action="transfer conversation", obj=conversation, reason=reason)
    if had:
        queue.fill(staff_id=had, at=at)
    return conversation


def resolve(*, conversation_id: int, at: datetime) -> Conversation:
    """Close a conversation; the next message opens it again. What it kept somebody from taking, they take now."""
    conversation = _locked(conversation_id)
    if conversation.state == ConversationState.RESOLVED:
        return conversation
    had = conversation.assignee_id
    conversation.state, conversation.resolved_at = ConversationState.RESOLVED, at
    conversation.waiting_since, conversation.snoozed_until, conversation.promised_at = None, None, None
    lines.note_step(conversation, "resolved", at=at, who=_name(had))
    queue.free(conversation)
    lines.save(conversation)
    _done(conversation, at)
    if had:
        queue.fill(staff_id=had, at=at)
    return conversation


def snooze(*, conversation_id: int, until: datetime, at: datetime) -> Conversation:
    """Put a conversation away until a moment or the next message. Raises `InThePast`."""
    if until <= at:
        raise InThePast
    conversation = _locked(conversation_id)
    conversation.state, conversation.snoozed_until = ConversationState.SNOOZED, until
    queue.release(conversation)
    lines.note_step(conversation, "snoozed", at=at, until=until.isoformat())
    lines.save(conversation)
    if conversation.assignee_id:
        queue.fill(staff_id=conversation.assignee_id, at=at)
    return conversation


def wake_due(*, at: datetime) -> int:
    """Bring back what was put away until now; gives how many."""
    due = (
        Conversation.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("follower__member__store__region", "account")
        .filter(state=ConversationState.SNOOZED, snoozed_until__lte=at)
        .order_by("snoozed_until", "pk")[:100]
    )
    found = list(due)
    for row in found:
        row.state, row.snoozed_until = ConversationState.WAITING, None
        row.waiting_since = row.waiting_since or at
        lines.note_step(row, "woken", at=at)
        if not (row.assignee_id and queue.keep_owner(row, at=at)):
            queue.route(row, at=at)
        lines.save(row)
    return len(found)


def write_note(*, conversation_id: int, staff_id: int, text: str, client_key: UUID, at: datetime) -> Message:
    """Write what only colleagues read. The same `client_key` again gives the same note. Raises `NothingToSend`."""
    text = text.strip()[:1000]
    if not text:
        raise NothingToSend
    conversation = _locked(conversation_id)
    known = Message.objects.filter(client_key=client_key).first()
    if known is not None:
        return known
    note = lines.add_line(
        conversation,
        direction=Direction.NOTE,
        kind="note",
        text=text,
        at=at,
        author_id=staff_id,
        client_key=client_key,
    )
    lines.save(conversation)
    return note


def give_task(*, conversation_id: int, staff_id: int | None, note: str, due_at: datetime, at: datetime) -> AgentTask:
    """Give somebody (None: whoever answers) something to do outside the chat, say a phone call."""
    conversation = _locked(conversation_id)
    known = AgentTask.objects.filter(
        conversation=conversation, kind=TaskKind.FOLLOW_UP, staff_user_id=staff_id, done_at__isnull=True
    ).first()
    if known is not None:
        return known
    task = AgentTask.objects.create(
        conversation=conversation,
        kind=TaskKind.FOLLOW_UP,
        staff_user_id=staff_id,
        note=note.strip()[:200],
        due_at=due_at,
        created_at=at,
    )
    lines.note_step(conversation, "task", at=at, who=_name(staff_id), note=note.strip()[:200])
    lines.save(conversation)
    return task


def remind_me(*, conversation_id: int, staff_id: int, at: datetime) -> AgentTask:
    """Ask to be reminded when the follower writes again."""
    conversation = _locked(conversation_id)
    known = AgentTask.objects.filter(
        conversation=conversation, kind=TaskKind.WRITES_AGAIN, staff_user_id=staff_id, done_at__isnull=True
    ).first()
    if known is not None:
        return known
    task = AgentTask.objects.create(
        conversation=conversation, kind=TaskKind.WRITES_AGAIN, staff_user_id=staff_id, created_at=at
    )
    lines.note_step(conversation, "reminder", at=at, who=_name(staff_id))
    lines.save(conversation)
    return task


def finish_task(*, task_id: int, at: datetime) -> None:
    """Tick something off; whoever looks at the conversation sees it."""
    conversation_id = AgentTask.objects.filter(pk=task_id).values_list("conversation_id", flat=True).first()
    conversation = lines.locked(conversation_id) if conversation_id is not None else None
    if conversation is not None and AgentTask.objects.filter(pk=task_id, done_at__isnull=True).update(done_at=at):
        lines.save(conversation)


def _hand(conversation: Conversation, staff_id: int, *, reason: str, at: datetime) -> Conversation:
    post, who = post_of(staff_id), staff_named(staff_id)
    if post is None or who is None:
        raise NotAnAgent
    had = conversation.assignee_id
    if had:
        queue.lock_seats()
    queue.give_to(conversation, staff_id=staff_id, level=post.level, at=at)
    facts = {"who": str(who), "reason": reason}
    Hop.objects.create(
        conversation=conversation, at=at, level=post.level, taken=True, reason=routing.TRANSFERRED, facts=facts
    )
    lines.note_step(conversation, "transferred" if reason else "taken", at=at, **facts)
    lines.save(conversation)
    record_audit(
        action="transfer conversation",
        obj=conversation,
        changes={"assignee": [_name(had), str(who)]},
        reason=reason,
    )
    if had:
        queue.fill(staff_id=had, at=at)
    return conversation


def _locked(conversation_id: int) -> Conversation:
    row = lines.locked(conversation_id)
    if row is None:
        raise ConversationMissing
    return row


def _name(staff_id: int | None) -> str:
    who = staff_named(staff_id) if staff_id else None
    return str(who) if who else ""


def _done(conversation: Conversation, at: datetime) -> None:
    kinds = [TaskKind.PROMISE]
    AgentTask.objects.filter(conversation=conversation, kind__in=kinds, done_at__isnull=True).update(done_at=at)
