"""Who answers what: routing, the queue that is pulled from, presence, and conversations that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from accounts.services import record_audit
from inbox import routing
from inbox.errors import NotAnAgent
from inbox.models import (
    Agent,
    AgentTask,
    Conversation,
    ConversationState,
    Hop,
    Level,
    TaskKind,
)
from inbox.selectors import case_of, is_present, loads_of, post_of, seats
from inbox.services import lines

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from inbox.selectors import Desk

SEEN_EVERY = 30  # seconds between two notes that a console is open
_PULL = 50


def route(conversation: Conversation, *, at: datetime, passed: frozenset[int] = frozenset()) -> routing.Decision:
    """Find who answers a locked conversation, and write down every step. Saves nothing but steps and lines."""
    case = case_of(conversation, at=at, passed=passed)
    conversation.store_id = case.store_id or conversation.store_id
    lock_seats()
    decision = routing.decide(case, seats(at=at))
    _keep_steps(conversation, decision, at)
    if decision.seat is not None:
        _give(conversation, decision.seat.staff_id, decision.steps[-1].level, at=at)
        lines.note_step(conversation, "assigned", at=at, who=decision.seat.name, level=decision.steps[-1].level)
    else:
        _queue(conversation)
        if conversation.waiting_since is not None and not passed:
            lines.note_step(conversation, "queued", at=at)
    return decision


def fill(*, staff_id: int, at: datetime, most: int = _PULL) -> int:
    """Let somebody take waiting conversations from the queue, oldest first, while they have room; gives how many."""
    agents = Agent.objects.select_for_update(of=("self",)).select_related("staff_user")
    agent = agents.filter(staff_user_id=staff_id).first()
    if agent is None or not is_present(agent, at=at):
        return 0
    load = loads_of([staff_id], at=at).get(staff_id, 0)
    room = min(agent.capacity - load, most)
    taken = 0
    if room <= 0:
        return 0
    for pk in _for_agent(agent, at):
        if taken == room:
            break
        row = (
            Conversation.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("follower__member__store__region", "account")
            .filter(pk=pk, state=ConversationState.WAITING, assignee__isnull=True)
            .first()
        )
        if row is None or not _at_work(agent, row, at):
            continue
        _give(row, staff_id, agent.level, at=at)
        facts = {"who": str(agent.staff_user), "load": load + taken + 1, "capacity": agent.capacity}
        Hop.objects.create(conversation=row, at=at, level=agent.level, taken=True, reason=routing.PULLED, facts=facts)
        lines.note_step(row, "assigned", at=at, who=str(agent.staff_user), level=agent.level)
        lines.save(row)
        taken += 1
    return taken


def fill_all(*, at: datetime) -> int:
    """Let everybody who is there take from the queue; who has least to do goes first, one conversation each turn."""
    moved = 0
    lock_seats()
    while Conversation.objects.filter(state=ConversationState.WAITING, assignee__isnull=True).exists():
        ready = [seat for seat in seats(at=at) if seat.present and seat.free]
        progress = 0
        for seat in sorted(ready, key=lambda each: (each.load / each.capacity, each.staff_id)):
            progress += fill(staff_id=seat.staff_id, at=at, most=1)
        moved += progress
        if not progress:
            break
    return moved


def set_duty(*, staff_id: int, on_duty: bool, at: datetime) -> Agent:
    """Begin or end to take conversations. Who leaves hands back what waits for an answer. Raises `NotAnAgent`."""
    post = post_of(staff_id)
    if post is None:
        raise NotAnAgent
    Agent.objects.bulk_create(
        [Agent(staff_user_id=staff_id, level=post.level, store_ids=list(post.store_ids))], ignore_conflicts=True
    )
    if not on_duty:
        list(_waiting_of(staff_id).values_list("pk"))  # before the seat, as everybody locks them
    agent = Agent.objects.select_for_update().get(staff_user_id=staff_id)
    changed = agent.on_duty != on_duty
    agent.level, agent.store_ids = post.level, list(post.store_ids)
    agent.on_duty, agent.seen_at = on_duty, at
    agent.save()
    if changed:
        record_audit(action="go on duty" if on_duty else "go off duty", obj=agent, changes={})
    if on_duty:
        fill(staff_id=staff_id, at=at)
    else:
        return_waiting(staff_id=staff_id, at=at, reason=routing.AWAY)
    return agent


def note_seen(*, staff_id: int, at: datetime) -> None:
    """Note that somebody's console is open, and for whom they answer by now: roles and regions change."""
    post = post_of(staff_id)
    rows = Agent.objects.filter(staff_user_id=staff_id, on_duty=True)
    if post is None:
        rows.update(on_duty=False)
    else:
        rows.update(seen_at=at, level=post.level, store_ids=list(post.store_ids))


