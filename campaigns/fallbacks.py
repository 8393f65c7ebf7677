"""What campaigns' channels offer when the reply window of a conversation is closed, and why not where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns.models import Family, SubscriptionStock
from campaigns.selectors import agreed_notices, templates
from inbox.fallbacks import Offer, fallbacks

if TYPE_CHECKING:
    from datetime import datetime

    from campaigns.models import MessageTemplate
    from inbox.models import Conversation

NOTICE: Final = "admin:inbox_notice"
_NAMED: Final = 3  # notifications that an offer names


def subscription(conversation: Conversation, at: datetime) -> Offer:
    """A subscribe notification, while the person has agreed to one: allowed for offers too, and without following."""
    label = _("Subscribe notification")
    agreed = agreed_notices(conversation.follower_id, conversation.account_id)
    if agreed:
        said = _(", ").join(_each(template, left) for template, left in agreed[:_NAMED])
        link = f"{reverse(NOTICE, args=[conversation.pk])}?template={agreed[0][0].pk}"
        why = _("They have agreed to: %(notices)s.") % {"notices": said}
        return Offer(label, why, _("Write notice"), 10, link=link)
    if SubscriptionStock.objects.filter(follower_id=conversation.follower_id, remaining__gt=0).exists():
        why = _("They have agreed to some whose template is not known here. Synchronise templates.")
    else:
        why = _("They have agreed to none. People agree in an article or on a page with a subscribe button.")
    return Offer(label, why, "", 10, possible=False)


def _each(template: MessageTemplate, left: int) -> str:
    if template.family == Family.NOTICE_LONG:
        return _("%(title)s (long-term)") % {"title": template.title}
    return ngettext("%(title)s (%(count)s left)", "%(title)s (%(count)s left)", left) % {
        "title": template.title,
        "count": left,
    }


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
