"""What a marketing campaign brought: those it was meant for against those of the control group in the same audience."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db.models import Count, Q

from accounts.tenancy import current_brand_id, reporting
from campaigns import reasons
from campaigns.models import Delivery
from members.happenings import happenings
from members.left_out import left_out
from members.models import Purpose
from welcomes.lift import Lift, Share, lift_of

if TYPE_CHECKING:
    from campaigns.models import Campaign

DAYS: Final = 7
MOST_DAYS: Final = 90
LEAST_PEOPLE: Final = 100  # in each group
LEAST_EVENTS: Final = 5  # of each outcome in both groups together, or the interval says nothing
# What keeps somebody out before anybody looks at the control group, so that it keeps them out of both groups.
_NEITHER: Final = (
    reasons.OPTED_OUT,
    reasons.ON_LIST,
    reasons.TOPIC_REFUSED,
    reasons.WAY_REFUSED,
    reasons.NOT_PERSONALISED,
    reasons.UNDER_14,
)


@dataclass(frozen=True)
class Effect:
    """How many did something within some days of the launch, of those it was meant for and of the control group.

    Both are counted by whom it was meant for, whether a message arrived or not, so that they stay comparable: people
    with a follower of the account who had not opted out. `until` is when the window ends; before it, it counts so far.
    `left_out`: how many staff, test people and blocked ones are in neither group.
    """

    goal: str
    days: int
    treated: Share
    control: Share
    lift: Lift | None
    until: datetime
    is_over: bool
    is_too_small: bool
    left_out: int = 0


def goals() -> list[tuple[str, str]]:
    """Give what people can be counted by, as (key, label); what is bought first."""
    found = [(key, str(item.label)) for key, item in happenings.items()]
    return sorted(found, key=lambda each: (not each[0].endswith(".purchase"), each[0]))


def effect_of(campaign: Campaign, *, goal: str, days: int, at: datetime, everybody: bool = False) -> Effect | None:
    """Compare the two groups; None for what is no marketing, was not launched, or has nobody in the control group.

    Whoever is flagged as staff, test person or blocked within the window is in neither group, also when that is said
    later; `everybody` counts them.
    """
    if campaign.purpose != Purpose.MARKETING or campaign.launched_at is None:
        return None
    until = campaign.launched_at + timedelta(days=days)
    item = happenings.get(goal)
    window = {f"{item.at}__gt": campaign.launched_at, f"{item.at}__lte": min(until, at)}
    with reporting(current_brand_id()):
        did = Q(member_id__in=item.rows().filter(**window).order_by().values(item.member))
        meant = Delivery.objects.filter(campaign=campaign, follower_id__isnull=False).exclude(reason__in=_NEITHER)
        kept_out = Q(reason=reasons.IN_CONTROL)
        flagged = 0
        if not everybody:
            of_ours = Q(member_id__in=left_out(by=min(until, at), since=campaign.launched_at))
            flagged = meant.filter(of_ours).count()
            meant = meant.exclude(of_ours) if flagged else meant
        found = meant.aggregate(
            treated=Count("pk", filter=~kept_out),
            treated_did=Count("pk", filter=did & ~kept_out),
            control=Count("pk", filter=kept_out),
            control_did=Count("pk", filter=did & kept_out),
        )
    if not found["control"]:
        return None
    treated, control = Share(found["treated_did"], found["treated"]), Share(found["control_did"], found["control"])
    did_it = treated.count + control.count
    did_not = treated.total + control.total - did_it
    too_small = min(treated.total, control.total) < LEAST_PEOPLE or min(did_it, did_not) < LEAST_EVENTS
    return Effect(goal, days, treated, control, lift_of(treated, control), until, until <= at, too_small, flagged)
