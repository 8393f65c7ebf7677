"""Answers while WeChat waits, and what is noted and sent afterwards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.utils import translation

from conversations import services
from conversations.answers import passive_of
from conversations.engine import NOTHING, Asked, Decision, Facts, Rules
from conversations.known import known
from conversations.models import Trigger
from conversations.patterns import normalised
from conversations.script import LANGUAGE
from conversations.selectors import (
    Dialogues,
    Talk,
    dialogues_of,
    facts_in,
    facts_query,
    has_facts,
    look_up_rules,
    rules_of,
    talk_and_facts_query,
    talk_in,
    talk_query,
    turn_of,
)
from wechat_gateway.events import MESSAGE_KINDS, Push
from wechat_gateway.registries import ReplyBook, compiles, on_event, prepares, remembers, reply_to
from wechat_gateway.replies import Text

if TYPE_CHECKING:
    from wechat_gateway.registries import Query
    from wechat_gateway.replies import Reply

PAGE = "conversations"
DIALOGUES = "conversations.dialogues"
# What tapping a button of the menu is pushed as (reference: 3.3); buttons that only send a file push nothing.
BUTTON_EVENTS = (
    "CLICK",
    "VIEW",
    "view_miniprogram",
    "scancode_push",
    "scancode_waitmsg",
    "pic_sysphoto",
    "pic_photo_or_album",
    "pic_weixin",
    "location_select",
)
# Taps that wait for an answer by their key: of the second the phone shows that it waits (reference: 3.3).
ANSWERED_TAPS = ("CLICK", "scancode_waitmsg")
OTHER_MESSAGES = tuple(sorted(MESSAGE_KINDS - {"text"}))


@compiles(PAGE)
def compile_account(account_id: int) -> Rules:
    """Compile an account's rules for the gateway."""
    return rules_of(account_id)


@remembers("conversations.people")
def remember_people(accounts: Sequence[tuple[int, ReplyBook]]) -> None:
    """Keep what rules ask about people in the memory of the gateway."""
    known.refresh([(brand_id, book.account_id, book.get(PAGE)) for brand_id, book in accounts])


class JustSaid:
    """What this process has said in talks a moment ago, for answers that come before the worker has stored it.

    A push that WeChat repeats is answered from what stood before it, as the first time.
    """

    MOST: Final = 10_000
    LASTS: Final = timedelta(minutes=2)

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[int, str], tuple[str, Talk | None, Talk | None, datetime]] = OrderedDict()

    def before(self, push: Push, stored: Talk | None) -> Talk | None:
        """Give the talk as it stands before a push: what is stored, or what is newer than that."""
        known = self._said.get((push.account_id, push.openid))
        if known is None:
            return stored
        push_key, before, after, at = known
        if push_key == _key_of(push):
            return before
        newer = push.received_at - at < self.LASTS and (stored is None or stored.at < at)
        return after if newer else stored

    def keep(self, push: Push, before: Talk | None, after: Talk | None) -> None:
        """Remember what a push has led to."""
        self._said[push.account_id, push.openid] = (_key_of(push), before, after, push.received_at)
        while len(self._said) > self.MOST:
            self._said.popitem(last=False)

    def forget(self) -> None:
        """Begin as a new process would."""
        self._said.clear()


def _key_of(push: Push) -> str:
    return f"{push.event_at.timestamp()}|{push.msgid}|{push.key}|{push.content}"


just_said = JustSaid()


@compiles(DIALOGUES)
def compile_dialogues(account_id: int) -> Dialogues:
    """Compile what begins which dialogue of an account."""
    return dialogues_of(account_id)


def may_be_talk(push: Push, book: ReplyBook) -> bool:
    """Say whether a message can belong to a dialogue: the account has some, and a tap begins one."""
    dialogues: Dialogues | None = book.get(DIALOGUES)
    if dialogues is None or not dialogues.starts:
        return False
    return push.kind == "text" or normalised(push.key) in dialogues.starts


def where_talk_stands(push: Push, book: ReplyBook) -> Query | None:
    """Ask for the talk somebody is in, and who it is when a keyword rule for some people captures the message."""
    if not may_be_talk(push, book):
        return None
    rules: Rules | None = book.get(PAGE)
    if rules is not None and push.kind == "text" and _is_undecided(rules, push):
        return partial(
            talk_and_facts_query, book.get(DIALOGUES), rules, push.account_id, push.openid, at=push.received_at
        )
    return partial(talk_query, book.get(DIALOGUES), push.account_id, push.openid, at=push.received_at)


def _is_undecided(rules: Rules, push: Push) -> bool:
    if rules.captures(push.content, push.received_at, None) is not None:
        return False
    facts = known.facts_of(push.account_id, rules, push.openid)
    return rules.captures(push.content, push.received_at, facts) is None


def _facts_of_talk(push: Push, book: ReplyBook, rows: Sequence[Mapping[str, Any]]) -> Facts:
    rules: Rules = book.get(PAGE)
    if has_facts(rows):
        return facts_in(rows, rules)
    return known.facts_of(push.account_id, rules, push.openid) or Facts()


