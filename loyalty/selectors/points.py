"""What members have, what happened to it, what ends soon, and what the brand owes in all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F, Sum

from accounts.tenancy import current_brand_id
from loyalty.models import (
    Account,
    Adjustment,
    AdjustmentState,
    Entry,
    Hold,
    HoldState,
    Journal,
    Lot,
    Pocket,
    PointsPolicy,
)
from stores.selectors import brand_zone

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from django.db.models import QuerySet


SOONEST: Final = 3  # moments at which points end that a member centre shows


@dataclass(frozen=True)
class Balance:
    """What a member has. `spendable` is what a purchase can use now."""

    available: int = 0
    held: int = 0
    owed: int = 0

    @property
    def spendable(self) -> int:
        """Give what can be spent."""
        return max(0, self.available - self.owed)


@dataclass(frozen=True)
class Ending:
    """Points that end on a day of the brand, and the lots they are in."""

    day: date
    points: int
    lots: tuple[tuple[int, int], ...]  # lot, points


@dataclass(frozen=True)
class Line:
    """A line of the liability report: of how many points, what they cost in fen."""

    key: str
    points: int
    cost: int


@dataclass(frozen=True)
class Liability:
    """What was issued and what became of it until a moment; what is outstanding is what members had then."""

    until: datetime
    issued: int
    redeemed: int
    expired: int
    adjusted: int
    forgiven: int
    available: int
    held: int
    owed: int
    cost_per_100: int

    @property
    def outstanding(self) -> int:
        """Give what members could still ask for."""
        return self.available + self.held - self.owed

    def cost(self, points: int) -> int:
        """Give what points cost, in fen."""
        return round(points * self.cost_per_100 / 100)


def policy() -> PointsPolicy:
    """How points of the brand in scope work; what the product proposes where it has not chosen."""
    return PointsPolicy.objects.first() or PointsPolicy()


def zone() -> ZoneInfo:
    """Give the time zone of the brand in scope."""
    return ZoneInfo(brand_zone())


def balance_of(member_id: int) -> Balance:
    """Give what a member has."""
    row = Account.objects.filter(member_id=member_id).values_list("available", "held", "owed").first()
    return Balance(*row) if row else Balance()


def balances_of(member_ids: Iterable[int]) -> dict[int, Balance]:
    """Give what several members have."""
    rows = Account.objects.filter(member_id__in=list(member_ids)).order_by("member_id")
    return {pk: Balance(*rest) for pk, *rest in rows.values_list("member_id", "available", "held", "owed")}


def lots_of(member_id: int, *, limit: int = 100) -> list[Lot]:
    """Give the lots with something in them, soonest ending first."""
    rows = (
        Lot.objects.select_related("journal", "journal__other").filter(member_id=member_id).exclude(remaining=0, held=0)
    )
    return list(rows.order_by(F("expires_at").asc(nulls_last=True), "earned_at", "pk")[:limit])


def spendable_lots(member_id: int, *, at: datetime) -> QuerySet[Lot]:
    """Give the lots a purchase takes from, in its order: what ends first goes first."""
    rows = Lot.objects.filter(member_id=member_id, remaining__gt=0).exclude(expires_at__lte=at)
    return rows.order_by(F("expires_at").asc(nulls_last=True), "earned_at", "pk")


def ledger_of(member_id: int) -> QuerySet[Journal]:
    """Give what happened to a member's points, newest first."""
    return Journal.objects.filter(member_id=member_id).order_by("-pk")


def holds_of(member_id: int) -> list[Hold]:
    """Give the freezes of a member that are under way."""
    return list(Hold.objects.filter(member_id=member_id, state=HoldState.HELD).order_by("until", "pk"))


def reversed_points(journal_id: int) -> int:
    """Give how many points of a journal were reversed already."""
    total: int | None = Journal.objects.filter(reverses_id=journal_id).aggregate(all=Sum("points"))["all"]
    return total or 0


def endings_of(member_id: int, *, at: datetime, days: int) -> list[Ending]:
    """Give which points end within some days, by day of the brand: the last day on which they can be spent."""
    here = zone()
    rows = Lot.objects.filter(
        member_id=member_id, remaining__gt=0, expires_at__gt=at, expires_at__lte=at + timedelta(days=days)
    )
    return _endings(rows.order_by("expires_at", "pk").values_list("pk", "remaining", "expires_at"), here)


