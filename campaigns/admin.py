"""The list of campaigns, and what campaigns add to the home page and the search."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, Subquery, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import on_screen, selectors
from campaigns.models import Campaign, CampaignState, DeliveryState, Tally
from common.clock import now
from console import formats
from console.admin import ConsoleChangeList, ConsoleModelAdmin, site
from console.registry import (
    Figure,
    Hit,
    Incident,
    Moment,
    Running,
    SearchGroup,
    TimelineKind,
    Todo,
    home_cards,
    search_groups,
    timeline_kinds,
    timelines,
)
from wechat_gateway.held import HeldByIncident
from wechat_gateway.incidents import Affected, affected, needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django_stubs_ext import StrOrPromise

    from accounts.viewer import Viewer
    from console.registry import Card
    from members.models import Member
    from wechat_gateway.models import Incident as WeChatIncident

RUNNING = (CampaignState.FREEZING, CampaignState.SENDING, CampaignState.PAUSED, CampaignState.PARKED)


class CampaignList(ConsoleChangeList):
    """Rows open the campaign's own page."""

    def url_for_result(self, result: Campaign) -> str:
        """Give the page of a campaign."""
        return on_screen.page_of(result)


class HeldCampaigns(HeldByIncident):
    """What an incident at WeChat holds up."""

    def held(self, queryset: QuerySet[Any], incident: WeChatIncident) -> QuerySet[Any]:
        """Narrow to those."""
        return queryset.filter(pk__in=selectors.held_by(incident).values("pk"))


