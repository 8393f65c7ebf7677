"""Giving coupons: claimed, pushed, handed out, by another system, for points."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from accounts.services import record_audit
from accounts.viewer import current_viewer
from coupons.errors import BudgetGone, LeftOut, MemberLimit, ReasonNeeded, TemplateClosed
from coupons.models import Coupon, Move, MoveKind, State, Template, TemplateState, TemplateVersion, Way
from coupons.rules import Kind, read, valid_between
from coupons.services.moves import done_before, first_free, numbers_of, take
from loyalty.errors import MemberGone
from loyalty.selectors.points import zone
from loyalty.services import Operation, burn_points, freeze_points
from loyalty.services.ledger import SYSTEM, fingerprint, open_account
from members.services import is_left_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loyalty.models import Hold

SHORTEST_REASON: Final = 2
SOURCE: Final = "coupon"  # in the points ledger
GOODS: Final = frozenset({Kind.EXCHANGE, Kind.GIFT})


@dataclass(frozen=True)
class Pushed:
    """What became of giving a coupon to several people."""

    given: int
    had_it: int
    gone: int
    no_more: int
    left_out: int = 0


@dataclass(frozen=True)
class Given:
    """How a coupon came about, beside whose it is."""

    way: str
    reason: str = ""
    staff_id: int | None = None
    hold: Hold | None = None
    from_budget: bool = True


def current_version(template_id: int) -> TemplateVersion | None:
    """Give the version that coupons are issued from now."""
    return TemplateVersion.objects.filter(template_id=template_id).order_by("-number").first()


def give(
    operation: Operation, asked: uuid.UUID, template: Template, member_id: int, given: Given, at: datetime
) -> Move:
    """Make a coupon for a member whose account is locked. Raises TemplateClosed, BudgetGone, MemberLimit."""
    version = current_version(template.pk)
    if template.state != TemplateState.ACTIVE or version is None:
        raise TemplateClosed
    valid_from, valid_until = valid_between(read(version.rule), issued_at=at, zone=zone())
    if valid_until <= at:
        raise TemplateClosed
    if given.from_budget and not take(template.pk):
        raise BudgetGone
    return make(operation, asked, version, member_id, given, at, (valid_from, valid_until), template.per_member)


def make(
    operation: Operation,
    asked: uuid.UUID,
    version: TemplateVersion,
    member_id: int,
    given: Given,
    at: datetime,
    valid: tuple[datetime, datetime],
    limit: int | None,
) -> Move:
    """Write the coupon and its first move. Raises LeftOut, MemberLimit."""
    if is_left_out(member_id=member_id, at=at):
        raise LeftOut
    nth = first_free(numbers_of(member_id, version.template_id))
    if limit is not None and nth > limit:
        raise MemberLimit(limit)
    coupon = Coupon.objects.create(
        template_id=version.template_id,
        version=version,
        member_id=member_id,
        nth=nth,
        way=given.way,
        state=State.UNUSED,
        valid_from=valid[0],
        valid_until=valid[1],
        issued_at=at,
        points_hold=given.hold,
    )
    return Move.objects.create(
        coupon=coupon,
        kind=MoveKind.ISSUE,
        after=State.UNUSED,
        actor=operation.actor,
        key=operation.key,
        fingerprint=asked,
        member_id=member_id,
        staff_id=given.staff_id,
        reason=given.reason[:200],
        detail={"way": given.way, "version": version.number, "nth": nth, "limit": limit},
        valid_until=valid[1],
        at=at,
    )


@transaction.atomic
def claim_coupon(*, operation: Operation, template: Template, member_id: int, at: datetime) -> Move:
    """Let a member take a coupon that is on offer. Raises TemplateClosed, BudgetGone, MemberLimit, KeyReused."""
    asked = fingerprint(act="claim", template=template.pk, member=member_id)
    known = done_before(operation, asked)
    if known is not None:
        return known
    if not template.claimable:
        raise TemplateClosed
    member_id = open_account(member_id).member_id
    return give(operation, asked, template, member_id, Given(Way.CLAIM), at)


@transaction.atomic
def issue_coupon(
    *, operation: Operation, template: Template, member_id: int, at: datetime, way: str = Way.SYSTEM, reason: str = ""
) -> Move:
    """Give a member a coupon on somebody else's word: a system, the brand. Raises as claiming does."""
    asked = fingerprint(act="issue", template=template.pk, member=member_id, way=way)
    known = done_before(operation, asked)
    if known is not None:
        return known
    viewer = current_viewer()
    member_id = open_account(member_id).member_id
    given = Given(way, reason=reason, staff_id=viewer.staff_id if viewer else None)
    return give(operation, asked, template, member_id, given, at)


