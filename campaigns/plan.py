"""What a campaign would do if it were launched now: who is hit, who is left out and why, who gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef

from accounts.tenancy import current_brand_id, reporting
from campaigns.carriers import carriers
from campaigns.models import SubscriptionStock
from members.choices import chooses_people, keys_for
from members.freshness import people_of
from members.models import Follower, Member, OptOut
from members.selectors import within_reach

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from accounts.viewer import Viewer
    from campaigns.models import Campaign

SAMPLE = 6


@dataclass(frozen=True)
class Plan:
    """People of the audience. `hit` − `opted_out` − `unreachable` = `will_send`.

    `no_allowance` are those of the unreachable who do follow, but whose own acts allow no customer-service message now;
    `no_consent` those who follow and have agreed to no subscribe notification of the template.
    """

    hit: int
    opted_out: int
    will_send: int
    no_allowance: int = 0
    no_consent: int = 0

    @property
    def unreachable(self) -> int:
        """Whom the channel cannot reach: not following this service account, or without an allowance."""
        return self.hit - self.opted_out - self.will_send

    @property
    def not_following(self) -> int:
        """Whom the channel cannot reach because they do not follow this service account."""
        return self.unreachable - self.no_allowance - self.no_consent

    def seconds(self, rate: int | None) -> int | None:
        """How long it takes at so many messages a second; None without a limit."""
        return -(-self.will_send // rate) if rate else None


def plan_of(campaign: Campaign, *, at: datetime) -> Plan:
    """Count the audience as freezing would. Raises `RuleInvalid` for a segment that cannot be used any more."""
    carrier = carriers.find(campaign.carrier)
    refusals = keys_for(
        purpose=campaign.purpose,
        topic_id=campaign.topic_id,
        carrier=campaign.carrier,
        personal=campaign.segment is not None and chooses_people(campaign.segment.rule),
    )
    with reporting(current_brand_id()):
        people = _people(campaign, at)
        refused = OptOut.objects.filter(member=OuterRef("pk"), purpose__in=refusals)
        willing = people.exclude(Exists(refused))
        hit = people.count()
        wanted = willing.count()
        able = carrier.reachable(willing, at, campaign.account_id) if carrier else willing.none()
        if carrier is not None and carrier.uses_consent:
            able = able.filter(_agreed(campaign))
        reached = able.count()
        following = reached
        if carrier is not None and (carrier.uses_allowance or carrier.uses_consent):
            follows = Follower.objects.filter(member=OuterRef("pk"), account_id=campaign.account_id, subscribed=True)
            following = willing.filter(Exists(follows)).count()
    without = {"no_consent" if carrier and carrier.uses_consent else "no_allowance": following - reached}
    return Plan(hit=hit, opted_out=hit - wanted, will_send=reached, **without)


def _agreed(campaign: Campaign) -> Exists:
    """People who have agreed to one more notification of the campaign's template."""
    template_id = campaign.template.template_id if campaign.template else ""
    return Exists(
        SubscriptionStock.objects.filter(
            follower__member=OuterRef("pk"),
            follower__account=campaign.account_id,
            follower__subscribed=True,
            template_id=template_id,
            remaining__gt=0,
        )
    )


def preview_people(campaign: Campaign, *, at: datetime, viewer: Viewer | None = None) -> list[Member]:
    """Give a few people of the audience, within reach of `viewer`, to look at the message with."""
    with reporting(current_brand_id()):
        people = within_reach(_people(campaign, at), viewer)
        return list(people.select_related("store").order_by("-last_interaction_at", "-pk")[:SAMPLE])


def _people(campaign: Campaign, at: datetime) -> QuerySet[Member]:
    if campaign.segment is None:
        return Member.objects.none()
    return people_of(campaign.segment, at=at)
