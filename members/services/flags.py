"""Leaving people out of rewards, marketing and reports, and letting them in again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction

from accounts.services import record_audit
from common.registry import Registry
from members.errors import FlagInvalid
from members.models import Flag, FlagKind, Member, Suppression
from members.selectors import left_out_since
from members.services.consent import hold_flagged, let_flagged_go

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

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
    before = Flag.objects.filter(member=member, kind=kind).first()
    row, _made = Flag.objects.update_or_create(
        member=member, kind=kind, defaults={"since": since, "reason": reason, "by": by[:60], "at": at}
    )
    hold_flagged(member_id=member.pk, at=at)
    said = [None if before is None else _said(before.since), _said(since)]
    record_audit(action="set flag", obj=member, changes={kind.lower(): said}, reason=reason)
    _restate(member.pk, at)
    return row


@transaction.atomic
def clear_flag(*, member_id: int, kind: str, reason: str, by: str, at: datetime) -> None:
    """Let somebody in again: reports are restated as if the flag had never been; without it nothing is done.

    Raises `FlagInvalid`.
    """
    reason = reason.strip()
    if len(reason) < 2:
        raise FlagInvalid("reason")
    member = Member.objects.select_for_update().get(pk=member_id)
    row = Flag.objects.filter(member=member, kind=kind).first()
    if row is None:
        return
    row.delete()
    if not Flag.objects.filter(member=member).exists():
        Suppression.objects.filter(member=member, reason__startswith=_LISTED_FOR).delete()
        let_flagged_go(member_id=member.pk)
    record_audit(action="clear flag", obj=member, changes={kind.lower(): [_said(row.since), None]}, reason=reason)
    _restate(member.pk, at)


def is_left_out(*, member_id: int, at: datetime) -> bool:
    """Say whether what somebody did at a moment is left out of rewards and reports."""
    flagged, since = left_out_since(member_id)
    return flagged and (since is None or since <= at)


def _restate(member_id: int, at: datetime) -> None:
    for _key, listener in on_flag.items():
        listener(member_id=member_id, at=at)


def move_flags(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one: who was left out stays left out; of the same flag the earlier beginning holds."""
    mine = {row.kind: row for row in Flag.objects.filter(member=kept)}
    moved = 0
    for row in Flag.objects.filter(member=merged).order_by("pk"):
        own = mine.get(row.kind)
        if own is None:
            Flag.objects.filter(pk=row.pk).update(member=kept)
            moved += 1
        elif own.since is not None and (row.since is None or row.since < own.since):
            Flag.objects.filter(pk=own.pk).update(since=row.since)
            moved += 1
    return moved


def _said(since: datetime | None) -> str:
    return "*" if since is None else since.isoformat()
