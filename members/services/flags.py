"""Leaving people out of rewards, marketing and reports, and letting them in again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction

from accounts.services import record_audit
from common.registry import Registry
from members.errors import FlagInvalid
from members.models import Flag, FlagKind, Member, Suppression
from members.selectors import is_left_out
from members.services.consent import hold_flagged, let_flagged_go

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["clear_flag", "is_left_out", "move_flags", "on_flag", "set_flag"]

# What apps above restate when somebody is left out or let in: callable(*, member_id, at), in the same transaction.
on_flag: Registry[Callable[..., None]] = Registry(
    "flag listeners", purpose="which reports are restated when a person is left out of them or let in again"
)
_LISTED_FOR: Final = "flag: "  # entries of the list that flags made until version 1.2; now a flag holds by itself
REASON_LENGTH: Final = 120


@transaction.atomic
def set_flag(*, member_id: int, kind: str, since: datetime | None, reason: str, by: str, at: datetime) -> Flag:
    """Leave somebody out from a moment on (None: from the start); saying it again moves the moment.

    Raises `FlagInvalid`.
    """
    reason = reason.strip()
    if kind not in FlagKind.values:
        raise FlagInvalid("kind")
    if not 2 <= len(reason) <= REASON_LENGTH:
        raise FlagInvalid("reason")
    if since is not None and since > at:
        raise FlagInvalid("since")
    member = Member.objects.select_for_update().get(pk=member_id)
    before = Flag.objects.filter(member=member, kind=kind, until=None).first()
    row, _made = Flag.objects.update_or_create(
        member=member, kind=kind, until=None, defaults={"since": since, "reason": reason, "by": by[:60], "at": at}
    )
    hold_flagged(member_id=member.pk, at=at)
    said = [None if before is None else _said(before.since), _said(since)]
    record_audit(action="set flag", obj=member, changes={kind.lower(): said}, reason=reason)
    _restate(member.pk, at)
    return row


@transaction.atomic
def clear_flag(*, member_id: int, kind: str, reason: str, by: str, at: datetime, until: datetime | None = None) -> None:
    """Let somebody in again: from a moment on, or (None) as if the flag, and earlier ones of its kind, had never been.

    Reports are restated in both cases; with a moment what happened while the flag held stays left out. Without a flag
    nothing is done. Raises `FlagInvalid`.
    """
    reason = reason.strip()
    if len(reason) < 2:
        raise FlagInvalid("reason")
    if until is not None and until > at:
        raise FlagInvalid("until")
    member = Member.objects.select_for_update().get(pk=member_id)
    rows = Flag.objects.filter(member=member, kind=kind)
    row = rows.filter(until=None).first()
    if until is not None and row is None:
        return
    if until is None:
        row = row or rows.order_by("-until", "-pk").first()
        if row is None:
            return
        rows.delete()
    elif row is not None and row.since is not None and until <= row.since:
        row.delete()  # it would have held for no time at all
    else:
        rows.filter(until=None).update(until=until)
    if not Flag.objects.filter(member=member, until=None).exists():
        Suppression.objects.filter(member=member, reason__startswith=_LISTED_FOR).delete()
        let_flagged_go(member_id=member.pk)
    said = [_said(row.since) if row else None, None if until is None else _said(until)]
    record_audit(action="clear flag", obj=member, changes={kind.lower(): said}, reason=reason)
    _restate(member.pk, at)


def _restate(member_id: int, at: datetime) -> None:
    for _key, listener in on_flag.items():
        listener(member_id=member_id, at=at)


def move_flags(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one: who was left out stays left out; of the same flag the earlier beginning holds."""
    mine = {row.kind: row for row in Flag.objects.filter(member=kept, until=None)}
    moved = 0
    for row in Flag.objects.filter(member=merged).order_by("pk"):
        own = mine.get(row.kind) if row.until is None else None
        if own is None:
            Flag.objects.filter(pk=row.pk).update(member=kept)
            moved += 1
        elif own.since is not None and (row.since is None or row.since < own.since):
            Flag.objects.filter(pk=own.pk).update(since=row.since)
            moved += 1
    return moved


def _said(since: datetime | None) -> str:
    return "*" if since is None else since.isoformat()
