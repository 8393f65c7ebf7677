"""What figures of channels are: how a person is shared among touches, which steps there are, when somebody stayed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from django.utils.translation import gettext_lazy as _

from common.registry import Registry
from touchpoints.models import TouchCase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime, tzinfo

    from django_stubs_ext import StrOrPromise

WHOLE: Final = 1_000_000  # a person's credit is shared out in whole parts, so that sums are exact
STAYS: Final = (7, 30, 90)  # days
VALUES: Final = (30, 90)  # days after the follow whose orders are added up; each is one of STAYS
MONTHS: Final = 6  # of cohorts
CASES: Final = tuple(TouchCase.values)
FAST: Final = timedelta(days=3)
FOLLOWS: Final = "('FOLLOW', 'REFOLLOW')"  # kinds of touches, as SQL


@dataclass(frozen=True)
class Attribution:
    """A way to share a person among their touches: `weight` is SQL over `n` (which touch, from 1) and `c` (how many).

    The weights of a person's touches must add up to WHOLE. With `first_only` all but the first have none: whoever
    looks for the rows behind a figure need not look at more.
    """

    label: StrOrPromise
    meaning: StrOrPromise
    weight: str
    first_only: bool = False


attributions: Registry[Attribution] = Registry("attribution models", purpose="how a person is shared among touches")
attributions.register(
    "first",
    Attribution(
        _("First touch"),
        _("Each person counts for the code they scanned first."),
        f"CASE WHEN n = 1 THEN {WHOLE} ELSE 0 END",
        first_only=True,
    ),
)
attributions.register(
    "last",
    Attribution(
        _("Last touch"),
        _("Each person counts for the code they scanned last."),
        f"CASE WHEN n = c THEN {WHOLE} ELSE 0 END",
    ),
)
attributions.register(
    "position",
    Attribution(
        _("Position"),
        _("40% for the first code, 40% for the last, 20% shared by those between."),
        f"CASE WHEN c = 1 THEN {WHOLE} WHEN c = 2 THEN {WHOLE // 2} WHEN n IN (1, c) THEN {WHOLE * 2 // 5} "
        f"ELSE {WHOLE // 5} / (c - 2) + CASE WHEN n = 2 THEN {WHOLE // 5} %% (c - 2) ELSE 0 END END",
    ),
)


@dataclass(frozen=True)
class Stage:
    """A step on a person's way after the first scan: `reached` is SQL over `p` (the visit) and `m` (the member).

    `p` has brand_id, member_id, follower_id, at (first touch in the window), followed, followed_at. A person counts for
    a stage when they reached it and every one before.
    """

    label: StrOrPromise
    reached: str
    order: int = 100


funnel_stages: Registry[Stage] = Registry("funnel stages", purpose="steps after a scan: follow, join, first order …")


@dataclass(frozen=True)
class PersonValue:
    """Money that people bring: `amount` is SQL over `p` (the visit), fen within `{days}` days after `p.followed_at`."""

    label: StrOrPromise
    amount: str


person_values: Registry[PersonValue] = Registry("person values", purpose="money that people bring after their follow")


BARGAIN_DAYS: Final = 30  # one of STAYS: whoever came for a benefit is told from others once these are over


@dataclass(frozen=True)
class BargainSign:
    """What tells that somebody came for a benefit only, or for more: `happened` is SQL over `p` (the visit).

    It looks at the `{days}` days after `p.followed_at`. With `is_gain` it is a benefit that was taken; without it is
    something that nobody does who came for that alone.
    """

    label: StrOrPromise
    happened: str
    is_gain: bool = False


bargain_signs: Registry[BargainSign] = Registry(
    "bargain signs", purpose="what tells that somebody came for a benefit only, or for more"
)


funnel_stages.register("follow", Stage(_("Followed"), "p.followed", 10))
funnel_stages.register("join", Stage(_("Joined as member"), "m.joined_at >= p.at", 20))


class Window(NamedTuple):
    """From when to when touches are looked at; what became of people is looked at until now."""

    since: datetime | None
    until: datetime


@dataclass
class Figures:
    """What is counted of a node: whole touches in `scans` and `cases`, shares of people (parts of WHOLE) in `parts`.

    `parts["value_30"]` is no share of people but of fen: what people brought, each by the share they count with.
    """

    scans: int = 0
    cost: int = 0
    cases: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        """Take in what another node has."""
        self.scans += other.scans
        self.cost += other.cost
        self.cases.update(other.cases)
        self.parts.update(other.parts)

    def people(self, key: str = "people") -> int:
        """Give a share as a number of people, half up."""
        return (self.parts[key] * 2 + WHOLE) // (2 * WHOLE)

    def rate(self, part: str, whole: str) -> float | None:
        """Give one share of another, None when there is no whole."""
        return self.parts[part] / self.parts[whole] if self.parts[whole] else None

    def value(self, days: int) -> int:
        """Give what people brought within so many days of their follow, in fen, half up."""
        return self.people(f"value_{days}")

    def value_of_each(self, days: int) -> int | None:
        """Give that for each follower whose days are over, in fen, half up; None without any."""
        parts, fen = self.parts[f"old_{days}"], self.parts[f"value_{days}"]
        return (fen * 2 + parts) // (2 * parts) if parts else None

    def cost_of_each(self, key: str) -> int | None:
        """Give the cost per person of a stage in fen, half up; None without people or cost."""
        parts = self.parts[key]
        return (self.cost * WHOLE * 2 + parts) // (2 * parts) if parts and self.cost else None


Credited = dict[tuple[int, int], Figures]  # of each code in each span of the tree


def figures_of(cases: Sequence[int], parts: Mapping[str, int]) -> Figures:
    """Give figures from touches by case, in the order of the cases, and shares by key."""
    return Figures(scans=sum(cases), cases=Counter(dict(zip(CASES, cases, strict=True))), parts=Counter(parts))


def stages() -> list[tuple[str, Stage]]:
    """Give the stages of the funnel in order."""
    return sorted(funnel_stages.items(), key=lambda item: (item[1].order, item[0]))


# Who scanned; rows from before there was the column say it by what they are.
CASE: Final = """CASE WHEN t."case" <> '' THEN t."case" WHEN t.kind = 'FOLLOW' THEN 'NEW'
            WHEN t.kind = 'REFOLLOW' THEN 'RETURNING' ELSE 'FOLLOWING' END"""
# When the follower of a visit `p` left after that follow: both WeChat's pushes and what it said when asked count.
LEFT_AT: Final = """least(
        (SELECT min(u.at) FROM touchpoints_unfollow u
         WHERE u.brand_id = p.brand_id AND u.follower_id = p.follower_id AND u.at > p.followed_at),
        (SELECT f.unfollowed_at FROM members_follower f
         WHERE f.brand_id = p.brand_id AND f.id = p.follower_id AND f.unfollowed_at > p.followed_at))"""
ENGAGED: Final = """(m.last_interaction_at AT TIME ZONE %(zone)s)::date
            > (p.followed_at AT TIME ZONE %(zone)s)::date"""


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Put pieces of SQL into a statement; only constants of the code ever are."""
    for name, value in parts.items():
        text = text.replace("{" + name + "}", value)
    return text


