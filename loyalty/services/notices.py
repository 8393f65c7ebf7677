"""Telling people what they have: carried by the first registered way that reaches them, by day only, once.

A way that failed is noted with the row, and the next one is asked: at once where WeChat refused, else hours later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from common.registry import Registry
from loyalty.models import Notice, Unreached
from loyalty.news import kinds
from loyalty.selectors import points as selectors
from members.gate import gate_for
from members.models import Member, Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

AT_ONCE: Final = 200
AGAIN: Final = timedelta(hours=6)  # between two tries to reach somebody no way reaches yet
REFUSED_FOR: Final = timedelta(days=1)  # what WeChat refused by one way is not tried by it before
_FOR_GOOD: Final = timedelta(days=400)  # longer than anything is news
_REPORTED: Final = frozenset({Unreached.BLOCKED.value, Unreached.LOST.value})  # after WeChat had taken it
_FIRST_HOUR, _LAST_HOUR = 9, 21


@dataclass(frozen=True)
class Owed:
    """What somebody is to be told: what the text is filled with, the rows it stands in, and the ways that failed.

    `held` maps a way to the moment (ISO 8601) before which it is not asked again; `why` is why they were not told
    before.
    """

    words: Mapping[str, str]
    rows: tuple[int, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class News:
    """One piece of news for one person, as a way gets it: filled in, and what it was filled with.

    `reference` is kept with whatever carries it, and given back to `not_told` when that did not leave. `memo` is one
    for all who are told together: what a way looks up once for them.
    """

    member_id: int
    about: str
    text: str
    words: Mapping[str, str]
    reference: dict[str, Any]
    memo: dict[str, Any] = field(default_factory=dict)


# callable(news: News, *, at: datetime) -> True, False or a reason: sends or queues it, in the transaction that notes
# it; not True when this way does not reach the person now, and a key of `Unreached` when it knows why. Ways are asked
# in the order of their keys.
on_notice: Registry[Callable[..., bool | str]] = Registry(
    "loyalty notices",
    purpose="who carries news of what people have (see news kinds): callable(news, *, at) -> bool, or why not",
)
before_notices: Registry[Callable[..., None]] = Registry(
    "holds before loyalty notices",
    purpose="what a way locks of many people before the first of them is told: callable(*, member_ids)",
)


def by_day(at: datetime) -> bool:
    """Say whether it is an hour of the brand in which people may be written to."""
    return _FIRST_HOUR <= at.astimezone(selectors.zone()).hour < _LAST_HOUR


def tell(text: str, people: Mapping[int, Owed], *, about: str, at: datetime) -> dict[int, tuple[str, str]]:
    """Tell people; gives for each by which way, or why nobody could."""
    for _key, hold in before_notices.items():
        hold(member_ids=list(people))
    refusing = gate_for(list(people), purpose=Purpose.SERVICE).refusing
    following = set(Member.objects.filter(pk__in=people, subscribed=True).order_by().values_list("pk", flat=True))
    found, memo = {}, dict[str, Any]()
    for member_id, owed in people.items():
        if member_id in refusing:
            found[member_id] = ("", Unreached.REFUSED.value)
            continue
        way, why = _way(member_id, text, owed, about, memo, at)
        if not way and not why:
            why = (Unreached.NO_WINDOW if member_id in following else Unreached.NOT_FOLLOWING).value
        found[member_id] = (way, why)
    return found


def _way(member_id: int, text: str, owed: Owed, about: str, memo: dict[str, Any], at: datetime) -> tuple[str, str]:
    """Ask the ways one after the other; what one of them says is better than that another one failed before."""
    held = {key for key, until in owed.held.items() if datetime.fromisoformat(until) > at}
    why = (owed.why if owed.why in _REPORTED else Unreached.FAILED.value) if held else ""
    said_so = filled(text, about, owed.words)
    for key, carry in on_notice.items():
        if key in held:
            continue
        reference = {"about": about, "rows": list(owed.rows), "way": key}
        said = carry(News(member_id, about, said_so, owed.words, reference, memo), at=at)
        if said is True:
            return key, ""
        why = said or why
    return "", why


def not_told(*, reference: Mapping[str, Any], why: str, hold: timedelta | None, at: datetime) -> None:
    """What was to tell somebody did not leave: nobody was told, and another way is tried.

    `hold` says for how long this way is not asked again; it is None where the person has refused, so that no way is
    right. Twice is once: a row that another way has told since is left alone.
    """
    rows = kinds.get(reference["about"]).rows._default_manager.select_for_update()
    for row in rows.filter(pk__in=reference["rows"], way=reference["way"]).order_by("pk"):
        row.way, row.why, row.tried_at = "", why, None if hold is not None else at
        if hold:
            row.ways_held = {**row.ways_held, reference["way"]: (at + hold).isoformat()}
        row.save(update_fields=["way", "why", "tried_at", "ways_held"])


def not_delivered(*, reference: Mapping[str, Any], is_refused: bool, at: datetime) -> None:
    """WeChat took it and reports later that it did not arrive: the next way is tried.

    Where the person refuses what comes by this way it is not asked again; else once more, hours later (reference:
    service account 3.4).
    """
    rows = kinds.get(reference["about"]).rows._default_manager.filter(pk__in=reference["rows"])
    again = any(reference["way"] in held for held in rows.order_by("pk").values_list("ways_held", flat=True))
    why = Unreached.BLOCKED if is_refused else Unreached.LOST
    hold = _FOR_GOOD if is_refused or again else AGAIN
    not_told(reference=reference, why=why.value, hold=hold, at=at)


def still_true(*, reference: Mapping[str, Any], at: datetime) -> bool:
    """Say whether all that a message is to tell is true: it may have waited for a worker."""
    source = kinds.get(reference["about"]).source
    if source is None:
        return True
    rows = list(Notice.objects.filter(pk__in=reference["rows"]).order_by("pk"))
    true = source.still(rows, at=at)
    return len(rows) == len(reference["rows"]) and all(
        row.pk in true and true[row.pk].member_id == row.member_id for row in rows
    )


def filled(text: str, about: str, words: Mapping[str, str]) -> str:
    """Fill in what operators wrote between braces, in whichever language of the console."""
    kind = kinds.get(about)
    for name, value in words.items():
        for spelling in kind.spellings(name):
            text = text.replace(spelling, value)
    return text
