"""What the loader itself planted into a brand, written down while it plants: the truth of size S.

Who plants something that a report shows notes it here, in the words of the plan and not as the database has it. Nobody
need know whether a notebook is open: without one the notes go nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from demo.truth import Ladder, tier_of

YEAR: Final = timedelta(days=365)


@dataclass
class Order:
    """A purchase, and what came back of it."""

    at: datetime
    fen: int
    back: int = 0


@dataclass
class Notebook:
    """Notes about one brand. People are known by their record, or by whatever else is theirs alone."""

    members: set[Any] = field(default_factory=set)
    with_guide: set[Any] = field(default_factory=set)
    came: dict[Any, str] = field(default_factory=dict)  # who came by which code
    stores: dict[Any, str] = field(default_factory=dict)
    tags: dict[Any, set[str]] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    buyers: dict[Any, list[str]] = field(default_factory=dict)
    tiers: dict[Any, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    ladder: Ladder = ()

    def bought(self, who: Any, number: str, fen: int, at: datetime) -> None:
        """Note a purchase; whoever has paid enough within a year rises at once."""
        self.orders[number] = Order(at, fen)
        self.buyers.setdefault(who, []).append(number)
        self._rise(who, at)

    def brought_back(self, who: Any, number: str, fen: int, at: datetime) -> None:
        """Note what came back of a purchase. Nobody falls before their year is over."""
        self.orders[number].back += fen
        self.counts["refunds"] += 1
        self._rise(who, at)

    def _rise(self, who: Any, at: datetime) -> None:
        own = [self.orders[number] for number in self.buyers[who]]
        paid = sum(each.fen - each.back for each in own if at - YEAR < each.at <= at)
        yuan = dict(self.ladder)
        reached = [name for name in (self.tiers.get(who), tier_of(paid, self.ladder)) if name]
        if reached:
            self.tiers[who] = max(reached, key=yuan.__getitem__)

    def truth(self) -> dict[str, Any]:
        """Count the notes, under the names that the truth of a crowd has."""
        lowest = next((name for name, yuan in self.ladder if not yuan), "")
        tiers = Counter(self.tiers.values())
        if lowest:
            tiers[lowest] += len(self.members - set(self.tiers))
        purchased = sum(each.fen for each in self.orders.values())
        refunded = sum(each.back for each in self.orders.values())
        return {
            **dict(sorted(self.counts.items())),
            "coupons": {},  # of the templates that a crowd has
            "pending_ids": 0,
            "members": len(self.members),
            "with_guide": len(self.with_guide),
            "purchases": len(self.orders),
            "purchased_fen": purchased,
            "refunded_fen": refunded,
            "net_fen": purchased - refunded,
            "buyers": sum(
                any(self.orders[each].fen > self.orders[each].back for each in own) for own in self.buyers.values()
            ),
            "people_by_store": dict(sorted(Counter(self.stores.values()).items())),
            "came_by_code": dict(sorted(Counter(self.came.values()).items())),
            "tags": dict(sorted(Counter(name for own in self.tags.values() for name in own).items())),
            "members_by_tier": dict(sorted(tiers.items())),
        }


_open: ContextVar[Notebook | None] = ContextVar("zhiyin_demo_notebook", default=None)


def notes() -> Notebook:
    """Give the open notebook, or one that nobody reads."""
    return _open.get() or Notebook()


@contextmanager
def kept() -> Iterator[Notebook]:
    """Keep a notebook open while a brand is planted."""
    book = Notebook()
    before = _open.set(book)
    try:
        yield book
    finally:
        _open.reset(before)
