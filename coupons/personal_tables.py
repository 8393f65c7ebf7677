"""Whose coupons they were, as `members.personal` wants it: the books of coupons stay, under a number without a name."""

from __future__ import annotations

from django.db.models import Q

from coupons.models import Code, CounterCode, Move
from members.personal import GONE, LEDGER, SUMS, Fate, by_member, register

register(
    "coupons.Coupon",
    by_member("coupons.Coupon"),
    "template__name",
    "way",
    "state",
    "issued_at",
    "valid_until",
    "order",
    "used_at",
    "store__name",
    "saved",
    fate=Fate.KEPT,
    law=LEDGER,
)
register(
    "coupons.Move",
    lambda person: Move.objects.filter(Q(member_id__in=person.member_ids) | Q(other_id__in=person.member_ids)).order_by(
        "pk"
    ),
    "kind",
    "after",
    "order",
    "saved",
    "reason",
    "at",
    fate=Fate.ANONYMOUS,
    law=LEDGER,
    blank={"reason": GONE},
    through="coupons_forget_move",
)
register(
    "coupons.TierGrant",
    by_member("coupons.TierGrant"),
    "gift__tier__name",
    "period",
    "outcome",
    "at",
    fate=Fate.KEPT,
    law=LEDGER,
)
register(
    "coupons.ScanGrant",
    by_member("coupons.ScanGrant"),
    "touchpoint__name",
    "template__name",
    "outcome",
    "at",
    fate=Fate.KEPT,
    law=LEDGER,
)
register(
    "coupons.Code",
    lambda person: Code.objects.filter(coupon__member_id__in=person.member_ids).order_by("pk"),
    "redeemed_at",
    fate=Fate.KEPT,
    law=LEDGER,
)
register(
    "coupons.CounterCode",
    lambda person: CounterCode.objects.filter(coupon__member_id__in=person.member_ids).order_by("pk"),
    "since",
    "until",
    fate=Fate.KEPT,
    law=LEDGER,
)
register(
    "coupons.PushPerson",
    by_member("coupons.PushPerson"),
    "push__template__name",
    "outcome",
    fate=Fate.KEPT,
    law=SUMS,
)
register(
    "coupons.PurchaseGrant",
    by_member("coupons.PurchaseGrant"),
    "gift__template__name",
    "fact__number",
    "outcome",
    "at",
    fate=Fate.KEPT,
    law=LEDGER,
)
