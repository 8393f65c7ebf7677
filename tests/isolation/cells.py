"""Cells of the matrix: what ran, what leaked, what was skipped and why, what nobody has declared."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPORT = "ZHIYIN_ISOLATION_REPORT"
MOST_FAULTS = 20  # of thousands of answers
FAULTS: Counter[str] = Counter()  # what answers of 500 were about, since the last section


@dataclass
class Cells:
    """The cells of one section."""

    section: str
    ran: int = 0
    leaks: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    facts: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def expect(self, fine: bool, *where: object, saw: object = "") -> None:
        """Count a cell; one that is not fine is a leak at a named surface."""
        self.ran += 1
        if not fine:
            self.leaks.append(" · ".join(str(part) for part in where) + (f" · saw {str(saw)[:300]}" if saw else ""))

    def skip(self, reason: str, cells: int = 1) -> None:
        """Count cells that make no sense."""
        self.skipped[reason] += cells

    def undeclare(self, surface: object) -> None:
        """Note something discovered about which nothing is declared."""
        self.undeclared.append(str(surface))

    def close(self) -> None:
        """Hand the figures to the runner; fail when anything leaked or is undeclared."""
        faults = sum(FAULTS.values())
        self.write()
        assert faults <= MOST_FAULTS, f"{faults} answers of 500 prove nothing"
        assert self.undeclared == [], f"undeclared: {self.undeclared}"
        assert self.leaks == [], "\n".join([f"{len(self.leaks)} of {self.ran} cells leak", *self.leaks[:40]])
        assert self.ran, "no cell ran"

    def write(self) -> None:
        """Append one line to the runner's report, when there is one."""
        if FAULTS:
            self.facts["answers of 500"] = dict(FAULTS)
            FAULTS.clear()
        target = os.environ.get(REPORT)
        if not target:
            return
        line = {
            "pass": os.environ.get("ZHIYIN_ISOLATION_PASS", "real"),
            "section": self.section,
            "ran": self.ran,
            "leaks": self.leaks,
            "undeclared": self.undeclared,
            "skipped": dict(self.skipped),
            "facts": self.facts,
            "seconds": round(time.monotonic() - self.started, 1),
        }
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
