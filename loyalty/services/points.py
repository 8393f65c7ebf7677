"""Earning, spending, freezing, giving, reversing and ending points: each one journal, done once."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.db.models import BigIntegerField, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from accounts.tenancy import current_brand_id
from loyalty.errors import (
    CannotReverse,
    GiftRefused,
    HoldEnded,
    MemberLeftOut,
    NothingToReverse,
    OperationRunning,
    PointsShort,
    RefundBlocked,
    ReinstateTooLate,
)
from loyalty.expiry import expires_at
from loyalty.models import (
    Account,
    Entry,
    ExpiryKind,
    Hold,
    HoldState,
    Journal,
    JournalKind,
    Lot,
    NegativePolicy,
    Pocket,
    PointsPolicy,
)
from loyalty.selectors import points as selectors
from loyalty.services.ledger import (
    SYSTEM,
    About,
    Leg,
    NewLot,
    Operation,
    alone,
    checked_points,
    done_before,
    fingerprint,
    lock_accounts,
    open_account,
    post,
    present,
)
from members.services import is_left_out

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

RING_DAYS: Final = 30
_AT_ONCE: Final = 100
_ENDINGS: Final = (JournalKind.EXPIRE, JournalKind.REINSTATE)


@transaction.atomic
def earn_points(
    *,
    operation: Operation,
    member_id: int,
    points: int,
    source: str,
    at: datetime,
    number: str = "",
    reason: str = "",
    detail: dict[str, Any] | None = None,
) -> Journal:
    """Give a member points; what they owe is paid first. Raises AmountInvalid, MemberGone, KeyReused."""
    checked_points(points)
    asked = fingerprint(act="earn", member=member_id, points=points, source=source, number=number)
    known = done_before(operation, asked)
    if known is not None:
        return known
    account = open_account(member_id)
    about = About(
        JournalKind.EARN, account.member_id, points, source, at, number=number, reason=reason, detail=detail or {}
    )
    settings = selectors.policy()
    journal = give(operation, asked, about, account, Pocket.ISSUED, settings)
    _prolong(account.member_id, at, settings)
    return journal


@transaction.atomic
def earn_unless_left_out(*, operation: Operation, member_id: int, at: datetime, **facts: Any) -> Journal:
    """Give points as `earn_points` does, but none to staff, test people and blocked ones. Raises MemberLeftOut.

    What was given before under the same key is answered as it was.
    """
    if is_left_out(member_id=member_id, at=at):
        known = Journal.objects.filter(actor=operation.actor, key=operation.key)
        if not known.exists():
            raise MemberLeftOut
    return earn_points(operation=operation, member_id=member_id, at=at, **facts)


def give(
    operation: Operation, asked: uuid.UUID, about: About, account: Account, pocket: str, settings: PointsPolicy
) -> Journal:
    """Post points that come to a member: a debt first, a lot for the rest."""
    paid = min(account.owed, about.points)
    legs = [Leg(pocket, -about.points)]
    if paid:
        legs.append(Leg(Pocket.OWED, paid, about.member_id))
    if about.points > paid:
        ends = expires_at(settings.expiry, settings.expiry_span, earned_at=about.at, zone=selectors.zone())
        lot = NewLot(about.member_id, about.points - paid, about.at, ends)
        legs.append(Leg(Pocket.AVAILABLE, about.points - paid, about.member_id, lot))
    return post(operation, asked, about, legs, {account.member_id: account})


def _prolong(member_id: int, at: datetime, settings: PointsPolicy) -> None:
    """Where points end some time after the last activity, an activity moves that day for all lots."""
    if settings.expiry == ExpiryKind.ACTIVITY:
        ends = expires_at(settings.expiry, settings.expiry_span, earned_at=at, zone=selectors.zone())
        Lot.objects.filter(member_id=member_id, expires_at__gt=at, expires_at__lt=ends).update(expires_at=ends)


@transaction.atomic
def burn_points(
    *,
    operation: Operation,
    member_id: int,
    points: int,
    source: str,
    at: datetime,
    number: str = "",
    reason: str = "",
) -> Journal:
    """Spend points, soonest ending first. Raises AmountInvalid, PointsShort, MemberGone, KeyReused."""
    checked_points(points)
    asked = fingerprint(act="burn", member=member_id, points=points, source=source, number=number)
    known = done_before(operation, asked)
    if known is not None:
        return known
    account = open_account(member_id)
    taken = take(account, points, at)
    member_id = account.member_id
    about = About(JournalKind.BURN, member_id, points, source, at, number=number, reason=reason)
    legs = [*out_of(taken, member_id), Leg(Pocket.REDEEMED, points)]
    journal = post(operation, asked, about, legs, {member_id: account})
    _prolong(member_id, at, selectors.policy())
    return journal


def take(account: Account, points: int, at: datetime) -> list[tuple[int, int]]:
    """Choose the lots that a number of points comes from. Raises PointsShort."""
    _expire(account, at)
    there = max(0, account.available - account.owed)
    if there < points:
        raise PointsShort(asked=points, there=there)
    return _chosen(account.member_id, points, at)


def _chosen(member_id: int, points: int, at: datetime) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    rows = selectors.spendable_lots(member_id, at=at).values_list("pk", "remaining")
    start, left = 0, points
    while left:
        page = list(rows[start : start + _AT_ONCE])
        if not page:
            raise PointsShort(asked=points, there=points - left)
        for lot, there in page:
            part = min(there, left)
            if part:
                found.append((lot, part))
                left -= part
        start += _AT_ONCE
    return found


def out_of(taken: Iterable[tuple[int, int]], member_id: int, pocket: str = Pocket.AVAILABLE) -> list[Leg]:
    """Give the legs that take points out of lots."""
    return [Leg(pocket, -points, member_id, lot) for lot, points in taken]


def _into(taken: Iterable[tuple[int, int]], member_id: int, pocket: str) -> list[Leg]:
    return [Leg(pocket, points, member_id, lot) for lot, points in taken]


# --- freezing --------------------------------------------------------------------------------------------------------


@transaction.atomic
def freeze_points(
    *,
    operation: Operation,
    member_id: int,
    points: int,
    source: str,
    at: datetime,
    number: str = "",
    reason: str = "",
    until: datetime | None = None,
) -> Hold:
    """Set points aside until they are captured or released. Raises AmountInvalid, PointsShort, MemberGone.

    Without a moment of its own the freeze ends after the brand's minutes.
    """
    checked_points(points)
    asked = fingerprint(act="freeze", member=member_id, points=points, source=source, number=number)
    known = done_before(operation, asked)
    if known is not None:
        return Hold.objects.get(journal=known)
    account = open_account(member_id)
    taken = take(account, points, at)
    member_id = account.member_id
    about = About(JournalKind.FREEZE, member_id, points, source, at, number=number, reason=reason)
    legs = [*out_of(taken, member_id), *_into(taken, member_id, Pocket.HELD)]
    journal = post(operation, asked, about, legs, {member_id: account})
    return Hold.objects.create(
        public_id=uuid.uuid4(),
        member_id=member_id,
        journal=journal,
        points=points,
        until=until or at + timedelta(minutes=selectors.policy().hold_minutes),
    )


@transaction.atomic
def capture(*, operation: Operation, hold: Hold, at: datetime, points: int | None = None, reason: str = "") -> Journal:
    """Spend frozen points, all of them or some; the rest is released. Raises HoldEnded, PointsShort, KeyReused."""
    asked = fingerprint(act="capture", hold=hold.pk, points=points)
    known = done_before(operation, asked)
    if known is not None:
        return known
    hold, account = _open_hold(hold, at)
    wanted = hold.points if points is None else checked_points(points)
    if wanted > hold.points:
        raise PointsShort(asked=wanted, there=hold.points)
    spent, rest = _split(_frozen(hold), wanted)
    debt, back = _settle(account, rest)
    about = About(
        JournalKind.CAPTURE,
        hold.member_id,
        wanted,
        hold.journal.source,
        at,
        number=hold.journal.number,
        reason=reason,
        detail={"frozen": hold.points, "hold": str(hold.public_id)},
    )
    legs = [
        *out_of([*spent, *rest], hold.member_id, Pocket.HELD),
        *debt,
        *_into(back, hold.member_id, Pocket.AVAILABLE),
        Leg(Pocket.REDEEMED, wanted),
    ]
    journal = post(operation, asked, about, legs, {hold.member_id: account})
    _end(hold, HoldState.CAPTURED, at)
    _prolong(hold.member_id, at, selectors.policy())
    return journal


@transaction.atomic
def release(*, operation: Operation, hold: Hold, at: datetime, reason: str = "") -> Journal:
    """Give frozen points back to the lots they came from, less what is owed. Raises HoldEnded, KeyReused."""
    asked = fingerprint(act="release", hold=hold.pk)
    known = done_before(operation, asked)
    if known is not None:
        return known
    hold, account = _open_hold(hold, at, late=True)
    return _release(operation, asked, hold, account, at, reason)


def _settle(account: Account, parts: list[tuple[int, int]]) -> tuple[list[Leg], list[tuple[int, int]]]:
    """Let points that are no longer frozen pay what is owed first; gives its leg and what goes back to the lots."""
    paid = min(account.owed, sum(points for _lot, points in parts))
    if not paid:
        return [], parts
    return [Leg(Pocket.OWED, paid, account.member_id)], _split(parts, paid)[1]


def _release(
    operation: Operation,
    asked: uuid.UUID,
    hold: Hold,
    account: Account,
    at: datetime,
    reason: str,
    *,
    pays: bool = True,
) -> Journal:
    parts = _frozen(hold)
    debt, back = _settle(account, parts) if pays else ([], parts)
    about = About(
        JournalKind.RELEASE,
        hold.member_id,
        hold.points,
        hold.journal.source,
        at,
        number=hold.journal.number,
        reason=reason,
        detail={"hold": str(hold.public_id)},
    )
    legs = [*out_of(parts, hold.member_id, Pocket.HELD), *debt, *_into(back, hold.member_id, Pocket.AVAILABLE)]
    journal = post(operation, asked, about, legs, {hold.member_id: account})
    _end(hold, HoldState.RELEASED, at)
    return journal


def _open_hold(hold: Hold, at: datetime, *, late: bool = False) -> tuple[Hold, Account]:
    """Lock the account, then the freeze; one whose time is over can only be released."""
    account = open_account(hold.member_id)
    row = Hold.objects.select_for_update(of=("self",)).select_related("journal").get(pk=hold.pk)
    if row.state != HoldState.HELD or (row.until <= at and not late):
        raise HoldEnded(str(HoldState(row.state).label if row.state != HoldState.HELD else HoldState.RELEASED.label))
    return row, account


def release_out_of(lots: set[int], *, member_id: int, besides: list[int], at: datetime) -> None:
    """Release a member's freezes that hold points of some lots; those beside them are left. Their account is locked.

    The points pay no debt: they may be those of somebody else.
    """
    froze = Entry.objects.filter(lot_id__in=lots, pocket=Pocket.HELD, points__gt=0).values("journal_id")
    rows = Hold.objects.filter(member_id=member_id, state=HoldState.HELD, journal_id__in=froze)
    for hold in rows.exclude(pk__in=besides).order_by("pk"):
        asked = fingerprint(act="release", hold=hold.pk)
        operation = Operation(SYSTEM, f"unmerge-hold:{hold.pk}")
        row, account = _open_hold(hold, at, late=True)
        _release(operation, asked, row, account, at, "merge undone", pays=False)


def _frozen(hold: Hold) -> list[tuple[int, int]]:
    rows = Entry.objects.filter(journal_id=hold.journal_id, pocket=Pocket.HELD).order_by("pk")
    return [(lot, points) for lot, points in rows.values_list("lot_id", "points") if lot is not None]


def _split(parts: list[tuple[int, int]], points: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Divide parts of lots into the first so many points and the rest."""
    first, rest, left = [], [], points
    for lot, there in parts:
        part = min(there, left)
        left -= part
        if part:
            first.append((lot, part))
        if there > part:
            rest.append((lot, there - part))
    return first, rest