def reached_columns() -> str:
    """Give a column for each stage, as SQL over the visit `p` and the member `m`: reached, and all before it."""
    conditions: list[str] = []
    columns = []
    for number, (_key, stage) in enumerate(stages()):
        conditions.append(f"coalesce({stage.reached}, false)")
        columns.append(f"{' AND '.join(conditions)} AS stage_{number}")
    return ", ".join(columns)


def measures(keys: Sequence[str]) -> dict[str, str]:
    """Give the conditions under which a touch's share counts for each figure."""
    found = {"people": "true"} | {key: f"stage_{number}" for number, key in enumerate(keys)}
    for days in STAYS:
        old = f"followed AND followed_at <= %(now)s - interval '{days} days'"
        found[f"old_{days}"] = old
        found[f"kept_{days}"] = f"{old} AND (left_at IS NULL OR left_at > followed_at + interval '{days} days')"
    for days in VALUES:
        found[f"bought_{days}"] = f"{found[f'old_{days}']} AND value_{days} > 0"
    found["engaged_30"] = f"{found['old_30']} AND engaged"
    found["fast_30"] = f"{found['old_30']} AND left_at <= followed_at + %(fast)s"
    found[f"bargain_{BARGAIN_DAYS}"] = f"{found[f'old_{BARGAIN_DAYS}']} AND bargain"
    found["week_30"] = f"{found['old_30']} AND (left_at IS NULL OR left_at > followed_at + interval '7 days')"
    found["joined_30"] = f"{found['old_30']} AND stage_{keys.index('join')}"
    return found


