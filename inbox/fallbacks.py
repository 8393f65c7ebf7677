"""What remains when no customer-service message may go: ways that apps register, the best legal one first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from django.utils.translation import gettext as _

from common.registry import Registry
from inbox.models import Conversation


@dataclass(frozen=True)
class Offer:
    """A way to reach somebody anyway.

    `link` is a page that does it; without one `act` is posted as a step of the conversation. One that is not
    `possible` stays visible, with the reason in `detail`.
    """

    label: str
    detail: str
    verb: str
    order: int
    link: str = ""
    act: str = ""
    possible: bool = True


Fallback: TypeAlias = Callable[[Conversation, datetime], Offer | None]

# Carriers of the apps above register here: subscription stock, a service template when the purpose allows it.
fallbacks: Registry[Fallback] = Registry(
    "inbox fallbacks", purpose="how a follower is reached when the reply window is closed"
)


def offers(conversation: Conversation, *, at: datetime) -> list[Offer]:
    """Give the ways that are left, the best possible one first; impossible ones last, with their reason."""
    found = [offer for _key, make in fallbacks.items() if (offer := make(conversation, at)) is not None]
    return sorted(found, key=lambda offer: (not offer.possible, offer.order))


def guide_task(conversation: Conversation, at: datetime) -> Offer:
    """Somebody calls or meets them instead."""
    return Offer(
        _("Give a guide a task"),
        _("The exclusive guide, or else the store, gets it on their list."),
        _("Create task"),
        30,
        act="task",
    )


def reminder(conversation: Conversation, at: datetime) -> Offer:
    """Wait until they write again."""
    return Offer(
        _("Wait until they write"),
        _("Their next message allows replies again, and stands on top of your list."),
        _("Remind me"),
        40,
        act="remind",
    )


fallbacks.register("inbox.guide_task", guide_task)
fallbacks.register("inbox.reminder", reminder)