@admin.register(Campaign, site=site)
class CampaignAdmin(ConsoleModelAdmin):
    """Every campaign with its state, audience and how far it is; composing and watching have their own pages."""

    area = "campaigns"
    place = "campaigns"
    tab = gettext_lazy("Campaigns")
    tab_order = 10
    add_label = gettext_lazy("New campaign")
    empty_text = gettext_lazy(
        "A campaign sends one message to a segment: you see how many people it reaches before anything goes out."
    )
    list_display = ("named", "stated", "audience", "progressed", "planned")
    list_display_links = ("named",)
    list_filter = ("state", "purpose", HeldCampaigns)
    search_fields = ("name",)
    search_help_text = gettext_lazy("Search by name")
    ordering = ("brand", "-created_at", "-pk")
    list_select_related = ("account", "segment")
    number_columns: ClassVar[tuple[str, ...]] = ("audience", "progressed")
    phone_columns: ClassVar[tuple[str, ...]] = ("named", "stated", "progressed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        """Add how many messages of each campaign no longer wait."""
        done = (
            Tally.objects.filter(campaign=OuterRef("pk"))
            .exclude(state=DeliveryState.PENDING)
            .order_by()
            .values("campaign")
            .annotate(people=Sum("count"))
            .values("people")
        )
        rows: QuerySet[Campaign] = super().get_queryset(request).annotate(done=Subquery(done))
        return rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleChangeList]:
        """Use the list whose rows open the campaign's page."""
        return CampaignList

    @admin.display(description=gettext_lazy("Campaign"), ordering="name")
    def named(self, row: Campaign) -> str:
        """Give the name with its segment below."""
        segment = row.segment.name if row.segment else _("no audience yet")
        return format_html('{}<span class="zy-second">{} · {}</span>', row.name, row.account.name, segment)

    @admin.display(description=gettext_lazy("State"), ordering="state")
    def stated(self, row: Campaign) -> str:
        """Give the state as icon and word."""
        state = on_screen.state_of(row.state)
        return render_to_string("console/_status.html", {"label": state.label, "tone": state.tone, "icon": state.icon})

    @admin.display(description=gettext_lazy("Audience"), ordering="audience_count")
    def audience(self, row: Campaign) -> str:
        """Give how many people the campaign was frozen for."""
        return formats.count(row.audience_count)

    @admin.display(description=gettext_lazy("Progress"))
    def progressed(self, row: Any) -> str:
        """Give the share of messages that no longer wait."""
        return formats.rate(formats.share(row.done or 0, row.audience_count or 0))

    @admin.display(description=gettext_lazy("When"), ordering="created_at")
    def planned(self, row: Campaign) -> str:
        """Give when it was started, is planned, or was written."""
        if row.launched_at:
            return _("started %(time)s") % {"time": formats.local_time(row.launched_at)}
        if row.scheduled_at:
            return _("planned for %(time)s") % {"time": formats.local_time(row.scheduled_at)}
        return _("written %(time)s") % {"time": formats.local_time(row.updated_at)}

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Go to the page for new campaigns."""
        return HttpResponseRedirect(reverse("admin:campaigns_campaign_new"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Go to the campaign's own page."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return HttpResponseRedirect(on_screen.page_of(row))


def running_campaigns(viewer: Viewer) -> Iterator[Card]:
    """Show what is being sent, and what waits for somebody."""
    if not viewer.can("campaigns.view"):
        return
    at = now()
    rows = list(selectors.campaigns().filter(state__in=RUNNING)[:5])
    for row in rows:
        found = selectors.progress(row, at=at)
        state = on_screen.state_of(row.state)
        yield Running(row.name, state.label, found.done, found.total, on_screen.page_of(row), tone=state.tone)
    paused = [row for row in rows if row.state == CampaignState.PAUSED]
    if viewer.can("campaigns.launch"):
        link = f"{reverse(on_screen.LIST)}?state__exact={CampaignState.PAUSED}"
        yield Todo(_("Paused campaigns"), len(paused), link, _("Look"), paused[0].name if paused else "", 40)
    for row in rows:
        if row.state == CampaignState.PARKED:
            yield _parked(row)


def _parked(row: Campaign) -> Incident:
    known = on_screen.explain(row.parked_code)
    why = [str(known.cause), str(known.action)] if known else [_("Sending waits and goes on by itself.")]
    if row.parked_until is not None:
        why.append(_("It is tried again at %(time)s.") % {"time": formats.local_time(row.parked_until)})
    return Incident(
        _("Campaign “%(name)s” waits to resume.") % {"name": row.name}, " ".join(why), on_screen.page_of(row), _("Look")
    )


def delivery_rate(viewer: Viewer) -> Figure | None:
    """Show which share of the messages settled in campaigns of the last seven days was delivered."""
    if not viewer.can("campaigns.view"):
        return None
    settled = (DeliveryState.DELIVERED, DeliveryState.REFUSED, DeliveryState.FAILED, DeliveryState.UNKNOWN)
    since = now() - timedelta(days=7)
    rows = Tally.objects.filter(campaign__launched_at__gte=since, state__in=settled).values("state")
    counts = {row["state"]: row["people"] for row in rows.annotate(people=Sum("count")).order_by("state")}
    delivered, whole = counts.get(DeliveryState.DELIVERED, 0), sum(counts.values())
    return Figure(
        _("Delivery rate"),
        formats.share(delivered, whole),
        reverse(on_screen.LIST),
        _("campaigns of the last 7 days"),
        kind="rate",
        detail=f"{formats.count(delivered)} / {formats.count(whole)}" if whole else "",
        order=30,
    )


def messages(member: Member, limit: int) -> list[Moment]:
    """Tell on a person's timeline which campaigns reached them, or why not."""
    found = []
    for row in selectors.messages_to(member.pk, size=limit):
        at = row.final_at or row.sent_at or row.campaign.launched_at
        if at is None:
            continue
        state, known = on_screen.delivery_state_of(row.state), on_screen.explain(row.reason)
        found.append(
            Moment(
                at=at,
                sentence=_("Campaign “%(name)s”: %(state)s") % {"name": row.campaign.name, "state": state.label},
                kind=_("Campaign"),
                detail=str(known.cause) if known else "",
                link=on_screen.page_of(row.campaign),
                tone="danger" if state.tone == "danger" else "",
            )
        )
    return found


def find_campaigns(viewer: Viewer, term: str) -> list[Hit]:
    """Find campaigns by name."""
    rows = selectors.campaigns().filter(name__icontains=term)[:8]
    return [Hit(row.name, on_screen.state_of(row.state).label, on_screen.page_of(row)) for row in rows]


def waiting_campaigns(incident: WeChatIncident) -> list[Affected]:
    """Give the campaigns that an incident at WeChat holds up, and how many messages of theirs wait."""
    ids = list(selectors.held_by(incident).values_list("pk", flat=True))
    link = f"{reverse(on_screen.LIST)}?incident={incident.pk}"
    return [
        Affected(_("campaigns that wait to resume"), len(ids), link),
        Affected(_("messages of campaigns that wait"), selectors.messages_held(ids) if ids else 0, link),
    ]


needed.register("campaigns.template", selectors.needs_template)
affected.register("campaigns.waiting", waiting_campaigns)
home_cards.register("campaigns.running", running_campaigns)
home_cards.register("campaigns.delivery_rate", delivery_rate)
timelines.register("campaigns.messages", messages)
timeline_kinds.register("campaigns.messages", TimelineKind(gettext_lazy("Campaigns"), link_area="campaigns", order=25))
_title: StrOrPromise = gettext_lazy("Campaigns")
search_groups.register("campaigns", SearchGroup(_title, "campaigns", find_campaigns, 30))