def _end(hold: Hold, state: HoldState, at: datetime) -> None:
    hold.state, hold.ended_at = state, at
    hold.save(update_fields=["state", "ended_at"])


def release_due(*, at: datetime, limit: int = 100) -> int:
    """Release freezes whose time is over; gives how many."""
    # By member, like everything that locks several accounts: two in opposite order would wait for each other.
    due = Hold.objects.filter(state=HoldState.HELD, until__lte=at).order_by("member_id", "pk")
    released = 0
    for hold in due[:limit]:
        with alone("release of a freeze", hold.pk):
            key = f"release:{hold.pk}"
            try:
                release(operation=Operation(SYSTEM, key), hold=hold, at=at, reason="timeout")
            except HoldEnded:
                continue
            released += 1
    return released


# --- giving ----------------------------------------------------------------------------------------------------------

_RING: Final = """
WITH RECURSIVE reached(id) AS (
    SELECT %(receiver)s::bigint
    UNION
    SELECT j.other_id FROM loyalty_journal j JOIN reached r ON r.id = j.member_id
    WHERE j.brand_id = %(brand)s AND j.kind = 'GIFT' AND j.at > %(since)s
)
SELECT EXISTS (SELECT 1 FROM reached WHERE id = %(giver)s)
"""


@transaction.atomic
def gift_points(*, operation: Operation, giver_id: int, receiver_id: int, points: int, at: datetime) -> Journal:
    """Give own points to somebody else; they keep the day on which they end.

    Raises AmountInvalid, PointsShort, MemberGone, GiftRefused.
    """
    checked_points(points)
    asked = fingerprint(act="gift", member=giver_id, to=receiver_id, points=points)
    known = done_before(operation, asked)
    if known is not None:
        return known
    giver_id, receiver_id = present(giver_id), present(receiver_id, "to")
    if giver_id == receiver_id:
        raise GiftRefused(ring=False)
    accounts = lock_accounts([giver_id, receiver_id])
    if (giver_id, receiver_id) != (present(giver_id), present(receiver_id, "to")):
        raise OperationRunning  # a merge came between: asked again, it finds who they are now
    with connection.cursor() as cursor:
        cursor.execute(
            _RING,
            {
                "receiver": receiver_id,
                "giver": giver_id,
                "brand": current_brand_id(),
                "since": at - timedelta(days=RING_DAYS),
            },
        )
        if cursor.fetchone() == (True,):
            raise GiftRefused(ring=True)
    taken = take(accounts[giver_id], points, at)
    lots = {lot.pk: lot for lot in Lot.objects.filter(pk__in=[lot for lot, _points in taken])}
    legs = out_of(taken, giver_id)
    for lot, part in taken:
        new = NewLot(receiver_id, part, lots[lot].earned_at, lots[lot].expires_at)
        legs.append(Leg(Pocket.AVAILABLE, part, receiver_id, new))
    about = About(JournalKind.GIFT, giver_id, points, "gift", at, other_id=receiver_id)
    journal = post(operation, asked, about, legs, accounts)
    settings = selectors.policy()
    _prolong(giver_id, at, settings)
    _prolong(receiver_id, at, settings)
    return journal