def return_waiting(*, staff_id: int, at: datetime, reason: str) -> int:
    """Take from somebody every conversation that waits for an answer, and find others; gives how many."""
    found = list(_waiting_of(staff_id).select_related("follower__member__store__region", "account"))
    for row in sorted(found, key=lambda row: (row.waiting_since or at, row.pk)):
        send_back(row, at=at, reason=reason)
    return len(found)


def send_back(conversation: Conversation, *, at: datetime, reason: str) -> None:
    """Take a locked conversation from whoever has it, and route it again without them."""
    had = conversation.assignee_id
    who = str(conversation.assignee) if conversation.assignee else ""
    Hop.objects.create(conversation=conversation, at=at, level=conversation.level, reason=reason, facts={"who": who})
    lines.note_step(conversation, "returned", at=at, who=who, reason=reason)
    free(conversation)
    conversation.returned_from, conversation.returned_at = had, at
    decision = route(conversation, at=at, passed=frozenset({had} if had else ()))
    if decision.seat is None and decision.opens_at is not None:
        from inbox.services import promises  # which send, and so stand above the queue

        promises.promise(conversation, opens_at=decision.opens_at, at=at)
    lines.save(conversation)


def return_due(*, at: datetime) -> int:
    """Take back what was not answered in time, and what belongs to people who have gone; gives how many.

    What a person took or was handed stays with them until its time is over, whether they are there or not.
    """
    due = list(
        Conversation.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("follower__member__store__region", "account", "assignee")
        .filter(return_at__lte=at, state=ConversationState.WAITING, assignee__isnull=False)
        .order_by("return_at", "pk")[:_PULL]
    )
    for row in due:
        send_back(row, at=at, reason=routing.PASSED)
    gone = Agent.objects.filter(
        Q(on_duty=False) | Q(seen_at__isnull=True) | Q(seen_at__lte=at - routing.PRESENT_FOR)
    ).values("staff_user_id")
    left = list(
        Conversation.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("follower__member__store__region", "account", "assignee")
        .filter(assignee_id__in=gone, state=ConversationState.WAITING)
        .exclude(held_until__gt=at)
        .order_by("waiting_since", "pk")[:_PULL]
    )
    for row in left:
        send_back(row, at=at, reason=routing.AWAY)
    return len(due) + len(left)


def opens_again(conversation: Conversation, *, at: datetime, desk: Desk) -> datetime | None:
    """Say when somebody can answer a conversation next; None while the brand answers. Changes nothing."""
    if not desk.agents:
        return desk.shift(at).opens_at
    if desk.is_there_for_all(at):
        return None
    return routing.decide(case_of(conversation, at=at), seats(at=at)).opens_at


def give_to(conversation: Conversation, *, staff_id: int, level: str, at: datetime) -> None:
    """Give a locked conversation to somebody because a person wants it so, whatever else they have."""
    _give(conversation, staff_id, level, at=at)
    conversation.held_until = at + routing.HANDED_FOR
    if conversation.return_at is not None:
        conversation.return_at = conversation.held_until


def free(conversation: Conversation) -> None:
    """Nobody has a locked conversation any more."""
    conversation.assignee_id, conversation.assigned_at = None, None
    conversation.return_at, conversation.held_until = None, None


def keep_owner(conversation: Conversation, *, at: datetime) -> bool:
    """Leave a locked conversation that waits with whoever has it, if they are there; otherwise nobody has it.

    Who took it, or was handed it a while ago, keeps it as if they were there.
    """
    agent = Agent.objects.select_related("staff_user").filter(staff_user_id=conversation.assignee_id).first()
    held = conversation.held_until is not None and conversation.held_until > at
    if held or (agent is not None and is_present(agent, at=at)):
        if conversation.return_at is None:
            conversation.return_at = at + routing.RETURN_AFTER
        return True
    who = str(agent.staff_user) if agent else ""
    Hop.objects.create(
        conversation=conversation, at=at, level=conversation.level, reason=routing.AWAY, facts={"who": who}
    )
    free(conversation)
    return False


