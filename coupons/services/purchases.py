"""Coupons after purchases: a purchase notes what it brings in one statement; a worker gives it, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import connection, transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import current_brand_id
from common.failpoints import point
from coupons import tasks
from coupons.errors import GiftInvalid, TemplateClosed, Unusable
from coupons.models import Outcome, PurchaseGift, PurchaseGrant, State, TemplateState, Way
from coupons.services.life import void_coupon
from coupons.services.outcomes import give_promised
from loyalty.errors import MemberGone
from loyalty.models import Fact, FactKind
from loyalty.selectors.points import zone
from loyalty.services import Operation
from loyalty.services.ledger import SYSTEM, open_account

if TYPE_CHECKING:
    from datetime import datetime

_FIELDS: Final = ("template_id", "at_least", "first_day", "last_day", "takes_back", "is_on")


@transaction.atomic
def save_purchase_gift(*, gift: PurchaseGift, at: datetime) -> PurchaseGift:
    """Save which coupon a purchase brings. Purchases that were reported before bring none.

    Raises GiftInvalid, TemplateClosed.
    """
    if gift.at_least < 1:
        raise GiftInvalid(_("Not saved. The amount must be above 0."), field="at_least")
    if gift.last_day is not None and gift.last_day < gift.first_day:
        raise GiftInvalid(_("Not saved. The last day lies before the first."), field="last_day")
    before = PurchaseGift.objects.filter(pk=gift.pk).first() if gift.pk else None
    if gift.is_on and gift.template.state != TemplateState.ACTIVE:
        raise TemplateClosed
    gift.updated_at = at
    gift.save()
    changes = {
        name: [_plain(getattr(before, name)) if before else None, _plain(getattr(gift, name))]
        for name in _FIELDS
        if before is None or getattr(before, name) != getattr(gift, name)
    }
    record_audit(action="change coupon after a purchase", obj=gift, changes=changes)
    return gift


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int) else str(value)


_NOTE: Final = """
INSERT INTO coupons_purchasegrant (brand_id, gift_id, fact_id, member_id, outcome, at)
SELECT g.brand_id, g.id, %(fact)s, %(member)s, '', %(at)s FROM coupons_purchasegift g
WHERE g.brand_id = %(brand)s AND g.is_on AND g.at_least <= %(amount)s
    AND g.first_day <= %(day)s AND (g.last_day IS NULL OR g.last_day >= %(day)s)
ON CONFLICT DO NOTHING
"""


def note_purchase(fact: Fact) -> None:
    """Write down which coupons a purchase brings, in the transaction that keeps it; the day is that of the purchase."""
    if fact.kind == FactKind.REFUND:
        _after_refund(fact)
        return
    if fact.kind != FactKind.PURCHASE:
        return
    brand_id = current_brand_id()
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE,
            {
                "brand": brand_id,
                "fact": fact.pk,
                "member": fact.member_id,
                "amount": fact.amount,
                "day": fact.happened_at.astimezone(zone()).date(),
                "at": fact.received_at,
            },
        )
        found = cursor.rowcount
    if found:
        ring(tasks.give_after_purchases, brand_id)


@transaction.atomic
def give_after_purchases(*, at: datetime) -> int:
    """Give the next of them; gives how many were looked at. Killed anywhere, no purchase brings two.

    The member's account is locked before the row, as a refund does that takes it back.
    """
    waiting = PurchaseGrant.objects.filter(outcome="").order_by("pk").values_list("pk", "member_id").first()
    if waiting is None:
        return 0
    try:
        open_account(waiting[1])
    except MemberGone:
        PurchaseGrant.objects.filter(pk=waiting[0], outcome="").update(outcome=Outcome.GONE, at=at)
        return 1
    rows = PurchaseGrant.objects.select_for_update(of=("self",)).select_related("gift__template", "fact")
    grant = rows.filter(pk=waiting[0], outcome="").first()
    if grant is None:  # another worker was faster, or a refund
        return 1
    grant.outcome, grant.coupon = give_promised(
        key=f"purchase:{grant.pk}",
        template=grant.gift.template,
        member_id=grant.member_id,
        way=Way.PURCHASE,
        reason=f"{grant.fact.system} {grant.fact.number}",
        at=at,
    )
    grant.at = at
    grant.save(update_fields=["outcome", "coupon", "at"])
    point("coupons after purchases: given, not committed")
    return 1


def _after_refund(fact: Fact) -> None:
    """Take back what a purchase brought when too little of it is left, unless it was used already."""
    purchase = fact.refers
    if purchase is None:
        return
    rows = PurchaseGrant.objects.select_for_update(of=("self",)).select_related("gift", "coupon").filter(fact=purchase)
    grants = list(rows.filter(gift__takes_back=True, outcome__in=("", Outcome.GIVEN)).order_by("pk"))
    if not grants:
        return
    left = purchase.amount - (Fact.objects.filter(refers=purchase).aggregate(all=Sum("amount"))["all"] or 0)
    for grant in grants:
        if left >= grant.gift.at_least:
            continue
        coupon = grant.coupon
        if coupon is None:
            grant.outcome = Outcome.REFUNDED
        elif coupon.state in (State.UNUSED, State.HELD):
            operation = Operation(SYSTEM, f"purchase:{grant.pk}:back")
            reason = f"{fact.system} {fact.number}"
            try:
                void_coupon(operation=operation, coupon_id=coupon.pk, reason=reason, at=fact.received_at)
            except Unusable:
                continue  # it was redeemed in the same moment
            grant.outcome = Outcome.TAKEN_BACK
        else:
            continue
        grant.at = fact.received_at
        grant.save(update_fields=["outcome", "at"])
