"""The one way into the ledger: an operation that happens once, and a journal whose legs sum to zero."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from accounts.tenancy import current_brand_id
from common.failpoints import point
from loyalty.errors import AmountInvalid, KeyReused, MemberGone, OperationRunning
from loyalty.models import Account, Entry, Journal, Lot, Pocket
from members.models import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

logger = logging.getLogger(__name__)
MOST_POINTS: Final = 1_000_000_000
SYSTEM: Final = "system"


class LedgerBroken(Exception):
    """A journal that would not add up, or more than there is: a fault of the product, undone with its transaction."""


@contextmanager
def alone(act: str, row_id: int) -> Iterator[None]:
    """Do one row of a sweep in a transaction of its own: a broken one is logged, and those behind it get their turn."""
    try:
        with transaction.atomic():
            yield
    except LedgerBroken:
        logger.exception("%s of row %s would break the ledger; it is left as it is", act, row_id)


@dataclass(frozen=True)
class Operation:
    """Who asks for what: the actor's key makes it one act, however often it is asked for."""

    actor: str
    key: str


@dataclass(frozen=True, eq=False)
class NewLot:
    """A lot that a journal makes. Two that look alike are two."""

    member_id: int
    points: int
    earned_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True)
class Leg:
    """So many points into a pocket (out of it: below zero). `lot` is the id of a lot or one the journal makes."""

    pocket: str
    points: int
    member_id: int | None = None
    lot: int | NewLot | None = None


@dataclass(frozen=True)
class About:
    """What a journal says beside its legs."""

    kind: str
    member_id: int
    points: int
    source: str
    at: datetime
    number: str = ""
    reason: str = ""
    other_id: int | None = None
    reverses_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def fingerprint(**asked: Any) -> uuid.UUID:
    """Give a fingerprint of what was asked for."""
    text = json.dumps(asked, sort_keys=True, default=str, ensure_ascii=False)
    return uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest())


def checked_points(points: object) -> int:
    """Give a number of points as it came, if it is one. Raises AmountInvalid."""
    if not isinstance(points, int) or isinstance(points, bool) or not 1 <= points <= MOST_POINTS:
        raise AmountInvalid(MOST_POINTS)
    return points


def done_before(operation: Operation, asked: uuid.UUID) -> Journal | None:
    """Give the journal of an operation that was done before, None when it is still to be done.

    Raises OperationRunning while somebody else is at it, KeyReused when the key stands for something else.
    """
    brand_id = current_brand_id()
    if not claimed(f"{brand_id}\x1f{operation.actor}\x1f{operation.key}"):
        raise OperationRunning
    known = Journal.objects.filter(actor=operation.actor, key=operation.key).first()
    if known is not None and known.fingerprint != asked:
        raise KeyReused
    return known


def claimed(name: str) -> bool:
    """Say whether this transaction is now the only one that does what is named, until it ends."""
    lock = int.from_bytes(hashlib.blake2b(f"loyalty\x1f{name}".encode(), digest_size=8).digest(), signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock])
        row = cursor.fetchone()
    return bool(row and row[0])


def lock_accounts(member_ids: Iterable[int]) -> dict[int, Account]:
    """Lock the accounts of members, in one order; whoever has none gets one."""
    wanted = sorted(set(member_ids))
    rows = _locked(wanted)
    if len(rows) < len(wanted):
        Account.objects.bulk_create(
            [Account(member_id=each) for each in wanted if each not in rows], ignore_conflicts=True
        )
        rows = _locked(wanted)
    return rows


def _locked(member_ids: list[int]) -> dict[int, Account]:
    rows = Account.objects.select_for_update().filter(member_id__in=member_ids).order_by("member_id")
    return {row.member_id: row for row in rows}


def open_account(member_id: int, field_name: str = "member_no") -> Account:
    """Lock the account of whoever somebody is today: a merge that was under way is waited for and followed.

    Raises MemberGone for people whose data was deleted.
    """
    while True:
        account = lock_accounts([member_id])[member_id]
        today = present(member_id, field_name)
        if today == member_id:
            return account
        member_id = today


def present(member_id: int, field_name: str = "member_no") -> int:
    """Give the record in which somebody stands today. Raises MemberGone for people whose data was deleted."""
    for _step in range(100):
        rows: Any = Member.objects.filter(pk=member_id).values_list("merged_into_id", "erased_at")
        row: tuple[int | None, datetime | None] | None = rows.first()
        if row is None or row[1] is not None:
            break
        if row[0] is None:
            return member_id
        member_id = row[0]
    raise MemberGone(field_name)


