"""The composer: one page from purpose to check, with the message on a phone and a test message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import composer, on_screen, plan, selectors, services
from campaigns.carriers import Problem, carriers
from campaigns.errors import AlreadyLaunched
from campaigns.models import Campaign, CampaignState, MessageTemplate, UnknownPolicy
from campaigns.services.drafts import unknown_policy
from campaigns.variables import variables
from common.clock import now
from common.errors import AppError
from console import formats
from console.http import brand_of, viewer_of
from console.site import page_response
from members import selectors as member_selectors
from members.freshness import age_of, people_of
from members.models import Follower, Member, Purpose, Segment, Topic
from members.opened import Way, shows
from members.services import look_up_in_words, note_listed
from wechat_gateway.models import MiniProgram, OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Iterable

RELATED: Final = ("account", "template", "segment", "topic")
# What changes other fields of the page; anything else only changes preview and checks.
SHAPING: Final = frozenset({"purpose", "account", "carrier", "template"})
COUNTING: Final = frozenset({"purpose", "account", "carrier", "segment", "topic"})
_QUIET: Final = frozenset({"name_missing", "segment_missing", "template_missing", "field_empty"})
OPENID_LENGTH: Final = 20
RECIPIENTS: Final = 8


@dataclass(frozen=True)
class Check:
    """One line of the last step: fine, to be looked at (`warns`), or in the way; `anchor` is where to correct it."""

    label: str
    fine: bool
    anchor: str
    warns: bool = False
    hint: str = ""


def new(request: HttpRequest) -> HttpResponse:
    """Ask for name, purpose and service account, and open a draft."""
    viewer_of(request).require("campaigns.edit")
    accounts = list(OfficialAccount.objects.filter(is_active=True).order_by("pk"))
    errors: dict[str, str] = {}
    if request.method == "POST":
        draft = Campaign(account=accounts[0]) if accounts else None
        if draft is None:
            raise Http404
        found = composer.read(draft, request.POST, zone(request))
        errors = found.errors
        if "name" not in found.fields:
            errors.setdefault("name", _("The campaign has no name."))
        if not errors:
            fields = {key: value for key, value in found.fields.items() if key not in ("name", "purpose", "account")}
            campaign = services.create_campaign(
                name=found.fields["name"],
                account=found.fields.get("account", accounts[0]),
                purpose=found.fields.get("purpose", Purpose.SERVICE.value),
                at=now(),
                **fields,
            )
            return HttpResponseRedirect(on_screen.page_of(campaign))
    context = {
        "title": _("New campaign"),
        "zy_object": _("New campaign"),
        "accounts": accounts,
        "segment": Segment.objects.filter(pk=int(given)).first()
        if (given := _digits(request.GET.get("segment")))
        else None,
        "purposes": purposes(request.POST.get("purpose", Purpose.SERVICE.value)),
        "posted": request.POST,
        "errors": errors,
    }
    return page_response(request, "campaigns/new.html", context, status=422 if errors else 200)


def page(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Show the composer of a draft; saving it, and going on to the launch."""
    if request.method != "POST":
        return _composer(request, campaign, composer.Reading())
    viewer_of(request).require("campaigns.edit")
    found = composer.read(campaign, request.POST, zone(request))
    campaign = services.update_campaign(campaign=campaign, at=now(), **found.fields)
    if found.errors:
        return _composer(request, campaign, found, status=422)
    if "launch" in request.POST:
        return HttpResponseRedirect(reverse("admin:campaigns_campaign_launch", args=[campaign.pk]))
    messages.success(request, _("Draft saved."))
    return HttpResponseRedirect(on_screen.page_of(campaign))


def draft(request: HttpRequest, pk: int) -> HttpResponse:
    """Take what the composer posts while somebody types: `cause` “change” saves it, anything else only shows it."""
    on_screen.require_post(request, "campaigns.edit")
    campaign = on_screen.campaign_or_404(pk, *RELATED)
    if campaign.state != CampaignState.DRAFT:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = on_screen.page_of(campaign)
        return response
    found = composer.read(campaign, request.POST, zone(request))
    saved = request.POST.get("cause") == "change"
    if saved:
        try:
            services.update_campaign(campaign=campaign, at=now(), **found.fields)
        except AlreadyLaunched:
            raise Http404 from None
    campaign = found.onto(campaign)
    changed = set(request.POST.get("changed", "").split())
    reshape = bool(changed & SHAPING)
    context = {
        **_side_context(request, campaign, found),
        "saved_at": now() if saved else None,
        "partial": True,
        "reshape": reshape,
    }
    if reshape:
        context.update(_way_context(campaign))
    response = TemplateResponse(request, "campaigns/_draft.html", context)
    if changed & COUNTING:
        response["HX-Trigger-After-Settle"] = "audience-changed"
    return response