# --- reversing -------------------------------------------------------------------------------------------------------


@transaction.atomic
def reverse(
    *,
    operation: Operation,
    journal: Journal,
    at: datetime,
    points: int | None = None,
    number: str = "",
    reason: str = "",
) -> Journal:
    """Reverse an entry, all that is left of it or some points: spent ones return, earned ones are taken back.

    Raises CannotReverse, NothingToReverse, RefundBlocked, MemberGone, AmountInvalid, KeyReused.
    """
    asked = fingerprint(act="reverse", journal=journal.pk, points=points)
    known = done_before(operation, asked)
    if known is not None:
        return known
    if journal.kind not in (JournalKind.EARN, JournalKind.BURN, JournalKind.CAPTURE):
        raise CannotReverse
    if points is not None:
        checked_points(points)
    account = open_account(journal.member_id)
    left = journal.points - selectors.reversed_points(journal.pk)
    wanted = left if points is None else points
    if not 0 < wanted <= left:
        raise NothingToReverse(left=left)
    if journal.kind == JournalKind.EARN:
        return _claw_back(operation, asked, journal, account, wanted, at, number, reason)
    return _return(operation, asked, journal, account, wanted, at, number, reason)


def _return(
    operation: Operation,
    asked: uuid.UUID,
    journal: Journal,
    account: Account,
    points: int,
    at: datetime,
    number: str,
    reason: str,
) -> Journal:
    """Put spent points back into the lots they came from: those that were taken last come back first."""
    spent = _spent(journal)
    for lot, back in _returned(journal.pk).items():
        spent[lot] -= back
    order = list(reversed([(lot, there) for lot, there in spent.items() if there > 0]))
    parts, _rest = _split(order, points)
    owners = dict(Lot.objects.filter(pk__in=[lot for lot, _points in parts]).values_list("pk", "member_id"))
    legs = [Leg(Pocket.REDEEMED, -points)]
    legs += [Leg(Pocket.AVAILABLE, part, owners[lot], lot) for lot, part in parts]
    others = set(owners.values()) - {account.member_id}
    accounts = {account.member_id: account} | (lock_accounts(others) if others else {})
    about = About(
        JournalKind.RETURN,
        account.member_id,
        points,
        journal.source,
        at,
        number=number or journal.number,
        reason=reason,
        reverses_id=journal.pk,
    )
    made = post(operation, asked, about, legs, accounts)
    _give_time([lot for lot, _points in parts], at)
    return made