def soonest_endings(member_id: int, *, at: datetime) -> list[tuple[datetime, int]]:
    """Give what ends soonest and when, however far away that is; one query."""
    rows = Lot.objects.filter(member_id=member_id, remaining__gt=0, expires_at__gt=at).values("expires_at")
    found = rows.annotate(points=Sum("remaining")).order_by("expires_at")[:SOONEST]
    return [(row["expires_at"], row["points"]) for row in found if row["expires_at"] is not None]


def _endings(rows: Iterable[tuple[int, int, Any]], here: ZoneInfo) -> list[Ending]:
    days: dict[date, list[tuple[int, int]]] = defaultdict(list)
    for pk, points, moment in rows:
        last = (moment - timedelta(microseconds=1)).astimezone(here).date()
        days[last].append((pk, points))
    return [Ending(day, sum(points for _pk, points in lots), tuple(lots)) for day, lots in sorted(days.items())]


_ENDING_SOON: Final = """
SELECT member_id, expires_at, sum(remaining)::bigint, json_agg(json_build_array(id, remaining) ORDER BY id)
FROM loyalty_lot WHERE brand_id = %s AND remaining > 0 AND expires_at > %s AND expires_at <= %s
GROUP BY member_id, expires_at ORDER BY expires_at, member_id
"""


def ending_soon(*, at: datetime, days: int) -> list[tuple[int, date, int, list[list[int]]]]:
    """Give whose points end within some days: member, last day, points, lots."""
    here = zone()
    with connection.cursor() as cursor:
        cursor.execute(_ENDING_SOON, [current_brand_id(), at, at + timedelta(days=days)])
        rows = cursor.fetchall()
    return [
        (member_id, (moment - timedelta(microseconds=1)).astimezone(here).date(), points, lots)
        for member_id, moment, points, lots in rows
    ]


def ending_lots(member_ids: Iterable[int], *, at: datetime, until: date) -> dict[tuple[int, date], list[Lot]]:
    """Give the lots with something in them of some people that end after a moment, through a day, by person and day."""
    here = zone()
    end = datetime.combine(until + timedelta(days=1), time(), here)
    rows = Lot.objects.filter(member_id__in=list(member_ids), remaining__gt=0, expires_at__gt=at, expires_at__lte=end)
    found: dict[tuple[int, date], list[Lot]] = defaultdict(list)
    for lot in rows.order_by("expires_at", "pk").only("member_id", "remaining", "expires_at", "earned_at"):
        if lot.expires_at is not None:
            last = (lot.expires_at - timedelta(microseconds=1)).astimezone(here).date()
            found[lot.member_id, last].append(lot)
    return dict(found)


def cost_at(until: datetime) -> int:
    """Give what 100 points cost, in fen, right before a moment."""
    settings = policy()
    past = ((datetime.fromisoformat(each["until"]), int(each["cost"])) for each in settings.past_costs)
    return next((cost for ended, cost in past if until <= ended), settings.cost_per_100)


def liability_at(until: datetime) -> Liability:
    """Add the ledger up to a moment (without it): every figure is a sum of legs."""
    rows = Entry.objects.filter(at__lt=until).values("pocket").order_by("pocket").annotate(all=Sum("points"))
    sums = {row["pocket"]: row["all"] for row in rows}

    def taken(pocket: str) -> int:
        return int(sums.get(pocket, 0))

    return Liability(
        until=until,
        issued=-taken(Pocket.ISSUED),
        redeemed=taken(Pocket.REDEEMED),
        expired=taken(Pocket.EXPIRED),
        adjusted=-taken(Pocket.ADJUSTED),
        forgiven=-taken(Pocket.FORGIVEN),
        available=taken(Pocket.AVAILABLE),
        held=taken(Pocket.HELD),
        owed=-taken(Pocket.OWED),
        cost_per_100=cost_at(until),
    )


def waiting_adjustments() -> QuerySet[Adjustment]:
    """Give the corrections that wait for a second person, oldest first."""
    return Adjustment.objects.filter(state=AdjustmentState.PENDING).order_by("pk")
