"""Customer-service messages of people: reserved and written down in the request, sent by a task, never repeated."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import orjson

from accounts.tasks_base import ring
from accounts.tenancy import brand_scope
from common.failpoints import point
from inbox import figures, selectors, tasks
from inbox.errors import ConversationMissing, NotFollowing, NothingToSend, TooLong, WindowClosed
from inbox.models import (
    AgentTask,
    Answer,
    CannedReply,
    Conversation,
    ConversationState,
    Direction,
    Message,
    SendState,
    TaskKind,
)
from inbox.services import lines, queue
from inbox.services.ledger import reserve_send, settle_sends
from inbox.services.untold import AT_NIGHT, LATE, OVER, try_another_way
from inbox.ways import ways
from library import services as library_services
from loyalty.services.notices import by_day, still_true
from members.gate import withheld_for
from members.services import mark_unfollowed
from wechat_gateway import client, windows
from wechat_gateway.answers import Answer as Said
from wechat_gateway.answers import Outcome
from wechat_gateway.errcodes import Reaction, explain, is_unknown_media
from wechat_gateway.errors import Disconnected
from wechat_gateway.messages import media_id_of, with_media_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from library.models import MediaItem
    from members.models import Follower

MAX_BYTES: Final = 2048  # reference: service account 5.9
STUCK_AFTER: Final = timedelta(minutes=3)
RING_AFTER: Final = timedelta(seconds=15)
AGAIN_WITHIN: Final = timedelta(minutes=10)
_AT_ONCE: Final = 100
_FOR_GOOD: Final = frozenset({Reaction.NONE, Reaction.PARK_CAMPAIGN})  # of a message that is wrong every try ends so
_ENDED_BY_ANSWER: Final = (TaskKind.PROMISE, TaskKind.WRITES_AGAIN)


def send_text(
    *, conversation_id: int, staff_id: int, text: str, client_key: UUID, at: datetime, canned_id: int | None = None
) -> Message:
    """Let a person send a text: reserved, written down, sent by a task after the commit.

    The same `client_key` again gives the same message. Raises `NothingToSend`, `TooLong`, `NotFollowing`,
    `Disconnected`, `WindowClosed`, `ConversationMissing`.
    """
    text = text.strip()
    if not text:
        raise NothingToSend
    if len(text.encode()) > MAX_BYTES:
        raise TooLong(len(text.encode()), MAX_BYTES)
    line = _send(conversation_id, staff_id=staff_id, kind="text", text=text, client_key=client_key, at=at)
    if canned_id is not None:
        for row in CannedReply.objects.select_for_update().filter(pk=canned_id):
            row.used += 1
            row.save(update_fields=["used"])
    return line


def send_picture(*, conversation_id: int, staff_id: int, item: MediaItem, client_key: UUID, at: datetime) -> Message:
    """Let a person send a picture of the library; WeChat gets a fresh copy if its own has expired."""
    if not Message.objects.filter(client_key=client_key).exists():
        library_services.note_sent(item_id=item.pk)
    return _send(
        conversation_id,
        staff_id=staff_id,
        kind="image",
        text="",
        client_key=client_key,
        at=at,
        facts={"item": item.pk, "name": item.name},
    )


def send_by_itself(
    conversation: Conversation,
    *,
    text: str,
    at: datetime,
    kind: str = "text",
    facts: Mapping[str, object] | None = None,
) -> Message | None:
    """Send a message of ours in a locked conversation if it is allowed; None when it is not. Ends nobody's waiting.

    `kind` is text, image or miniprogrampage; `facts` hold what it needs besides (see `_outgoing`).
    """
    if not conversation.account.is_active or not reserve_send(follower_id=conversation.follower_id, at=at).open:
        return None
    line = lines.add_line(
        conversation,
        direction=Direction.OUT,
        kind=kind,
        text=text,
        at=at,
        facts={**(facts or {}), "auto": True},
        state=SendState.QUEUED,
        reserved_at=at,
    )
    ring(tasks.deliver_message, conversation.brand_id, line.pk)
    return line


def send_unasked(
    *,
    follower: Follower,
    text: str,
    at: datetime,
    asks: Sequence[str],
    kind: str = "text",
    facts: Mapping[str, object] | None = None,
) -> Message | None:
    """Send a message of ours that nobody has asked for, if a follower's own acts allow it; None when they do not.

    `asks` are the keys of the choices that the message depends on (`members.choices.keys_for`): the caller has asked
    for them, and they are asked for again when it leaves, because it may have waited for a worker.
    """
    if not selectors.allowance_of(follower.pk, at=at).open:
        return None
    conversation = _conversation_with(follower, at)
    line = send_by_itself(conversation, text=text, at=at, kind=kind, facts={**(facts or {}), "asks": list(asks)})
    if line is not None:
        lines.save(conversation)
    return line


def send_otherwise_by_itself(
    *,
    follower: Follower,
    way: str,
    title: str,
    text: str,
    facts: Mapping[str, object],
    asks: Sequence[str],
    at: datetime,
) -> Message:
    """Send a line of ours that nobody has asked for by a registered way; what it costs was taken in this transaction.

    It ends nobody's waiting. `asks` as for `send_unasked`.
    """
    conversation = _conversation_with(follower, at)
    line = lines.add_line(
        conversation,
        direction=Direction.OUT,
        kind="text",
        text=text,
        at=at,
        facts={**facts, "notice": title, "way": way, "asks": list(asks), "auto": True},
        state=SendState.QUEUED,
    )
    ring(tasks.deliver_message, conversation.brand_id, line.pk)
    lines.save(conversation)
    return line


def record_notice(
    *,
    conversation_id: int,
    staff_id: int,
    title: str,
    text: str,
    client_key: UUID,
    send: Callable[[], Said],
    at: datetime,
) -> tuple[Message, bool]:
    """Let a person reach somebody by another way than a customer-service message, and write down what came of it.

    `send` does it, once: the same `client_key` again gives the line that is there. Gives the line, and whether it is
    new. Raises `ConversationMissing`.
    """
    conversation = lines.locked(conversation_id)
    if conversation is None:
        raise ConversationMissing
    known = Message.objects.filter(client_key=client_key).first()
    if known is not None:
        return known, False
    said = send()
    states = {Outcome.ACCEPTED: SendState.SENT, Outcome.UNKNOWN: SendState.UNKNOWN}
    line = lines.add_line(
        conversation,
        direction=Direction.OUT,
        kind="text",
        text=text,
        at=at,
        facts={"notice": title},
        author_id=staff_id,
        client_key=client_key,
        state=states.get(said.outcome, SendState.REFUSED),
        settled_at=at,
        code=said.code,
        cause=said.cause[:40],
        msgid=int(said.msgid) if said.msgid else None,
    )
    if line.state == SendState.SENT:
        _answered(conversation, line, staff_id, at)
    lines.save(conversation)
    return line, True


def send_otherwise(
    *,
    conversation_id: int,
    staff_id: int,
    way: str,
    title: str,
    text: str,
    facts: dict[str, object],
    client_key: UUID,
    take: Callable[[], None],
    at: datetime,
) -> tuple[Message, bool]:
    """Let a person send a line by a registered way: written down now, sent by a task after the commit, at most once.

    `take` takes what the message costs and raises when there is nothing left. The same `client_key` again gives the
    line that is there and takes nothing. Gives the line, and whether it is new. Raises `ConversationMissing`.
    """
    conversation = lines.locked(conversation_id)
    if conversation is None:
        raise ConversationMissing
    known = Message.objects.filter(client_key=client_key).first()
    if known is not None:
        return known, False
    take()
    since = conversation.waiting_since.isoformat() if conversation.waiting_since else ""
    line = lines.add_line(
        conversation,
        direction=Direction.OUT,
        kind="text",
        text=text,
        at=at,
        facts={**facts, "notice": title, "way": way, "since": since},
        author_id=staff_id,
        client_key=client_key,
        state=SendState.QUEUED,
    )
    _answered(conversation, line, staff_id, at)
    ring(tasks.deliver_message, conversation.brand_id, line.pk)
    lines.save(conversation)
    return line, True


def deliver(*, brand_id: int, message_id: int, at: datetime) -> None:
    """Send one message that was written down. Running it twice, or dying in it, sends at most once."""
    claimed = _claim(brand_id, message_id, at)
    if claimed is None:
        return
    conversation, line = claimed
    outgoing = _outgoing(brand_id, conversation, line, at)
    if isinstance(outgoing, Said):
        said = outgoing
    else:
        point("inbox: before the send")
        ((_index, said),) = list(client.send_many(conversation.account, [outgoing], concurrency=1, at=at))
        if is_unknown_media(said.code):
            said = _with_fresh_file(brand_id, conversation, outgoing, said, at)
    point("inbox: answered, not recorded")
    with brand_scope(brand_id):
        _record(message_id, said, at)


def sweep_messages(*, at: datetime) -> None:
    """Ring again for what nobody has sent; what a dead worker was sending stays unconfirmed and is not repeated."""
    under_way = selectors.lines_under_way(at=at).order_by("at", "pk")
    for row in sorted(under_way.select_related("conversation")[:_AT_ONCE], key=lambda row: row.conversation_id):
        if row.state == SendState.QUEUED and row.at <= at - RING_AFTER:
            ring(tasks.deliver_message, row.brand_id, row.pk)
        elif row.state == SendState.SENDING and row.started_at is not None and row.started_at <= at - STUCK_AFTER:
            _record(row.pk, Said(Outcome.UNKNOWN, cause="WORKER_DIED"), at)


def _conversation_with(follower: Follower, at: datetime) -> Conversation:
    conversation = lines.conversation_of(follower)
    if conversation is not None:
        return conversation
    lines.hold(follower_id=follower.pk)
    return lines.conversation_with(follower=follower, at=at)


def _send(
    conversation_id: int,
    *,
    staff_id: int,
    kind: str,
    text: str,
    client_key: UUID,
    at: datetime,
    facts: dict[str, object] | None = None,
) -> Message:
    conversation = lines.locked(conversation_id)
    if conversation is None:
        raise ConversationMissing
    known = Message.objects.filter(client_key=client_key).first()
    if known is not None:
        return known
    if not conversation.follower.subscribed:
        raise NotFollowing
    if not conversation.account.is_active:
        raise Disconnected
    allowed = reserve_send(follower_id=conversation.follower_id, at=at)
    if not allowed.open:
        why = explain(allowed.refusal)
        raise WindowClosed(allowed.refusal, str(why.cause), str(why.action))
    line = lines.add_line(
        conversation,
        direction=Direction.OUT,
        kind=kind,
        text=text,
        at=at,
        facts={**(facts or {}), "since": conversation.waiting_since.isoformat() if conversation.waiting_since else ""},
        author_id=staff_id,
        client_key=client_key,
        state=SendState.QUEUED,
        reserved_at=at,
    )
    _answered(conversation, line, staff_id, at)
    ring(tasks.deliver_message, conversation.brand_id, line.pk)
    lines.save(conversation)
    return line


def _answered(conversation: Conversation, line: Message, staff_id: int, at: datetime) -> None:
    """Nobody waits any more: measure it, close what was promised, and keep who answered."""
    since = conversation.waiting_since
    if since is not None:
        Answer.objects.create(
            conversation=conversation,
            message=line,
            store_id=conversation.store_id,
            staff_user_id=staff_id,
            since=since,
            at=at,
            seconds=max(0, int((at - since).total_seconds())),
            office_seconds=figures.office_seconds(conversation, since=since, at=at),
            is_first=not conversation.first_answered,
        )
        conversation.first_answered = True
    conversation.state, conversation.waiting_since = ConversationState.OPEN, None
    conversation.snoozed_until, conversation.promised_at = None, None
    queue.note_answer(conversation, staff_id=staff_id, at=at)
    AgentTask.objects.filter(
        conversation=conversation, kind__in=_ENDED_BY_ANSWER, done_at__isnull=True, due_at__isnull=False
    ).update(done_at=at)


def _claim(brand_id: int, message_id: int, at: datetime) -> tuple[Conversation, Message] | None:
    with brand_scope(brand_id):
        conversations = Conversation.objects.select_for_update(of=("self",)).select_related("account", "follower")
        conversation = conversations.filter(messages__pk=message_id).first()
        line = Message.objects.select_for_update().filter(pk=message_id, state=SendState.QUEUED).first()
        if conversation is None or line is None or (line.due_at is not None and line.due_at > at):
            return None
        withheld = withheld_for(conversation.follower.member_id, line.facts.get("asks", ()))
        if withheld:
            _record(message_id, Said(Outcome.NOT_SENT, cause=withheld), at)
            return None
        if not line.facts.get("way") and not _still_allowed(conversation, line, at):
            _record(message_id, Said(Outcome.NOT_SENT, cause=LATE), at)
            return None
        if line.facts.get("tells") and not by_day(at):  # it has waited for a worker until nobody is to be woken
            _record(message_id, Said(Outcome.NOT_SENT, cause=AT_NIGHT), at)
            return None
        if _is_over(conversation, line, at) or not _is_news(line, at):
            _record(message_id, Said(Outcome.NOT_SENT, cause=OVER), at)
            return None
        line.state, line.started_at, line.due_at = SendState.SENDING, at, None
        line.save(update_fields=["state", "started_at", "due_at"])
        return conversation, line


def _is_over(conversation: Conversation, line: Message, at: datetime) -> bool:
    """Say whether what a promise is about has come, or somebody has answered: the promise may have waited."""
    promised = line.facts.get("promises")
    if promised is None:
        return False
    moment = datetime.fromisoformat(promised)
    return at >= moment or conversation.promised_at != moment


def _is_news(line: Message, at: datetime) -> bool:
    """Say whether what a line tells is still true: used, moved or overtaken, it is told to nobody."""
    reference = line.facts.get("tells")
    return reference is None or still_true(reference=reference, at=at)


def _still_allowed(conversation: Conversation, line: Message, at: datetime) -> bool:
    """Say whether what this message was taken from is still open: the message may have waited in a queue."""
    ledger = selectors.ledger_of(conversation.follower_id).taken_back(line.reserved_at or line.at)
    return windows.allowance(ledger, at).open


def _outgoing(brand_id: int, conversation: Conversation, line: Message, at: datetime) -> client.Outgoing | Said:
    way = ways.find(str(line.facts.get("way", "")))
    if way is not None:
        return way.make(conversation, line)
    openid = conversation.follower.openid
    if line.kind not in ("image", "miniprogrampage"):
        return client.custom_text(openid=openid, text=line.text)
    item_id = int(line.facts["item"])
    media_id = library_services.media_id_for(brand_id=brand_id, item_id=item_id, account=conversation.account, at=at)
    if isinstance(media_id, Said):
        return media_id
    if line.kind == "image":
        return client.custom_image(openid=openid, media_id=media_id)
    card = line.facts
    return client.custom_mini_program(
        openid=openid, title=card["title"], appid=card["appid"], path=card["page"], thumb_media_id=media_id
    )


def _with_fresh_file(
    brand_id: int, conversation: Conversation, outgoing: client.Outgoing, said: Said, at: datetime
) -> Said:
    """Send a message once more whose file WeChat did not know: nothing of it has arrived."""
    account = conversation.account
    body = orjson.loads(outgoing.body) if isinstance(outgoing.body, bytes) else outgoing.body
    fresh = library_services.media_afresh(brand_id=brand_id, account=account, media_id=media_id_of(body), at=at)
    if fresh is None or isinstance(fresh, Said):
        return fresh or said
    again = client.Outgoing(outgoing.path, with_media_id(body, fresh))
    ((_index, said),) = list(client.send_many(account, [again], concurrency=1, at=at))
    return said


def _record(message_id: int, said: Said, at: datetime) -> None:
    known = Message.objects.filter(pk=message_id).values_list("conversation_id", "conversation__follower_id").first()
    if known is None:  # erased meanwhile
        return
    conversation_id, follower_id = known
    if said.reaction is Reaction.MARK_UNFOLLOWED:
        lines.hold(follower_id=follower_id)
    conversation = lines.locked(conversation_id)
    rows = Message.objects.select_for_update(of=("self",)).select_related("author").filter(pk=message_id)
    line = rows.filter(state__in=[SendState.QUEUED, SendState.SENDING]).first()
    if conversation is None or line is None:
        return
    line.state = {
        Outcome.ACCEPTED: SendState.SENT,
        Outcome.UNKNOWN: SendState.UNKNOWN,
    }.get(said.outcome, SendState.REFUSED)
    if line.due_at is not None and line.state == SendState.REFUSED:
        line.facts["waited_for"] = {"code": line.code, "cause": line.cause}
    line.due_at = None
    if _waits(line, said):
        line.state, line.started_at, line.due_at = SendState.QUEUED, None, _again_at(line, said, at)
    line.settled_at, line.code, line.cause = at, said.code, said.cause[:40]
    # Only of what goes by a template does WeChat report the fate.
    line.msgid = int(said.msgid) if said.msgid and line.facts.get("way") else None
    line.save(update_fields=["state", "settled_at", "started_at", "due_at", "code", "cause", "facts", "msgid"])
    if line.state == SendState.REFUSED:
        _undo(conversation, line, said, at)
    lines.save(conversation)


def _waits(line: Message, said: Said) -> bool:
    """Say whether a line that certainly did not leave is tried again: an automatic one, for a reason that passes.

    What a person wrote is theirs to send again, and news have somebody who looks after them (see `untold`).
    """
    if said.outcome is not Outcome.NOT_SENT or said.reaction in _FOR_GOOD:
        return False
    return bool(line.facts.get("auto")) and not line.facts.get("way") and line.facts.get("tells") is None


def _again_at(line: Message, said: Said, at: datetime) -> datetime:
    return at + min(max(RING_AFTER, at - line.at, timedelta(seconds=said.retry_after)), AGAIN_WITHIN)


def _undo(conversation: Conversation, line: Message, said: Said, at: datetime) -> None:
    """What was not sent answers nobody: give back the allowance and let the conversation wait again."""
    way = ways.find(str(line.facts.get("way", "")))
    if way is not None:
        way.give_back(conversation, line, said, at)
    else:
        person, doubted = conversation.follower_id, said.reaction is Reaction.WINDOW_CLOSED and said.code is not None
        settle_sends(
            unsent=[(person, line.reserved_at or line.at)], refused=[(person, said.code or 0)] if doubted else [], at=at
        )
    if said.reaction is Reaction.MARK_UNFOLLOWED:
        mark_unfollowed(account_id=conversation.account_id, openids=[conversation.follower.openid], at=at)
    try_another_way(line, said, at)
    for answer in Answer.objects.filter(message=line):
        conversation.first_answered = conversation.first_answered and not answer.is_first
        answer.delete()
    since = str(line.facts.get("since", ""))
    if since and conversation.state == ConversationState.OPEN and conversation.waiting_since is None:
        conversation.state = ConversationState.WAITING
        conversation.waiting_since = datetime.fromisoformat(since)
        queue.ask_again(conversation, at=at)
        _reopen_tasks(conversation, line)


def _reopen_tasks(conversation: Conversation, line: Message) -> None:
    """What the answer had ended is to be done again; a promise whose time is still to come is not made twice."""
    ended = AgentTask.objects.filter(conversation=conversation, kind__in=_ENDED_BY_ANSWER, done_at=line.at)
    promised = ended.filter(kind=TaskKind.PROMISE).order_by("-due_at").values_list("due_at", flat=True).first()
    conversation.promised_at = conversation.promised_at or promised
    ended.update(done_at=None)
