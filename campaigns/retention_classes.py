"""How long contents and OpenIDs of campaigns' messages are kept; reports are counted from the rows, which stay."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign, Delivery, DeliveryAttempt
from members.retention import DataClass, blank_piece, classes


def _over(before: datetime) -> list[int]:
    rows = Campaign.objects.filter(finished_at__lt=before).order_by("finished_at", "pk")
    return list(rows.values_list("pk", flat=True))


def _filled(before: datetime) -> QuerySet[Any]:
    """Messages of campaigns that are over, campaign by campaign: an index leads there."""
    return Delivery.objects.filter(campaign_id__in=_over(before)).exclude(openid="", variables={})


def _empty(before: datetime) -> int:
    """Empty a piece, one campaign at a time: a campaign that was emptied is passed over by its index."""
    for campaign_id in _over(before):
        done = blank_piece(
            Delivery.objects.filter(campaign_id=campaign_id).exclude(openid="", variables={}), openid="", variables={}
        )
        if done:
            return done
    return 0


classes.register(
    "deliveries",
    DataClass(
        label=_("Contents and OpenIDs of campaigns' messages"),
        law=_("PIPL art. 19; who got which campaign stays for the reports"),
        old=_filled,
        proposed=180,
        least=30,
        most=1_095,
        drop=_empty,
        anonymous=True,
        order=30,
    ),
)
classes.register(
    "attempts",
    DataClass(
        label=_("Attempts at messages that were not simply accepted"),
        law=_("Names nobody: a number, a code of WeChat and a moment"),
        old=lambda before: DeliveryAttempt.objects.filter(at__lt=before),
        days=lambda: 3_650,
        by=_("Kept with the campaign"),
        anonymous=True,
        order=31,
    ),
)
