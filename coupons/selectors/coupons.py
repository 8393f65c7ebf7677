"""Coupons of people and orders: how each stands, and what it would take off a cart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Count, Q

from coupons.models import Coupon, Move, MoveKind, State, Template, TemplateState, TemplateVersion
from coupons.rules import Beside, Cart, Refusal, Rule, Verdict, clash, judge, read
from loyalty.selectors.tiers import tier_of
from members.left_out import held
from members.models import Flag, FlagKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

MOST_CHECKED = 100


@dataclass(frozen=True)
class Checked:
    """A coupon held against a cart."""

    coupon: Coupon
    rule: Rule
    verdict: Verdict


@dataclass(frozen=True)
class Offer:
    """A template with the version it is given from."""

    template: Template
    version: TemplateVersion
    rule: Rule


@dataclass(frozen=True)
class Holder:
    """What of a member decides whether a coupon can be used."""

    tier_id: int | None
    is_blocked: bool = False


@dataclass(frozen=True)
class Wallet:
    """How many coupons of a member are usable, can be used later, or are set aside; and the first of the usable."""

    usable: int
    coming: int
    held: int
    first: list[Coupon]


def holder(member_id: int, *, at: datetime) -> Holder:
    """Give the tier a member stands in, and whether the brand has blocked them."""
    blocked = is_blocked(member_id, at=at)
    tier = tier_of(member_id)
    return Holder(tier.pk if tier else None, blocked)


def is_blocked(member_id: int, *, at: datetime) -> bool:
    """Say whether the brand has blocked somebody at a moment."""
    blocked = Flag.objects.filter(member_id=member_id, kind=FlagKind.BLOCKED)
    return blocked.filter(held(at=at)).exists()


def refusal_of_state(coupon: Coupon, *, at: datetime, order: str = "") -> Refusal | None:
    """Say why a coupon cannot be used at a moment, whatever is bought; None when nothing is in the way.

    What ended later than that moment counts as there: a till that was offline reports what it did then.
    """
    if coupon.state == State.USED:
        return Refusal("used", (("day", coupon.used_at),))
    if coupon.state == State.VOID:
        return Refusal("void")
    if coupon.state == State.HELD and coupon.held_until is not None and coupon.held_until > at:
        held = Refusal("held", (("order", coupon.order), ("until", coupon.held_until)))
        return None if coupon.order == order else held
    return _out_of_time(coupon, at)


def _out_of_time(coupon: Coupon, at: datetime) -> Refusal | None:
    if coupon.valid_until <= at:
        return Refusal("expired", (("until", coupon.valid_until),))
    return Refusal("not_yet", (("since", coupon.valid_from),)) if coupon.valid_from > at else None


def beside_of(coupon: Coupon, order: str, *, at: datetime) -> list[Beside]:
    """Give the member's other coupons an order has, set aside or used, in the order in which they came to it.

    Only the member's own: orders of two systems may have the same number.
    """
    if not order:
        return []
    kept = Q(state=State.USED) | Q(state=State.HELD, held_until__gt=at)
    rows = list(Coupon.objects.select_related("version").filter(kept, member_id=coupon.member_id, order=order))
    rows = [row for row in rows if row.pk != coupon.pk]
    if not rows:
        return []
    taken = Move.objects.filter(coupon__in=rows, kind__in=[MoveKind.HOLD, MoveKind.REDEEM], order=order).order_by("pk")
    last = {row.coupon_id: row for row in taken}
    rows.sort(key=lambda row: last[row.pk].pk)
    return [Beside(row.template_id, row.version.name, read(row.version.rule), last[row.pk].saved) for row in rows]


def verdict(
    coupon: Coupon,
    cart: Cart,
    *,
    person: Holder,
    at: datetime,
    order: str = "",
    beside: Sequence[Beside] = (),
) -> Verdict:
    """Say what a coupon takes off a cart at a moment, or why it does not; `beside` is what the order has already."""
    refusal = refusal_of_state(coupon, at=at, order=order)
    if refusal is not None:
        return Verdict(refusal=refusal)
    if person.is_blocked:
        return Verdict(refusal=Refusal("blocked"))
    rule = read(coupon.version.rule)
    refusal = clash(rule, coupon.template_id, beside)
    if refusal is not None:
        return Verdict(refusal=refusal)
    return judge(rule, cart, tier_id=person.tier_id, beside=beside)


def check_cart(member_id: int, cart: Cart, *, at: datetime, chosen: Sequence[UUID] = ()) -> list[Checked]:
    """Hold a member's coupons against a cart: those that save most first, then those that cannot be used and why.

    With some `chosen` for it already, these come first, each beside those before it; then the others, beside them all.
    """
    person = holder(member_id, at=at)
    rows = list(coupons_of(member_id).filter(state__in=[State.UNUSED, State.HELD])[:MOST_CHECKED])
    by_id = {row.public_id: row for row in rows}
    first = [by_id.pop(each) for each in dict.fromkeys(chosen) if each in by_id]
    beside: list[Beside] = []
    taken: list[Checked] = []
    for row in first:
        found = _checked(row, cart, person, at, beside)
        taken.append(found)
        if found.verdict.refusal is None:
            beside.append(Beside(row.template_id, row.version.name, found.rule, found.verdict.saving))
    others = [_checked(row, cart, person, at, beside) for row in by_id.values()]
    others.sort(
        key=lambda each: (
            each.verdict.refusal is not None,
            -each.verdict.saving,
            each.coupon.valid_until,
            each.coupon.pk,
        )
    )
    return taken + others


def _checked(row: Coupon, cart: Cart, person: Holder, at: datetime, beside: Sequence[Beside]) -> Checked:
    return Checked(row, read(row.version.rule), verdict(row, cart, person=person, at=at, beside=beside))


def coupons_of(member_id: int) -> QuerySet[Coupon]:
    """Give the coupons of a member, newest first."""
    return Coupon.objects.select_related("version", "store").filter(member_id=member_id).order_by("-pk")


def wallet_of(member_id: int, *, at: datetime, first: int) -> Wallet:
    """Count a member's coupons as they stand at a moment, and give the usable ones that end soonest; three queries.

    A coupon whose hold has run out is free, and one whose time is over counts nowhere, swept or not.
    """
    over = Q(state=State.HELD, held_until__lte=at)
    free = Q(state=State.UNUSED) | over
    usable = free & Q(valid_from__lte=at, valid_until__gt=at)
    rows = Coupon.objects.filter(member_id=member_id, state__in=[State.UNUSED, State.HELD])
    counts = rows.aggregate(
        usable=Count("pk", filter=usable),
        coming=Count("pk", filter=free & Q(valid_from__gt=at)),
        held=Count("pk", filter=Q(state=State.HELD) & ~over),
    )
    soonest = coupons_of(member_id).select_related("version", "store", "template").filter(usable)
    shown = list(soonest.order_by("valid_until", "pk")[:first])
    if is_blocked(member_id, at=at):  # the till refuses each of them
        return Wallet(0, 0, counts["held"], [])
    return Wallet(counts["usable"], counts["coming"], counts["held"], shown)


def moves_of(coupon_ids: Iterable[int]) -> dict[int, list[Move]]:
    """Give what happened to coupons, oldest first."""
    rows = Move.objects.select_related("store", "staff").filter(coupon_id__in=list(coupon_ids)).order_by("pk")
    found: dict[int, list[Move]] = {}
    for row in rows:
        found.setdefault(row.coupon_id, []).append(row)
    return found


def moves_of_member(member_id: int) -> QuerySet[Move]:
    """Give what happened to a member's coupons, newest first."""
    return Move.objects.select_related("coupon__version", "store").filter(member_id=member_id).order_by("-pk")