def audience(request: HttpRequest, pk: int) -> HttpResponse:
    """Count whom the saved draft would reach."""
    campaign = on_screen.campaign_or_404(pk, *RELATED)
    context: dict[str, Any] = {"campaign": campaign, "at": now()}
    if campaign.segment is not None:
        try:
            context["plan"] = plan.plan_of(campaign, at=now())
            context["reach"] = _ways(campaign)
            context["age"] = age_of(campaign.segment, at=now())
        except AppError as error:
            context["broken"] = error.message
    return TemplateResponse(request, "campaigns/_audience.html", context)


def recipients(request: HttpRequest, pk: int) -> HttpResponse:
    """Find followers of the campaign's account for a test message."""
    on_screen.require_post(request, "campaigns.edit")
    campaign = on_screen.campaign_or_404(pk)
    term = request.POST.get("recipient", "").strip()[:64]
    found: list[Follower] = []
    why = ""
    if term:
        known = look_up_in_words(viewer_of(request), term, at=now(), limit=RECIPIENTS)
        why = known.why
        rows = Follower.objects.select_related("member").filter(
            account_id=campaign.account_id, member__in=[member.pk for member in known.members]
        )
        found = list(rows.order_by("-subscribed", "-last_interaction_at", "pk")[:RECIPIENTS])
    note_listed(people=[each.member_id for each in found], page="campaigns.recipients", at=now())
    typed = (
        term if len(term) >= OPENID_LENGTH and not found and term.replace("-", "").replace("_", "").isalnum() else ""
    )
    context = {"followers": found, "term": term, "typed": typed, "campaign": campaign, "why": why}
    return TemplateResponse(request, "campaigns/_recipients.html", context)


def send_test(request: HttpRequest, pk: int) -> HttpResponse:
    """Save the draft and send its message once, to one person; gives the receipt."""
    on_screen.require_post(request, "campaigns.edit")
    campaign = on_screen.campaign_or_404(pk, *RELATED)
    context: dict[str, Any] = {"campaign": campaign}
    if campaign.state == CampaignState.DRAFT:
        found = composer.read(campaign, request.POST, zone(request))
        services.update_campaign(campaign=campaign, at=now(), **found.fields)
        campaign = on_screen.campaign_or_404(pk, *RELATED)
    follower = _follower(request, campaign, request.POST.get("follower", ""))
    openid = follower.openid if follower else request.POST.get("openid", "").strip()[:64]
    blocking = [each for each in _content_problems(campaign) if each.blocking]
    if not openid:
        context["refused"] = _("Choose who gets the test message.")
    elif blocking:
        context["refused"] = f"{blocking[0].message} {blocking[0].hint}".strip()
    else:
        try:
            result = services.send_test(campaign=campaign, openid=openid, at=now())
            context.update(sent=result.sent, explanation=result.explanation, rid=result.rid, accepted=result.accepted)
        except AppError as error:
            context["refused"] = f"{error.message} {error.hint}".strip()
    context["follower"] = follower
    return TemplateResponse(request, "campaigns/_receipt.html", context)


def test_receipt(request: HttpRequest, pk: int, test_id: int) -> HttpResponse:
    """Give the receipt of a test message as it is now; 204 while WeChat has reported nothing."""
    viewer_of(request).require("campaigns.edit")
    sent = selectors.test_sends(Campaign(pk=pk)).filter(pk=test_id).first()
    if sent is None:
        raise Http404
    if sent.settled_at is None:
        return HttpResponse(status=204)
    accepted = sent.outcome == "ACCEPTED"
    context = {"campaign": Campaign(pk=pk), "sent": sent, "accepted": accepted, "explanation": None}
    return TemplateResponse(request, "campaigns/_receipt.html", context)


def zone(request: HttpRequest) -> ZoneInfo:
    """Give the brand's zone: the one schedules are written in."""
    return ZoneInfo(brand_of(request).timezone)


