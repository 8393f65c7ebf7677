"""Who stands where, what that gives, and what the next evaluation would change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q

from accounts.tenancy import current_brand_id
from loyalty import ladder
from loyalty.ladder import Place, Rung, Terms
from loyalty.models import Benefit, BenefitKind, PointsPolicy, Standing, Tier, TierChange
from loyalty.selectors.points import Balance, policy, zone
from members.figures import counted, figures
from members.left_out import held
from members.models import Flag, FlagKind, Member

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

# Purchases of the window, each less what was refunded of it; qualifying value is one for each yuan.
_VALUE: Final = """
SELECT coalesce(sum(f.amount - coalesce((
    SELECT sum(r.amount) FROM loyalty_fact r WHERE r.brand_id = f.brand_id AND r.refers_id = f.id
), 0)), 0)::bigint / 100
FROM loyalty_fact f
WHERE f.brand_id = %s AND f.member_id = %s AND f.kind = 'PURCHASE' AND f.happened_at >= %s AND f.happened_at < %s
"""


# A member's card asks everything about points and tier at once.
_CARD: Final = """
WITH how AS (
    SELECT b.timezone AS zone, coalesce(p.tier_months, %(months)s) AS months, coalesce(p.warn_days, %(days)s) AS days
    FROM accounts_brand b LEFT JOIN loyalty_pointspolicy p ON p.brand_id = b.id WHERE b.id = %(brand)s
), ending AS (
    SELECT expires_at, sum(remaining)::bigint AS points FROM loyalty_lot, how
    WHERE brand_id = %(brand)s AND member_id = %(member)s AND remaining > 0
        AND expires_at > %(at)s AND expires_at <= %(at)s + make_interval(days => how.days)
    GROUP BY expires_at ORDER BY expires_at LIMIT 1
), own AS (
    SELECT t.name, t.threshold FROM loyalty_tier t
    LEFT JOIN loyalty_standing s ON s.brand_id = t.brand_id AND s.tier_id = t.id AND s.member_id = %(member)s
    WHERE t.brand_id = %(brand)s ORDER BY s.id IS NULL, t.threshold LIMIT 1
), value AS (
    SELECT coalesce(sum(f.amount - coalesce((
        SELECT sum(r.amount) FROM loyalty_fact r WHERE r.brand_id = f.brand_id AND r.refers_id = f.id
    ), 0)), 0)::bigint / 100 AS value
    FROM how LEFT JOIN loyalty_fact f ON f.brand_id = %(brand)s AND f.member_id = %(member)s AND f.kind = 'PURCHASE'
        AND f.happened_at >=
            ((%(at)s AT TIME ZONE how.zone) - make_interval(months => how.months)) AT TIME ZONE how.zone
        AND f.happened_at <= %(at)s
)
SELECT coalesce(a.available, 0), coalesce(a.held, 0), coalesce(a.owed, 0), ending.expires_at, ending.points,
    own.name, value.value, higher.name, higher.threshold
FROM value
LEFT JOIN loyalty_account a ON a.brand_id = %(brand)s AND a.member_id = %(member)s
LEFT JOIN ending ON true LEFT JOIN own ON true
LEFT JOIN LATERAL (
    SELECT name, threshold FROM loyalty_tier WHERE brand_id = %(brand)s AND threshold > own.threshold
    ORDER BY threshold LIMIT 1
) higher ON true
"""


@dataclass(frozen=True)
class Card:
    """What a member's card says of points and tier."""

    balance: Balance
    ends_at: datetime | None
    ending: int | None
    tier: str | None
    value: int
    next_tier: str | None
    next_threshold: int | None

    @property
    def missing(self) -> int | None:
        """Give how much value the next tier still needs."""
        return None if self.next_threshold is None else max(0, self.next_threshold - self.value)


def card_of(member_id: int, *, at: datetime) -> Card:
    """Give what a member's card says of points and tier, in one query."""
    given: dict[str, Any] = {"brand": current_brand_id(), "member": member_id, "at": at}
    with connection.cursor() as cursor:
        cursor.execute(_CARD, given | {"months": PointsPolicy().tier_months, "days": PointsPolicy().warn_days})
        available, held, owed, ends_at, ending, tier, value, following, threshold = cursor.fetchone()
    return Card(Balance(available, held, owed), ends_at, ending, tier, max(0, value), following, threshold)