@transaction.atomic
def hand_out(*, operation: Operation, template: Template, member_id: int, reason: str, at: datetime) -> Move:
    """Let somebody of the staff give a member a coupon. Raises ReasonNeeded and as claiming does."""
    viewer = current_viewer()
    if len(reason.strip()) < SHORTEST_REASON:
        raise ReasonNeeded
    if viewer is not None and not viewer.can("coupons.edit") and not template.by_guides:
        raise TemplateClosed
    way = Way.GUIDE if template.by_guides else Way.PUSH
    move = issue_coupon(
        operation=operation, template=template, member_id=member_id, at=at, way=way, reason=reason.strip()
    )
    record_audit(action="give coupon", obj=move.coupon, changes={"template": [None, template.name]}, reason=reason)
    return move


def push_coupons(*, key: str, template: Template, member_ids: Sequence[int], reason: str, at: datetime) -> Pushed:
    """Give a coupon to several people; the same key gives nobody a second one.

    Whoever has as many as one may have, works here, is a test, blocked or gone, is left out;
    so is everybody once the budget is gone.
    Raises ReasonNeeded, TemplateClosed.
    """
    if len(reason.strip()) < SHORTEST_REASON:
        raise ReasonNeeded
    given = had = gone = short = barred = 0
    for member_id in sorted(set(member_ids)):
        try:
            issue_coupon(
                operation=Operation(SYSTEM, f"push:{key}:{member_id}"),
                template=template,
                member_id=member_id,
                at=at,
                way=Way.PUSH,
                reason=reason.strip(),
            )
        except MemberLimit:
            had += 1
        except MemberGone:
            gone += 1
        except LeftOut:
            barred += 1
        except BudgetGone:
            short += 1
        else:
            given += 1
    record_audit(action="push coupons", obj=template, changes={"given": [0, given], "had it": [0, had]}, reason=reason)
    return Pushed(given, had, gone, short, barred)


@transaction.atomic
def exchange_points(*, operation: Operation, template: Template, member_id: int, at: datetime) -> Move:
    """Give a coupon for points. Goods freeze them until they are handed over; anything else spends them at once.

    Raises TemplateClosed, BudgetGone, MemberLimit, PointsShort, KeyReused.
    """
    asked = fingerprint(act="exchange", template=template.pk, member=member_id)
    known = done_before(operation, asked)
    if known is not None:
        return known
    version = current_version(template.pk)
    if template.points_price is None or version is None or template.state != TemplateState.ACTIVE:
        raise TemplateClosed
    _since, until = valid_between(read(version.rule), issued_at=at, zone=zone())
    if until <= at:
        raise TemplateClosed
    member_id = open_account(member_id).member_id
    act: dict[str, Any] = {
        "operation": Operation(SYSTEM, f"coupon:{operation.actor}:{operation.key}"[:120]),
        "member_id": member_id,
        "points": template.points_price,
        "source": SOURCE,
        "at": at,
        "reason": version.name,
    }
    hold = None
    if version.rule["kind"] in GOODS:
        hold = freeze_points(**act, until=until)
    else:
        burn_points(**act)
    return give(operation, asked, template, member_id, Given(Way.EXCHANGE, hold=hold), at)
