"""What is true of the planted crowd: every fact of its people follows from their number, so it can be counted apart.

Nothing here asks the database: reports are checked against these figures, not against the rows they are made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SEED: Final = 20250601
# How many people are planted beside those of the simulated WeChat, brand by brand.
SIZES: Final[dict[str, dict[str, int]]] = {
    "S": {},
    "M": {"lanyu": 60_000, "zaoshan": 85_000},
    "L": {"lanyu": 1_000_000},
}
SAMPLE: Final = 2_000  # so many people a test counts twice
DAYS: Final = 180
TAGS: Final = ("种植 A", "种植 B", "种植 C", "种植 D", "种植 E")
POINTS: Final = 88
GOODS: Final = (("LY-1024", "shirts"), ("LY-2048", "new"), ("LY-0512", "scarves"))
# Where the crowd's parcels are sent, by codes of GB/T 2260; of the last sixth of them the address says no place.
PLACES: Final = (
    ("330000", "330100", "330106"),
    ("310000", "310100", "310115"),
    ("440000", "440300"),
    ("110000", "110100", "110105"),
    ("510000",),
    (),
)
COUPON: Final = "春季会员礼 30 元"
SAVED: Final = 3_000
COUPON_DAYS: Final = 100  # ago the first of these coupons were given
# The tiers of a brand by what they begin at, in yuan of twelve months; the planted history is shorter than that.
Ladder = Sequence[tuple[str, int]]


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
        """Spread over half a year, and every kind of people over every day of it."""
        return (self.number * 7 + self.number // DAYS) % DAYS

    @property
    def seen_days_ago(self) -> int:
        """Some were heard of lately, some never again."""
        days, wrote = self.joined_days_ago * (self.number * 13 % 17) // 16, self.wrote_days_ago
        return days if wrote is None else min(days, wrote)

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

    def store(self, stores: int) -> int:
        """Everybody has a store: which of so many."""
        return self.number % stores

    def code(self, codes: int) -> int | None:
        """Say by which of so many codes they came: more by the first ones; a fifth of those who follow by none."""
        if not codes or not self.follows or self.number % 5 == 4:
            return None
        return min(self.number * 31 % codes, self.number // codes * 17 % codes)

    @property
    def purchases(self) -> tuple[tuple[int, int], ...]:
        """What they bought: (fen, days ago) each. A quarter of the members buy; one in five of those for more.

        And one in forty for a lot.
        """
        if not self.joined or self.number % 4:
            return ()
        many = next((fen for every, fen in ((160, 1_000_000), (20, 250_000)) if self.number % every == 0), 0)
        since = self.joined_days_ago + 1  # nobody bought before joining
        return tuple(
            (many + 10_000 + (self.number * 37 + each * 1_010) % 90_000, (self.number * 3 + each * 13) % since)
            for each in range(1 + self.number % 3)
        )

    @property
    def place(self) -> tuple[str, ...]:
        """Each buyer has everything sent to one place."""
        return PLACES[self.number // 4 % len(PLACES)]

    @property
    def refund(self) -> tuple[int, int] | None:
        """What they brought back of their first purchase: (fen, days ago). One buyer in seven, half of them all of it.

        Nobody brings something back that was bought within the last three days.
        """
        bought = self.purchases
        if not bought or self.number % 28 or bought[0][1] < 3:
            return None
        fen, days = bought[0]
        return (fen if self.number % 56 else fen // 2, days - 3)

    @property
    def paid(self) -> tuple[int, ...]:
        """What is left of each purchase, in fen."""
        back = self.refund[0] if self.refund else 0
        return tuple(fen - (0 if each else back) for each, (fen, _days) in enumerate(self.purchases))

    @property
    def guided(self) -> bool:
        """Three members in four have a guide, where their store has guides."""
        return self.joined and self.number % 4 != 3

    @property
    def points(self) -> int:
        """One in ten members has points for joining."""
        return POINTS if self.joined and self.number % 10 == 1 else 0

    @property
    def coupon(self) -> str:
        """A third of the older members has the planted coupon: two of five used theirs, one let it expire."""
        if not self.joined or self.number % 3 != 2 or self.joined_days_ago <= COUPON_DAYS:
            return ""
        return ("used", "used", "expired", "unused", "unused")[self.number // 3 % 5]

    @property
    def wrote_days_ago(self) -> int | None:
        """One follower in fifty has talked with the brand since, and was answered."""
        days = 3 + self.number // 50 % 80
        return days if self.follows and self.number % 50 == 7 and days < self.joined_days_ago else None

    @property
    def answered_after(self) -> int:
        """Say after how many minutes they were answered."""
        return 1 + self.number // 50 % 24


def points_for(fen: int) -> int:
    """Give what the rule of the demo gives for a purchase: a point for each yuan."""
    return fen // 100


def tier_of(fen: int, ladder: Ladder) -> str:
    """Give the tier that so much reaches."""
    return next((name for name, yuan in sorted(ladder, key=lambda each: -each[1]) if fen // 100 >= yuan), "")


def truth(
    people: int,
    *,
    stores: Sequence[str] = (),
    guided: Collection[str] = (),
    codes: Sequence[str] = (),
    ladder: Ladder = (),
) -> dict[str, Any]:
    """Count what is true of a crowd of so many people over some stores, codes and tiers, each by its name.

    `guided` are the stores that have guides.
    """
    said: Counter[str] = Counter()
    named: dict[str, Counter[str]] = {
        name: Counter()
        for name in (
            "tags",
            "birthdays_by_month",
            "people_by_store",
            "came_by_code",
            "members_by_tier",
            "coupons",
            "buyers_by_province",
        )
    }
    spent: list[int] = []
    for person in map(Person, range(people)):
        said["following"] += person.follows
        said["members"] += person.joined
        said["points_outstanding"] += person.points
        named["tags"][person.tag] += 1
        if person.birth_mmdd is not None:
            named["birthdays_by_month"][str(person.birth_mmdd // 100)] += 1
        if stores:
            store = stores[person.store(len(stores))]
            named["people_by_store"][store] += 1
            said["with_guide"] += person.guided and store in guided
        code = person.code(len(codes))
        if code is not None:
            named["came_by_code"][codes[code]] += 1
        if person.coupon:
            named["coupons"] += Counter({"given": 1, person.coupon: 1})
        said["answered"] += person.wrote_days_ago is not None
        if ladder and person.joined:
            named["members_by_tier"][tier_of(sum(person.paid), ladder)] += 1
        if person.purchases:
            spent.append(_bought(person, said))
            if person.place and any(person.paid):
                named["buyers_by_province"][person.place[0]] += 1
    best = sorted(spent, reverse=True)
    fifth = best[: (len(best) + 4) // 5]
    return {
        "seed": SEED,
        "people": people,
        "waiting": 0,
        "net_fen": said["purchased_fen"] - said["refunded_fen"],
        **dict(sorted(said.items())),
        **{name: dict(sorted(counted.items())) for name, counted in named.items()},
        "best_fifth_percent": round(100 * sum(fifth) / sum(spent), 1) if spent else 0.0,
    }


def _bought(person: Person, said: Counter[str]) -> int:
    fen = sum(each for each, _days in person.purchases)
    said["buyers"] += any(person.paid)  # who brought everything back counts as nobody who bought
    said["purchases"] += len(person.purchases)
    said["purchased_fen"] += fen
    said["refunds"] += person.refund is not None
    said["refunded_fen"] += person.refund[0] if person.refund else 0
    said["points_outstanding"] += sum(points_for(each) for each in person.paid)
    return fen


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Add what is true of two groups of people: the figures that both truths tell, and counts by their names."""
    found: dict[str, Any] = {}
    for key in sorted({*one} & {*other}):
        if isinstance(one[key], Mapping):
            found[key] = dict(sorted((Counter(one[key]) + Counter(other[key])).items()))
        elif isinstance(one[key], int):
            found[key] = one[key] + other[key]
    return found
