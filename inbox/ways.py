"""Ways for a line to leave a conversation that is no customer-service message: apps above register theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from common.registry import Registry
from inbox.models import Conversation, Message
from wechat_gateway.answers import Answer
from wechat_gateway.client import Outgoing

Make: TypeAlias = Callable[[Conversation, Message], Outgoing]
GiveBack: TypeAlias = Callable[[Conversation, Message, Answer, datetime], None]


@dataclass(frozen=True)
class Way:
    """How lines of a way leave, and what becomes of what was taken for one that did not.

    `make` gives the call from the line alone; `give_back` runs in the transaction that notes the refusal.
    """

    make: Make
    give_back: GiveBack


ways: Registry[Way] = Registry(
    "inbox ways", purpose="how a line leaves a conversation other than as a customer-service message"
)
