"""Conversations that were answered and that nobody wrote in for days are resolved by themselves, a few at a time."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models import F
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from common.errors import Invalid
from common.failpoints import point
from inbox.models import AgentTask, Conversation, ConversationState, Direction, InboxPolicy, Message, TaskKind
from inbox.selectors import answered_long_ago, inbox_policy

LONGEST: Final = 365
PIECE: Final = 200
QUIETLY: Final = "resolved_quietly"
_MOST_PIECES: Final = 50


def set_resolving(*, days: int, at: datetime) -> InboxPolicy:
    """Choose after how many days without a reply answered conversations are resolved; 0: never. Raises Invalid."""
    if not 0 <= days <= LONGEST:
        raise Invalid(_("From 0 to %(most)s days are possible.") % {"most": LONGEST}, hint="", field="resolve_days")
    policy = inbox_policy()
    before, policy.resolve_days, policy.updated_at = policy.resolve_days, days, at
    policy.save()
    record_audit(action="change resolving", obj=policy, changes={"resolve_days": [before, days]})
    return policy


def resolve_answered(*, brand_id: int, at: datetime) -> int:
    """Resolve what is due in a brand, each piece a transaction of its own; gives how many. The rest waits an hour."""
    done = 0
    for _piece in range(_MOST_PIECES):
        with brand_scope(brand_id):
            found = _resolve_some(at)
        done += found
        if found < PIECE:
            break
    return done


def _resolve_some(at: datetime) -> int:
    policy = inbox_policy()
    if not policy.resolve_days:
        return 0
    rows = answered_long_ago(days=policy.resolve_days, at=at).select_for_update(of=("self",), skip_locked=True)
    due = list(rows.order_by("last_at", "pk").values_list("pk", flat=True)[:PIECE])
    if not due:
        return 0
    Message.objects.bulk_create(
        Message(
            conversation_id=pk, direction=Direction.SYSTEM, kind=QUIETLY, at=at, facts={"days": policy.resolve_days}
        )
        for pk in due
    )
    AgentTask.objects.filter(conversation__in=due, kind=TaskKind.PROMISE, done_at__isnull=True).update(done_at=at)
    point("inbox: resolved lines written, states not")
    Conversation.objects.filter(pk__in=due, state=ConversationState.OPEN).update(
        state=ConversationState.RESOLVED,
        resolved_at=at,
        waiting_since=None,
        snoozed_until=None,
        promised_at=None,
        return_at=None,
        held_until=None,
        assignee=None,
        assigned_at=None,
        version=F("version") + 1,
    )
    record_audit(
        action="resolve conversations",
        obj=policy,
        changes={"conversations": [None, len(due)], "resolve_days": [None, policy.resolve_days]},
    )
    return len(due)
