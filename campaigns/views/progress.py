"""A campaign from its launch on: confirmation, progress while it runs, report, and the messages behind every figure."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from campaigns import lift, on_screen, plan, selectors, services
from campaigns.errors import AlreadyLaunched, NotInThisState, NotReady
from campaigns.models import Campaign, CampaignState, Delivery, DeliveryState, UnknownPolicy
from campaigns.services.drafts import carrier_of, unknown_policy
from campaigns.views import composer
from common.clock import now
from console import formats
from console.http import row_id, viewer_of
from console.labels import source_label
from console.site import page_response
from members.errors import RuleInvalid
from members.models import Member, Purpose
from members.opened import Way, shows
from members.selectors import consent_behind, within_reach
from members.services import note_listed

if TYPE_CHECKING:
    from campaigns.selectors import Progress, Slice

RELATED: Final = ("account", "template", "segment")
NAME_TYPED_ABOVE: Final = 1_000  # people; above, starting asks for the campaign's name
MOVING: Final = frozenset({CampaignState.SCHEDULED, CampaignState.FREEZING, CampaignState.SENDING, CampaignState.PAUSED,
                           CampaignState.PARKED})  # fmt: skip
LATE: Final = timedelta(minutes=2)  # after the end, when most results have come
_ORDER: Final = (
    DeliveryState.DELIVERED,
    DeliveryState.SENT,
    DeliveryState.REFUSED,
    DeliveryState.FAILED,
    DeliveryState.UNKNOWN,
    DeliveryState.PENDING,
    DeliveryState.SUPPRESSED,
)


@dataclass(frozen=True)
class Part:
    """A state of the report: word, colour, how many, and the address of those messages."""

    label: str
    tone: str
    icon: str
    count: int
    link: str
    hint: str = ""


def show(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a campaign: the composer of a draft, progress and report of everything else."""
    campaign = on_screen.campaign_or_404(pk, *RELATED)
    if campaign.state == CampaignState.DRAFT:
        return composer.page(request, campaign)
    if request.method == "POST":
        raise AlreadyLaunched
    context = {
        "title": campaign.name,
        "zy_object": campaign,
        "can_edit": on_screen.may_edit(request),
        **_progress_context(request, campaign),
        **_report_context(campaign),
        **_effect_context(request, campaign),
    }
    return page_response(request, "campaigns/progress.html", context)


def launch(request: HttpRequest, pk: int) -> HttpResponse:
    """Say how many people a launch reaches, and launch."""
    viewer_of(request).require("campaigns.launch")
    campaign = on_screen.campaign_or_404(pk, *RELATED)
    if campaign.state != CampaignState.DRAFT:
        return HttpResponseRedirect(on_screen.page_of(campaign))
    at = now()
    problems = [each for each in selectors.problems(campaign, at=at) if each.blocking]
    counted, error = _count(campaign)
    if counted is not None and not counted.will_send and not problems:
        error = _("Nobody would get this message. Choose another segment or another channel.")
    asks_name = counted is not None and counted.will_send > NAME_TYPED_ABOVE
    if request.method == "POST" and counted is not None and not error and not problems:
        error = _refusal(request, campaign, counted, asks_name=asks_name)
        if not error:
            return _start(request, campaign)
    context = {
        "title": _("Start sending “%(name)s”?") % {"name": campaign.name},
        "zy_object": campaign,
        "campaign": campaign,
        "plan": counted,
        "problems": problems,
        "error": error,
        "asks_name": asks_name,
        "typed": request.POST.get("typed", ""),
        "ready": counted is not None and bool(counted.will_send) and not problems,
        "carrier": carrier_of(campaign).label if not problems else campaign.carrier,
        "duration": counted.seconds(campaign.rate_per_second) if counted else None,
        "policy": UnknownPolicy(unknown_policy(campaign)).label,
        "at": at,
        "phone": _phone(request, campaign),
        "back": on_screen.page_of(campaign),
    }
    return page_response(request, "campaigns/launch.html", context, status=422 if request.method == "POST" else 200)


