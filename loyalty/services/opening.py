"""Opening balances: what members had elsewhere comes into the ledger, each once, in few statements for many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.db.models import Sum

from accounts.tenancy import current_brand_id
from loyalty.models import Journal, JournalKind, Lot
from loyalty.services.ledger import fingerprint, lock_accounts
from loyalty.services.many import ADD, Gain, earn_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


IMPORT: Final = "import"


_TIMES: Final = 8  # how often one balance can be given and taken back again

# The journals that take balances back, their legs, and the lots emptied.
_BACK: Final = """
WITH g AS (
    SELECT * FROM unnest(%(keys)s::text[], %(asked)s::uuid[], %(members)s::bigint[], %(points)s::bigint[],
        %(reverses)s::bigint[], %(lots)s::bigint[], %(available)s::bigint[], %(held)s::bigint[], %(owed)s::bigint[])
        AS u(key, fingerprint, member_id, points, reverses_id, lot_id, available, held, owed)
), j AS (
    INSERT INTO loyalty_journal (brand_id, public_id, kind, actor, key, fingerprint, member_id, points, source, number,
        reason, reverses_id, detail, available, held, owed, at)
    SELECT %(brand)s, gen_random_uuid(), 'CLAWBACK', %(actor)s, key, fingerprint, member_id, points, %(actor)s,
        %(number)s, %(reason)s, reverses_id, '{}', available, held, owed, %(at)s FROM g
    RETURNING id, reverses_id, points
), e AS (
    INSERT INTO loyalty_entry (brand_id, journal_id, pocket, member_id, lot_id, points, at)
    SELECT %(brand)s, j.id, 'AVAILABLE', g.member_id, g.lot_id, -j.points, %(at)s FROM j JOIN g USING (reverses_id)
    UNION ALL
    SELECT %(brand)s, id, 'ISSUED', NULL, NULL, points, %(at)s FROM j
)
UPDATE loyalty_lot SET remaining = 0 WHERE brand_id = %(brand)s AND id = ANY(%(lots)s::bigint[])
"""


@dataclass(frozen=True)
class Opening:
    """So many points for a member whose record is today's. `name` names the balance: it is given once."""

    name: str
    member_id: int
    points: int


@dataclass(frozen=True)
class Given:
    """How an opening balance stands: its entry of the ledger and points, or None; how often it was taken back."""

    journal_id: int | None
    points: int
    times: int


def openings_of(names: Iterable[str]) -> dict[str, Given]:
    """Give how opening balances stand, by name; names of which nothing was ever given are left out."""
    found: dict[str, Given] = {}
    asking = set(names)
    for times in range(_TIMES):  # nearly always one round: most balances were never taken back
        keys = {f"{name}:{times}": name for name in asking}
        rows = list(
            Journal.objects.filter(actor=IMPORT, key__in=list(keys)).order_by().values_list("pk", "key", "points")
        )
        if not rows:
            break
        back = dict(
            Journal.objects.filter(reverses_id__in=[pk for pk, _key, _points in rows])
            .order_by()
            .values_list("reverses_id")
            .annotate(Sum("points"))
        )
        asking = set()
        for journal_id, key, points in rows:
            gone = back.get(journal_id, 0) >= points
            found[keys[key]] = Given(None if gone else journal_id, 0 if gone else points, times + gone)
            if gone:
                asking.add(keys[key])
    return found


def openings_of_members(member_ids: Iterable[int]) -> dict[int, Given]:
    """Give the opening balances that stand, by the member whose record has them today."""
    rows = list(
        Lot.objects.filter(member_id__in=set(member_ids), journal__actor=IMPORT, journal__kind=JournalKind.EARN)
        .order_by("-pk")
        .values_list("member_id", "journal_id", "journal__points")
    )
    back = dict(
        Journal.objects.filter(reverses_id__in=[journal_id for _member, journal_id, _points in rows])
        .order_by()
        .values_list("reverses_id")
        .annotate(Sum("points"))
    )
    return {
        member_id: Given(journal_id, points, 0)
        for member_id, journal_id, points in rows
        if back.get(journal_id, 0) < points
    }


@transaction.atomic
def open_balances(*, openings: Sequence[Opening], number: str, reason: str, at: datetime) -> dict[str, int]:
    """Give opening balances; gives the entries made by name. Nobody gets a second one while one stands.

    Raises AmountInvalid, MemberGone.
    """
    lock_accounts([each.member_id for each in openings])
    have = openings_of_members([each.member_id for each in openings])
    openings = list({each.member_id: each for each in reversed(openings) if each.member_id not in have}.values())
    standing = openings_of([each.name for each in openings])
    known = {name for name, given in standing.items() if given.journal_id is not None}
    keys = {each.name: f"{each.name}:{standing[each.name].times if each.name in standing else 0}" for each in openings}
    fresh = [each for each in openings if each.name not in known]
    made = earn_many(
        gains=[Gain(keys[each.name], each.member_id, each.points) for each in fresh],
        actor=IMPORT,
        source=IMPORT,
        number=number,
        reason=reason,
        at=at,
    )
    return {each.name: made[keys[each.name]] for each in fresh}


@transaction.atomic
def take_openings_back(*, journal_ids: Sequence[int], number: str, reason: str, at: datetime) -> set[int]:
    """Take opening balances back of which nothing was spent, frozen or has ended; gives the entries it was done for.

    Those that were taken back before count as done.
    """
    journals = {row.pk: row for row in Journal.objects.filter(pk__in=journal_ids, actor=IMPORT, kind=JournalKind.EARN)}
    before = set(
        Journal.objects.filter(reverses_id__in=list(journals)).order_by().values_list("reverses_id", flat=True)
    )
    accounts = lock_accounts([row.member_id for pk, row in journals.items() if pk not in before])
    lots = {lot.journal_id: lot for lot in Lot.objects.filter(journal_id__in=list(journals)).order_by("pk")}
    whole = [
        (journals[pk], lot)
        for pk, lot in sorted(lots.items())
        if pk not in before and lot.remaining == journals[pk].points and lot.member_id == journals[pk].member_id
    ]
    available, asked = [], []
    for journal, lot in whole:
        accounts[lot.member_id].available -= journal.points
        available.append(accounts[lot.member_id].available)
        asked.append(str(fingerprint(act="reverse", journal=journal.pk, points=None)))
    members = [lot.member_id for _journal, lot in whole]
    points = [journal.points for journal, _lot in whole]
    parameters: dict[str, Any] = {
        "brand": current_brand_id(),
        "actor": IMPORT,
        "number": number,
        "reason": reason,
        "at": at,
        "keys": [f"undo:{journal.pk}" for journal, _lot in whole],
        "asked": asked,
        "members": members,
        "points": points,
        "reverses": [journal.pk for journal, _lot in whole],
        "lots": [lot.pk for _journal, lot in whole],
        "available": available,
        "held": [accounts[member_id].held for member_id in members],
        "owed": [accounts[member_id].owed for member_id in members],
    }
    with connection.cursor() as cursor:
        cursor.execute(_BACK, parameters)
        cursor.execute(ADD, [None, members, [-each for each in points], current_brand_id()])
    return before | {journal.pk for journal, _lot in whole}
