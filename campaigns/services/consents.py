"""What people agreed to get as subscribe notifications: taken before a call, given back when nothing left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import F

from accounts.tenancy import current_brand_id
from campaigns.models import Family, SubscriptionStock

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from campaigns.models import MessageTemplate

# Locked in one order: two batches that want the same people wait for each other and never for good.
_TAKE: Final = """
WITH held AS (
    SELECT s.id, s.follower_id FROM campaigns_subscriptionstock s
    WHERE s.brand_id = %(brand)s AND s.follower_id = ANY(%(followers)s::bigint[]) AND s.template_id = %(template)s
        AND s.remaining > 0
    ORDER BY s.follower_id FOR UPDATE
)
UPDATE campaigns_subscriptionstock s SET remaining = s.remaining - %(taken)s, updated_at = %(at)s
FROM held WHERE s.brand_id = %(brand)s AND s.id = held.id
RETURNING s.follower_id
"""


def take_consents(*, follower_ids: Collection[int], template: MessageTemplate, at: datetime) -> set[int]:
    """Take one notification for each of these people; gives those who had one left. Long-term ones are not used up."""
    params: dict[str, Any] = {
        "brand": current_brand_id(),
        "followers": sorted(set(follower_ids)),
        "template": template.template_id,
        "taken": 0 if template.family == Family.NOTICE_LONG else 1,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, params)
        return {row[0] for row in cursor.fetchall()}


def settle_consents(
    *, unsent: Collection[int], refused: Collection[int], template: MessageTemplate, at: datetime
) -> None:
    """Give back what was taken and did not leave; believe WeChat where it says that nothing is left."""
    rows = SubscriptionStock.objects.filter(template_id=template.template_id).order_by()
    if unsent and template.family != Family.NOTICE_LONG:
        rows.filter(follower_id__in=list(unsent)).update(remaining=F("remaining") + 1, updated_at=at)
    if refused:
        rows.filter(follower_id__in=list(refused)).update(remaining=0, updated_at=at)
