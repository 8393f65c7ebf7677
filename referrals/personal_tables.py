"""Who invited whom, as `members.personal` wants it: the books stay under numbers, fingerprints and codes go."""

from __future__ import annotations

from django.db.models import Q

from members.personal import LEDGER, Fate, by_member, register
from referrals.models import Referral

register("referrals.Invitation", by_member("referrals.Invitation"), "code", "created_at")
register("referrals.Sign", by_member("referrals.Sign"), "kind", "at")
register(
    "referrals.Referral",
    lambda person: Referral.objects.filter(
        Q(inviter_id__in=person.member_ids) | Q(invited_id__in=person.member_ids)
    ).order_by("pk"),
    "programme__name",
    "state",
    "bound_at",
    "act_at",
    "settled_at",
    fate=Fate.KEPT,
    law=LEDGER,
)
