"""Points for many members in few statements: the same journals, lots and legs as one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from accounts.tenancy import current_brand_id
from common.failpoints import point
from loyalty.expiry import expires_at
from loyalty.models import ExpiryKind, Journal
from loyalty.selectors import points as selectors
from loyalty.services.ledger import Operation, checked_points, fingerprint, lock_accounts
from loyalty.services.points import earn_points

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from loyalty.models import Account

ADD: Final = """
UPDATE loyalty_account a SET available = a.available + d.points, active_at = greatest(a.active_at, %s::timestamptz)
FROM (SELECT member_id, sum(points)::bigint AS points FROM unnest(%s::bigint[], %s::bigint[]) AS u(member_id, points)
      GROUP BY member_id) d
WHERE a.brand_id = %s AND a.member_id = d.member_id
"""


# Journals, their lots and legs. What is the same for all comes as a parameter of its own, the rest as arrays.
_POST: Final = """
WITH g AS (
    SELECT * FROM unnest(%(keys)s::text[], %(asked)s::uuid[], %(members)s::bigint[], %(points)s::bigint[],
        %(available)s::bigint[], %(held)s::bigint[]) AS u(key, fingerprint, member_id, points, available, held)
), j AS (
    INSERT INTO loyalty_journal (brand_id, public_id, kind, actor, key, fingerprint, member_id, points, source, number,
        reason, detail, available, held, owed, at)
    SELECT %(brand)s, gen_random_uuid(), 'EARN', %(actor)s, key, fingerprint, member_id, points, %(source)s, %(number)s,
        %(reason)s, '{}', available, held, 0, %(at)s FROM g
    RETURNING id, key, member_id, points
), l AS (
    INSERT INTO loyalty_lot (brand_id, member_id, journal_id, granted, remaining, held, earned_at, expires_at)
    SELECT %(brand)s, member_id, id, points, points, 0, %(at)s, %(ends)s FROM j
    RETURNING id, journal_id, member_id, granted
), e AS (
    INSERT INTO loyalty_entry (brand_id, journal_id, pocket, member_id, lot_id, points, at)
    SELECT %(brand)s, journal_id, 'AVAILABLE', member_id, id, granted, %(at)s FROM l
    UNION ALL
    SELECT %(brand)s, id, 'ISSUED', NULL, NULL, -points, %(at)s FROM j
)
SELECT key, id FROM j
"""


@dataclass(frozen=True)
class Gain:
    """So many points for a member whose record is today's; the key makes it one act of the actor."""

    key: str
    member_id: int
    points: int


@transaction.atomic
def earn_many(
    *, gains: Sequence[Gain], actor: str, source: str, at: datetime, number: str = "", reason: str = ""
) -> dict[str, int]:
    """Give points to many; gives the entry of each by key. What was given before is given once.

    Raises AmountInvalid; MemberGone and KeyReused where one has to be given by itself.
    """
    for each in gains:
        checked_points(each.points)
    known = dict(Journal.objects.filter(actor=actor, key__in=[each.key for each in gains]).values_list("key", "pk"))
    fresh = [each for each in gains if each.key not in known]
    accounts = lock_accounts([each.member_id for each in fresh])
    if selectors.policy().expiry == ExpiryKind.ACTIVITY:
        plain = []  # every lot of the member is prolonged
    else:
        plain = [each for each in fresh if accounts[each.member_id].owed == 0]  # a debt is paid first
    said = {"actor": actor, "source": source, "number": number, "reason": reason}
    known |= _post(plain, accounts, said, at)
    for each in fresh:
        if each.key not in known:
            journal = earn_points(
                operation=Operation(actor, each.key),
                member_id=each.member_id,
                points=each.points,
                source=source,
                number=number,
                reason=reason,
                at=at,
            )
            known[each.key] = journal.pk
    return known


def _post(gains: Sequence[Gain], accounts: dict[int, Account], said: dict[str, Any], at: datetime) -> dict[str, int]:
    """Write journals, lots and legs of many members at once; every account is locked and owes nothing."""
    if not gains:
        return {}
    settings = selectors.policy()
    ends = expires_at(settings.expiry, settings.expiry_span, earned_at=at, zone=selectors.zone())
    available, held, asked = [], [], []
    for each in gains:
        account = accounts[each.member_id]
        account.available += each.points
        available.append(account.available)
        held.append(account.held)
        told = fingerprint(
            act="earn", member=each.member_id, points=each.points, source=said["source"], number=said["number"]
        )
        asked.append(str(told))
    members, points = [each.member_id for each in gains], [each.points for each in gains]
    parameters = said | {
        "brand": current_brand_id(),
        "at": at,
        "ends": ends,
        "keys": [each.key for each in gains],
        "asked": asked,
        "members": members,
        "points": points,
        "available": available,
        "held": held,
    }
    with connection.cursor() as cursor:
        cursor.execute(_POST, parameters)
        made: dict[str, int] = dict(cursor.fetchall())
        cursor.execute(ADD, [at, members, points, current_brand_id()])
    point("loyalty: many posted, not committed")
    return made
