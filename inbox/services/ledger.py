"""The one truth about what may be sent to a follower: acts go in, sends are taken from it, everybody asks it."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.db import connection

from accounts.tenancy import current_brand_id
from inbox.models import ReplyLedger
from inbox.selectors import ledger_from
from wechat_gateway import windows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from members.models import Follower

logger = logging.getLogger(__name__)

_TIMES = ("message_at", "menu_at", "follow_at", "scan_at", "left_at")
# One statement for however many followers; what is too old to count is forgotten, as `Ledger.sent` does.
_TAKE: Final = """
UPDATE inbox_replyledger l SET
    sends = ARRAY(SELECT s FROM unnest(l.sends) AS s WHERE s > %(kept)s)
        || array_fill(%(at)s::timestamptz, ARRAY[v.messages]),
    open_until = v.open_until
FROM unnest(%(ids)s::bigint[], %(messages)s::int[], %(ends)s::timestamptz[]) AS v(id, messages, open_until)
WHERE l.brand_id = %(brand)s AND l.id = v.id
"""


# Written out: this happens with nearly every push.
_READ: Final = """
SELECT follower_id, id, message_at, menu_at, follow_at, scan_at, left_at, sends FROM inbox_replyledger
WHERE brand_id = %s AND follower_id = ANY(%s)
"""
# Only over what was read: whoever has changed it since is asked first.
_WRITE: Final = """
UPDATE inbox_replyledger SET message_at = %s, menu_at = %s, follow_at = %s, scan_at = %s, left_at = %s, open_until = %s
WHERE brand_id = %s AND id = %s AND (message_at, menu_at, follow_at, scan_at, left_at, sends)
    IS NOT DISTINCT FROM (%s, %s, %s, %s, %s, %s::timestamptz[])
