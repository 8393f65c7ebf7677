"""Tiers as plain decisions: what a value reaches, what an evaluation does, what comes next. No tables, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from loyalty.expiry import months_later

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Rung:
    """A tier: its id and the value it begins at."""

    tier_id: int
    threshold: int


@dataclass(frozen=True)
class Place:
    """Where somebody stands. Who stands on the lowest rung is never evaluated: there is nothing to lose."""

    tier_id: int
    since: datetime
    evaluates_at: datetime | None = None
    in_grace: bool = False
    locked_until: datetime | None = None


@dataclass(frozen=True)
class Terms:
    """How long a tier lasts, how long the grace is, and the zone in which days begin."""

    months: int
    grace_days: int
    zone: ZoneInfo


@dataclass(frozen=True)
class Step:
    """A decision: what happened, where it leads, and the value and window it stands on."""

    kind: str
    before: int | None
    place: Place
    value: int
    window_from: datetime
    at: datetime


def window_of(until: datetime, terms: Terms) -> datetime:
    """Give the beginning of the window that ends at a moment: so many months before, at the same time of day."""
    local = until.astimezone(terms.zone)
    day = months_later(local.date(), -terms.months)
    return datetime.combine(day, local.timetz().replace(tzinfo=None), tzinfo=terms.zone).astimezone(UTC)


def lasts_until(since: datetime, terms: Terms) -> datetime:
    """Give the midnight after the last day of a tier that began (or was kept) at a moment."""
    day = months_later(since.astimezone(terms.zone).date(), terms.months)
    return datetime.combine(day + timedelta(days=1), time(0), tzinfo=terms.zone).astimezone(UTC)


def reached(value: int, rungs: Sequence[Rung]) -> Rung:
    """Give the highest rung a value reaches; the lowest is always reached."""
    return max((rung for rung in rungs if rung.threshold <= value), key=lambda rung: rung.threshold, default=rungs[0])


def height(tier_id: int, rungs: Sequence[Rung]) -> int:
    """Give where a rung stands; one that is no longer there counts as the lowest."""
    return next((number for number, rung in enumerate(rungs) if rung.tier_id == tier_id), 0)


def catch_up(
    place: Place, rungs: Sequence[Rung], terms: Terms, value_between: Callable[[datetime, datetime], int], at: datetime
) -> list[Step]:
    """Hold every evaluation that is due until a moment, each as of its own: how often one looks changes nothing."""
    steps: list[Step] = []
    while place.evaluates_at is not None and place.evaluates_at <= at:
        step = _evaluate(place, rungs, terms, value_between, place.evaluates_at)
        if step is None:
            place = replace(place, evaluates_at=place.locked_until)
            continue
        steps.append(step)
        place = step.place
    return steps


def _evaluate(
    place: Place,
    rungs: Sequence[Rung],
    terms: Terms,
    value_between: Callable[[datetime, datetime], int],
    moment: datetime,
) -> Step | None:
    if place.locked_until is not None and place.locked_until > moment:
        return None
    since = window_of(moment, terms)
    value = value_between(since, moment)
    rung, own = reached(value, rungs), height(place.tier_id, rungs)
    if height(rung.tier_id, rungs) >= own:
        kept = replace(place, evaluates_at=lasts_until(moment, terms) if own else None, in_grace=False)
        return Step("KEEP", place.tier_id, kept, value, since, moment)
    if not place.in_grace and terms.grace_days:
        waits = replace(place, evaluates_at=moment + timedelta(days=terms.grace_days), in_grace=True)
        return Step("GRACE", place.tier_id, waits, value, since, moment)
    lower = height(rung.tier_id, rungs)
    fallen = Place(rung.tier_id, moment, lasts_until(moment, terms) if lower else None, locked_until=place.locked_until)
    return Step("DOWNGRADE", place.tier_id, fallen, value, since, moment)


def rise(place: Place | None, rungs: Sequence[Rung], terms: Terms, value: int, at: datetime) -> Step | None:
    """Decide what a new fact does at once: up where the value reaches higher, out of the grace where it is enough."""
    since, rung = window_of(at, terms), reached(value, rungs)
    if place is None:
        entered = Place(rung.tier_id, at, lasts_until(at, terms) if height(rung.tier_id, rungs) else None)
        return Step("ENTER", None, entered, value, since, at)
    own, now = height(place.tier_id, rungs), height(rung.tier_id, rungs)
    if now > own:
        risen = Place(rung.tier_id, at, lasts_until(at, terms), locked_until=place.locked_until)
        return Step("UPGRADE", place.tier_id, risen, value, since, at)
    if place.in_grace and now == own:
        kept = replace(place, evaluates_at=lasts_until(at, terms), in_grace=False)
        return Step("KEEP", place.tier_id, kept, value, since, at)
    return None