def purposes(chosen: str) -> list[dict[str, Any]]:
    """Give the purposes with what they mean."""
    hints = {
        Purpose.SERVICE.value: _("About something the person did: an order, a booking, their account."),
        Purpose.MARKETING.value: _("Offers, news, invitations. Only to people who have not opted out of marketing."),
    }
    return [{"key": key, "label": label, "hint": hints[key], "chosen": key == chosen} for key, label in Purpose.choices]


def checks(campaign: Campaign, problems: Iterable[Problem], errors: dict[str, str]) -> list[Check]:
    """Give the lines of the check: one per step that is fine, one per problem."""
    found = list(problems)
    lines = []
    steps = (
        (_("Purpose and name"), ("name", "purpose"), "name"),
        (_("Audience"), ("segment",), "segment"),
        (_("Service account and channel"), ("account", "carrier"), "account"),
        (_("Message"), ("template", "content", "url", "mini_appid", "mini_path"), "template"),
        (_("Time and speed"), ("scheduled_at", "rate_per_second"), "when"),
    )
    for label, fields, anchor in steps:
        mine = [each for each in found if each.field.split(".")[0] in fields]
        wrong = [(name, text) for name, text in errors.items() if name.split(".")[0] in fields]
        lines += [
            Check(each.message, fine=False, anchor=each.field, warns=not each.blocking, hint=each.hint) for each in mine
        ]
        known = {each.message for each in mine}
        lines += [Check(text, fine=False, anchor=name) for name, text in wrong if text not in known]
        if not mine and not wrong:
            lines.append(Check(label, fine=True, anchor=anchor))
    return lines


def _composer(request: HttpRequest, campaign: Campaign, found: composer.Reading, *, status: int = 200) -> HttpResponse:
    can_edit = on_screen.may_edit(request)
    context = {
        "title": campaign.name,
        "zy_object": campaign,
        "can_edit": can_edit,
        "state": on_screen.state_of(campaign.state),
        "purposes": purposes(campaign.purpose),
        "topics": Topic.objects.filter(Q(is_active=True) | Q(pk=campaign.topic_id)).order_by("name", "pk"),
        "accounts": OfficialAccount.objects.order_by("-is_active", "pk"),
        "segments": member_selectors.segments()[:200],
        "people": [(f"m:{each.pk}", each.name or each.member_no) for each in _people(request, campaign)],
        "odd": [(key, label) for key, (label, _member) in on_screen.odd_people().items()],
        "mini_programs": MiniProgram.objects.order_by("pk"),
        "policies": UnknownPolicy.choices,
        "policy_now": UnknownPolicy(unknown_policy(campaign)).label,
        "scheduled_local": _local(campaign, zone(request)),
        "zone_name": formats.local(now()).strftime("UTC%z").replace("00", ""),
        "zone_key": brand_of(request).timezone,
        "fastest": composer.FASTEST,
        "tests": selectors.test_sends(campaign)[:3],
        **_side_context(request, campaign, found),
        **_way_context(campaign),
    }
    return page_response(request, "campaigns/composer.html", context, status=status)


def _side_context(request: HttpRequest, campaign: Campaign, found: composer.Reading) -> dict[str, Any]:
    problems = selectors.problems(campaign, at=now())
    member = _preview_person(request, campaign, request.POST.get("person", ""))
    shown = on_screen.message_for(campaign, member) if member else None
    blocking = [each for each in problems if each.blocking]
    lines = checks(campaign, problems, found.errors)
    placed = {each.field: f"{each.message} {each.hint}".strip() for each in problems if each.code not in _QUIET}
    return {
        "campaign": campaign,
        "phone": on_screen.phone(campaign, shown),
        "preview_problems": [each for each in shown.problems if each.code == "variable_empty"] if shown else [],
        "cut": [each for each in shown.fields if each.over] if shown else [],
        "person_name": member.name if member else "",
        "checks": lines,
        "wrong": sum(not line.fine and not line.warns for line in lines),
        "first_wrong": next((line for line in lines if not line.fine and not line.warns), None),
        "ready": not blocking and not found.errors,
        "may_launch": on_screen.may_launch(request),
        "errors": found.errors,
        "notes": found.notes,
        "placed": {**placed, **found.errors},
    }


