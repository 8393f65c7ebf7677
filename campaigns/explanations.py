"""Why a campaign's message came, why one that was meant for somebody did not, why one was not meant for them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import reasons, selectors
from campaigns.models import Campaign, Delivery, DeliveryState
from console import formats
from members import why
from members.decisions import Decider, Decision, broken, deciders, said
from members.errors import RuleInvalid
from members.explanations import BY_A_PERSON, BY_THE_SWITCH
from members.models import Consent, Purpose

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Member

NEWEST: Final = 10
NOT_CHOSEN: Final = 3
RECENT: Final = timedelta(days=90)
_CAME: Final = (DeliveryState.SENT, DeliveryState.DELIVERED)
#: Reasons as they are told to the person themselves; what is not here is no decision but a failure.
_TOLD: Final[dict[str, Any]] = {
    reasons.OPTED_OUT: gettext_lazy("Not sent: marketing was refused."),
    reasons.ON_LIST: gettext_lazy("Not sent: the brand has put this person on its do-not-send list."),
    reasons.IN_CONTROL: gettext_lazy("Not sent: in the control group, which is chosen by chance."),
    reasons.TOPIC_REFUSED: gettext_lazy("Not sent: this topic was refused."),
    reasons.WAY_REFUSED: gettext_lazy("Not sent: this way of sending was refused."),
    reasons.NOT_PERSONALISED: gettext_lazy("Not sent: personalised messages are turned off."),
    reasons.UNDER_14: gettext_lazy("Not sent: under 14."),
    reasons.QUIET_HOURS: gettext_lazy("Waits for the end of the quiet hours."),
    reasons.NOT_FOLLOWER: gettext_lazy("Not sent: the service account is not followed."),
    reasons.UNFOLLOWED: gettext_lazy("Not sent: the service account is not followed any more."),
    reasons.WINDOW_CLOSED: gettext_lazy(
        "Not sent: WeChat allows it only shortly after somebody has written or tapped."
    ),
    reasons.WINDOW_USED_UP: gettext_lazy("Not sent: as many messages as WeChat allows had been sent."),
    reasons.NO_CONSENT: gettext_lazy("Not sent: no subscribe notification was agreed to."),
    reasons.USER_BLOCK: gettext_lazy("WeChat reports that messages of the brand are refused."),
    reasons.STOPPED: gettext_lazy("Not sent: the brand stopped the campaign."),
}


def messages(member: Member, _at: datetime) -> list[Decision]:
    """Give the newest messages with the rule that chose the person, the consent behind it, and what became of it."""
    rows = selectors.messages_to(member.pk, size=NEWEST)
    purposes = {row.campaign.purpose for row in rows}
    consents = list(Consent.objects.filter(member=member, purpose__in=purposes).order_by("at", "pk"))
    return [_message(row, consents) for row in rows]


def _message(row: Delivery, consents: list[Consent]) -> Decision:
    campaign = row.campaign
    lines = [_("Chosen: %(rule)s") % {"rule": said(campaign.rule)}]
    if row.state in _CAME:
        at = row.sent_at or campaign.launched_at
        before = [each for each in consents if each.purpose == campaign.purpose and at and each.at <= at]
        if before and before[-1].granted:
            day = f"{formats.local(before[-1].at):%Y-%m-%d}"
            lines.append(
                _("Allowed: agreed on %(day)s, text %(text)s.") % {"day": day, "text": before[-1].text_version}
            )
        elif campaign.purpose == Purpose.SERVICE:
            lines.append(_("Allowed: a service notice."))
        else:
            lines.append(_("Allowed: nothing had been refused."))
    elif row.reason:
        lines.append(str(_TOLD.get(row.reason, _("It could not be delivered."))))
    what = {"name": campaign.name, "state": DeliveryState(row.state).label}
    return Decision(_("“%(name)s”: %(state)s") % what, tuple(lines), row.sent_at or campaign.launched_at)


def not_chosen(member: Member, at: datetime) -> list[Decision]:
    """Give the newest marketing campaigns that were not for this person, with the conditions they did not meet."""
    recent = Campaign.objects.filter(purpose=Purpose.MARKETING, launched_at__gt=at - RECENT, launched_at__lte=at)
    rows = list(recent.order_by("-launched_at", "-pk")[: NOT_CHOSEN + NEWEST])
    mine = Delivery.objects.filter(member_id=member.pk, campaign_id__in=[row.pk for row in rows])
    got = set(mine.order_by().values_list("campaign_id", flat=True))
    found = []
    for row in [each for each in rows if each.pk not in got][:NOT_CHOSEN]:
        try:
            tree = why.explain(row.rule, member=member, at=at, then=row.launched_at)
        except RuleInvalid:
            lines = [said(row.rule)]
        else:
            lines = broken(tree.tree) if tree.was_known else [_("Not known to the brand at that time.")]
        what = _("“%(name)s”: not chosen") % {"name": row.name}
        found.append(
            Decision(what, tuple(lines or [_("What was so at that time is not known any more.")]), row.launched_at)
        )
    return found


deciders.register(
    "campaigns.messages",
    Decider(gettext_lazy("Messages of campaigns"), BY_THE_SWITCH, messages, 10, ends_with_switch=True),
)
deciders.register("campaigns.not_chosen", Decider(gettext_lazy("Campaigns for others"), BY_A_PERSON, not_chosen, 20))
