"""A coupon for a whole segment: confirmed, then given in portions; whoever dies half-way has done whole portions."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection, transaction

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from accounts.viewer import current_viewer
from common.failpoints import point
from coupons import tasks
from coupons.errors import PushNotDraft, ReasonNeeded, SegmentTooOld, TemplateClosed
from coupons.models import (
    Coupon,
    Move,
    MoveKind,
    Outcome,
    Push,
    PushPerson,
    PushState,
    State,
    Template,
    TemplateState,
    Way,
)
from coupons.rules import read, valid_between
from coupons.selectors.pushes import left_out
from coupons.services.issue import SHORTEST_REASON, current_version
from coupons.services.moves import first_free, take
from loyalty.errors import KeyReused, MemberGone
from loyalty.selectors.points import zone
from loyalty.services.ledger import SYSTEM, Operation, fingerprint, lock_accounts, present
from members.choices import PERSONAL, chooses_people
from members.errors import RuleInvalid
from members.freshness import people_of, refusal
from members.models import Member, OptOut, Purpose, Segment

if TYPE_CHECKING:
    from datetime import datetime

    from coupons.models import TemplateVersion

PORTION: Final = 500
QUIET: Final = timedelta(seconds=60)  # a portion takes less; whoever is silent for longer is gone
GOING: Final = (PushState.WAITING, PushState.RUNNING)


@transaction.atomic
def create_push(*, operation: Operation, template: Template, segment: Segment, reason: str, at: datetime) -> Push:
    """Note a push that somebody has to confirm. The same key is the same push. Raises ReasonNeeded, KeyReused."""
    if len(reason.strip()) < SHORTEST_REASON:
        raise ReasonNeeded
    asked = fingerprint(act="push", template=template.pk, segment=segment.pk)
    viewer = current_viewer()
    push, made = Push.objects.get_or_create(
        actor=operation.actor,
        key=operation.key,
        defaults={
            "template": template,
            "segment": segment,
            "reason": reason.strip()[:100],
            "fingerprint": asked,
            "created_by_id": viewer.staff_id if viewer else None,
            "created_at": at,
            "touched_at": at,
        },
    )
    if not made and push.fingerprint != asked:
        raise KeyReused
    return push


@transaction.atomic
def start_push(*, push_id: int, at: datetime) -> Push:
    """Confirm a push: it begins with the version that is given now; confirmed twice, it begins once.

    Raises PushNotDraft, TemplateClosed, SegmentTooOld.
    """
    push = _locked(push_id)
    if push.state in {*GOING, PushState.DONE}:
        return push
    if push.state != PushState.DRAFT:
        raise PushNotDraft
    version = current_version(push.template_id)
    if push.template.state != TemplateState.ACTIVE or version is None:
        raise TemplateClosed
    if valid_between(read(version.rule), issued_at=at, zone=zone())[1] <= at:
        raise TemplateClosed
    late = refusal(push.segment, at=at)
    if late is not None:
        raise SegmentTooOld(*late)
    push.version, push.state, push.touched_at = version, PushState.WAITING, at
    push.save(update_fields=["version", "state", "touched_at"])
    record_audit(
        action="push coupons", obj=push.template, changes={"segment": [None, push.segment.name]}, reason=push.reason
    )
    ring(tasks.run_push, current_brand_id(), push.pk)
    return push


@transaction.atomic
def stop_push(*, push_id: int, at: datetime) -> Push:
    """Give no more coupons of a push; those given stay. Stopping what has ended changes nothing."""
    push = _locked(push_id)
    if push.state in {*GOING, PushState.DRAFT}:
        push.state, push.ended_at = PushState.STOPPED, at
        push.save(update_fields=["state", "ended_at"])
        record_audit(action="stop coupon push", obj=push.template, changes={"reached": [push.total, push.done]})
    return push


def _locked(push_id: int) -> Push:
    rows = Push.objects.select_for_update(of=("self",)).select_related("template", "segment", "version")
    return rows.get(pk=push_id)


@transaction.atomic
def push_portion(*, push_id: int, at: datetime, size: int = PORTION) -> bool:
    """Take a push one step on: write its people down, or give coupons to some of them. Says whether more is to do.

    Whoever else is at it keeps it: two workers never stand in each other's way.
    """
    rows = Push.objects.select_for_update(of=("self",), skip_locked=True)
    push = rows.select_related("template", "segment", "version").filter(pk=push_id, state__in=GOING).first()
    if push is None:
        return False
    if push.state == PushState.WAITING:
        return _write_down(push, at)
    people = list(PushPerson.objects.filter(push=push, member_id__gt=push.reached).order_by("member_id")[:size])
    if people:
        outcomes = _give(push, [each.member_id for each in people], at)
        if outcomes is None:
            return True  # somebody was merged in this very moment: look again
        _note(push, people, outcomes)
        push.reached, push.done = people[-1].member_id, push.done + len(people)
    push.touched_at = at
    if len(people) < size:
        push.state, push.ended_at = PushState.DONE, at
    push.save(update_fields=["reached", "done", "tally", "touched_at", "state", "ended_at"])
    point("coupons: portion of a push given, not committed")
    return push.state == PushState.RUNNING


def _write_down(push: Push, at: datetime) -> bool:
    try:
        people, params = people_of(push.segment, at=at).order_by().values("pk").query.sql_with_params()
    except RuleInvalid as error:
        # What the rule names was deleted since; giving to somebody else would be worse than to nobody.
        push.state, push.ended_at, push.problem = PushState.STOPPED, at, str(error.message)[:200]
        push.save(update_fields=["state", "ended_at", "problem"])
        return False
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_DOWN.format(people=people), [current_brand_id(), push.pk, *params])
        push.total = cursor.rowcount
    push.state, push.touched_at = PushState.RUNNING, at
    push.save(update_fields=["state", "total", "touched_at"])
    point("coupons: people of a push written down, not committed")
    return True


_WRITE_DOWN: Final = """
INSERT INTO coupons_pushperson (brand_id, push_id, member_id, outcome)
SELECT %s, %s, m.id, '' FROM ({people}) m(id)
"""


def _give(push: Push, member_ids: list[int], at: datetime) -> dict[int, Outcome] | None:
    """Give some people their coupon; gives what came of it for each. None when a merge came in between.

    Locks in the one order: accounts, then the template.
    """
    today = _today(member_ids)
    barred = _barred(push, [now for now in today.values() if now is not None], at)
    outcomes: dict[int, Outcome] = {}
    wanted: dict[int, int] = {}  # the record somebody has today → the one that was written down
    for each, now in today.items():
        if now is None:
            outcomes[each] = Outcome.GONE
        elif now in barred:
            outcomes[each] = barred[now]
        elif now in wanted:
            outcomes[each] = Outcome.MERGED
        else:
            wanted[now] = each
    lock_accounts(wanted)
    if _today(list(wanted)) != {now: now for now in wanted}:
        return None
    keys = {_key(push, now): now for now in wanted}
    for key in Move.objects.filter(actor=SYSTEM, key__in=list(keys)).values_list("key", flat=True):
        outcomes[wanted.pop(keys[key])] = Outcome.MERGED
    issued = _issue(push, sorted(wanted), at)
    return outcomes | {wanted[now]: outcome for now, outcome in issued.items()}


def _key(push: Push, member_id: int) -> str:
    return f"push:{push.pk}:{member_id}"


def _today(member_ids: list[int]) -> dict[int, int | None]:
    """Give the record in which each of them stands today; None for people whose data was deleted."""
    rows = Member.objects.filter(pk__in=member_ids).values_list("pk", "merged_into_id", "erased_at")
    found: dict[int, int | None] = {}
    for pk, merged_into_id, erased_at in rows.order_by("pk"):
        found[pk] = None if erased_at is not None else pk
        if merged_into_id is not None:
            try:
                found[pk] = present(pk)
            except MemberGone:
                found[pk] = None
    return found


def _barred(push: Push, member_ids: list[int], at: datetime) -> dict[int, Outcome]:
    """Give why some of them get nothing, whatever is left; the first of several reasons counts, as in the plan."""
    found = dict.fromkeys(
        left_out(at).filter(member_id__in=member_ids).values_list("member_id", flat=True), Outcome.FLAGGED
    )
    keys = [Purpose.MARKETING.value, *([PERSONAL] if chooses_people(push.segment.rule) else [])]
    rows = OptOut.objects.filter(member_id__in=member_ids, purpose__in=keys)
    for row in sorted(rows, key=lambda row: keys.index(row.purpose)):
        reasons = {Outcome.MINOR: row.minor, Outcome.ON_LIST: row.listed, Outcome.CONTROL: row.control}
        if row.purpose == PERSONAL:
            reasons = {Outcome.NOT_CHOSEN: True}
        reason = next((reason for reason, holds in reasons.items() if holds), None)
        if reason is not None:
            found.setdefault(row.member_id, reason)
    return found


def _issue(push: Push, member_ids: list[int], at: datetime) -> dict[int, Outcome]:
    """Give a coupon to people whose accounts are locked, in order, as far as limits and budget go."""
    template = Template.objects.select_for_update().get(pk=push.template_id)
    version = push.version
    if version is None or template.state != TemplateState.ACTIVE:
        return dict.fromkeys(member_ids, Outcome.CLOSED)
    valid = valid_between(read(version.rule), issued_at=at, zone=zone())
    if valid[1] <= at:
        return dict.fromkeys(member_ids, Outcome.CLOSED)
    left = None if template.total is None else template.total - template.taken
    numbers: dict[int, set[int]] = {each: set() for each in member_ids}
    mine = Coupon.objects.filter(template=template, member_id__in=member_ids, nth__isnull=False)
    for member_id, nth in mine.values_list("member_id", "nth"):
        numbers[member_id].add(nth or 0)
    outcomes: dict[int, Outcome] = {}
    fresh: list[Coupon] = []
    for each in member_ids:
        nth = first_free(numbers[each])
        if template.per_member is not None and nth > template.per_member:
            outcomes[each] = Outcome.HAD_IT
        elif left is not None and len(fresh) >= left:
            outcomes[each] = Outcome.NONE_LEFT
        else:
            outcomes[each] = Outcome.GIVEN
            fresh.append(_coupon(version, each, nth, valid, at))
    if fresh:
        if not take(template.pk, len(fresh)):
            message = "a locked budget has less than it said"
            raise RuntimeError(message)
        _write(push, Coupon.objects.bulk_create(fresh), version.number, template.per_member, at)
    return outcomes


def _coupon(
    version: TemplateVersion, member_id: int, nth: int, valid: tuple[datetime, datetime], at: datetime
) -> Coupon:
    return Coupon(
        template_id=version.template_id,
        version=version,
        member_id=member_id,
        nth=nth,
        way=Way.PUSH,
        state=State.UNUSED,
        valid_from=valid[0],
        valid_until=valid[1],
        issued_at=at,
    )


def _write(push: Push, coupons: list[Coupon], version: int, limit: int | None, at: datetime) -> None:
    Move.objects.bulk_create(
        Move(
            coupon=each,
            kind=MoveKind.ISSUE,
            after=State.UNUSED,
            actor=SYSTEM,
            key=_key(push, each.member_id),
            fingerprint=fingerprint(act="issue", template=push.template_id, member=each.member_id, way=Way.PUSH),
            member_id=each.member_id,
            staff_id=push.created_by_id,
            reason=push.reason,
            detail={"way": Way.PUSH, "version": version, "nth": each.nth, "limit": limit, "push": push.pk},
            valid_until=each.valid_until,
            at=at,
        )
        for each in coupons
    )


def _note(push: Push, people: list[PushPerson], outcomes: dict[int, Outcome]) -> None:
    for each in people:
        each.outcome = outcomes[each.member_id]
    PushPerson.objects.bulk_update(people, ["outcome"], batch_size=PORTION)
    counted: Counter[str] = Counter(push.tally)
    counted.update(str(each.outcome) for each in people)
    push.tally = dict(counted)