@dataclass(frozen=True)
class View:
    """Where a member stands, as pages and the API show it."""

    tier: Tier | None
    standing: Standing | None
    value: int
    next_tier: Tier | None

    @property
    def missing(self) -> int | None:
        """Give how much value the next tier still needs."""
        return None if self.next_tier is None else max(0, self.next_tier.threshold - self.value)


@dataclass(frozen=True)
class Forecast:
    """What the next evaluation of somebody would do if nothing happened until then."""

    standing: Standing
    kind: str
    after: str
    value: int
    needed: int


@dataclass(frozen=True)
class Forecasts:
    """A page of forecasts, and how many there are in all."""

    total: int
    page: list[Forecast]


@dataclass(frozen=True)
class Applied:
    """A benefit at checkout, and the rule it comes from: the tier and what it begins at."""

    kind: str
    value: int
    saved: int
    tier: str
    threshold: int
    benefit_id: int


def terms() -> Terms:
    """Give for how long tiers hold in this brand."""
    settings = policy()
    return Terms(settings.tier_months, settings.tier_grace_days, zone())


def tiers() -> list[Tier]:
    """Give the tiers, lowest first."""
    return list(Tier.objects.order_by("threshold", "pk"))


def rungs() -> list[Rung]:
    """Give the tiers as decisions see them."""
    return [Rung(tier.pk, tier.threshold) for tier in tiers()]


def value_between(member_id: int, since: datetime, until: datetime) -> int:
    """Give somebody's qualifying value of a window: net purchases, one for each yuan. The balance has no part in it."""
    with connection.cursor() as cursor:
        cursor.execute(_VALUE, [current_brand_id(), member_id, since, until])
        row = cursor.fetchone()
    return max(0, int(row[0])) if row else 0


def place_of(standing: Standing) -> Place:
    """Give a row as decisions see it."""
    return Place(
        standing.tier_id, standing.since, standing.evaluates_at, standing.in_grace, locked_until=standing.locked_until
    )


def view_of(member_id: int, *, at: datetime) -> View:
    """Give where a member stands, the value of the running window, and what comes next."""
    every = tiers()
    standing = Standing.objects.select_related("tier").filter(member_id=member_id).first()
    value = value_between(member_id, ladder.window_of(at, terms()), at + timedelta(microseconds=1)) if every else 0
    tier = standing.tier if standing else (every[0] if every else None)
    following = next((each for each in every if tier is not None and each.threshold > tier.threshold), None)
    return View(tier, standing, value, following)


def standing_of(member_id: int) -> Standing | None:
    """Give where a member stands since when; None for who was never decided about."""
    return Standing.objects.select_related("tier").filter(member_id=member_id).first()


def lowest() -> Tier | None:
    """Give the tier everybody begins in: whoever was never decided about stands there without a row."""
    return Tier.objects.order_by("threshold", "pk").first()


def tier_of(member_id: int) -> Tier | None:
    """Give the tier a person stands in, as their card says it; None while the brand has none."""
    standing = Standing.objects.select_related("tier").filter(member_id=member_id).first()
    return standing.tier if standing else lowest()


def tier_at(member_id: int, at: datetime) -> Tier | None:
    """Give the tier a person stood in just before something happened; a tier that is gone counts as the lowest."""
    standing = standing_of(member_id)
    if standing is None or standing.since <= at:
        return standing.tier if standing else lowest()
    later = TierChange.objects.filter(member_id=member_id, at__gte=at).order_by("at", "pk").first()
    then = Tier.objects.filter(name=later.before).first() if later is not None else standing.tier
    return then or lowest()


def newcomers() -> Q:
    """Give the members (not visitors, who have not joined) who stand in the lowest tier without a row."""
    return Q(~Exists(Standing.objects.filter(member=OuterRef("pk"))), joined_at__isnull=False)


def stands_in(tier_ids: Iterable[int]) -> Q:
    """Give the people who stand in one of some tiers."""
    wanted = list(tier_ids)
    stands = Q(Exists(Standing.objects.filter(member=OuterRef("pk"), tier__in=wanted)))
    first = lowest()
    return stands | newcomers() if first is not None and first.pk in wanted else stands


