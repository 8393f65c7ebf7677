"""The one truth about what may be sent to a follower: acts go in, sends are taken from it, everybody asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inbox import windows
from inbox.models import ReplyLedger
from inbox.selectors import ledger_from

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from members.models import Follower

_TIMES = ("message_at", "menu_at", "follow_at", "scan_at", "left_at")


def record_act(*, follower: Follower, act: windows.Act, at: datetime) -> ReplyLedger:
    """Note what a person did themselves. Older news than is known of the same kind changes nothing."""
    row = _locked(follower.pk)
    _keep(row, ledger_from(row).acted(act, at), at)
    return row


def reserve_send(*, follower_id: int, at: datetime) -> windows.Allowance:
    """Take one message from what is allowed, before it leaves; gives what was allowed. Nothing is taken if not open.

    The row stays locked until the transaction ends, so that two people cannot both take the last one.
    """
    row = _locked(follower_id)
    ledger = ledger_from(row)
    found = windows.allowance(ledger, at)
    if found.open:
        _keep(row, ledger.sent(at), at)
    return found


def take_back(*, follower_id: int, reserved_at: datetime, at: datetime) -> None:
    """Give back what was taken for a message that certainly did not leave."""
    row = _locked(follower_id)
    _keep(row, ledger_from(row).taken_back(reserved_at), at)


def note_sends(*, follower_ids: Iterable[int], at: datetime) -> None:
    """Count messages that others have sent (campaigns): one each, in two statements for all of them."""
    rows = list(ReplyLedger.objects.select_for_update().filter(follower_id__in=list(follower_ids)).order_by("pk"))
    for row in rows:
        _set(row, ledger_from(row).sent(at), at)
    ReplyLedger.objects.bulk_update(rows, ["sends", "open_until"], batch_size=500)


def believe_refusal(*, follower_id: int, code: int, at: datetime) -> None:
    """Do as WeChat says where it knows better (an act we never heard of, a send by another system): close at once."""
    row = _locked(follower_id)
    ledger = ledger_from(row)
    if code == windows.CLOSED:
        _keep(row, ledger.acted(windows.Act.LEFT, at), at)
        return
    for _ in range(max((rule.messages for rule in windows.rules_at(at)), default=0)):
        if not windows.allowance(ledger, at).open:
            break
        ledger = ledger.sent(at)
    _keep(row, ledger, at)


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