def release(conversation: Conversation) -> None:
    """Nobody has to answer a locked conversation by a moment any more."""
    conversation.return_at = None


def note_answer(conversation: Conversation, *, staff_id: int, at: datetime) -> None:
    """Somebody has answered a locked conversation: it is theirs if nobody had it, and what was given by hand stays."""
    release(conversation)
    if conversation.assignee_id is None:
        give_to(conversation, staff_id=staff_id, level=conversation.level, at=at)
    if conversation.assignee_id == staff_id and conversation.held_until is not None:
        conversation.held_until = at + routing.IN_HAND_FOR


def ask_again(conversation: Conversation, *, at: datetime) -> None:
    """What answered a locked conversation has not left: whoever has it gets the time for another answer."""
    conversation.return_at = at + routing.RETURN_AFTER if conversation.assignee_id else None


def _waiting_of(staff_id: int) -> QuerySet[Conversation]:
    rows = Conversation.objects.select_for_update(of=("self",))
    return rows.filter(assignee_id=staff_id, state=ConversationState.WAITING).order_by("pk")


def _queue(conversation: Conversation) -> None:
    free(conversation)
    conversation.level = Level.DESK


def _give(conversation: Conversation, staff_id: int, level: str, *, at: datetime) -> None:
    conversation.assignee_id, conversation.level, conversation.assigned_at = staff_id, level, at
    conversation.returned_from, conversation.returned_at, conversation.held_until = None, None, None
    conversation.return_at = at + routing.RETURN_AFTER if conversation.state == ConversationState.WAITING else None
    Agent.objects.filter(staff_user_id=staff_id).update(last_assigned_at=at)


def lock_seats() -> None:
    """Decide about one conversation at a time: two at once would both find the last free place."""
    list(Agent.objects.select_for_update().order_by("pk").values_list("pk", flat=True))


def _for_agent(agent: Agent, at: datetime) -> list[int]:
    """Give what somebody may take, oldest first; what they let pass a moment ago goes to others first."""
    from guides.models import Assignment

    rows = Conversation.objects.filter(state=ConversationState.WAITING, assignee__isnull=True)
    if agent.level != Level.DESK or agent.store_ids:
        own = Assignment.objects.filter(guide__staff_user_id=agent.staff_user_id, until__isnull=True)
        rows = rows.filter(Q(store_id__in=agent.store_ids) | Q(follower__member_id__in=own.values("member_id")))
    rows = rows.exclude(returned_from=agent.staff_user_id, returned_at__gt=at - routing.RETURN_AFTER)
    return list(rows.order_by("waiting_since", "pk").values_list("pk", flat=True)[:_PULL])


def _at_work(agent: Agent, conversation: Conversation, at: datetime) -> bool:
    case = case_of(conversation, at=at)
    if agent.level in (Level.REGION, Level.DESK):
        return case.desk_shift.is_open
    return case.store_shift.is_open if agent.staff_user_id != case.guide_staff_id else case.guide_shift.is_open


def _keep_steps(conversation: Conversation, decision: routing.Decision, at: datetime) -> None:
    steps = [
        Hop(conversation=conversation, at=at, level=step.level, taken=step.taken, reason=step.reason, facts=step.facts)
        for step in decision.steps
    ]
    if decision.seat is None:
        opens = decision.opens_at.isoformat() if decision.opens_at else ""
        steps.append(
            Hop(conversation=conversation, at=at, level=Level.DESK, reason=routing.QUEUED, facts={"opens": opens})
        )
    Hop.objects.bulk_create(steps)


def promise_task(conversation: Conversation, *, due_at: datetime, at: datetime) -> AgentTask:
    """Put what was promised on somebody's list, at the promised time; once."""
    known = AgentTask.objects.filter(
        conversation=conversation, kind=TaskKind.PROMISE, due_at=due_at, done_at__isnull=True
    ).first()
    return known or AgentTask.objects.create(
        conversation=conversation, kind=TaskKind.PROMISE, due_at=due_at, created_at=at
    )
