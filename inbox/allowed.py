"""What allowed a message of ours: the statement it was sent under, and the person's own act. Found when somebody asks.

Campaigns name the statement of each delivery themselves; everything else that goes to one person is a line of a
conversation: answers of people and of rules, welcomes, promises, news of points and birthdays, notices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from common.registry import Registry
from inbox.models import Direction, Message
from inbox.selectors import ledger_of
from members.models import Consent, Purpose
from members.selectors import consent_behind
from wechat_gateway import windows
from wechat_gateway.events import MESSAGE_KINDS

if TYPE_CHECKING:
    from datetime import datetime

    from django_stubs_ext import StrOrPromise

    from inbox.models import Conversation

#: Newest lines that are looked through for the act that opened the window.
_LOOKED_AT: Final = 50
_EVENT_ACTS: Final = {"subscribe": windows.Act.FOLLOW, "SCAN": windows.Act.SCAN, "unsubscribe": windows.Act.LEFT}


@dataclass(frozen=True)
class Basis:
    """What allowed a message: why it went at all (`ground`), the statement about its purpose, and the person's act.

    `purpose` is empty where no statement is needed; `consent` is None where nothing was said about the purpose.
    `line_id` is the line of the act, where there is one.
    """

    ground: StrOrPromise
    purpose: str = ""
    consent: Consent | None = None
    act: windows.Act | None = None
    act_at: datetime | None = None
    line_id: int | None = None


@dataclass(frozen=True)
class Ground:
    """One kind of message: which lines are of it, and what allowed one. Asked in the order of their keys."""

    is_of: Callable[[Message], bool]
    find: Callable[[Conversation, Message], Basis]


grounds: Registry[Ground] = Registry(
    "message grounds", purpose="what allowed a message to one person: the statement behind it, or their own act"
)


def basis_of(conversation: Conversation, line: Message) -> Basis:
    """Say what allowed a message of ours in a conversation."""
    for _key, ground in sorted(grounds.items()):
        if ground.is_of(line):
            return ground.find(conversation, line)
    return _answer(conversation, line)


def basis_by_act(conversation: Conversation, line: Message, ground: StrOrPromise, *, purpose: str = "") -> Basis:
    """Give a basis with the act that opened the window the message went through, and the statement about a purpose."""
    consent = None
    if purpose:
        consent = consent_behind(member_id=conversation.follower.member_id, purpose=purpose, at=line.at)
    act, at, line_id = _act_before(conversation, line.reserved_at or line.at)
    return Basis(ground, purpose, consent, act, at, line_id)


def _act_before(conversation: Conversation, at: datetime) -> tuple[windows.Act | None, datetime | None, int | None]:
    """Find the newest act whose window was open at a moment; what they did without a conversation is in the ledger."""
    lasts = {rule.act: rule.lasts for rule in windows.rules_at(at)}
    rows = Message.objects.filter(
        conversation=conversation, direction__in=[Direction.IN, Direction.EVENT], at__lte=at
    ).order_by("-at", "-pk")
    for row in rows[:_LOOKED_AT]:
        act = _act_of(row)
        if act is windows.Act.LEFT:
            break
        if act is not None and row.at + lasts[act] > at:
            return act, row.at, row.pk
    ledger = ledger_of(conversation.follower_id)
    known = [(moment, act) for act in windows.OPENING if (moment := ledger.when(act)) is not None and moment <= at]
    open_then = [(moment, act) for moment, act in known if moment + lasts[act] > at]
    if not open_then:
        return None, None, None
    moment, act = max(open_then)
    return act, moment, None


def _act_of(row: Message) -> windows.Act | None:
    if row.direction == Direction.IN:
        return windows.Act.MESSAGE if row.kind in MESSAGE_KINDS else None
    if row.kind in windows.MENU_TAPS:
        return windows.Act.MENU
    if row.kind == "subscribe" and row.facts.get("scene"):
        return windows.Act.SCAN
    return _EVENT_ACTS.get(row.kind)


def _answer(conversation: Conversation, line: Message) -> Basis:
    return basis_by_act(conversation, line, _("An answer to what they did themselves (PIPL art. 13 (2))"))


def _unasked(conversation: Conversation, line: Message) -> Basis:
    asked = [str(key) for key in line.facts.get("asks", ())]
    purpose = asked[0] if asked else Purpose.SERVICE.value
    if purpose == Purpose.MARKETING:
        return basis_by_act(
            conversation, line, _("Nobody asked for it: it went to somebody who had not refused it"), purpose=purpose
        )
    return basis_by_act(
        conversation,
        line,
        _("News of what they have, as their membership promises (PIPL art. 13 (2))"),
        purpose=purpose,
    )


grounds.register("inbox.unasked", Ground(lambda line: bool(line.facts.get("asks")), _unasked))
