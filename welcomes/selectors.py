"""Questions about welcome sequences: what is due, and what they have brought."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, F, OuterRef, Q, Subquery

from inbox.models import Message, SendState
from wechat_gateway import windows
from welcomes import plan
from welcomes.lift import Lift, Share, lift_of
from welcomes.models import Enrolment, EnrolmentState, StepOutcome, StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from welcomes.models import Sequence

# Joined since the follow, within the 48 hours.
_JOINED = Q(follower__member__joined_at__gte=F("followed_at"), follower__member__joined_at__lt=F("until"))
_ACTED = Q(acted_at__isnull=False)


@dataclass(frozen=True)
class Arm:
    """New followers whose 48 hours are over: how many did something by themselves, how many joined, how many either."""

    people: int = 0
    acted: int = 0
    joined: int = 0
    activated: int = 0

    @property
    def share(self) -> Share:
        """How many of all were activated."""
        return Share(self.activated, self.people)


@dataclass(frozen=True)
class StepFigures:
    """What came of one step: sent (and what WeChat said), skipped and why, and for how many it is still open."""

    key: str
    sent: int = 0
    refused: int = 0
    unconfirmed: int = 0
    skipped: tuple[tuple[str, int], ...] = ()

    @property
    def left_out(self) -> int:
        """How many did not get it."""
        return sum(count for _reason, count in self.skipped)


@dataclass(frozen=True)
class Report:
    """What a sequence has brought: both groups, the difference, each step, and refusals by WeChat's windows."""

    treated: Arm
    control: Arm
    lift: Lift | None
    under_way: int
    steps: dict[str, StepFigures]
    window_refusals: int


def settled_steps(enrolment_ids: Iterable[int]) -> dict[int, frozenset[str]]:
    """Give the steps that are settled for each enrolment."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    rows = StepRecord.objects.filter(enrolment_id__in=list(enrolment_ids)).order_by()
    for enrolment_id, step in rows.values_list("enrolment_id", "step"):
        found[enrolment_id].add(step)
    return {pk: frozenset(steps) for pk, steps in found.items()}


def withheld(records: Iterable[StepRecord]) -> dict[int, str]:
    """Give why steps that had been handed over did not leave, by message: somebody changed their mind meanwhile."""
    handed = [row.message_id for row in records if row.message_id is not None]
    rows = Message.objects.filter(pk__in=handed, state=SendState.REFUSED, cause__in=plan.WITHHELD).order_by()
    return dict(rows.values_list("pk", "cause"))


def brands_with_due(*, at: datetime) -> list[int]:
    """Give the brands in which something is due; with every brand in scope."""
    rows = Enrolment.objects.filter(state=EnrolmentState.ACTIVE, due_at__lte=at)
    return sorted(rows.order_by().values_list("brand_id", flat=True).distinct())


def arms_of(sequence_ids: Iterable[int], *, at: datetime) -> dict[int, tuple[Arm, Arm]]:
    """Give (treated, control) of each sequence, of those whose 48 hours are over; one query."""
    rows = (
        Enrolment.objects.filter(sequence_id__in=list(sequence_ids), until__lte=at)
        .order_by()
        .values("sequence_id", "in_control")
        .annotate(
            people=Count("pk"),
            acted=Count("pk", filter=_ACTED),
            joined=Count("pk", filter=_JOINED),
            activated=Count("pk", filter=_ACTED | _JOINED),
        )
    )
    found: dict[int, dict[bool, Arm]] = defaultdict(dict)
    for row in rows:
        found[row["sequence_id"]][row["in_control"]] = Arm(row["people"], row["acted"], row["joined"], row["activated"])
    return {pk: (arms.get(False, Arm()), arms.get(True, Arm())) for pk, arms in found.items()}


def report(sequence: Sequence, *, at: datetime) -> Report:
    """Give what a sequence has brought, in three queries."""
    treated, control = arms_of([sequence.pk], at=at).get(sequence.pk, (Arm(), Arm()))
    under_way = Enrolment.objects.filter(sequence=sequence, until__gt=at).count()
    message = Message.objects.filter(pk=OuterRef("message_id")).order_by()
    rows = (
        StepRecord.objects.filter(enrolment__sequence=sequence)
        .order_by()
        .annotate(
            fate=Subquery(message.values("state")[:1]),
            code=Subquery(message.values("code")[:1]),
            cause=Subquery(message.values("cause")[:1]),
        )
        .values("step", "outcome", "reason", "fate", "code", "cause")
        .annotate(people=Count("pk"))
    )
    sent: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    unconfirmed: Counter[str] = Counter()
    skipped: defaultdict[str, Counter[str]] = defaultdict(Counter)
    closed = 0
    for row in rows:
        key, people = row["step"], row["people"]
        if row["outcome"] == StepOutcome.SKIPPED:
            skipped[key][row["reason"]] += people
        elif row["fate"] == SendState.REFUSED and row["cause"] in plan.WITHHELD:
            skipped[key][row["cause"]] += people
        elif row["fate"] == SendState.REFUSED:
            refused[key] += people
            closed += people if row["code"] in (windows.CLOSED, windows.USED_UP) else 0
        else:
            sent[key] += people
            unconfirmed[key] += people if row["fate"] == SendState.UNKNOWN else 0
    keys = {*sent, *refused, *skipped}
    steps = {
        key: StepFigures(key, sent[key], refused[key], unconfirmed[key], tuple(skipped[key].most_common()))
        for key in keys
    }
    return Report(treated, control, lift_of(treated.share, control.share), under_way, steps, closed)
