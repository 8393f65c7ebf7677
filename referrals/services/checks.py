"""What speaks against an invitation: what refuses it, and what only holds it until somebody has looked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef

from accounts.tenancy import current_brand_id
from loyalty.models import Fact, FactKind
from loyalty.services.facts import refunded
from members.models import Identity, IdentityKind, Member
from members.services import is_left_out
from referrals.models import Act, Referral, Sign, SignKind, State
from referrals.services.arrivals import ARRIVAL, was_known

if TYPE_CHECKING:
    from datetime import datetime

#: From so many people on a sign that families and offices share is worth a look; any other from two on.
MANY: Final = {SignKind.DEVICE: 2, SignKind.PAYMENT: 2, SignKind.ADDRESS: 3, SignKind.NETWORK: 4}
#: What says that inviter and invited are one person; a household shares the others.
PERSONAL: Final = frozenset({SignKind.DEVICE, SignKind.PAYMENT})
QUIET_FROM: Final = 4
LATELY: Final = timedelta(days=180)
_LONGEST: Final = 1_000

# Each person was brought by one at most, so a circle shows on the way up: it comes back to where it began.
_CIRCLE: Final = """
WITH RECURSIVE up(id, step) AS (
    SELECT %(inviter)s::bigint, 1
    UNION
    SELECT r.inviter_id, up.step + 1 FROM referrals_referral r JOIN up ON up.id = r.invited_id
    WHERE r.brand_id = %(brand)s AND up.step < %(longest)s AND up.id <> %(invited)s
)
SELECT id FROM up ORDER BY step
"""


def refusal(row: Referral, at: datetime) -> dict[str, Any] | None:
    """Give what makes an invitation worth nothing, whatever anybody decides."""
    people = {each.pk: each for each in Member.objects.filter(pk__in=[row.inviter_id, row.invited_id])}
    invited, order = people[row.invited_id], row.order
    checks = (
        ("same_person", lambda: row.inviter_id == row.invited_id),
        ("gone", lambda: any(each.erased_at is not None for each in people.values())),
        ("twice", lambda: invited.merged_into_id is not None),
        ("known_before", lambda: was_known(invited, row.bound_at)),
        ("left_out", lambda: any(is_left_out(member_id=each, at=at) for each in people)),
        ("refunded", lambda: order is not None and order.amount - refunded(order) < row.programme.at_least),
    )
    return next(({"key": key} for key, is_so in checks if is_so()), None)


def circle(row: Referral) -> list[int]:
    """Give the people of the circle an invitation closes; nobody where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CIRCLE,
            {
                "inviter": row.inviter_id,
                "invited": row.invited_id,
                "brand": current_brand_id(),
                "longest": _LONGEST,
            },
        )
        people = [each[0] for each in cursor.fetchall()]
    return people if row.invited_id in people else []


def doubts(row: Referral) -> list[dict[str, Any]]:
    """Give what somebody should look at before anything is given."""
    found: list[dict[str, Any]] = []
    ring = circle(row)
    if ring:
        found.append({"key": "ring", "people": len(ring)})
    found += _shared(row)
    phones = Identity.objects.filter(kind=IdentityKind.PHONE)
    theirs = phones.filter(member_id=row.inviter_id).values("value")
    if phones.filter(member_id=row.invited_id, value__in=theirs).exists():
        found.append({"key": "phone"})
    around = Referral.objects.filter(
        inviter_id=row.inviter_id,
        bound_at__gt=row.bound_at - timedelta(hours=1),
        bound_at__lt=row.bound_at + timedelta(hours=1),
    ).count()
    if around > row.programme.fast:
        found.append({"key": "fast", "people": around})
    quiet = _quiet(row)
    if quiet:
        found.append({"key": "quiet", "people": quiet})
    return found


def _shared(row: Referral) -> list[dict[str, Any]]:
    """Say what inviter and invited both used, and what many invited people used."""
    mine = list(Sign.objects.filter(member_id=row.invited_id, at__gt=row.bound_at - LATELY).order_by("pk"))
    if not mine:
        return []
    same = Sign.objects.filter(value__in=[each.value for each in mine])
    inviters = set(same.filter(member_id=row.inviter_id).values_list("kind", "value"))
    counts = {
        (kind, value): people
        for kind, value, people in same.filter(Exists(Referral.objects.filter(invited_id=OuterRef("member_id"))))
        .order_by()
        .values_list("kind", "value")
        .annotate(people=Count("member_id", distinct=True))
    }
    found: dict[str, dict[str, Any]] = {}
    for each in mine:
        kind = SignKind(each.kind)
        if kind in PERSONAL and (each.kind, each.value) in inviters:
            found[f"inviter {kind}"] = {"key": "inviter_sign", "what": kind.value}
        people = counts.get((each.kind, each.value), 0)
        if people >= MANY[kind]:
            found[f"shared {kind}"] = {"key": "shared_sign", "what": kind.value, "people": people}
    return list(found.values())


def _quiet(row: Referral) -> int:
    """Say how many an inviter brought of whom nobody has done anything; 0 where somebody has, or few came."""
    if row.programme.act == Act.ORDER:
        return 0
    brought = Referral.objects.filter(inviter_id=row.inviter_id).exclude(state=State.OPEN)
    total = brought.count()
    if total < QUIET_FROM:
        return 0
    bought = Fact.objects.filter(member_id=OuterRef("invited_id"), kind=FactKind.PURCHASE)
    if brought.filter(Exists(bought)).exists():
        return 0
    acted = brought.filter(invited__last_interaction_at__gt=F("bound_at") + ARRIVAL)
    return 0 if acted.exists() else total
