"""How the people of a crowd take messages and when they buy: decided by a seed and the person alone.

Whoever runs a test can work out beforehand what each person will do, so the true lift of a campaign and the true cycle
of purchases are known (there is no page of WeChat's behind this: it is the simulator's own model).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import Any

from wechat_simulator.world import WorldError

DAY = 86_400.0


def draw(seed: str, person: str, question: str) -> float:
    """A number from 0 up to 1, always the same for the same seed, person and question."""
    digest = hashlib.sha256(f"{seed}|{person}|{question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class Fate:
    """What one person does after a message, whenever it comes."""

    opens: bool
    clicks: bool
    replies: bool
    buys: bool  # because of the message
    buys_anyway: bool  # without it too
    blocks: bool
    leaves: bool

    @property
    def ignores(self) -> bool:
        """Nothing at all is seen of this person."""
        return not (self.opens or self.blocks or self.leaves)


@dataclass(frozen=True)
class Behaviour:
    """The chances of a crowd. ``click`` and ``reply`` are of those who open; nobody both leaves and blocks."""

    prefix: str
    count: int
    seed: str
    open: float = 0.0
    click: float = 0.0
    reply: float = 0.0
    buy: float = 0.0
    buy_anyway: float = 0.0
    block: float = 0.0
    leave: float = 0.0
    within_days: float = 7.0  # a purchase that a message caused comes within so many days
    cycle_low: float = 0.0  # days between purchases of a person, from …
    cycle_high: float = 0.0  # … to; 0: nobody buys regularly

    def __post_init__(self) -> None:
        chances = (self.open, self.click, self.reply, self.buy, self.buy_anyway, self.block, self.leave)
        if not all(0 <= chance <= 1 for chance in chances) or self.block + self.leave > 1:
            msg = f"crowd {self.prefix}: a chance is between 0 and 1, and leaving and blocking are at most 1 together"
            raise WorldError(msg)
        if not 0 <= self.cycle_low <= self.cycle_high:
            msg = f"crowd {self.prefix}: cycle_low is at most cycle_high"
            raise WorldError(msg)

    def people(self) -> list[str]:
        """Ids of the crowd."""
        return [f"{self.prefix}{index:06d}" for index in range(1, self.count + 1)]

    def fate(self, person: str) -> Fate:
        """What a person does; nothing else has a say."""

        def falls(question: str, chance: float) -> bool:
            return draw(self.seed, person, question) < chance

        opens = falls("open", self.open)
        end = draw(self.seed, person, "end")
        anyway = falls("buy anyway", self.buy_anyway)
        return Fate(
            opens=opens,
            clicks=opens and falls("click", self.click),
            replies=opens and falls("reply", self.reply),
            buys=not anyway and falls("buy", self.buy),
            buys_anyway=anyway,
            leaves=end < self.leave,
            blocks=self.leave <= end < self.leave + self.block,
        )

    def cycle(self, person: str) -> float:
        """Seconds between two purchases of a person; 0 for who does not buy regularly."""
        return (self.cycle_low + (self.cycle_high - self.cycle_low) * draw(self.seed, person, "cycle")) * DAY

    def purchases(self, person: str, start: float, until: float) -> list[float]:
        """The regular purchases of a person in a span: each one cycle after the one before, whatever the span."""
        length = self.cycle(person)
        if not length:
            return []
        moment = draw(self.seed, person, "phase") * length
        moment += max(0, -(-(start - moment) // length)) * length
        found = []
        while moment < until:
            found.append(moment)
            moment += length
        return found

    def bought_at(self, person: str, message_at: float) -> float | None:
        """When somebody buys after a message (or would have without one)."""
        fate = self.fate(person)
        if not (fate.buys or fate.buys_anyway):
            return None
        return message_at + draw(self.seed, person, "moment") * self.within_days * DAY

    def view(self) -> dict[str, Any]:
        """Chances, and how many of the crowd will do what: the truth that a report is held against."""
        fates = [self.fate(person) for person in self.people()]
        names = [*(item.name for item in fields(Fate)), "ignores"]
        return {**asdict(self), "expected": {name: sum(getattr(fate, name) for fate in fates) for name in names}}


def made(item: dict[str, Any], prefix: str, count: int, seed: str) -> Behaviour:
    """From a world description: unknown names are refused."""
    known = {field.name for field in fields(Behaviour)} - {"prefix", "count"}
    if unknown := set(item) - known:
        msg = f"unknown keys {sorted(unknown)} of the behaviour of crowd {prefix}"
        raise WorldError(msg)
    return Behaviour(**{"prefix": prefix, "count": count, "seed": seed, **item})