def values() -> list[str]:
    """Give the keys of the money that people bring; figures keep them like shares of people, in parts of a fen."""
    return [f"value_{days}" for days in VALUES]


def value_columns() -> str:
    """Give a column for each of `values`, as SQL over the visit `p`: nothing before the days are over."""
    columns = []
    for days in VALUES:
        amounts = [filled(each.amount, {"days": str(days)}) for _key, each in sorted(person_values.items())]
        over = f"p.followed AND p.followed_at <= %(now)s - interval '{days} days'"
        columns.append(f"(CASE WHEN {over} THEN {' + '.join(amounts or ['0'])} ELSE 0 END)::bigint AS value_{days}")
    return ", ".join(columns)


def bargain_column() -> str:
    """Give whether somebody took a benefit and did nothing else, as SQL over the visit `p`: once the days are over."""
    signs = [each for _key, each in sorted(bargain_signs.items())]
    gains = [filled(each.happened, {"days": str(BARGAIN_DAYS)}) for each in signs if each.is_gain]
    more = [filled(each.happened, {"days": str(BARGAIN_DAYS)}) for each in signs if not each.is_gain]
    if not gains:
        return "false AS bargain"
    over = f"p.followed AND p.followed_at <= %(now)s - interval '{BARGAIN_DAYS} days'"
    only = f"({' OR '.join(gains)})" + "".join(f" AND NOT {each}" for each in more)
    return f"(CASE WHEN {over} THEN {only} ELSE false END) AS bargain"


def days_since_follow(figure: str) -> int:
    """Give how many days ago at least they followed whom a figure counts; 0 when it does not say."""
    kind, _line, days = figure.partition("_")
    return int(days) if kind in ("old", "kept", "bought", "bargain") and days.isdigit() else 0


@dataclass(frozen=True)
class Cohort:
    """Who followed in one month by some codes, and how many of them were there after so many days (None: too early)."""

    month: date
    figures: Figures


def cohort_measures(keys: Sequence[str]) -> dict[str, str]:
    """Give the conditions of the figures that a cohort has."""
    wanted = {key: condition for key, condition in measures(keys).items() if key.startswith(("old_", "kept_"))}
    return wanted | {"follow": f"stage_{keys.index('follow')}"}


def first_month(now: datetime, zone: tzinfo) -> datetime:
    """Give the beginning of the oldest month that cohorts show."""
    since = now.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _step in range(MONTHS - 1):
        since = (since - timedelta(days=1)).replace(day=1)
    return since


PAGE: Final = 50  # rows behind a figure


@dataclass(frozen=True)
class Row:
    """One touch behind a figure, and how much of the person it stands for there."""

    touch_id: int
    member_id: int
    member_name: str
    member_no: str
    touchpoint_id: int
    at: datetime
    case: str
    part: int
    left_at: datetime | None
    joined_at: datetime | None