def post(
    operation: Operation, asked: uuid.UUID, about: About, legs: Sequence[Leg], accounts: dict[int, Account]
) -> Journal:
    """Write a journal with its legs; lots and accounts follow. The accounts of every member in it must be locked."""
    if sum(leg.points for leg in legs) != 0 or not legs:
        message = "the legs of a journal sum to zero"
        raise LedgerBroken(message)
    changes: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for leg in legs:
        if leg.member_id is not None:
            changes[leg.member_id][leg.pocket] += leg.points
    for member_id, change in changes.items():
        account = accounts[member_id]
        account.available += change[Pocket.AVAILABLE]
        account.held += change[Pocket.HELD]
        account.owed -= change[Pocket.OWED]
    subject = accounts[about.member_id]
    journal = Journal.objects.create(
        kind=about.kind,
        actor=operation.actor,
        key=operation.key,
        fingerprint=asked,
        member_id=about.member_id,
        other_id=about.other_id,
        points=about.points,
        source=about.source,
        number=about.number,
        reason=about.reason,
        reverses_id=about.reverses_id,
        detail=about.detail,
        available=subject.available,
        held=subject.held,
        owed=subject.owed,
        at=about.at,
    )
    new = _make_lots(journal, legs)
    Entry.objects.bulk_create(
        Entry(
            journal=journal,
            pocket=leg.pocket,
            member_id=leg.member_id,
            lot_id=new[leg.lot] if isinstance(leg.lot, NewLot) else leg.lot,
            points=leg.points,
            at=about.at,
        )
        for leg in legs
    )
    _move_lots([leg for leg in legs if isinstance(leg.lot, int)])
    _move_accounts(changes, about)
    point("loyalty: posted, not committed")
    return journal


def _make_lots(journal: Journal, legs: Sequence[Leg]) -> dict[NewLot, int]:
    wanted = list(dict.fromkeys(leg.lot for leg in legs if isinstance(leg.lot, NewLot)))
    rows = Lot.objects.bulk_create(
        Lot(
            member_id=lot.member_id,
            journal=journal,
            granted=lot.points,
            remaining=lot.points,
            earned_at=lot.earned_at,
            expires_at=lot.expires_at,
        )
        for lot in wanted
    )
    return {lot: row.pk for lot, row in zip(wanted, rows, strict=True)}


_MOVE_LOTS = """
UPDATE loyalty_lot l SET remaining = l.remaining + d.available, held = l.held + d.held
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS d(id, available, held)
WHERE l.brand_id = %s AND l.id = d.id AND l.remaining + d.available >= 0 AND l.held + d.held >= 0
"""


def _move_lots(legs: Sequence[Leg]) -> None:
    """Check and change in one statement: a lot that has not enough is not changed, and that is an error."""
    moved: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for leg in legs:
        if isinstance(leg.lot, int):
            moved[leg.lot][0 if leg.pocket == Pocket.AVAILABLE else 1] += leg.points
    moved = {lot: change for lot, change in moved.items() if any(change)}
    if not moved:
        return
    ids = sorted(moved)
    with connection.cursor() as cursor:
        cursor.execute(
            _MOVE_LOTS, [ids, [moved[each][0] for each in ids], [moved[each][1] for each in ids], current_brand_id()]
        )
        if cursor.rowcount != len(ids):
            message = "a lot of points has less than the ledger was to take from it"
            raise LedgerBroken(message)


_MOVE_ACCOUNT = """
UPDATE loyalty_account SET available = available + %s, held = held + %s, owed = owed - %s,
    active_at = CASE WHEN %s THEN greatest(active_at, %s) ELSE active_at END
WHERE brand_id = %s AND member_id = %s AND available + %s >= 0 AND held + %s >= 0 AND owed - %s >= 0
"""
ACTIVE: Final = frozenset({"EARN", "BURN", "CAPTURE", "GIFT"})


def _move_accounts(changes: dict[int, dict[str, int]], about: About) -> None:
    brand_id, active = current_brand_id(), about.kind in ACTIVE
    with connection.cursor() as cursor:
        for member_id in sorted(changes):
            change = changes[member_id]
            available, held, owed = change[Pocket.AVAILABLE], change[Pocket.HELD], change[Pocket.OWED]
            cursor.execute(
                _MOVE_ACCOUNT,
                [available, held, owed, active, about.at, brand_id, member_id, available, held, owed],
            )
            if cursor.rowcount != 1:
                message = "an account has less than the ledger was to take from it"
                raise LedgerBroken(message)
