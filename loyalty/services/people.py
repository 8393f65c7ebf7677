"""Points when two records become one, when that is undone, and when a person's data is deleted."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from loyalty.models import (
    Account,
    Adjustment,
    Fact,
    Hold,
    HoldState,
    JournalKind,
    Lot,
    MergedAssets,
    Notice,
    Pocket,
    Standing,
)
from loyalty.selectors import points as selectors
from loyalty.selectors import tiers as tier_selectors
from loyalty.services import tiers
from loyalty.services.ledger import SYSTEM, About, Leg, Operation, fingerprint, lock_accounts, post
from loyalty.services.points import release, release_out_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from members.models import Follower, Member


def move_points(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one: lots, freezes, facts and tier go to the one that stays, and are written down.

    Gives the number of what was written down, 0 when nothing moved.
    """
    accounts = lock_accounts([kept.pk, merged.pk])
    lots = list(Lot.objects.select_for_update().filter(member=merged).order_by("pk"))
    moved: dict[str, Any] = {
        "lots": [lot.pk for lot in lots],
        "holds": _ids(Hold.objects.filter(member=merged)),
        "facts": _ids(Fact.objects.filter(member=merged)),
        "adjustments": _ids(Adjustment.objects.filter(member=merged)),
        "owed": accounts[merged.pk].owed,
        "kept_standing": tiers.written(Standing.objects.filter(member=kept).first()),
        "merged_standing": tiers.written(Standing.objects.filter(member=merged).first()),
    }
    _shift(lots, moved["owed"], merged.pk, kept.pk, accounts, JournalKind.MERGE, at)
    for model, name in ((Lot, "lots"), (Hold, "holds"), (Fact, "facts"), (Adjustment, "adjustments")):
        model.objects.filter(pk__in=moved[name]).update(member_id=kept.pk)
    tiers.join_standings(kept_id=kept.pk, merged_id=merged.pk, at=at)
    if not any(moved.values()):
        return 0
    return MergedAssets.objects.create(kept=kept, merged=merged, moved=moved, at=at).pk


def return_points(*, kept: Member, merged: Member, moved: int, at: datetime) -> None:
    """When a merge is undone: the ledger gets an entry for each side, and both stand as they stood."""
    undo_merge(kept=kept, merged=merged, at=at)


def shown_points(member_id: int) -> list[str]:
    """Say what somebody has, for the preview of a merge."""
    balance = selectors.balance_of(member_id)
    said = [ngettext("%(points)s point", "%(points)s points", balance.available) % {"points": f"{balance.available:,}"}]
    if balance.held:
        said.append(_("%(points)s frozen") % {"points": f"{balance.held:,}"})
    if balance.owed:
        said.append(_("%(points)s owed") % {"points": f"{balance.owed:,}"})
    tier = tier_selectors.tier_of(member_id)
    return [*said, tier.name] if tier else said


@transaction.atomic
def undo_merge(*, kept: Member, merged: Member, at: datetime) -> int:
    """When a merge is undone: exactly what had moved goes back, less what was spent of it meanwhile.

    What was frozen of it meanwhile is released first: a freeze holds points of one person.
    """
    record = (
        MergedAssets.objects.select_for_update()
        .filter(kept=kept, merged=merged, undone_at__isnull=True)
        .order_by("-pk")
        .first()
    )
    if record is None:
        return 0
    lock_accounts([kept.pk, merged.pk])
    moved = record.moved
    release_out_of(set(moved["lots"]), member_id=kept.pk, besides=moved["holds"], at=at)
    accounts = lock_accounts([kept.pk, merged.pk])
    lots = list(Lot.objects.select_for_update().filter(pk__in=moved["lots"], member=kept).order_by("pk"))
    owed = min(moved["owed"], accounts[kept.pk].owed)
    _shift(lots, owed, kept.pk, merged.pk, accounts, JournalKind.UNMERGE, at)
    for model, name in ((Lot, "lots"), (Hold, "holds"), (Fact, "facts"), (Adjustment, "adjustments")):
        model.objects.filter(pk__in=moved[name], member=kept).update(member_id=merged.pk)
    tiers.restore(kept.pk, moved["kept_standing"])
    tiers.restore(merged.pk, moved["merged_standing"])
    for member_id in sorted((kept.pk, merged.pk)):
        tiers.refresh_tier(member_id=member_id, at=at)  # who bought since may have risen
    record.undone_at = at
    record.save(update_fields=["undone_at"])
    return len(lots)


def lapse_points(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted: freezes end, what is left lapses, and every sum still stands."""
    if not whole:
        return 0
    member_id = follower.member_id
    account = Account.objects.filter(member_id=member_id).first()
    Standing.objects.filter(member_id=member_id).delete()
    Notice.objects.filter(member_id=member_id).delete()
    if account is None:
        return 0
    for hold in Hold.objects.filter(member_id=member_id, state=HoldState.HELD).order_by("pk"):
        release(operation=Operation(SYSTEM, f"erase-hold:{hold.pk}"), hold=hold, at=at, reason="erasure")
    account = lock_accounts([member_id])[member_id]
    lots = list(Lot.objects.filter(member_id=member_id, remaining__gt=0).order_by("pk"))
    legs = [Leg(Pocket.AVAILABLE, -lot.remaining, member_id, lot.pk) for lot in lots]
    if account.available:
        legs.append(Leg(Pocket.EXPIRED, account.available))
    if account.owed:
        legs += [Leg(Pocket.OWED, account.owed, member_id), Leg(Pocket.FORGIVEN, -account.owed)]
    if legs:
        about = About(JournalKind.ERASE, member_id, account.available, "erasure", at)
        post(Operation(SYSTEM, f"erase:{member_id}"), fingerprint(act="erase"), about, legs, {member_id: account})
    return len(lots)


def _ids(rows: Any) -> list[int]:
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _shift(
    lots: Iterable[Lot],
    owed: int,
    giver: int,
    taker: int,
    accounts: dict[int, Account],
    kind: JournalKind,
    at: datetime,
) -> None:
    legs = []
    for lot in lots:
        for pocket, points in ((Pocket.AVAILABLE, lot.remaining), (Pocket.HELD, lot.held)):
            if points:
                legs += [Leg(pocket, -points, giver, lot.pk), Leg(pocket, points, taker, lot.pk)]
    if owed:
        legs += [Leg(Pocket.OWED, owed, giver), Leg(Pocket.OWED, -owed, taker)]
    if not legs:
        return
    points = sum(lot.remaining + lot.held for lot in lots)
    about = About(kind, taker, points, "merge", at, other_id=giver)
    operation = Operation(SYSTEM, f"{kind.value.lower()}:{uuid.uuid4()}")
    post(operation, fingerprint(act=kind.value, giver=giver, taker=taker), about, legs, accounts)
