"""Coupons that channel codes give: a scan writes down whom a code owes one, a worker gives each of them once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import connection, transaction

from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from common.failpoints import point
from coupons import tasks
from coupons.models import Outcome, ScanGrant, Way
from coupons.services.outcomes import give_promised
from loyalty.errors import MemberGone
from loyalty.services.ledger import open_account
from members.selectors import person_of

if TYPE_CHECKING:
    from datetime import datetime

    from touchpoints.models import Touch

# Given is given; whoever got none gets another chance by the next scan. A push that is replayed records no scan.
_OWE: Final = """
INSERT INTO coupons_scangrant (brand_id, touchpoint_id, template_id, member_id, outcome, at)
SELECT t.brand_id, %(code)s, t.id, %(member)s, %(outcome)s, %(at)s FROM coupons_template t
WHERE t.brand_id = %(brand)s AND t.id = %(template)s
ON CONFLICT (brand_id, touchpoint_id, member_id) DO UPDATE
SET outcome = EXCLUDED.outcome, template_id = EXCLUDED.template_id, at = EXCLUDED.at
WHERE coupons_scangrant.outcome NOT IN ('', 'GIVEN')
"""


def owe_for_scan(touch: Touch, barred: bool) -> None:
    """Write down that a code owes somebody its coupon, in one statement; for whoever is barred, that it owes none.

    It is given apart: the budget of a template is one row, and pushes of many people are handled in one transaction.
    """
    code = touch.touchpoint
    if code is None or code.benefit_id is None:
        return
    values = {
        "brand": current_brand_id(),
        "code": code.pk,
        "template": code.benefit_id,
        "member": touch.member_id,
        "outcome": Outcome.FLAGGED.value if barred else "",
        "at": touch.at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_OWE, values)
        written = cursor.rowcount
    if written and not barred:
        ring(tasks.give_scans, touch.brand_id)


@transaction.atomic
def give_scan(*, at: datetime) -> int:
    """Give one of the coupons that codes owe; 0 when none waits. Killed anywhere, nobody gets two."""
    rows = ScanGrant.objects.select_for_update(of=("self",), skip_locked=True).filter(outcome="").order_by("pk")
    grant = rows.select_related("touchpoint", "template").first()
    if grant is None:
        return 0
    grant.outcome = _give(grant, at)
    grant.at = at
    grant.save(update_fields=["outcome", "coupon", "at"])
    point("scan coupons: given, not committed")
    return 1


def _give(grant: ScanGrant, at: datetime) -> Outcome:
    """Give it to whoever the person is today, unless one of their records has had it by this code."""
    try:
        today = open_account(grant.member_id).member_id
    except MemberGone:
        return Outcome.GONE
    had = ScanGrant.objects.filter(touchpoint_id=grant.touchpoint_id, outcome=Outcome.GIVEN)
    if had.filter(member_id__in=person_of(today).member_ids).exists():
        return Outcome.MERGED
    outcome, grant.coupon = give_promised(
        key=f"scan:{grant.pk}",
        template=grant.template,
        member_id=today,
        way=Way.SCAN,
        reason=grant.touchpoint.name,
        at=at,
    )
    return outcome
