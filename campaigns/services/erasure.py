"""What leaves with a person: where messages went and what stood in them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from campaigns.models import Campaign, Delivery, DeliveryState, FinishEvent, SubscriptionStock, TestSend
from campaigns.reasons import UNFOLLOWED
from campaigns.services import tallies
from members.models import Member

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Follower


def forget_messages(*, follower: Follower, whole: bool, at: datetime) -> int:
    """Take OpenID and contents out of a person's messages; one that still waits is not sent. Gives how many rows."""
    merged = Member.objects.filter(merged_into_id=follower.member_id).values_list("pk", flat=True)
    rows = Delivery.objects.filter(
        # Campaign by campaign the index finds a person's one row; by OpenID alone none does.
        campaign_id__in=list(Campaign.objects.order_by("pk").values_list("pk", flat=True)),
        member_id__in=[follower.member_id, *merged],
        account_id=follower.account_id,
        openid=follower.openid,
    )
    waiting = list(
        rows.select_for_update().filter(state=DeliveryState.PENDING).order_by("pk").values_list("pk", "campaign_id")
    )
    Delivery.objects.filter(pk__in=[pk for pk, _campaign in waiting]).update(
        state=DeliveryState.SUPPRESSED, reason=UNFOLLOWED, due_at=None, final_at=at
    )
    gone = rows.update(openid="", variables={})
    known = {"account_id": follower.account_id, "openid": follower.openid}
    gone += TestSend.objects.filter(**known).update(openid="")
    gone += FinishEvent.objects.filter(**known).delete()[0]
    gone += SubscriptionStock.objects.filter(follower=follower).delete()[0]
    moved = Counter[tuple[int, str, str]]()
    for _pk, campaign_id in waiting:
        moved[campaign_id, DeliveryState.PENDING.value, ""] -= 1
        moved[campaign_id, DeliveryState.SUPPRESSED.value, UNFOLLOWED] += 1
    tallies.add(follower.brand_id, tallies.STEERING_SHARD, moved)
    return gone
