"""What a carrier is: the protocol every file of this package satisfies, and the registry they join."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from django.db.models import QuerySet
    from django.utils.functional import _StrPromise

    from campaigns.models import Campaign
    from members.models import Member
    from wechat_gateway.client import Outgoing


@dataclass(frozen=True)
class Problem:
    """Something that keeps a campaign from being launched, or (not `blocking`) that somebody should look at.

    `field` names what to correct: a model field, or `content.<key>`.
    """

    code: str
    message: str
    hint: str = ""
    field: str = ""
    blocking: bool = True


@dataclass(frozen=True)
class FieldInfo:
    """One field an operator fills in: its key, label and, for typed ones, how much fits and what it takes."""

    key: str
    label: str
    limit: int = 0
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Addressee:
    """The person a message is made for: openid and frozen facts."""

    openid: str
    facts: Mapping[str, str]


class Unrenderable(Exception):
    """The message cannot be made for this person: a field would be empty or of the wrong form."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Carrier(Protocol):
    """A way for messages to travel.

    `purposes` are the purposes WeChat allows. `families` are the kinds of the account's templates of which one gives
    the fields (and the look) of the message; `uses_template` says whether there are any. `confirms` says that WeChat
    recognises a repeated client_msg_id and reports each message's result later. `uses_allowance` says that each message
    takes one of those which the person's own acts allow: who has none left is not reached, and no more is ever sent.
    `uses_consent` says the same of the notifications that the person has agreed to, counted by template.
    """

    key: str
    label: _StrPromise
    purposes: frozenset[str]
    families: frozenset[str]
    uses_template: bool
    confirms: bool
    uses_allowance: bool
    uses_consent: bool

    def fields(self, campaign: Campaign) -> list[FieldInfo]:
        """Give what has to be filled in for a campaign."""
        ...

    def validate(self, campaign: Campaign) -> list[Problem]:
        """Give everything that is wrong with a campaign for this carrier; no queries beyond its template."""
        ...

    def composer(self, campaign: Campaign) -> Callable[[Addressee, str], Outgoing]:
        """Give the function that makes the call for one person from their facts and a client_msg_id.

        The function does no queries; it raises `Unrenderable`.
        """
        ...

    def reachable(self, members: QuerySet[Member], at: datetime, account_id: int | None = None) -> QuerySet[Member]:
        """Narrow members to those this carrier reaches at a moment (through one account, if given)."""
        ...


carriers: Registry[Carrier] = Registry("carriers", purpose="the ways a campaign's messages travel")


def legal_alternatives(purpose: str) -> list[str]:
    """Give the labels of the carriers WeChat allows for a purpose."""
    return [str(carrier.label) for _, carrier in carriers.items() if purpose in carrier.purposes]