def people_in(tier_ids: Iterable[int], *, at: datetime) -> dict[int, int]:
    """Give how many people stand in each tier; of a large brand the newcomers are those of some minutes ago."""
    wanted = list(tier_ids)
    rows = Standing.objects.filter(tier_id__in=wanted).values("tier_id").order_by("tier_id")
    found = {row["tier_id"]: int(row["people"]) for row in rows.annotate(people=Count("pk"))}
    first = lowest()
    if first is not None and first.pk in wanted:
        found[first.pk] = found.get(first.pk, 0) + int(counted("loyalty.newcomers", {}, at=at).value)
    return found


@figures.add("loyalty.newcomers")
def _newcomers(params: dict[str, Any], at: datetime) -> int:
    return Member.objects.filter(newcomers(), merged_into=None, erased_at=None).count()


def changes_of(member_id: int, *, limit: int = 50) -> list[TierChange]:
    """Give what happened to a member's tier, newest first."""
    return list(TierChange.objects.filter(member_id=member_id).order_by("-pk")[:limit])


def forecasts(
    *, at: datetime, days: int, people: QuerySet[Member] | None = None, start: int = 0, limit: int = 50
) -> Forecasts:
    """Give whose next evaluation comes within some days and what it would do if nothing happened until then.

    Of all people, or of some; a page of them from `start` on, in six queries however many there are.
    """
    every, how = rungs(), terms()
    names = {tier.pk: tier for tier in tiers()}
    due = Standing.objects.filter(evaluates_at__lte=at + timedelta(days=days)).exclude(
        locked_until__gt=F("evaluates_at")  # looked at without deciding anything
    )
    if people is not None:
        due = due.filter(member__in=people)
    page = list(due.select_related("member", "tier").order_by("evaluates_at", "pk")[start : start + limit])
    moments = {row.member_id: row.evaluates_at or at for row in page}
    values = _values({member_id: (ladder.window_of(moment, how), moment) for member_id, moment in moments.items()})
    found = []
    for standing in page:
        value = values[standing.member_id]
        steps = ladder.catch_up(
            place_of(standing), every, how, lambda *_window, value=value: value, moments[standing.member_id]
        )
        found += [
            Forecast(
                standing,
                step.kind,
                names[step.place.tier_id].name,
                step.value,
                max(0, standing.tier.threshold - step.value),
            )
            for step in steps[:1]
        ]
    return Forecasts(due.count(), found)


# The qualifying value of many, each of a window of their own.
_VALUES: Final = """
SELECT w.member_id, coalesce(sum(f.amount - coalesce((
    SELECT sum(r.amount) FROM loyalty_fact r WHERE r.brand_id = f.brand_id AND r.refers_id = f.id
), 0)), 0)::bigint / 100
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS w(member_id, since, until)
LEFT JOIN loyalty_fact f ON f.brand_id = %s AND f.member_id = w.member_id AND f.kind = 'PURCHASE'
    AND f.happened_at >= w.since AND f.happened_at < w.until
GROUP BY w.member_id
"""


def _values(windows: dict[int, tuple[datetime, datetime]]) -> dict[int, int]:
    since, until = [each[0] for each in windows.values()], [each[1] for each in windows.values()]
    with connection.cursor() as cursor:
        cursor.execute(_VALUES, [list(windows), since, until, current_brand_id()])
        return {member_id: max(0, int(value)) for member_id, value in cursor.fetchall()}


def benefits_of(tier_id: int | None) -> list[Benefit]:
    """Give what a tier gives."""
    if tier_id is None:
        return []
    return list(Benefit.objects.select_related("tier").filter(tier_id=tier_id).order_by("kind", "pk"))


def applied(member_id: int, *, amount: int, at: datetime) -> list[Applied]:
    """Give what somebody's tier does to a cart of so many fen, each with the rule that gives it; blocked: nothing."""
    blocked = Flag.objects.filter(member_id=member_id, kind=FlagKind.BLOCKED)
    if blocked.filter(held(at=at)).exists():
        return []
    tier = view_of(member_id, at=at).tier
    found = []
    for benefit in benefits_of(tier.pk if tier else None):
        saved = 0
        if benefit.kind == BenefitKind.PRICE:
            saved = amount * min(benefit.value, 100) // 100
        elif benefit.kind == BenefitKind.FREE_SHIPPING and amount < benefit.value:
            continue
        found.append(Applied(benefit.kind, benefit.value, saved, benefit.tier.name, benefit.tier.threshold, benefit.pk))
    return found
