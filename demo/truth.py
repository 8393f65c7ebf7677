"""What is true of the planted crowd: every fact of its people follows from their number, so it can be counted apart.

Nothing here asks the database: reports are checked against these figures, not against the rows they are made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
# The coupons of a crowd: name and fen. A plain crowd has the first one only.
COUPONS: Final = (
    ("春季会员礼 30 元", 3_000),
    ("入会礼 20 元", 2_000),
    ("换季券 50 元", 5_000),
    ("老客感谢 40 元", 4_000),
    ("会员日 25 元", 2_500),
)
COUPON_DAYS: Final = 100  # ago the first of these coupons were given
COUPON_LASTS: Final = 60  # days
# How many days ago a coupon of a plain crowd was given, by what became of it.
GIVEN: Final = {"used": 70, "expired": 100, "unused": 9}


@dataclass(frozen=True)
class Shape:
    """What kind of crowd it is: how many join, tell their birthday and buy, and how often."""

    joined: int = 630  # of a thousand
    birthdays: int = 0  # of a hundred; 0: two of three
    often: tuple[int, ...] = ()  # how many purchases, in turn by person; () is how a plain crowd buys
    cycles: tuple[int, ...] = ()  # every so many days, in turn by person; 0: never
    points_days: int = DAYS  # since so long purchases give points; those before are history
    coupons: int = 1
    closed: tuple[int, int, int, int] | None = None  # of so many stores that one sold nothing from … to … days ago


PLAIN: Final = Shape()
# Half of the members buy, many once and a few 44 times.
RICH: Final = Shape(often=(1, 3, 1, 6, 1, 3, 1, 14, 1, 6, 1, 3, 1, 6, 1, 3, 14, 6, 3, 44), coupons=len(COUPONS))
# A restaurant: whoever comes again comes every week, every second, or once a month; one store was closed for 3 weeks.
DINING: Final = Shape(
    joined=612, birthdays=61, cycles=(7, 14, 30, 0, 7, 14, 30, 30), points_days=30, closed=(6, 2, 60, 81)
)
SHAPES: Final = {("M", "lanyu"): RICH, ("M", "zaoshan"): DINING}
# The tiers of a brand by what they begin at, in yuan of twelve months; the planted history is shorter than that.
Ladder = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Person:
    """Somebody of the crowd: all of it follows from the number, and from what kind of crowd it is."""

    number: int
    shape: Shape = PLAIN

    @property
    def follows(self) -> bool:
        """Nine of ten follow."""
        return self.number % 10 != 0

    @property
    def joined(self) -> bool:
        """63 of 100 are members, where the shape says no other share."""
        return self.number % 1000 * 10 % 1000 + self.number % 1000 // 100 < self.shape.joined

    @cached_property
    def joined_days_ago(self) -> int:  # brand: of one made-up person, kept by no brand
        """Spread over half a year, and every kind of people over every day of it."""
        return (self.number * 7 + self.number // DAYS) % DAYS

    @property
    def seen_days_ago(self) -> int:
        """Some were heard of lately, some never again."""
        days, wrote = self.joined_days_ago * (self.number * 13 % 17) // 16, self.wrote_days_ago
        return days if wrote is None else min(days, wrote)

    @property
    def birth_mmdd(self) -> int | None:
        """Two of three have told their birthday, where the shape says no other share."""
        if self.number % 100 >= self.shape.birthdays if self.shape.birthdays else self.number % 3 == 0:
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

    @cached_property
    def purchases(self) -> tuple[tuple[int, int], ...]:  # brand: of one made-up person, kept by no brand
        """What they bought: (fen, days ago) each. Nobody bought before joining."""
        if not self.joined:
            return ()
        if self.shape.cycles:
            return self._visits()
        return self._many() if self.shape.often else self._few()

    def _few(self) -> tuple[tuple[int, int], ...]:
        """Give what a quarter of the members bought; one in five of those for more, and one in forty for a lot."""
        if self.number % 4:
            return ()
        many = next((fen for every, fen in ((160, 1_000_000), (20, 250_000)) if self.number % every == 0), 0)
        since = self.joined_days_ago + 1
        return tuple(
            (many + 10_000 + (self.number * 37 + each * 1_010) % 90_000, (self.number * 3 + each * 13) % since)
            for each in range(1 + self.number % 3)
        )

    def _many(self) -> tuple[tuple[int, int], ...]:
        """Give what every second member bought; one in eighty of them once for a lot."""
        if self.number % 2:
            return ()
        since, often = self.joined_days_ago + 1, self.shape.often[self.number // 2 % len(self.shape.often)]
        return tuple(
            (
                (0 if each or self.number % 160 else 1_000_000) + 10_000 + (self.number * 37 + each * 1_010) % 90_000,
                (self.number * 3 + each * 13) % since,
            )
            for each in range(often)
        )

    def _visits(self) -> tuple[tuple[int, int], ...]:
        """Give the meals of somebody who comes in a cycle of days, but for those while the store was closed."""
        every = self.shape.cycles[self.number % len(self.shape.cycles)]
        if not every:
            return ()
        stores, which, until, since = self.shape.closed or (1, 1, 0, 0)
        days = range(self.number * 3 % every, self.joined_days_ago + 1, every)
        return tuple(
            (3_000 + (self.number * 37 + each * 1_010) % 9_000, day)
            for each, day in enumerate(days)
            if self.number % stores != which or not until <= day < since
        )

    def number_of(self, each: int) -> str:
        """Give the number of one of their orders."""
        return f"CR{self.number}-{each}"

    def by_mini_program(self, each: int) -> bool:
        """Three orders of ten came by the mini program, the others from the till."""
        return (self.number // 2 + each * 7) % 10 < 3

    @property
    def place(self) -> tuple[str, ...]:
        """Each buyer has everything sent to one place."""
        return PLACES[self.number // 4 % len(PLACES)]

    @cached_property
    def refund(self) -> tuple[int, int] | None:  # brand: of one made-up person, kept by no brand
        """What they brought back of their first purchase: (fen, days ago), half of them all of it.

        One buyer in seven; where a few buy most of it two in five, so that it is one order in fourteen. Nobody brings
        something back that was bought within the last three days.
        """
        bought = self.purchases
        brings = self.number // 2 % 5 < 2 if self.shape.often else self.number % 28 == 0
        if not bought or not brings or bought[0][1] < 3:
            return None
        fen, days = bought[0]
        return (fen if self.number % 56 else fen // 2, days - 3) if not self.shape.often else self._part(fen, days)

    def _part(self, fen: int, days: int) -> tuple[int, int]:
        return (fen if self.number % 4 else fen // 2, days - 3)

    @cached_property
    def paid(self) -> tuple[int, ...]:  # brand: of one made-up person, kept by no brand
        """What is left of each purchase, in fen."""
        back = self.refund[0] if self.refund else 0
        return tuple(fen - (0 if each else back) for each, (fen, _days) in enumerate(self.purchases))

    @property
    def rewarded(self) -> tuple[tuple[int, int], ...]:
        """What is left of the purchases that gave points: (fen, days ago)."""
        pairs = zip(self.paid, self.purchases, strict=True)
        return tuple((fen, days) for fen, (_fen, days) in pairs if days < self.shape.points_days)

    @property
    def guided(self) -> bool:
        """Three members in four have a guide, where their store has guides."""
        return self.joined and self.number % 4 != 3

    @property
    def points(self) -> int:
        """One in ten members has points for joining."""
        return POINTS if self.joined and self.number % 10 == 1 else 0

    @cached_property
    def coupons(self) -> tuple[tuple[int, int, str], ...]:  # brand: of one made-up person, kept by no brand
        """Which coupons they have: (which, given days ago, what became of it)."""
        if not self.joined:
            return ()
        if self.shape.coupons == 1:
            return self._one_coupon()
        return tuple(
            (which, days, self._fate(which, days))
            for which in range(self.shape.coupons)
            if (self.number // 3 + which * 7) % 25 < 12
            for days in (self.joined_days_ago * (which + 1) // (self.shape.coupons + 1),)
        )

    def _one_coupon(self) -> tuple[tuple[int, int, str], ...]:
        """A third of the older members has one: two of five used theirs, one let it expire."""
        if self.number % 3 != 2 or self.joined_days_ago <= COUPON_DAYS:
            return ()
        fate = ("used", "used", "expired", "unused", "unused")[self.number // 3 % 5]
        return ((0, GIVEN[fate], fate),)

    def _fate(self, which: int, days: int) -> str:
        """Two of five used theirs after twelve days; the others expire in time."""
        if days > 12 and (self.number // 5 + which) % 5 < 2:
            return "used"
        return "expired" if days >= COUPON_LASTS else "unused"

    @property
    def has_unionid(self) -> bool:
        """All but one follower in 150 have a unionid."""
        return self.follows and self.number % 150 != 7

    @property
    def is_pending(self) -> bool:
        """One in 200 has looked at a WeCom contact way and is not a contact yet."""
        return self.follows and self.number % 200 == 9

    @property
    def wrote_days_ago(self) -> int | None:
        """One follower in fifty has talked with the brand since, and was answered."""
        days = 3 + self.number // 50 % 80
        return days if self.follows and self.number % 50 == 7 and days < self.joined_days_ago else None

    @property
    def answered_after(self) -> int:
        """Say after how many minutes they were answered."""
        return 1 + self.number // 50 % 24


def coupon_key(which: int, what: str) -> str:
    """Name a figure of one of the coupons."""
    return f"{COUPONS[which][0]} · {what}"


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
    shape: Shape = PLAIN,
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
    for number in range(people):
        person = Person(number, shape)
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
        said["without_unionid"] += person.follows and not person.has_unionid
        said["pending_ids"] += person.is_pending
        for which, _days, fate in person.coupons:
            named["coupons"] += Counter({coupon_key(which, "given"): 1, coupon_key(which, fate): 1})
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
    said["points_outstanding"] += sum(points_for(fen) for fen, _days in person.rewarded)
    said["purchases_by_mini_program"] += sum(person.by_mini_program(each) for each in range(len(person.purchases)))
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
