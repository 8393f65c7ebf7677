"""Coupons as a benefit of a tier: one statement finds whom a period owes one, each is given once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import connection, transaction

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from common.failpoints import point
from coupons.errors import TemplateClosed
from coupons.models import Outcome, TemplateState, TierGift, TierGrant, Way
from coupons.selectors.gifts import period_of
from coupons.services.outcomes import give_promised
from loyalty.selectors.tiers import lowest

if TYPE_CHECKING:
    from datetime import datetime

    from coupons.models import Template
    from loyalty.models import Tier

AT_ONCE: Final = 200


@transaction.atomic
def save_gift(*, gift: TierGift, at: datetime) -> TierGift:
    """Save which coupon a tier gives how often. What the running period owes is given within the minute."""
    before = TierGift.objects.filter(pk=gift.pk).first() if gift.pk else None
    gift.updated_at = at
    gift.save()
    names = ("tier_id", "template_id", "period", "is_on")
    changes = {
        name: [getattr(before, name) if before else None, getattr(gift, name)]
        for name in names
        if before is None or getattr(before, name) != getattr(gift, name)
    }
    record_audit(action="change coupon of a tier", obj=gift, changes=changes)
    return gift


@transaction.atomic
def set_gift(*, tier: Tier, template: Template, period: str, is_on: bool, at: datetime) -> TierGift:
    """Let a tier give a coupon so often, or no more; the same again changes nothing. Raises TemplateClosed."""
    gift = TierGift.objects.select_for_update(of=("self",)).filter(tier=tier, template=template).first()
    if gift is not None and (gift.period, gift.is_on) == (period, is_on):
        return gift
    if is_on and template.state != TemplateState.ACTIVE:
        raise TemplateClosed
    gift = gift or TierGift(tier=tier, template=template)
    gift.period, gift.is_on = period, is_on
    return save_gift(gift=gift, at=at)


# Whoever was never decided about stands in the lowest tier without a row. Somebody who became part of another record
# had theirs: it counts for the one that stays.
_FIND: Final = """
WITH RECURSIVE had AS (
    SELECT o.merged_into_id AS id FROM coupons_tiergrant g
        JOIN members_member o ON o.brand_id = g.brand_id AND o.id = g.member_id
    WHERE g.brand_id = %(brand)s AND g.gift_id = %(gift)s AND g.period = %(period)s AND o.merged_into_id IS NOT NULL
    UNION
    SELECT o.merged_into_id FROM had h JOIN members_member o ON o.brand_id = %(brand)s AND o.id = h.id
    WHERE o.merged_into_id IS NOT NULL
)
INSERT INTO coupons_tiergrant (brand_id, gift_id, member_id, period, outcome, at)
SELECT m.brand_id, %(gift)s, m.id, %(period)s, '', %(at)s
FROM (
    SELECT member_id FROM loyalty_standing WHERE brand_id = %(brand)s AND tier_id = %(tier)s
    UNION ALL
    SELECT n.id FROM members_member n WHERE %(lowest)s AND n.brand_id = %(brand)s AND n.joined_at IS NOT NULL
        AND n.merged_into_id IS NULL AND NOT EXISTS (
            SELECT 1 FROM loyalty_standing s WHERE s.brand_id = n.brand_id AND s.member_id = n.id)
) AS stands JOIN members_member m ON m.brand_id = %(brand)s AND m.id = stands.member_id
WHERE m.brand_id = %(brand)s AND m.merged_into_id IS NULL AND m.erased_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM members_flag f WHERE f.brand_id = m.brand_id AND f.member_id = m.id
        AND (f.since IS NULL OR f.since <= %(at)s) AND (f.until IS NULL OR f.until > %(at)s))
    AND NOT EXISTS (SELECT 1 FROM coupons_tiergrant g WHERE g.brand_id = m.brand_id AND g.gift_id = %(gift)s
        AND g.period = %(period)s AND g.member_id = m.id)
    AND m.id NOT IN (SELECT h.id FROM had h)
ON CONFLICT DO NOTHING
"""


@transaction.atomic
def find_gifts(*, at: datetime) -> int:
    """Write down whom the running period owes a coupon of their tier; gives how many are new."""
    found, first = 0, lowest()
    for gift in TierGift.objects.filter(is_on=True).order_by("pk"):
        with connection.cursor() as cursor:
            cursor.execute(
                _FIND,
                {
                    "brand": current_brand_id(),
                    "gift": gift.pk,
                    "tier": gift.tier_id,
                    "lowest": first is not None and first.pk == gift.tier_id,
                    "period": period_of(gift.period, at),
                    "at": at,
                },
            )
            found += cursor.rowcount
    point("tier coupons: found, not committed")
    return found


@transaction.atomic
def give_gifts(*, at: datetime, limit: int = AT_ONCE) -> int:
    """Give some of them; gives how many were looked at. Killed anywhere, nobody gets two."""
    rows = TierGrant.objects.select_for_update(of=("self",), skip_locked=True).filter(outcome="").order_by("pk")
    grants = list(rows.select_related("gift__tier", "gift__template")[:limit])
    for grant in grants:
        grant.outcome = _give(grant, at)
        grant.at = at
        grant.save(update_fields=["outcome", "coupon", "at"])
    point("tier coupons: given, not committed")
    return len(grants)


def _give(grant: TierGrant, at: datetime) -> Outcome:
    gift = grant.gift
    outcome, grant.coupon = give_promised(
        key=f"tier:{grant.pk}",
        template=gift.template,
        member_id=grant.member_id,
        way=Way.TIER,
        reason=f"{gift.tier.name} · {grant.period}",
        at=at,
    )
    return outcome
