"""What is true of the planted crowd: every fact of its people follows from their number, so it can be counted apart.

Nothing here asks the database: reports are checked against these figures, not against the rows they are made from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

SEED: Final = 20250601
SIZES: Final[dict[str, int]] = {"S": 0, "M": 60_000, "L": 1_000_000}
SAMPLE: Final = 2_000  # so many people the truth of size S is told for; the test plants them
DAYS: Final = 180
TAGS: Final = ("种植 A", "种植 B", "种植 C", "种植 D", "种植 E")
POINTS: Final = 88
# Where the crowd's parcels are sent, by codes of GB/T 2260; nobody knows where the last sixth of them buys.
PLACES: Final = (
    ("330000", "330100", "330106"),
    ("310000", "310100", "310115"),
    ("440000", "440300"),
    ("110000", "110100", "110105"),
    ("510000",),
    (),
)


@dataclass(frozen=True)
class Person:
    """Somebody of the crowd: all of it follows from the number."""

    number: int

    @property
    def follows(self) -> bool:
        """Nine of ten follow."""
        return self.number % 10 != 0

    @property
    def joined(self) -> bool:
        """63 of 100 are members."""
        return self.number % 100 < 63

    @property
    def joined_days_ago(self) -> int:
        """Spread over half a year."""
        return self.number * 7 % DAYS

    @property
    def birth_mmdd(self) -> int | None:
        """Two of three have told their birthday."""
        if self.number % 3 == 0:
            return None
        return (self.number // 7 % 12 + 1) * 100 + self.number % 28 + 1

    @property
    def tag(self) -> str:
        """Everybody has one of the planted tags."""
        return TAGS[self.number % len(TAGS)]

    @property
    def purchases(self) -> tuple[tuple[int, int], ...]:
        """What they bought: (fen, days ago) each. A quarter of the members buy, and one in forty of those a lot."""
        if not self.joined or self.number % 4:
            return ()
        many = 1_000_000 if self.number % 160 == 0 else 0
        return tuple(
            (many + 10_000 + (self.number * 37 + each * 1_010) % 90_000, (self.number * 3 + each * 13) % DAYS)
            for each in range(1 + self.number % 3)
        )

    @property
    def place(self) -> tuple[str, ...]:
        """Each buyer has everything sent to one place."""
        return PLACES[self.number // 4 % len(PLACES)]

    @property
    def points(self) -> int:
        """One in ten members has points."""
        return POINTS if self.joined and self.number % 10 == 1 else 0


def truth(people: int) -> dict[str, Any]:
    """Count what is true of a crowd of so many people."""
    crowd = [Person(number) for number in range(people)]
    spent = {person.number: sum(fen for fen, _days in person.purchases) for person in crowd if person.purchases}
    best = sorted(spent.values(), reverse=True)
    fifth = best[: (len(best) + 4) // 5]
    return {
        "seed": SEED,
        "people": people,
        "following": sum(person.follows for person in crowd),
        "members": sum(person.joined for person in crowd),
        "birthdays_by_month": {
            str(month): count
            for month, count in sorted(Counter(p.birth_mmdd // 100 for p in crowd if p.birth_mmdd is not None).items())
        },
        "tags": dict(sorted(Counter(person.tag for person in crowd).items())),
        "buyers": len(spent),
        "purchases": sum(len(person.purchases) for person in crowd),
        "purchased_fen": sum(spent.values()),
        "buyers_by_province": dict(sorted(Counter(p.place[0] for p in crowd if p.purchases and p.place).items())),
        "best_fifth_percent": round(100 * sum(fifth) / sum(spent.values()), 1) if spent else 0.0,
        "points_outstanding": sum(person.points for person in crowd),
    }
