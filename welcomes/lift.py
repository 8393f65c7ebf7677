"""How much more often something happened in one group than in another, with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

_Z: Final = 1.959963984540054  # 97.5 % of a normal distribution lies below


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def rate(self) -> float | None:
        """The share, None of nobody."""
        return self.count / self.total if self.total else None


@dataclass(frozen=True)
class Lift:
    """A difference of two shares, and between which values it lies (Newcombe's hybrid score interval)."""

    difference: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval says that there is a difference at all."""
        return self.low > 0 or self.high < 0


def lift_of(treated: Share, control: Share) -> Lift | None:
    """Compare two groups; None while one of them is empty."""
    if not treated.total or not control.total:
        return None
    first, second = treated.count / treated.total, control.count / control.total
    (low1, high1), (low2, high2) = _wilson(treated), _wilson(control)
    difference = first - second
    return Lift(
        difference,
        difference - sqrt((first - low1) ** 2 + (high2 - second) ** 2),
        difference + sqrt((high1 - first) ** 2 + (second - low2) ** 2),
    )


def _wilson(share: Share) -> tuple[float, float]:
    n, rate = share.total, share.count / share.total
    middle = rate + _Z**2 / (2 * n)
    spread = _Z * sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    return (middle - spread) / (1 + _Z**2 / n), (middle + spread) / (1 + _Z**2 / n)