@reply_to("text", *ANSWERED_TAPS, key="conversations.dialogue", rank=50, asks=where_talk_stands)
def go_on_talking(push: Push, book: ReplyBook, rows: Sequence[Mapping[str, Any]]) -> Reply | None:
    """Begin a dialogue, or take the message as an answer. What is said is stored by the worker.

    Whoever answers before the worker has stored what came before goes on from what was said here a moment ago.
    """
    dialogues: Dialogues = book.get(DIALOGUES)
    talk = just_said.before(push, talk_in(rows))
    with translation.override(LANGUAGE):
        found = turn_of(dialogues, book.get(PAGE), talk, push, partial(_facts_of_talk, push, book, rows))
    if found is None:
        return None
    turn, version_id = found
    steps = talk.steps if talk and talk.version_id == version_id else dialogues.steps_of(version_id)
    after = Talk(version_id, steps, turn.state, push.received_at) if turn.state else None
    just_said.keep(push, talk, after)
    return Text(turn.text) if turn.text else None


_TRIGGERS: Final = {
    "text": Trigger.KEYWORD,
    "subscribe": Trigger.FOLLOW,
    **dict.fromkeys(ANSWERED_TAPS, Trigger.CLICK),
}
_ANYTHING: Final = Trigger.DEFAULT


def asked_of(push: Push) -> Asked:
    """Give what a push asks, as far as rules look at it."""
    return Asked(
        trigger=_TRIGGERS.get(push.kind, _ANYTHING),
        at=push.received_at,
        text=push.content,
        key=push.key,
        scene=push.scene,
        push=(push.openid, push.event_at, push.msgid),
    )


def _decide(push: Push, book: ReplyBook, facts: Facts | None = None) -> Decision:
    rules: Rules | None = book.get(PAGE)
    return rules.decide(asked_of(push), facts) if rules else NOTHING


class JustDecided:
    """What the rules say of a push without asking PostgreSQL: several repliers ask for it, one after the other."""

    def __init__(self) -> None:
        self._last: tuple[Push | None, ReplyBook | None, Decision] = None, None, NOTHING

    def of(self, push: Push, book: ReplyBook) -> Decision:
        """Give the decision, made once."""
        if self._last[0] is not push or self._last[1] is not book:
            rules: Rules | None = book.get(PAGE)
            facts = known.facts_of(push.account_id, rules, push.openid) if rules is not None else None
            self._last = push, book, _decide(push, book, facts)
        return self._last[2]


just_decided = JustDecided()


def needs_facts(push: Push, book: ReplyBook) -> bool:
    """Say whether the person has to be looked up before a rule can be chosen."""
    return just_decided.of(push, book).needs_facts


@reply_to("subscribe", "text", *ANSWERED_TAPS, *OTHER_MESSAGES, key="conversations.rule", rank=60)
def by_rule(push: Push, book: ReplyBook) -> Reply | None:
    """Answer by the first rule that captures, when nothing has to be looked up for it."""
    return as_reply(just_decided.of(push, book))


def who_is_it(push: Push, book: ReplyBook) -> Query | None:
    """Ask what rules want to know of the person, if they do."""
    if not needs_facts(push, book):
        return None
    return partial(facts_query, book.get(PAGE), push.account_id, push.openid, at=push.received_at)


@reply_to(
    "subscribe", "text", *ANSWERED_TAPS, *OTHER_MESSAGES, key="conversations.rule_for_some", rank=61, asks=who_is_it
)
def by_rule_for_some(push: Push, book: ReplyBook, rows: Sequence[Mapping[str, Any]]) -> Reply | None:
    """Answer by the first rule that captures and is for this person."""
    return as_reply(_decide(push, book, facts_in(rows, book.get(PAGE))))


@reply_to(
    "subscribe",
    "text",
    *ANSWERED_TAPS,
    *OTHER_MESSAGES,
    key="conversations.rule_without_facts",
    rank=62,
    when=needs_facts,
)
def by_rule_without_facts(push: Push, book: ReplyBook) -> Reply | None:
    """Answer as a stranger is answered when the person could not be looked up in time."""
    return as_reply(_decide(push, book, Facts()))


@reply_to("SCAN", key="conversations.scan", rank=60)
def scanned_again(push: Push, book: ReplyBook) -> Reply | None:
    """Somebody who follows scans a code: its own welcome, if it has one."""
    rules: Rules | None = book.get(PAGE)
    rule = rules.code_welcome(push.scene, asked_of(push).at) if rules else None
    return passive_of(rule.contents[0]) if rule else None


def as_reply(decision: Decision) -> Reply | None:
    """Give the first answer in the gateway's form; the others follow by the worker."""
    return passive_of(decision.contents[0]) if decision.contents else None


BY_RULES: Final = frozenset({"subscribe", "text", "SCAN", *ANSWERED_TAPS, *OTHER_MESSAGES})


@prepares(key="conversations.rules", rank=5)
def look_up_compiled(pushes: Sequence[Push]) -> None:
    """Look up the rules that many pushes are asked about, once."""
    look_up_rules([push for push in pushes if push.kind in BY_RULES])


# Before the handlers that record who follows: the rules ask whether somebody had left before this push.
@on_event("subscribe", "text", *ANSWERED_TAPS, *OTHER_MESSAGES, key="conversations.note_answer", rank=5)
def note_answer(push: Push) -> None:
    """Note what was answered and why in this way; send what has to follow; keep what no rule captured."""
    services.note_answer(push=push, asked=asked_of(push))


@on_event(*BUTTON_EVENTS, key="conversations.note_tap", rank=70)
def note_tap(push: Push) -> None:
    """Note which buttons of the menu are used."""
    services.note_tap(
        account_id=push.account_id,
        key=push.key,
        at=push.event_at,
        openid=push.openid,
        kind=push.kind,
        push_id=push.push_id,
    )