def steer(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause, resume, stop, send again to failed ones, or take a planned campaign back."""
    on_screen.require_post(request, "campaigns.launch")
    campaign = on_screen.campaign_or_404(pk)
    act = _ACTS.get(request.POST.get("act", ""))
    if act is None:
        raise Http404
    try:
        messages.success(request, act(campaign))
    except NotInThisState as error:  # somebody else was faster; the page shows where it is
        messages.error(request, f"{error.message} {error.hint}")
    return HttpResponseRedirect(on_screen.page_of(campaign))


def poll(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the progress when it differs from the version the page has, else 204. Two queries."""
    campaign = on_screen.campaign_or_404(pk)
    if campaign.state == CampaignState.DRAFT:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = on_screen.page_of(campaign)
        return response
    context = _progress_context(request, campaign)
    if context["version"] == request.GET.get("v", ""):
        return HttpResponse(status=204)
    response = TemplateResponse(request, "campaigns/_progress.html", context)
    if request.GET.get("moving") == "1" and not context["moving"]:
        response["HX-Refresh"] = "true"  # the report below the figures is new, too
    return response


def deliveries(request: HttpRequest, pk: int) -> HttpResponse:
    """List the messages of a campaign, of one state and reason if asked, by number."""
    campaign = on_screen.campaign_or_404(pk)
    state = request.GET.get("state", "")
    if state and state not in DeliveryState.values:
        raise Http404
    reason = request.GET.get("reason")
    after = request.GET.get("after", "")
    found = selectors.deliveries(
        campaign,
        states=[state] if state else [],
        reason=reason,
        after=int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0,
    )
    slices = selectors.report(campaign, at=now()).slices
    wanted = [each for each in slices if state in ("", each.state) and (reason is None or reason == each.reason)]
    people = within_reach(Member.objects.all(), viewer_of(request)).in_bulk({row.member_id for row in found.rows})
    note_listed(people=people, page="campaigns.messages", at=now())
    query: dict[str, str | int] = {"state": state} if state else {}
    if reason is not None:
        query["reason"] = reason
    context = {
        "title": _("Messages of “%(name)s”") % {"name": campaign.name},
        "zy_object": campaign,
        "campaign": campaign,
        "rows": [_line(row, people.get(row.member_id)) for row in found.rows],
        "total": sum(each.count for each in wanted),
        "state": on_screen.delivery_state_of(state) if state else None,
        "reason": on_screen.explain(reason or ""),
        "code": on_screen.code_of(reason or ""),
        "without_state": "?" + urlencode({"reason": reason}) if reason is not None else "?",
        "next": "?" + urlencode({**query, "after": found.next_after}) if found.next_after else "",
        "first": "?" + urlencode(query) if after else "",
        "back": on_screen.page_of(campaign),
    }
    return page_response(request, "campaigns/deliveries.html", context)


def attempts(request: HttpRequest, pk: int, delivery_id: int) -> HttpResponse:
    """List the attempts at one message that were not simply accepted."""
    delivery = Delivery.objects.select_related("campaign").filter(pk=delivery_id, campaign_id=pk).first()
    if delivery is None:
        raise Http404
    rows = [{"row": each, "explanation": on_screen.explain(each.code)} for each in selectors.attempts(delivery)[:50]]
    return TemplateResponse(request, "campaigns/_attempts.html", {"attempts": rows, **_allowed_by(delivery)})


def _allowed_by(delivery: Delivery) -> dict[str, Any]:
    """Name the statement of the person that allowed the message when it was sent, or forbade it."""
    purpose = Purpose(delivery.campaign.purpose)
    moment = delivery.tried_at or delivery.sent_at or delivery.final_at or now()
    consent = consent_behind(member_id=delivery.member_id, purpose=purpose, at=moment)
    return {
        "purpose": purpose.label,
        "consent": consent,
        "said_through": source_label(consent.source) if consent else "",
    }


def _pause(campaign: Campaign) -> str:
    services.pause(campaign=campaign, at=now())
    return _("Paused. What was already on its way still arrives.")


def _resume(campaign: Campaign) -> str:
    services.resume(campaign=campaign, at=now())
    return _("Sending goes on.")


def _stop(campaign: Campaign) -> str:
    services.stop(campaign=campaign, at=now())
    return _("Stopped. Whoever still waited gets nothing.")


def _unschedule(campaign: Campaign) -> str:
    services.unschedule(campaign=campaign, at=now())
    return _("The plan is cancelled; the campaign is a draft again.")


def _retry(campaign: Campaign) -> str:
    count = services.retry_failed(campaign=campaign, at=now())
    said = ngettext("%(count)s message is sent again.", "%(count)s messages are sent again.", count)
    return said % {"count": formats.count(count)}


_ACTS: Final[dict[str, Callable[[Campaign], str]]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "unschedule": _unschedule,
    "retry": _retry,
}


def _count(campaign: Campaign) -> tuple[plan.Plan | None, str]:
    try:
        return plan.plan_of(campaign, at=now()), ""
    except RuleInvalid as error:
        return None, error.message


def _refusal(request: HttpRequest, campaign: Campaign, counted: plan.Plan, *, asks_name: bool) -> str:
    if asks_name and request.POST.get("typed", "").strip() != campaign.name:
        return _("Type the campaign's name to start it: it reaches many people and cannot be taken back.")
    seen = row_id(request.POST.get("seen"))
    if seen is None or abs(seen - counted.will_send) * 100 > counted.will_send:
        return _("The audience has changed while you were reading. Look at the figures again.")
    return ""


def _start(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    try:
        launched = services.launch(campaign=campaign, at=now(), staff_id=viewer_of(request).staff_id)
    except NotReady as error:
        messages.error(request, f"{error.message} {error.hint}".strip())
        return HttpResponseRedirect(on_screen.page_of(campaign))
    if launched.state == CampaignState.SCHEDULED:
        messages.success(request, _("Planned for %(time)s.") % {"time": formats.local_time(launched.scheduled_at)})
    else:
        messages.success(request, _("Started. The audience is being frozen, then sending begins."))
    return HttpResponseRedirect(on_screen.page_of(campaign))


def _phone(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    try:
        people = plan.preview_people(campaign, at=now(), viewer=viewer_of(request))
    except RuleInvalid:
        people = []
    return on_screen.phone(campaign, on_screen.message_for(campaign, people[0]) if people else None)


def _progress_context(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    at = now()
    found = selectors.progress(campaign, at=at)
    return {
        "campaign": campaign,
        "progress": found,
        "parked_code": on_screen.code_of(campaign.parked_code),
        "state": on_screen.state_of(campaign.state),
        "parts": _parts(campaign, found),
        "causes": [_cause(campaign, each) for each in found.problems],
        "version": _version(campaign, found),
        "moving": campaign.state in MOVING
        or (campaign.state == CampaignState.STOPPED and campaign.finished_at is None),
        "confirming": campaign.state in (CampaignState.FINISHED, CampaignState.STOPPED) and bool(found.sent),
        "every": _poll_seconds(campaign, at),
        "eta": _duration(found.eta_seconds),
        "may_launch": on_screen.may_launch(request),
        "can_pause": campaign.state in (CampaignState.SENDING, CampaignState.PARKED),
        "can_resume": campaign.state in (CampaignState.PAUSED, CampaignState.PARKED),
        "can_stop": campaign.state
        in (CampaignState.FREEZING, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.PARKED),
        "can_retry": bool(found.failed)
        and campaign.state
        in (CampaignState.FINISHED, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.PARKED),
        "at": at,
    }


def _poll_seconds(campaign: Campaign, at: datetime) -> int:
    over = campaign.finished_at is not None and at - campaign.finished_at > LATE
    return 10 if over else 2


def _parts(campaign: Campaign, found: Progress) -> list[Part]:
    counts = {
        DeliveryState.DELIVERED: found.delivered,
        DeliveryState.SENT: found.sent,
        DeliveryState.REFUSED: found.refused,
        DeliveryState.FAILED: found.failed,
        DeliveryState.UNKNOWN: found.unknown,
        DeliveryState.PENDING: found.waiting,
        DeliveryState.SUPPRESSED: found.suppressed,
    }
    hints = {
        DeliveryState.SENT: _("WeChat has accepted the message and not yet reported whether it arrived."),
        DeliveryState.UNKNOWN: _("No answer came, so it may or may not have been sent."),
        DeliveryState.SUPPRESSED: _("Not sent on purpose: a rule forbids it, or no way leads to them."),
    }
    parts = []
    for key in _ORDER:
        look = on_screen.delivery_state_of(key)
        tone = look.tone if counts[key] else ""  # colour only where there is somebody
        parts.append(Part(look.label, tone, look.icon, counts[key], _messages(campaign, key), hints.get(key, "")))
    return parts


def _cause(campaign: Campaign, each: Slice) -> dict[str, Any]:
    return {
        "slice": each,
        "code": on_screen.code_of(each.reason),
        "state": on_screen.delivery_state_of(each.state),
        "link": _messages(campaign, each.state, each.reason),
    }


def _report_context(campaign: Campaign) -> dict[str, Any]:
    report = selectors.report(campaign, at=now())
    left_out = [each for each in report.slices if each.state == DeliveryState.SUPPRESSED]
    context: dict[str, Any] = {
        "report": report,
        "left_out": [_cause(campaign, each) for each in left_out],
        "sent_to": report.total - sum(each.count for each in left_out),
        "counted": campaign.audience_count is not None,
        "took": _duration(
            round((campaign.finished_at - campaign.launched_at).total_seconds())
            if campaign.finished_at and campaign.launched_at
            else None
        ),
        "carrier": carrier_of(campaign).label,
        "all_link": _messages(campaign, ""),
    }
    if campaign.state == CampaignState.SCHEDULED:
        context["plan"], _error = _count(campaign)
    return context


def _effect_context(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    """Compare with the control group by what the address asks for."""
    goals, at = lift.goals(), now()
    goal = request.GET.get("goal", "")
    goal = goal if goal in dict(goals) else goals[0][0]
    days = row_id(request.GET.get("days", "")) or lift.DAYS
    everybody = "everybody" in request.GET
    found = lift.effect_of(campaign, goal=goal, days=min(days, lift.MOST_DAYS), at=at, everybody=everybody)
    if found is None:
        return {"effect": None}
    points = (
        [round(each * 100, 1) for each in (found.lift.difference, found.lift.low, found.lift.high)]
        if found.lift
        else []
    )
    return {
        "effect": found,
        "goals": goals,
        "most_days": lift.MOST_DAYS,
        "everybody": everybody,
        "points": [f"{each:+.1f}" for each in points],
    }


def _messages(campaign: Campaign, state: str, reason: str | None = None) -> str:
    query = {"state": state} if state else {}
    if reason is not None:
        query["reason"] = reason  # an empty one asks for messages without a reason
    address = reverse("admin:campaigns_campaign_messages", args=[campaign.pk])
    return f"{address}?{urlencode(query)}" if query else address


def _line(row: Delivery, member: Member | None) -> dict[str, Any]:
    return {
        "row": row,
        "name": member.name if member else _("outside your data scope"),
        "number": member.member_no if member else "",
        "member_id": row.member_id if member else None,
        "openid": row.openid if member else "",
        "state": on_screen.delivery_state_of(row.state),
        "explanation": on_screen.explain(row.reason),
        "code": on_screen.code_of(row.reason),
        "moment": row.final_at or row.sent_at or row.tried_at,
    }


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(max(seconds, 0), 60)
    if minutes < 1:
        return ngettext("%(count)s second", "%(count)s seconds", rest) % {"count": rest}
    if minutes < 60:
        return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}


def _version(campaign: Campaign, found: Progress) -> str:
    parts = (campaign.state, campaign.parked_code, campaign.parked_until, campaign.finished_at, found.total,
             found.waiting, found.sent, found.delivered, found.refused, found.failed, found.unknown, found.suppressed,
             [(each.state, each.reason, each.count) for each in found.problems])  # fmt: skip
    return f"{zlib.crc32(repr(parts).encode()):08x}"


shows("campaigns.messages", gettext_lazy("Messages of a campaign"), "name", "number", "behaviour", way=Way.LIST)