"""

Ledgers: TypeAlias = "dict[int, tuple[int, windows.Ledger]]"  # id and content, by follower


def ledgers_of(follower_ids: Collection[int], *, lock: bool = False) -> Ledgers:
    """Give what is known of followers; who is missing has no ledger."""
    if not follower_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_READ + ("ORDER BY id FOR UPDATE" if lock else ""), [current_brand_id(), list(follower_ids)])
        return {
            follower_id: (pk, windows.Ledger(**dict(zip(_TIMES, times, strict=True)), sends=tuple(sends)))
            for follower_id, pk, *times, sends in cursor.fetchall()
        }


def record_act(*, follower: Follower, act: windows.Act, at: datetime, known: Ledgers | None = None) -> None:
    """Note what a person did themselves. Older news than is known of the same kind changes nothing.

    `known` is what was read for many people before; it is kept up.
    """
    ledgers = ledgers_of([follower.pk], lock=True) if known is None else known
    if not _noted(ledgers, follower, act, at):  # somebody else was quicker
        ledgers.pop(follower.pk, None)
        ledgers |= ledgers_of([follower.pk], lock=True)
        _noted(ledgers, follower, act, at)


def _noted(ledgers: Ledgers, follower: Follower, act: windows.Act, at: datetime) -> bool:
    """Write an act into a ledger; False when it is not as it was read any more."""
    pk, before = ledgers.get(follower.pk, (0, windows.Ledger()))
    ledger = before.acted(act, at)
    if not pk:
        new = ReplyLedger(follower=follower)
        _set(new, ledger, at)
        is_done = ReplyLedger.objects.get_queryset().insert_new(new)
        pk = new.pk
    elif ledger == before:
        return True
    else:
        old, moments = ([getattr(each, name) for name in _TIMES] for each in (before, ledger))
        end, brand_id = windows.open_until(ledger, at), current_brand_id()
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [*moments, end, brand_id, pk, *old, list(before.sends)])
            is_done = cursor.rowcount == 1
    if is_done:
        ledgers[follower.pk] = pk, ledger
    return is_done


def reserve_send(*, follower_id: int, at: datetime) -> windows.Allowance:
    """Take one message from what is allowed, before it leaves; gives what was allowed. Nothing is taken if not open.

    The row stays locked until the transaction ends, so that two people cannot both take the last one.
    """
    row = ReplyLedger.objects.select_for_update().filter(follower_id=follower_id).first()
    if row is None:  # somebody who never did anything; a row is made by their first act
        return windows.allowance(windows.Ledger(), at)
    ledger = ledger_from(row)
    found = windows.allowance(ledger, at)
    if found.open:
        _keep(row, ledger.sent(at), at)
    return found


def reserve_sends(*, wanted: Mapping[int, int], at: datetime, wait: bool = True) -> dict[int, int]:
    """Take messages for many followers before they leave, in two statements: `wanted` and what is given are {id: n}.

    Nobody gets more than is allowed. Without `wait`, followers whose ledger somebody changes right now are left out of
    the answer: a batch neither waits for others nor stands in each other's way with them.
    """
    rows = ReplyLedger.objects.select_for_update(skip_locked=not wait).filter(follower_id__in=list(wanted))
    rules, granted = windows.rules_at(at), dict.fromkeys(wanted, 0) if wait else {}
    taken: list[tuple[int, int, datetime | None]] = []
    for row in rows.order_by("pk"):
        ledger = ledger_from(row)
        count = min(wanted[row.follower_id], windows.allowance(ledger, at, rules).left)
        granted[row.follower_id] = count
        for _ in range(count):
            ledger = ledger.sent(at)
        if count:
            taken.append((row.pk, count, windows.open_until(ledger, at, rules)))
    if taken:
        with connection.cursor() as cursor:
            ids, messages, ends = (list(column) for column in zip(*taken, strict=True))
            values: dict[str, Any] = {"brand": current_brand_id(), "ids": ids, "messages": messages, "ends": ends}
            cursor.execute(_TAKE, {**values, "at": at, "kept": at - windows.KEPT})
    return granted


def settle_sends(
    *, unsent: Iterable[tuple[int, datetime]], refused: Iterable[tuple[int, int]] = (), at: datetime
) -> None:
    """Give back what was taken for messages that certainly did not leave, and believe WeChat's refusals.

    `unsent` are (follower, the moment it was taken at), `refused` (follower, WeChat's code): where WeChat knows better
    (an act that we never heard of, a send by another system) the ledger is closed at once.
    """
    back, codes = defaultdict(list), dict(refused)
    for follower_id, reserved_at in unsent:
        back[follower_id].append(reserved_at)
    concerned = {*back, *codes}
    if not concerned:
        return
    changed = []
    for row in ReplyLedger.objects.select_for_update().filter(follower_id__in=concerned).order_by("pk"):
        ledger = ledger_from(row)
        for moment in back[row.follower_id]:
            ledger = ledger.taken_back(moment)
        if row.follower_id in codes:
            code = codes[row.follower_id]
            ledger = ledger.refused(code, at)
            logger.warning("brand %s: WeChat allows fewer messages than our ledger (%s)", row.brand_id, code)
        _set(row, ledger, at)
        changed.append(row)
    ReplyLedger.objects.bulk_update(changed, [*_TIMES, "sends", "open_until"], batch_size=500)


def _locked(follower_id: int) -> ReplyLedger:
    row = ReplyLedger.objects.select_for_update().filter(follower_id=follower_id).first()
    if row is None:
        ReplyLedger.objects.bulk_create([ReplyLedger(follower_id=follower_id)], ignore_conflicts=True)
        row = ReplyLedger.objects.select_for_update().get(follower_id=follower_id)
    return row


def _keep(row: ReplyLedger, ledger: windows.Ledger, at: datetime) -> None:
    if ledger == ledger_from(row):
        return
    _set(row, ledger, at)
    row.save(update_fields=[*_TIMES, "sends", "open_until"])


def _set(row: ReplyLedger, ledger: windows.Ledger, at: datetime) -> None:
    for name in _TIMES:
        setattr(row, name, getattr(ledger, name))
    row.sends = list(ledger.sends)
    row.open_until = windows.open_until(ledger, at)
