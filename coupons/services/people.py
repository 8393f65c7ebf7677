"""Coupons when two records become one, when that is undone, and when a person's data is deleted."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import ngettext

from coupons.models import CounterCode, Coupon, MoveKind, State
from coupons.services.life import end
from coupons.services.moves import by_system, locked, write
from loyalty.services.ledger import SYSTEM, Operation, fingerprint, lock_accounts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from members.models import Follower, Member


@transaction.atomic
def move_coupons(*, kept: Member, merged: Member, at: datetime) -> list[list[int | None]]:
    """When two records become one: coupons go to the one that stays, numbered after those that are there.

    Gives which, with the numbers they had.
    """
    lock_accounts([kept.pk, merged.pk])
    rows = _rows(merged.pk)
    used = _numbers(kept.pk)
    moved: list[list[int | None]] = []
    for row in rows:
        before = row.nth
        row.member_id, row.nth = kept.pk, _free_number(used, row)
        _note(row, MoveKind.MERGE, merged.pk, before, at)
        moved.append([row.pk, before])
    return moved


@transaction.atomic
def return_coupons(*, kept: Member, merged: Member, moved: list[list[int | None]], at: datetime) -> None:
    """When a merge is undone: exactly the coupons that had come go back, as they stand now, with their numbers."""
    lock_accounts([kept.pk, merged.pk])
    had = {each[0]: each[1] for each in moved}
    used = _numbers(merged.pk)
    for row in _rows(kept.pk):
        if row.pk not in had:
            continue
        before = row.nth
        row.member_id, row.nth = merged.pk, _free_number(used, row, had[row.pk])
        _note(row, MoveKind.UNMERGE, kept.pk, before, at)


def shown_coupons(member_id: int) -> list[str]:
    """Say what somebody has, for the preview of a merge."""
    count = Coupon.objects.filter(member_id=member_id, state__in=[State.UNUSED, State.HELD]).count()
    if not count:
        return []
    return [ngettext("%(count)s coupon not used", "%(count)s coupons not used", count) % {"count": count}]


@transaction.atomic
def lapse_coupons(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted: what was not used is taken back; the moves stay and name nobody."""
    if not whole:
        return 0
    member_id = follower.member_id
    CounterCode.objects.filter(coupon__member_id=member_id).delete()
    rows = Coupon.objects.filter(member_id=member_id, state__in=[State.UNUSED, State.HELD]).order_by("pk")
    open_ones = list(rows.values_list("pk", flat=True))
    for coupon_id in open_ones:
        coupon = locked(coupon_id)
        operation = by_system("erase", coupon, at)
        end(coupon, MoveKind.VOID, operation, fingerprint(act="erase"), at, reason="erasure")
    return len(open_ones)


def _rows(member_id: int) -> list[Coupon]:
    rows = Coupon.objects.select_for_update(of=("self",)).filter(member_id=member_id)
    return list(rows.order_by("pk"))


def _numbers(member_id: int) -> dict[int, set[int]]:
    used: dict[int, set[int]] = {}
    rows: Iterable[tuple[int, int | None]] = Coupon.objects.filter(member_id=member_id).values_list(
        "template_id", "nth"
    )
    for template_id, nth in rows:
        if nth is not None:
            used.setdefault(template_id, set()).add(nth)
    return used


def _free_number(used: dict[int, set[int]], row: Coupon, wanted: int | None = None) -> int | None:
    if row.nth is None:
        return None
    taken = used.setdefault(row.template_id, set())
    number = wanted or max(taken, default=0) + 1
    while number in taken:
        number += 1
    taken.add(number)
    return number


def _note(row: Coupon, kind: str, other_id: int, before: int | None, at: datetime) -> None:
    operation = Operation(SYSTEM, f"{kind.lower()}:{row.pk}:{uuid.uuid4()}")
    asked = fingerprint(act=kind, coupon=row.pk)
    write(row, kind, operation, asked, at, saved=row.saved, other_id=other_id, detail={"nth": before})