def _spent(journal: Journal) -> dict[int, int]:
    """Give from which lots a journal spent, in its order: a capture took first what it spent, then what it released."""
    pocket = Pocket.AVAILABLE if journal.kind == JournalKind.BURN else Pocket.HELD
    rows = Entry.objects.filter(journal=journal, pocket=pocket, points__lt=0, lot__isnull=False).order_by("pk")
    taken = [(lot, -points) for lot, points in rows.values_list("lot_id", "points") if lot is not None]
    spent: dict[int, int] = {}
    for lot, points in _split(taken, journal.points)[0]:
        spent[lot] = spent.get(lot, 0) + points
    return spent


def _returned(journal_id: int) -> dict[int, int]:
    back: dict[int, int] = {}
    rows = Entry.objects.filter(journal__reverses_id=journal_id, pocket=Pocket.AVAILABLE).order_by("pk")
    for lot, points in rows.values_list("lot_id", "points"):
        if lot is not None:
            back[lot] = back.get(lot, 0) + points
    return back


def _give_time(lots: list[int], at: datetime) -> None:
    """Points that come back into a lot that has ended can be spent for the days of reinstatement."""
    days = selectors.policy().reinstate_days
    if days:
        until = at + timedelta(days=days)
        Lot.objects.filter(pk__in=lots, remaining__gt=0, expires_at__lte=at).update(expires_at=until)


