"""What a scenario found: figures to print, and breaches that fail it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Figures by name in the order they are printed, and everything that should not be."""

    figures: dict = field(default_factory=dict)
    breaches: list = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    may_end: int = 0  # how many processes may end by themselves and be started again by the supervisor

    def note(self, **figures):
        self.figures.update(figures)

    def at_most(self, what, found, bound):
        """Note a figure with its bound."""
        self.figures[what] = f"{_short(found)} ≤ {_short(bound)}"
        if found > bound:
            self.breaches.append(f"{what}: {_short(found)} is more than {_short(bound)}")

    def at_least(self, what, found, bound):
        self.figures[what] = f"{_short(found)} ≥ {_short(bound)}"
        if found < bound:
            self.breaches.append(f"{what}: {_short(found)} is less than {_short(bound)}")

    def equal(self, what, found, wanted):
        if found == wanted:
            self.figures[what] = _short(found)
        else:
            self.breaches.append(f"{what}: {_short(found)} instead of {_short(wanted)}")

    def none(self, what, found):
        """Note how many there are of something of which there must be none."""
        count = len(found)
        self.figures[what] = count
        if count:
            self.breaches.append(f"{what}: {count}, for example {', '.join(str(each) for each in list(found)[:3])}")

    def holds(self, what, condition):
        if not condition:
            self.breaches.append(what)

    @property
    def passed(self):
        return not self.breaches


def tell(key, outcome, seed):
    """Print one scenario's figures; breaches each on a line of their own."""
    seconds = time.monotonic() - outcome.began
    figures = "  ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in outcome.figures.items())
    sys.stdout.write(f"{key:<4} {'PASS' if outcome.passed else 'FAIL'}  seed {seed}  {figures}  [{seconds:.1f} s]\n")
    for breach in outcome.breaches:
        sys.stdout.write(f"      BREACH {breach}\n")
    sys.stdout.flush()


def _short(value):
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
