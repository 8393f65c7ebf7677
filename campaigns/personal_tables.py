"""What a person was sent, as `members.personal` wants it: the rows stay for the sums, without OpenID and contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.models import Campaign, Delivery, DeliveryAttempt
from members.personal import SUMS, Fate, Person, by_follower, by_openid, register

if TYPE_CHECKING:
    from django.db.models import QuerySet


def _deliveries(person: Person) -> QuerySet[Delivery]:
    """Campaign by campaign the index finds a person's one row."""
    campaigns = list(Campaign.objects.order_by("pk").values_list("pk", flat=True))
    return Delivery.objects.filter(campaign_id__in=campaigns, member_id__in=person.member_ids).order_by("pk")


register(
    "campaigns.Delivery", _deliveries, "campaign__name", "variables", "state", "reason", "sent_at", "final_at",
    fate=Fate.ANONYMOUS, law=SUMS, blank={"openid": "", "variables": {}},
)  # fmt: skip
register(
    "campaigns.DeliveryAttempt",
    lambda person: DeliveryAttempt.objects.filter(
        delivery_id__in=list(_deliveries(person).values_list("pk", flat=True))
    ).order_by("pk"),
    "attempt", "outcome", "code", "at",
    fate=Fate.KEPT, law=SUMS,
)  # fmt: skip
register("campaigns.FinishEvent", by_openid("campaigns.FinishEvent"), "status", "event_at")
register(
    "campaigns.TestSend", by_openid("campaigns.TestSend"), "campaign__name", "outcome", "sent_at",
    fate=Fate.ANONYMOUS, law=SUMS, blank={"openid": ""},
)  # fmt: skip
register("campaigns.SubscriptionStock", by_follower("campaigns.SubscriptionStock"), "template_id", "remaining")