def _claw_back(
    operation: Operation,
    asked: uuid.UUID,
    journal: Journal,
    account: Account,
    points: int,
    at: datetime,
    number: str,
    reason: str,
) -> Journal:
    """Take granted points back: from their own lot first, then soonest ending; what is missing by the brand's rule.

    Those that expired unused are gone already: nobody pays for them with others. What is missing because it is frozen
    is owed under every rule: whoever freezes points before a refund keeps none.
    """
    settings = selectors.policy()
    _expire(account, at)
    member_id = account.member_id
    own = Lot.objects.filter(journal=journal, member_id=member_id, remaining__gt=0).order_by("pk")
    found, left = _out_of_rows(own.values_list("pk", "remaining"), points)
    expired = min(left, _expired_unused(journal)) if left else 0
    left -= expired
    if left:
        rest = selectors.spendable_lots(member_id, at=at).exclude(pk__in=list(found))
        more, left = _out_of_rows(rest.values_list("pk", "remaining"), left)
        found |= more
    frozen = min(left, max(0, account.held - account.owed))
    missing = left - frozen
    if missing and settings.negative == NegativePolicy.BLOCK:
        raise RefundBlocked(asked=points, there=points - missing)
    owes = left if settings.negative == NegativePolicy.ALLOW else frozen
    legs = [*out_of(found.items(), member_id), Leg(Pocket.ISSUED, points)]
    if expired:
        legs.append(Leg(Pocket.EXPIRED, -expired))
    if owes:
        legs.append(Leg(Pocket.OWED, -owes, member_id))
    if owes < left:
        legs.append(Leg(Pocket.FORGIVEN, owes - left))
    detail: dict[str, Any] = {"missing": left, "frozen": frozen, "policy": settings.negative} if left else {}
    about = About(
        JournalKind.CLAWBACK,
        member_id,
        points,
        journal.source,
        at,
        number=number or journal.number,
        reason=reason,
        reverses_id=journal.pk,
        detail=detail | ({"expired": expired} if expired else {}),
    )
    return post(operation, asked, about, legs, {member_id: account})


def _out_of_rows(rows: Iterable[tuple[int, int]], points: int) -> tuple[dict[int, int], int]:
    """Choose what comes out of lots, in their order; gives the parts and what is missing."""
    found: dict[int, int] = {}
    for lot, there in rows:
        part = min(there, points)
        if part:
            found[lot] = part
            points -= part
    return found, points


