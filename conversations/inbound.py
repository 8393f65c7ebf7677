"""Answers while WeChat waits: welcomes, keywords, menu buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conversations.engine import Rules
from conversations.models import ReplyKind
from conversations.selectors import rules_of
from members.selectors import follower_by_openid
from wechat_gateway.events import MESSAGE_KINDS
from wechat_gateway.registries import ReplyBook, compiles, reply_to
from wechat_gateway.replies import News, Reply, Text

if TYPE_CHECKING:
    from conversations.engine import Answer
    from wechat_gateway.events import Push

PAGE = "conversations"


@compiles(PAGE)
def compile_account(account_id: int) -> Rules:
    """Compile an account's rules for the gateway."""
    return rules_of(account_id)


@reply_to("subscribe", key="conversations.welcome", rank=50, reads=True)
def welcome(push: Push, book: ReplyBook) -> Reply | None:
    """Welcome somebody; who came back hears something else."""
    rules: Rules | None = book.get(PAGE)
    if rules is None:
        return None
    follower = follower_by_openid(push.account_id, push.openid)
    came_back = follower is not None and follower.unfollowed_at is not None
    return as_reply(rules.for_follow(push.scene, came_back=came_back))


@reply_to("subscribe", key="conversations.welcome_without_facts", rank=60)
def welcome_without_facts(push: Push, book: ReplyBook) -> Reply | None:
    """Welcome somebody when their past could not be read in time."""
    rules: Rules | None = book.get(PAGE)
    return as_reply(rules.for_follow(push.scene, came_back=False)) if rules else None


@reply_to("SCAN", key="conversations.scan", rank=60)
def scanned_again(push: Push, book: ReplyBook) -> Reply | None:
    """Somebody who follows scans a code: its own welcome, if it has one."""
    rules: Rules | None = book.get(PAGE)
    text = rules.scenes.get(push.scene) if rules else None
    return Text(text) if text else None


@reply_to("text", key="conversations.keyword", rank=60)
def keyword(push: Push, book: ReplyBook) -> Reply | None:
    """Answer what somebody typed."""
    rules: Rules | None = book.get(PAGE)
    return as_reply(rules.for_text(push.content)) if rules else None


@reply_to("CLICK", key="conversations.click", rank=60)
def clicked(push: Push, book: ReplyBook) -> Reply | None:
    """Answer a menu button."""
    rules: Rules | None = book.get(PAGE)
    return as_reply(rules.for_click(push.key)) if rules else None


@reply_to(*sorted(MESSAGE_KINDS - {"text"}), key="conversations.other_message", rank=90)
def other_message(push: Push, book: ReplyBook) -> Reply | None:
    """Answer a picture, a voice message and the like with the reply to any message."""
    rules: Rules | None = book.get(PAGE)
    return as_reply(rules.default) if rules else None


def as_reply(answer: Answer | None) -> Reply | None:
    """Give a rule's answer in the gateway's form."""
    if answer is None:
        return None
    if answer.kind == ReplyKind.NEWS:
        return News(answer.title, answer.text, answer.picture_url, answer.url)
    return Text(answer.text)
