"""By which ways people can be reached: carriers of the apps above register here, previews count them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

    from members.models import Member


@dataclass(frozen=True)
class Way:
    """A way to reach people: its label, and which of a set of members it reaches at a moment.

    `turns(since, until)` gives querysets of ids of members whom time alone may bring into its reach, or out of it,
    between two moments; without it a kept segment that asks for this way is found anew each time.
    """

    key: str
    label: Any
    narrow: Callable[[QuerySet[Member], datetime], QuerySet[Member]]
    turns: Callable[[datetime, datetime], list[QuerySet[Any]]] | None = None


carriers: Registry[Way] = Registry("ways of reaching", purpose="how many of a segment each carrier can reach")
