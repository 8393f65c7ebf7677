"""A coupon for a segment: what it would do now, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Case, CharField, Count, Exists, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual

from accounts.tenancy import current_brand_id, reporting
from coupons.models import Coupon, Outcome, Push, PushPerson, PushState
from members.choices import PERSONAL, chooses_people
from members.freshness import people_of
from members.left_out import held
from members.models import Flag, Member, OptOut, Purpose
from members.reach import carriers
from members.selectors import within_reach

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from accounts.viewer import Viewer
    from coupons.models import Template
    from members.models import Segment

A_PAGE = 50


@dataclass(frozen=True)
class Slice:
    """How many people came to the same outcome."""

    outcome: str
    count: int

    @property
    def label(self) -> str:
        """Say it."""
        return str(Outcome(self.outcome).label)


@dataclass(frozen=True)
class Plan:
    """What giving a coupon to a segment would do: `people` = `given` + everybody who is left out.

    `ways` says how many of those who get it each way of sending could tell.
    """

    people: int
    given: int
    left_out: tuple[Slice, ...]
    ways: tuple[tuple[str, int], ...]
    left: int | None


@dataclass(frozen=True)
class Progress:
    """How far a push is; the parts sum to `total`."""

    total: int
    done: int
    given: int
    left_out: tuple[Slice, ...]

    @property
    def waiting(self) -> int:
        """Whom it has not come to (yet, or not any more once it was stopped)."""
        return self.total - self.done


def plan_of(template: Template, segment: Segment, *, at: datetime) -> Plan:
    """Count what giving a coupon to a segment would do now. Raises `RuleInvalid` for a rule that no longer works."""
    left = None if template.total is None else max(0, template.total - template.taken)
    with reporting(current_brand_id()):
        people = people_of(segment, at=at)
        judged = people.annotate(why=_why(template, segment.rule, at)).order_by()
        counts = dict(judged.values("why").annotate(count=Count("pk")).order_by("why").values_list("why", "count"))
        able = judged.filter(why="").values("pk")
        them = Member.objects.filter(pk__in=able)
        ways = tuple((str(way.label), way.narrow(them, at).count()) for _key, way in carriers.items())
    total, able_count = sum(counts.values()), counts.pop("", 0)
    given = able_count if left is None else min(able_count, left)
    if given < able_count:
        counts[Outcome.NONE_LEFT] = able_count - given
    return Plan(total, given, slices(counts), ways, left)


def _why(template: Template, rule: object, at: datetime) -> Case:
    """Why somebody cannot have it, in the order in which reasons are told; '' when they can."""
    me = OuterRef("pk")
    marketing = OptOut.objects.filter(member=me, purpose=Purpose.MARKETING)
    reasons = [
        When(erased_at__isnull=False, then=Value(Outcome.GONE.value)),
        When(Exists(left_out(at).filter(member=me)), then=Value(Outcome.FLAGGED.value)),
        When(Exists(marketing.filter(minor=True)), then=Value(Outcome.MINOR.value)),
        When(Exists(marketing.filter(listed=True)), then=Value(Outcome.ON_LIST.value)),
        When(Exists(marketing.filter(control=True)), then=Value(Outcome.CONTROL.value)),
    ]
    if chooses_people(rule):
        objects = OptOut.objects.filter(member=me, purpose=PERSONAL)
        reasons.append(When(Exists(objects), then=Value(Outcome.NOT_CHOSEN.value)))
    if template.per_member is not None:
        mine = Coupon.objects.filter(member=me, template=template, nth__lte=template.per_member).order_by()
        count = Coalesce(Subquery(mine.values("member").annotate(n=Count("pk")).values("n")), 0)
        reasons.append(When(GreaterThanOrEqual(count, template.per_member), then=Value(Outcome.HAD_IT.value)))
    return Case(*reasons, default=Value(""), output_field=CharField())


def left_out(at: datetime) -> QuerySet[Flag]:
    """Give the flags by which people get no rewards at a moment."""
    return Flag.objects.filter(held(at=at))


def slices(counts: dict[str, int]) -> tuple[Slice, ...]:
    """Give what was counted by outcome, most people first; whoever got it stands elsewhere."""
    found = [Slice(str(outcome), count) for outcome, count in counts.items() if count and outcome != Outcome.GIVEN]
    return tuple(sorted(found, key=lambda each: (-each.count, each.outcome)))


def progress_of(push: Push) -> Progress:
    """Say how far a push is."""
    return Progress(push.total, push.done, push.tally.get(Outcome.GIVEN, 0), slices(push.tally))


def left_out_of(
    push: Push, *, viewer: Viewer | None, outcome: str = "", after: int = 0, limit: int = A_PAGE
) -> list[PushPerson]:
    """Give people who were left out, with the reason of each, in the order of their records; those within reach."""
    rows = PushPerson.objects.filter(push=push, member_id__gt=after)
    rows = rows.filter(outcome=outcome) if outcome in Outcome.values else rows.exclude(outcome__in=["", Outcome.GIVEN])
    if viewer is not None:
        rows = rows.filter(member__in=within_reach(Member.objects.all(), viewer).order_by().values("pk"))
    return list(rows.select_related("member").order_by("member_id")[:limit])


def pushes_of(template_ids: Iterable[int], *, limit: int = 10) -> list[Push]:
    """Give the newest pushes of some templates; drafts are left out."""
    rows = Push.objects.filter(template_id__in=list(template_ids)).exclude(state=PushState.DRAFT)
    return list(rows.select_related("segment").order_by("-pk")[:limit])
