"""What the pages of campaigns share: finding the row, colours of states, the message on a phone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from campaigns import reasons, services
from campaigns.carriers import carriers
from campaigns.models import Campaign, CampaignState, DeliveryState
from console.http import viewer_of
from members.models import Member

if TYPE_CHECKING:
    from campaigns.services.drafts import Preview

TONES: Final = {
    CampaignState.DRAFT: "",
    CampaignState.SCHEDULED: "info",
    CampaignState.FREEZING: "info",
    CampaignState.SENDING: "info",
    CampaignState.PAUSED: "warning",
    CampaignState.PARKED: "warning",
    CampaignState.STOPPED: "danger",
    CampaignState.FINISHED: "",
}
ICONS: Final = {
    CampaignState.DRAFT: "edit",
    CampaignState.SCHEDULED: "schedule",
    CampaignState.FREEZING: "hourglass_top",
    CampaignState.SENDING: "send",
    CampaignState.PAUSED: "pause",
    CampaignState.PARKED: "hourglass_top",
    CampaignState.STOPPED: "cancel",
    CampaignState.FINISHED: "check",
}
DELIVERY_TONES: Final = {
    DeliveryState.PENDING: "",
    DeliveryState.LEASED: "info",
    DeliveryState.SENT: "info",
    DeliveryState.DELIVERED: "success",
    DeliveryState.REFUSED: "warning",
    DeliveryState.FAILED: "danger",
    DeliveryState.UNKNOWN: "warning",
    DeliveryState.SUPPRESSED: "",
}
DELIVERY_ICONS: Final = {
    DeliveryState.PENDING: "schedule",
    DeliveryState.LEASED: "send",
    DeliveryState.SENT: "hourglass_top",
    DeliveryState.DELIVERED: "check_circle",
    DeliveryState.REFUSED: "block",
    DeliveryState.FAILED: "cancel",
    DeliveryState.UNKNOWN: "help",
    DeliveryState.SUPPRESSED: "do_not_disturb_on",
}
LIST: Final = "admin:campaigns_campaign_changelist"


@dataclass(frozen=True)
class State:
    """A state on screen: word, colour and icon."""

    label: str
    tone: str
    icon: str


def state_of(state: str) -> State:
    """Give a campaign's state on screen."""
    known = CampaignState(state)
    return State(str(known.label), TONES[known], ICONS[known])


def delivery_state_of(state: str) -> State:
    """Give a message's state on screen."""
    known = DeliveryState(state)
    return State(str(known.label), DELIVERY_TONES[known], DELIVERY_ICONS[known])


def campaign_or_404(pk: int, *related: str) -> Campaign:
    """Give a campaign of the brand; another brand's and a missing one look alike."""
    rows = Campaign.objects.select_related(*related) if related else Campaign.objects.all()
    row = rows.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def page_of(campaign: Campaign) -> str:
    """Give the address of a campaign's page."""
    return reverse("admin:campaigns_campaign_show", args=[campaign.pk])


def may_edit(request: HttpRequest) -> bool:
    """Say whether the person may change campaigns."""
    return viewer_of(request).can("campaigns.edit")


def may_launch(request: HttpRequest) -> bool:
    """Say whether the person may start and steer campaigns."""
    return viewer_of(request).can("campaigns.launch")


def require_post(request: HttpRequest, capability: str) -> None:
    """Refuse anything but a POST of somebody who may."""
    viewer_of(request).require(capability)
    if request.method != "POST":
        raise Http404


def explain(reason: str) -> reasons.Explanation | None:
    """Explain a reason; None when there is none."""
    return reasons.explain(reason) if reason else None


def code_of(reason: str) -> str:
    """Give WeChat's code of a reason; our own reasons have words only."""
    return reason if reason.lstrip("-").isdigit() else ""


def odd_people() -> dict[str, tuple[str, Member]]:
    """Give made-up people on whom messages break most often: key -> (label, person). They are never saved."""
    return {
        "odd:nameless": (_("Somebody without a name"), Member(name="", member_no="80000001")),
        "odd:emoji": (
            _("Somebody with emoji in the name"),
            Member(name="🌸小雨✨🐱", member_no="80000002", city="上海"),
        ),
        "odd:long": (
            _("Somebody with a name of 40 characters"),
            Member(name="欧阳长名" * 10, member_no="80000003", phone_tail="6721", city="呼伦贝尔市鄂温克族自治旗"),
        ),
    }


def phone(campaign: Campaign, shown: Preview | None) -> dict[str, Any]:
    """Give the message as a phone shows it."""
    bubbles: list[dict[str, Any]] = []
    carrier = carriers.find(campaign.carrier)
    if shown is not None and carrier is not None and not carrier.uses_template:
        bubbles = [{"kind": "text", "text": each.text} for each in shown.fields if each.text]
    elif shown is not None and campaign.template is not None:
        rows = [{"label": each.label, "value": each.text} for each in shown.fields]
        link = bool(campaign.url or campaign.mini_appid)
        bubbles = [{"kind": "card", "title": campaign.template.title, "rows": rows, "link": link}]
    if not bubbles:
        bubbles = [{"kind": "note", "text": _("The message appears here as soon as it has content.")}]
    return {"account": campaign.account.name, "bubbles": bubbles}


def message_for(campaign: Campaign, member: Member) -> Preview | None:
    """Give the message as one person would get it; None for a channel that does not exist."""
    if carriers.find(campaign.carrier) is None:
        return None
    return services.preview(campaign=campaign, member=member)
