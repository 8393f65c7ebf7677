"""Who answers: exclusive guide, store, region, desk, by hours and capacity. Pure; every step says why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from inbox.models import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

RETURN_AFTER: Final = timedelta(minutes=10)  # who has not answered by then loses the conversation to the queue
HANDED_FOR: Final = timedelta(minutes=30)  # what somebody took or was handed stays with them for so long, there or not
TARGET: Final = timedelta(minutes=5)  # waiting longer is shown in orange
IN_HAND_FOR: Final = timedelta(hours=2)  # an answered conversation that was quiet for so long takes nobody's place
PRESENT_FOR: Final = timedelta(minutes=10)  # since the console was last seen; a phone in a pocket asks nothing

# Reasons of a step; they are stored.
TAKEN: Final = "TAKEN"
NONE: Final = "NONE"  # there is no guide, no store, nobody on this level
ELSEWHERE: Final = "ELSEWHERE"  # the guide does not answer in the inbox
CLOSED: Final = "CLOSED"
AWAY: Final = "AWAY"
FULL: Final = "FULL"
PASSED: Final = "PASSED"  # had it and did not answer in time
QUEUED: Final = "QUEUED"
PULLED: Final = "PULLED"
TRANSFERRED: Final = "TRANSFERRED"


@dataclass(frozen=True, slots=True)
class Seat:
    """Somebody who answers, as they are now."""

    staff_id: int
    name: str
    level: str
    store_ids: frozenset[int]
    capacity: int
    load: int
    present: bool
    last_assigned_at: datetime | None = None

    @property
    def for_all(self) -> bool:
        """Say whether somebody answers for every store: the desk, unless it is the desk of some."""
        return self.level == Level.DESK and not self.store_ids

    @property
    def free(self) -> bool:
        """Say whether one more conversation fits."""
        return self.load < self.capacity


@dataclass(frozen=True, slots=True)
class Shift:
    """Whether a level is at work, and when it is next; `opens_at` is None when nobody knows."""

    is_open: bool = True
    opens_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a conversation that needs somebody."""

    guide_staff_id: int | None = None
    guide_name: str = ""
    guide_shift: Shift = field(default_factory=Shift)
    store_id: int | None = None
    store_name: str = ""
    region_name: str = ""
    store_shift: Shift = field(default_factory=Shift)
    desk_shift: Shift = field(default_factory=Shift)
    passed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One step: on which level, taken or not, why, and the facts behind it."""

    level: str
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def taken(self) -> bool:
        """Say whether somebody was found here."""
        return self.reason == TAKEN


@dataclass(frozen=True, slots=True)
class Decision:
    """Who answers (None: the queue), the steps to it, and when the brand answers next if it is closed now."""

    seat: Seat | None
    steps: tuple[Step, ...]
    opens_at: datetime | None = None


def decide(case: Case, seats: Sequence[Seat]) -> Decision:
    """Find who answers."""
    steps: list[Step] = []
    opens: list[datetime] = []
    at_work = False
    for level, shift, candidates, named in _levels(case, seats):
        if not candidates:
            steps.append(Step(level, ELSEWHERE if named and level == Level.GUIDE else NONE, {"who": named}))
            continue
        if not shift.is_open:
            steps.append(Step(level, CLOSED, {"who": named, "opens": _text(shift.opens_at)}))
            if shift.opens_at is not None:
                opens.append(shift.opens_at)
            continue
        at_work = True
        seat, why = _choose(candidates, case.passed)
        if seat is not None:
            steps.append(Step(level, TAKEN, {"who": seat.name, "load": seat.load + 1, "capacity": seat.capacity}))
            return Decision(seat, tuple(steps))
        steps.append(Step(level, why, {"who": named, "seats": len(candidates)}))
    if not at_work and not opens and not case.desk_shift.is_open and case.desk_shift.opens_at is not None:
        opens.append(case.desk_shift.opens_at)
    return Decision(None, tuple(steps), min(opens) if opens and not at_work else None)


def _levels(case: Case, seats: Sequence[Seat]) -> list[tuple[str, Shift, list[Seat], str]]:
    here = [seat for seat in seats if case.store_id is not None and case.store_id in seat.store_ids]
    return [
        (
            Level.GUIDE,
            case.guide_shift,
            [seat for seat in seats if seat.staff_id == case.guide_staff_id],
            case.guide_name,
        ),
        (
            Level.STORE,
            case.store_shift,
            [seat for seat in here if seat.level in (Level.GUIDE, Level.STORE)],
            case.store_name,
        ),
        (Level.REGION, case.desk_shift, [seat for seat in here if seat.level == Level.REGION], case.region_name),
        (
            Level.DESK,
            case.desk_shift,
            [seat for seat in seats if seat.for_all or (seat.level == Level.DESK and case.store_id in seat.store_ids)],
            "",
        ),
    ]


def _choose(candidates: Sequence[Seat], passed: frozenset[int]) -> tuple[Seat | None, str]:
    """Give the least busy one (by share of their capacity), who has waited longest; or why there is none."""
    asked = [seat for seat in candidates if seat.staff_id not in passed]
    if not asked:
        return None, PASSED
    present = [seat for seat in asked if seat.present]
    if not present:
        return None, AWAY
    free = [seat for seat in present if seat.free]
    if not free:
        return None, FULL
    return min(free, key=_turn), TAKEN


def _turn(seat: Seat) -> tuple[float, float, int]:
    since = seat.last_assigned_at.timestamp() if seat.last_assigned_at else 0.0
    return seat.load / seat.capacity, since, seat.staff_id


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
