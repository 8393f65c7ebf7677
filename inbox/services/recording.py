"""What pushes mean for conversations: a line each, the answer that went out by itself, and who has to answer now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from accounts.tasks_base import ring
from conversations.models import ReplyRecord, Trigger, Way
from conversations.services.records import RECORD
from inbox import tasks
from inbox.models import (
    AgentTask,
    Attachment,
    Conversation,
    ConversationState,
    Direction,
    Message,
    SendState,
    TaskKind,
)
from inbox.selectors import Desk, desk_for, desk_of_brand
from inbox.services import lines, promises, queue
from inbox.services.ledger import ledgers_of, record_act
from members.services import follower_of, known_follower, record_contact
from wechat_gateway import windows
from wechat_gateway.events import MESSAGE_KINDS, Push
from wechat_gateway.wire import Unreadable, read_fields, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from members.models import Follower
    from wechat_gateway.wire import Fields

FETCHED: Final = frozenset({"image"})  # other kinds are shown by their name: WeChat gives voice as AMR, video as a link
SHOWN: Final = frozenset({"text", "news", "image", "voice"})  # answers that a follower sees as a message
_LABELS: Final = 200
_LEDGERS: Final = "inbox.ledgers"


def look_up_people(pushes: Sequence[Push]) -> None:
    """Lock the conversations behind pushes, whose followers are locked, and read what the ledgers say.

    Those of several people are locked, too: they change in the order of the pushes.
    """
    known = [(push, row.pk) for push in pushes if (row := known_follower(push)) is not None]
    lines.hold_conversations(follower_ids={pk for _push, pk in known})
    acting = {pk for push, pk in known if windows.act_of(push) is not None}
    ledgers = ledgers_of(acting, lock=len(acting) > 1)
    for push in pushes:
        push.found[_LEDGERS] = ledgers


def record_push(*, push: Push) -> Message | None:
    """Write what a push says into the conversation of its follower. A push that is handled again changes nothing.

    Events stand in conversations there are; only messages open one.
    """
    follower = follower_of(push)
    is_message = push.kind in MESSAGE_KINDS
    conversation = (
        lines.conversation_with(follower=follower, at=push.event_at) if is_message else lines.conversation_of(follower)
    )
    act = windows.act_of(push)
    if act is not None:
        record_act(follower=follower, act=act, at=push.event_at, known=push.found.get(_LEDGERS))
    if conversation is None:
        return None
    line = lines.new_line(
        conversation,
        direction=Direction.IN if is_message else Direction.EVENT,
        kind=push.kind,
        at=push.event_at,
        text=_text(push),
        facts=_facts(push),
        push_id=push.push_id or None,
        attachment=_attachment(push),
    )
    answer = _answer(conversation, push) if push.push_id else None
    answered = answer is not None and _answers(push)
    if not lines.write(conversation, (line, True), *([(answer, answered)] if answer is not None else [])):
        return None
    if is_message:
        _after_message(conversation, push, answered=answered)
    lines.save(conversation)
    return line


def ask_for_person(*, account_id: int, openid: str, appid: str, at: datetime, why: str = "") -> Conversation:
    """Hand a follower over to people, whatever rule answered: what a rule or a dialogue asks for."""
    follower = record_contact(account_id=account_id, appid=appid, openid=openid, at=at)
    conversation = lines.conversation_with(follower=follower, at=at)
    lines.note_step(conversation, "handed_over", at=at, why=why)
    _wait(conversation, at=at)
    lines.save(conversation)
    return conversation


def take_over(follower: Follower, reason: str, at: datetime) -> None:
    """Listen to automatic answers that hand somebody to a person."""
    ask_for_person(
        account_id=follower.account_id, openid=follower.openid, appid=follower.account.appid, at=at, why=reason
    )


def record_service_messages(follower: Follower, bodies: list[dict[str, Any]], at: datetime) -> None:
    """Listen to automatic answers that went as customer-service messages: they stand in the conversation."""
    for body in bodies:
        if not Conversation.objects.filter(follower=follower).exists():
            continue
        conversation = lines.conversation_with(follower=follower, at=at)
        kind = str(body.get("msgtype", "text"))
        content = body.get(kind)
        lines.add_line(
            conversation,
            direction=Direction.OUT,
            kind=kind,
            text=str(content.get("content", content.get("title", ""))) if isinstance(content, dict) else "",
            at=at,
            facts={"auto": True},
            leads=False,
            state=SendState.SENT,
            settled_at=at,
        )
        lines.save(conversation)


def _after_message(conversation: Conversation, push: Push, *, answered: bool) -> None:
    at = push.event_at
    desk = desk_for(push)
    if desk.awaited:
        due = AgentTask.objects.filter(
            conversation=conversation, kind=TaskKind.WRITES_AGAIN, due_at__isnull=True, done_at__isnull=True
        )
        due.update(due_at=at)
    if answered and conversation.state in (ConversationState.RESOLVED, ConversationState.OPEN):
        return  # a rule has said what there is to say; nobody has to
    _wait(conversation, at=at, desk=desk)


def _wait(conversation: Conversation, *, at: datetime, desk: Desk | None = None) -> None:
    """Let a conversation wait for a person: reopen it, keep its owner if they are there, otherwise find somebody."""
    before = conversation.state
    if before == ConversationState.RESOLVED:
        if conversation.resolved_at is not None:
            lines.note_step(conversation, "reopened", at=at)
        conversation.first_answered, conversation.resolved_at = False, None
    conversation.state, conversation.snoozed_until = ConversationState.WAITING, None
    if conversation.waiting_since is None or conversation.waiting_since > at:
        conversation.waiting_since = at
    if conversation.assignee_id is not None and queue.keep_owner(conversation, at=at):
        return
    if before == ConversationState.WAITING and conversation.assignee_id is None:
        # stands in the queue already, where whoever becomes free takes the oldest; but the doors may have closed since
        if conversation.promised_at is None or conversation.promised_at <= at:
            opens_at = queue.opens_again(conversation, at=at, desk=desk or desk_of_brand())
            if opens_at is not None:
                promises.promise(conversation, opens_at=opens_at, at=at)
        return
    decision = queue.route(conversation, at=at)
    if decision.seat is None and decision.opens_at is not None:
        promises.promise(conversation, opens_at=decision.opens_at, at=at)


def _text(push: Push) -> str:
    if push.kind == "voice":
        return text_of(push.fields, "Recognition")
    if push.kind == "location":
        return push.label
    if push.kind in ("link", "miniprogrampage", "file"):
        return text_of(push.fields, "Title")
    if push.kind in MESSAGE_KINDS:
        return push.content
    return ""


def _facts(push: Push) -> dict[str, Any]:
    """Give what a line needs to be shown; addresses are kept as text and never fetched."""
    facts: dict[str, Any] = {}
    if push.latitude is not None and push.longitude is not None:
        facts |= {"lat": push.latitude, "lng": push.longitude}
    if push.kind == "link":
        facts["url"] = text_of(push.fields, "Url")[:500]
    if push.kind == "miniprogrampage":
        facts["path"] = text_of(push.fields, "PagePath")[:500]
    if push.kind not in MESSAGE_KINDS:
        facts["key"] = (push.key or "")[:_LABELS]
        if push.scene:
            facts["scene"] = push.scene[:64]
    return {key: value for key, value in facts.items() if value not in ("", None)}


def _attachment(push: Push) -> Attachment | None:
    if push.kind not in FETCHED or not push.media_id:
        return None
    if Message.objects.filter(push_id=push.push_id).exists():  # it is handled again
        return None
    row = Attachment.objects.create(
        account_id=push.account_id, media_id=push.media_id, due_at=push.event_at, created_at=push.event_at
    )
    ring(tasks.fetch_attachment, push.brand_id, row.pk)
    return row


def _reply_to(push: Push) -> Fields:
    """Give what was answered at once, as WeChat got it."""
    try:
        return read_fields(push.reply.encode()) if push.reply else {}
    except Unreadable:
        return {}


def _answer(conversation: Conversation, push: Push) -> Message | None:
    """Give the line of what a follower saw as an answer at once."""
    reply = _reply_to(push)
    kind = text_of(reply, "MsgType")
    if kind not in SHOWN:
        return None
    text = text_of(reply, "Content")
    facts: dict[str, Any] = {"auto": True}
    if kind == "news":
        article = _first_article(reply)
        text = text_of(article, "Title")
        facts |= {"note": text_of(article, "Description")[:_LABELS], "url": text_of(article, "Url")[:500]}
    return lines.new_line(
        conversation,
        direction=Direction.OUT,
        kind=kind,
        at=push.event_at,
        text=text,
        facts=facts,
        push_id=push.push_id,
        state=SendState.SENT,
        settled_at=push.received_at,
    )


def _first_article(reply: Fields) -> Fields:
    articles: Any = reply.get("Articles")
    if isinstance(articles, dict):
        articles = articles.get("item", articles)
    if isinstance(articles, list):
        articles = articles[0] if articles else {}
    return articles if isinstance(articles, dict) else {}


def _answers(push: Push) -> bool:
    """Say whether what was answered is an answer. The reply to any message says that somebody will answer."""
    record = push.found.get(RECORD)
    if record is None:
        record = ReplyRecord.objects.filter(push_id=push.push_id).only("trigger", "way").first()
    return record is None or (record.trigger != Trigger.DEFAULT and record.way != Way.PERSON)
