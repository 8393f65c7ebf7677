"""Invitations when two records become one, when that is undone, and when a person's data is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from members.merging import Joined, Rows
from referrals.models import Invitation, Referral, Sign, State

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Follower, Member


class _Invited(Rows):
    """By whom somebody was brought: the first of two invitations counts, the other stays with the record that goes."""

    def move(self, *, kept: Member, merged: Member, at: datetime) -> list[int]:
        """Bring it along where the one who stays was brought by nobody."""
        if Referral.objects.filter(invited=kept).exists():
            return []
        return super().move(kept=kept, merged=merged, at=at)


def _move_signs(*, kept: Member, merged: Member, at: datetime) -> int:
    """Bring fingerprints along; those that both have stay as they are."""
    mine = set(Sign.objects.filter(member=kept).values_list("kind", "value"))
    rows = Sign.objects.filter(member=merged).order_by("pk")
    moving = [row.pk for row in rows if (row.kind, row.value) not in mine]
    return Sign.objects.filter(pk__in=moving).update(member=kept)


CODES = Rows(Invitation)
INVITERS = Rows(Referral, "inviter")
INVITED = _Invited(Referral, "invited")
SIGNS = Joined((Sign,), _move_signs)


@transaction.atomic
def forget(*, follower: Follower, whole: bool, at: datetime) -> int:
    """When a person's data is deleted: their code and fingerprints go, and what was not rewarded never will be."""
    if not whole:
        return 0
    member_id = follower.member_id
    gone = Sign.objects.filter(member_id=member_id).delete()[0]
    gone += Invitation.objects.filter(member_id=member_id).delete()[0]
    for side in ("inviter_id", "invited_id"):
        rows = Referral.objects.filter(**{side: member_id}, state__in=[State.OPEN, State.WAITING, State.HELD])
        rows.update(state=State.REFUSED, reasons=[{"key": "gone"}], settled_at=at)
    return gone
