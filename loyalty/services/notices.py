"""Telling people what they have: carried by the first registered way that reaches them, by day only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from common.registry import Registry
from loyalty.models import Unreached
from loyalty.selectors import points as selectors
from members.gate import gate_for
from members.models import Member, Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

AT_ONCE: Final = 200
AGAIN: Final = timedelta(hours=6)  # between two tries to reach somebody no way reaches yet
_FIRST_HOUR, _LAST_HOUR = 9, 21

# callable(*, member_id=int, text=str, about=str, at=datetime) -> bool: sends or queues the text, in the transaction
# that notes it; False when this way does not reach the person now. Ways are asked in the order of their keys.
on_notice: Registry[Callable[..., bool]] = Registry(
    "loyalty notices",
    purpose="who carries the news that points end or that a birthday benefit came: "
    "callable(*, member_id, text, about, at) -> bool",
)


def by_day(at: datetime) -> bool:
    """Say whether it is an hour of the brand in which people may be written to."""
    return _FIRST_HOUR <= at.astimezone(selectors.zone()).hour < _LAST_HOUR


def tell(texts: Mapping[int, str], *, about: str, at: datetime) -> dict[int, tuple[str, str]]:
    """Tell people; gives for each by which way, or why nobody could."""
    refusing = gate_for(list(texts), purpose=Purpose.SERVICE).refusing
    following = set(Member.objects.filter(pk__in=texts, subscribed=True).order_by().values_list("pk", flat=True))
    found = {}
    for member_id, text in texts.items():
        if member_id in refusing:
            found[member_id] = ("", Unreached.REFUSED.value)
        elif way := _way(member_id, text, about, at):
            found[member_id] = (way, "")
        else:
            why = Unreached.NO_WINDOW if member_id in following else Unreached.NOT_FOLLOWING
            found[member_id] = ("", why.value)
    return found


def _way(member_id: int, text: str, about: str, at: datetime) -> str:
    for key, carry in on_notice.items():
        if carry(member_id=member_id, text=text, about=about, at=at):
            return key
    return ""


def filled(text: str, words: Mapping[tuple[str, ...], str]) -> str:
    """Fill in what operators wrote between braces, in whichever language of the console."""
    for spellings, value in words.items():
        for spelling in spellings:
            text = text.replace(spelling, value)
    return text
