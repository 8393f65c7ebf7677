"""Subscribe notifications (订阅通知): one for each time the person agreed (reference: service account 5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.carriers.contract import Problem, carriers
from campaigns.carriers.template import TemplateCarrier
from campaigns.models import NOTICES, SubscriptionStock, UnknownPolicy
from members.models import Purpose
from wechat_gateway import client

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from campaigns.carriers.contract import Addressee
    from campaigns.models import Campaign
    from members.models import Member


class SubscribeCarrier(TemplateCarrier):
    """One subscribe notification a person: what they agreed to is advertising, too, if it says so."""

    key = "subscribe"
    label = gettext_lazy("Subscribe notification")
    purposes = frozenset({Purpose.SERVICE.value, Purpose.MARKETING.value})
    families = frozenset(NOTICES)
    confirms = False  # WeChat recognises no repeated call here: one without an answer is never made again
    uses_consent = True
    warns_of_advertising = False

    def validate(self, campaign: Campaign) -> list[Problem]:
        """Check the template and every field, and that nobody expects an unconfirmed one to be sent again."""
        problems = super().validate(campaign)
        if campaign.unknown_policy == UnknownPolicy.RESEND:
            problems.append(
                Problem(
                    "never_resent",
                    _("A subscribe notification without an answer is not sent again: it may have used up a consent."),
                    hint=_("It counts as delivered as soon as WeChat reports it."),
                    field="unknown_policy",
                    blocking=False,
                ),
            )
        return problems

    def message(
        self, campaign: Campaign, person: Addressee, data: Mapping[str, str], client_msg_id: str
    ) -> client.Outgoing:
        """Make the call; there is no id against doubles in it."""
        return client.subscribe_message(
            openid=person.openid,
            template_id=campaign.template.template_id if campaign.template else "",
            data=data,
            page=campaign.url,
            mini_program=(campaign.mini_appid, campaign.mini_path) if campaign.mini_appid else None,
        )

    def reachable(self, members: QuerySet[Member], at: datetime, account_id: int | None = None) -> QuerySet[Member]:
        """Narrow members to those who follow and have agreed to one more notification at least."""
        agreed = SubscriptionStock.objects.filter(
            follower__member=OuterRef("pk"), follower__subscribed=True, remaining__gt=0
        )
        return members.filter(Exists(agreed if account_id is None else agreed.filter(follower__account=account_id)))


carriers.register(SubscribeCarrier.key, SubscribeCarrier())