def _way_context(campaign: Campaign) -> dict[str, Any]:
    carrier = carriers.find(campaign.carrier)
    content = campaign.content
    return {
        "campaign": campaign,
        "ways": _carrier_choices(campaign),
        "uses_template": bool(carrier and carrier.uses_template),
        "templates": selectors.templates(campaign.account_id, carrier.families if carrier else ()),
        "chosen_template": campaign.template,
        "fields": [
            {"info": info, "name": f"content.{info.key}", "text": content.get(info.key, ""), "long": info.limit > 100}
            for info in (carrier.fields(campaign) if carrier else [])
        ],
        "variables": [{"name": each.name, "label": each.label} for _key, each in variables.items()],
    }


def _carrier_choices(campaign: Campaign) -> list[dict[str, Any]]:
    choices = []
    for key, label, allowed in selectors.carrier_choices(campaign.purpose):
        reason = hint = ""
        if not allowed:
            probe = Campaign(
                account=campaign.account, purpose=campaign.purpose, carrier=key, template=campaign.template
            )
            refused = next(
                (each for each in carriers.get(key).validate(probe) if each.code == "carrier_not_allowed"), None
            )
            reason = refused.message if refused else _("WeChat does not allow this channel for this purpose.")
            hint = refused.hint if refused else ""
        choices.append(
            {
                "key": key,
                "label": label,
                "allowed": allowed,
                "chosen": key == campaign.carrier,
                "reason": reason,
                "hint": hint,
            }
        )
    return choices


def _ways(campaign: Campaign) -> list[member_selectors.Reach]:
    if campaign.segment is None:
        return []
    at = now()
    return list(member_selectors.preview_of(people_of(campaign.segment, at=at), at=at).reach)


def _people(request: HttpRequest, campaign: Campaign) -> list[Member]:
    try:
        return plan.preview_people(campaign, at=now(), viewer=viewer_of(request))
    except AppError:  # a segment that cannot be used any more is reported by the check
        return []


def _preview_person(request: HttpRequest, campaign: Campaign, key: str) -> Member | None:
    odd = on_screen.odd_people().get(key)
    if odd:
        return odd[1]
    number = _digits(key.removeprefix("m:"))
    if number:
        reached = member_selectors.within_reach(Member.objects.select_related("store"), viewer_of(request))
        found = reached.filter(pk=int(number)).first()
        if found:
            return found
    people = _people(request, campaign)
    return people[0] if people else Member(name="陈子涵", member_no="80008821", phone_tail="6721", city="上海")


def _content_problems(campaign: Campaign) -> list[Problem]:
    carrier = carriers.find(campaign.carrier)
    return carrier.validate(campaign) if carrier else selectors.problems(campaign, at=now())


def _follower(request: HttpRequest, campaign: Campaign, text: str) -> Follower | None:
    number = _digits(text)
    if not number:
        return None
    found = Follower.objects.select_related("member").filter(pk=int(number), account_id=campaign.account_id).first()
    people = member_selectors.within_reach(Member.objects.all(), viewer_of(request))
    return found if found is not None and people.filter(pk=found.member_id).exists() else None


def _local(campaign: Campaign, here: ZoneInfo) -> str:
    return campaign.scheduled_at.astimezone(here).strftime(composer.MOMENT) if campaign.scheduled_at else ""


def _digits(text: str | None) -> str:
    return text if text and text.isascii() and text.isdigit() and len(text) < 19 else ""


def copy(request: HttpRequest, pk: int) -> HttpResponse:
    """Open a draft with the content of another campaign."""
    on_screen.require_post(request, "campaigns.edit")
    source = on_screen.campaign_or_404(pk, *RELATED)
    fields = {name: getattr(source, name) for name in _COPIED}
    made = services.create_campaign(
        name=_("%(name)s, copy") % {"name": source.name[:50]},
        account=source.account,
        purpose=source.purpose,
        at=now(),
        **fields,
    )
    messages.success(request, _("Copied. Nothing is sent until you start the copy."))
    return HttpResponseRedirect(on_screen.page_of(made))


_COPIED: Final = (
    "goal",
    "topic",
    "carrier",
    "template",
    "content",
    "url",
    "mini_appid",
    "mini_path",
    "segment",
    "rate_per_second",
)
__all__ = ["MessageTemplate", "audience", "copy", "draft", "new", "page", "recipients", "send_test", "test_receipt"]


shows("campaigns.recipients", gettext_lazy("Who gets a test message"), "name", way=Way.SEARCH)
