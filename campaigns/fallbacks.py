"""What campaigns' channels offer when the reply window of a conversation is closed, and why not where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Sum
from django.urls import reverse
from django.utils.translation import gettext as _

from campaigns.models import SubscriptionStock
from campaigns.selectors import templates
from inbox.fallbacks import Offer, fallbacks

if TYPE_CHECKING:
    from datetime import datetime

    from inbox.models import Conversation

NOTICE: Final = "admin:inbox_notice"


def subscription(conversation: Conversation, at: datetime) -> Offer:
    """A subscribe notification, while the person has agreed to one."""
    rows = SubscriptionStock.objects.filter(follower_id=conversation.follower_id)
    left: int = rows.aggregate(left=Sum("remaining"))["left"] or 0
    if left:
        why = _("They have agreed to %(count)s. They cannot be sent from here yet; the next best way is below.")
        return Offer(_("Subscribe notification"), why % {"count": left}, "", 10, possible=False)
    return Offer(
        _("Subscribe notification"),
        _("They have agreed to none. People agree in an article or on a page with a subscribe button."),
        "",
        10,
        possible=False,
    )


def service_template(conversation: Conversation, at: datetime) -> Offer:
    """A template message, if it is about something the person did."""
    label = _("Template message (service notices only)")
    if not conversation.follower.subscribed:
        return Offer(label, _("Only followers get template messages."), "", 20, possible=False)
    if not templates(conversation.account_id).exists():
        why = _("This service account has no message template. Add one at WeChat and synchronise templates.")
        return Offer(label, why, "", 20, possible=False)
    return Offer(
        label,
        _("Allowed when it is about their own order, booking or account; never for offers."),
        _("Write notice"),
        20,
        link=reverse(NOTICE, args=[conversation.pk]),
    )


fallbacks.register("campaigns.subscription", subscription)
fallbacks.register("campaigns.service_template", service_template)