def _expired_unused(journal: Journal) -> int:
    """Give how many of the points of an entry have expired and were not taken back since."""
    legs = Entry.objects.filter(lot__journal=journal, pocket=Pocket.AVAILABLE)
    ended = legs.filter(journal__kind__in=_ENDINGS).aggregate(all=Sum("points"))["all"] or 0
    expired = Cast(KeyTextTransform("expired", "detail"), BigIntegerField())
    before = Journal.objects.filter(reverses_id=journal.pk).aggregate(all=Sum(expired))["all"] or 0
    return max(0, -ended - before)


# --- ending ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def expire_lots(*, member_id: int, at: datetime) -> Journal | None:
    """End what has reached its day of one member; None when nothing has."""
    account = lock_accounts([member_id])[member_id]
    return _expire(account, at)


def _expire(account: Account, at: datetime) -> Journal | None:
    ended = list(
        Lot.objects.filter(member_id=account.member_id, remaining__gt=0, expires_at__lte=at)
        .order_by("expires_at", "pk")
        .values_list("pk", "remaining"),
    )
    if not ended:
        return None
    points = sum(there for _lot, there in ended)
    about = About(JournalKind.EXPIRE, account.member_id, points, "expiry", at)
    legs = [*out_of(ended, account.member_id), Leg(Pocket.EXPIRED, points)]
    # The account is locked and the lots are empty afterwards, so nobody does this twice: the key only has to be new.
    operation = Operation(SYSTEM, f"expire:{uuid.uuid4()}")
    return post(operation, fingerprint(act="expire", lots=ended), about, legs, {account.member_id: account})


@transaction.atomic
def reinstate_points(*, operation: Operation, member_id: int, at: datetime, reason: str = "") -> Journal:
    """Bring back what expired within the brand's days, for as many days. Raises ReinstateTooLate, MemberGone."""
    asked = fingerprint(act="reinstate", member=member_id)
    known = done_before(operation, asked)
    if known is not None:
        return known
    account = open_account(member_id)
    settings, member_id = selectors.policy(), account.member_id
    since = at - timedelta(days=settings.reinstate_days)
    parts = _expired_since(member_id, since) if settings.reinstate_days else []
    if not parts:
        raise ReinstateTooLate(settings.reinstate_days)
    points = sum(part for _lot, part in parts)
    about = About(JournalKind.REINSTATE, member_id, points, "expiry", at, reason=reason)
    legs = [Leg(Pocket.EXPIRED, -points), *_into(parts, member_id, Pocket.AVAILABLE)]
    journal = post(operation, asked, about, legs, {member_id: account})
    _give_time([lot for lot, _part in parts], at)
    return journal


# What a refund took back of expired points does not come back; those that expired first are counted for it first.
_EXPIRED_SINCE: Final = """
WITH ended AS (
    SELECT e.lot_id, l.journal_id, -sum(e.points) AS points, -sum(e.points) FILTER (WHERE j.at > %(since)s) AS lately
    FROM loyalty_entry e
    JOIN loyalty_journal j ON j.brand_id = e.brand_id AND j.id = e.journal_id
    JOIN loyalty_lot l ON l.brand_id = e.brand_id AND l.id = e.lot_id
    WHERE e.brand_id = %(brand)s AND l.member_id = %(member)s AND e.pocket = 'AVAILABLE'
        AND j.kind IN ('EXPIRE', 'REINSTATE')
    GROUP BY e.lot_id, l.journal_id
), there AS (
    SELECT lot_id, least(lately, points - coalesce((
        SELECT sum((detail->>'expired')::bigint) FROM loyalty_journal r
        WHERE r.brand_id = %(brand)s AND r.reverses_id = ended.journal_id), 0))::bigint AS points
    FROM ended WHERE lately > 0
)
SELECT lot_id, points FROM there WHERE points > 0 ORDER BY lot_id
"""


def _expired_since(member_id: int, since: datetime) -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED_SINCE, {"brand": current_brand_id(), "member": member_id, "since": since})
        return [(lot, points) for lot, points in cursor.fetchall()]


def expire_due(*, at: datetime, limit: int = 100) -> int:
    """End what has reached its day, member by member in transactions of their own; gives of how many members."""
    members = (
        Lot.objects.filter(remaining__gt=0, expires_at__lte=at)
        .order_by("member_id")
        .values_list("member_id", flat=True)
    )
    done = 0
    for member_id in list(members.distinct()[:limit]):
        with alone("expiry of a member", member_id):
            if expire_lots(member_id=member_id, at=at) is not None:
                done += 1
    return done
