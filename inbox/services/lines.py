"""Lines of a conversation and the columns that repeat them: always written together.

Everybody locks in one order, so that no two wait for each other: the follower, the conversation, its lines, the
follower's ledger. Who needs those of many people takes each kind by number, before the first of them is changed. Seats
are locked after the conversation, all of them when it is more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inbox.models import Conversation, ConversationState, Direction, Message, ReplyLedger
from inbox.words import grams
from members.models import Follower

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

SHOWN = 120


def locked(conversation_id: int) -> Conversation | None:
    """Give a conversation of the brand in scope that nobody else may change until the transaction ends."""
    return (
        Conversation.objects.select_for_update(of=("self",))
        .select_related("follower__member__store__region", "account")
        .filter(pk=conversation_id)
        .first()
    )


def hold(*, follower_id: int) -> None:
    """Lock a follower and their conversation, for who is about to change the ledger and then the conversation."""
    list(Follower.objects.select_for_update().filter(pk=follower_id).values_list("pk"))
    list(Conversation.objects.select_for_update().filter(follower_id=follower_id).values_list("pk"))


def hold_conversations(*, follower_ids: Collection[int]) -> None:
    """Lock the conversations of many followers, whom the caller has locked, before one of them needs a seat."""
    if len(follower_ids) > 1:
        rows = Conversation.objects.select_for_update().filter(follower_id__in=follower_ids)
        list(rows.order_by("pk").values_list("pk"))


def hold_followers(*, follower_ids: Collection[int]) -> None:
    """Lock what belongs to followers, whom the caller has locked, before the first of them is written to."""
    hold_conversations(follower_ids=follower_ids)
    if len(follower_ids) > 1:
        rows = ReplyLedger.objects.select_for_update().filter(follower_id__in=follower_ids)
        list(rows.order_by("pk").values_list("pk"))


def hold_people(*, member_ids: Collection[int]) -> None:
    """Lock the followers, conversations and ledgers of many people, before the first of them is written to."""
    followers = Follower.objects.select_for_update().filter(member_id__in=member_ids, subscribed=True)
    hold_followers(follower_ids=list(followers.order_by("pk").values_list("pk", flat=True)))


def conversation_with(*, follower: Follower, at: datetime) -> Conversation:
    """Give the conversation with a follower whom the caller has locked: locked too, and opened with the first line."""
    row = conversation_of(follower)
    if row is not None:
        return row
    row = Conversation(
        account_id=follower.account_id,
        follower=follower,
        store_id=follower.member.store_id,
        state=ConversationState.RESOLVED,
        opened_at=at,
        last_at=at,
    )
    if Conversation.objects.get_queryset().insert_new(row):
        return row
    return Conversation.objects.select_for_update().get(follower=follower)


def conversation_of(follower: Follower) -> Conversation | None:
    """Give the conversation with a follower, locked, if there is one."""
    row = Conversation.objects.select_for_update().filter(follower=follower).first()
    if row is not None:
        row.follower = follower
    return row


def add_line(conversation: Conversation, *, leads: bool = True, **what: Any) -> Message:
    """Write a line as `new_line` makes it. The conversation must be locked, and saved by the caller afterwards.

    Of a push that has such a line already nothing is written; the line that is given has no id then.
    """
    line = new_line(conversation, **what)
    write(conversation, (line, leads))
    return line


def new_line(
    conversation: Conversation,
    *,
    direction: Direction,
    kind: str,
    at: datetime,
    text: str = "",
    facts: dict[str, Any] | None = None,
    **more: Any,
) -> Message:
    """Give a line that is still to be written."""
    said = direction in (Direction.IN, Direction.OUT, Direction.NOTE)
    return Message(
        conversation=conversation,
        direction=direction,
        kind=kind,
        text=text,
        grams=grams(text) if said else [],
        facts=facts or {},
        at=at,
        **more,
    )


def write(conversation: Conversation, *lines: tuple[Message, bool]) -> bool:
    """Write lines of one push, or one of none; False when that push has them already.

    With each stands whether it leads. Where it does not, lists go on showing the line before: an answer to any message
    says less than the question.
    """
    rows = [line for line, _leads in lines]
    if rows[0].push_id is None:
        rows[0].save()
    elif not Message.objects.get_queryset().insert_new(*rows):
        return False
    for line, leads in lines:
        if line.direction in (Direction.IN, Direction.OUT):
            _count(conversation, line, leads=leads)
    return True


def _count(conversation: Conversation, line: Message, *, leads: bool) -> None:
    is_inbound = line.direction == Direction.IN
    if is_inbound:
        conversation.inbound_count += 1
    else:
        conversation.outbound_count += 1
    if leads and (line.at >= conversation.last_at or not conversation.last_text):
        conversation.last_at = max(line.at, conversation.last_at)
        conversation.last_text = in_short(line.text, line.kind)
        conversation.last_inbound = is_inbound


def in_short(text: str, kind: str) -> str:
    """Give a line as lists of conversations show it."""
    return " ".join(text.split())[:SHOWN] or f"[{kind}]"


def note_step(conversation: Conversation, step: str, *, at: datetime, **facts: Any) -> None:
    """Write a small line on what happened to the conversation."""
    add_line(conversation, direction=Direction.SYSTEM, kind=step, at=at, facts=facts)


def save(conversation: Conversation) -> None:
    """Keep what changed, as a new version: whoever looks at it sees it with the next question."""
    conversation.version += 1
    conversation.save()