def last_move(coupon_id: int, *kinds: str) -> Move | None:
    """Give the newest move of some kinds (of all kinds when none is named)."""
    rows = Move.objects.filter(coupon_id=coupon_id)
    return (rows.filter(kind__in=kinds) if kinds else rows).order_by("-pk").first()


def redeemed_at_counters(store_ids: Iterable[int] | None, *, since: datetime, limit: int = 20) -> list[Move]:
    """Give the newest redemptions in stores; `store_ids` of None means every store."""
    rows = Move.objects.select_related("coupon__version", "coupon", "store", "staff", "member")
    rows = rows.filter(kind=MoveKind.REDEEM, store__isnull=False, at__gte=since)
    if store_ids is not None:
        rows = rows.filter(store_id__in=list(store_ids))
    return list(rows.order_by("-pk")[:limit])


def offers(*, for_points: bool = False) -> list[Offer]:
    """Give the templates members can claim, or (with `for_points`) have for points."""
    rows = Template.objects.filter(state=TemplateState.ACTIVE)
    rows = rows.filter(points_price__isnull=False) if for_points else rows.filter(claimable=True)
    return with_versions(rows.order_by("pk")[:100])


def with_versions(templates: Iterable[Template]) -> list[Offer]:
    """Give templates with the versions they are given from; drafts are left out."""
    rows = list(templates)
    versions = TemplateVersion.objects.filter(template__in=rows).order_by("template_id", "-number")
    newest = {row.template_id: row for row in versions.distinct("template_id")}
    return [Offer(row, newest[row.pk], read(newest[row.pk].rule)) for row in rows if row.pk in newest]
