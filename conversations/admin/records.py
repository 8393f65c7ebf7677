"""The list of what was answered: by which rule, in which way, and why in that way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from console.admin import ConsoleModelAdmin, site
from console.columns import moment, state, two_lines
from console.http import viewer_of
from conversations import reasons, selectors
from conversations.models import OCCASIONS, ReplyRecord, ReplyState, Way
from members.models import Member
from members.opened import lists
from members.selectors import within_reach
from wechat_gateway.held import HeldByIncident
from wechat_gateway.incidents import Affected, affected

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from wechat_gateway.models import Incident

TONES = {
    ReplyState.DONE: "success",
    ReplyState.WAITING: "info",
    ReplyState.SENDING: "info",
    ReplyState.FAILED: "warning",
    ReplyState.UNKNOWN: "warning",
}


class HeldAnswers(HeldByIncident):
    """What an incident at WeChat holds up."""

    def held(self, queryset: QuerySet[Any], incident: Incident) -> QuerySet[Any]:
        """Narrow to those."""
        return queryset.filter(pk__in=selectors.held_by(incident).values("pk"))


@affected.add("conversations.waiting")
def waiting_answers(incident: Incident) -> list[Affected]:
    """Give the automatic answers whose messages wait, and how many people wait for them."""
    rows = selectors.held_by(incident)
    link = f"{reverse('admin:conversations_replyrecord_changelist')}?incident={incident.pk}"
    return [
        Affected(gettext("automatic answers that wait to be sent"), rows.count(), link),
        Affected(gettext("people who wait for them"), rows.values("follower_id").distinct().count(), link),
    ]


@admin.register(ReplyRecord, site=site)
class ReplyRecordAdmin(ConsoleModelAdmin):
    """What was answered by itself, newest first."""

    area = "replies"
    place = "inbox"
    tab = gettext_lazy("Answers given")
    tab_order = 16
    allow_add = False
    allow_change = False
    empty_text = gettext_lazy("Every automatic answer stands here, with its rule and the reason for its way.")
    list_display = (moment("at", gettext_lazy("when")), "person", "by_rule", "went", "outcome")
    list_display_links = None
    list_select_related = ("rule", "follower__member")
    list_filter = ("way", "rule", HeldAnswers)
    ordering = ("-at", "-pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("at", "person", "went")
    fields = ("person", "by_rule", "went", "outcome")

    def reachable(self, queryset: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
        """Name only people within the data scope."""
        viewer = viewer_of(request)
        if viewer.scope == "BRAND":
            return queryset
        seen = within_reach(Member.objects.all(), viewer)
        return queryset.filter(follower__member__in=seen.values("pk"))

    @admin.display(description=gettext_lazy("person"))
    def person(self, row: ReplyRecord) -> str:
        """Show who was answered."""
        return str(row.follower.member)

    @admin.display(description=gettext_lazy("rule"))
    def by_rule(self, row: ReplyRecord) -> Any:
        """Show the rule and what it answered to."""
        name = row.rule.name if row.rule else gettext("the welcome of a code")
        return two_lines(name, dict(OCCASIONS).get(row.trigger, row.trigger))

    @admin.display(description=gettext_lazy("way"))
    def went(self, row: ReplyRecord) -> Any:
        """Show the way and why."""
        return two_lines(Way(row.way).label, reasons.WHY.get(row.why, row.why))

    @admin.display(description=gettext_lazy("state"))
    def outcome(self, row: ReplyRecord) -> Any:
        """Show what became of the messages that follow."""
        said = state(ReplyState(row.state).label, TONES[ReplyState(row.state)])
        return two_lines(said, reasons.why(row.problem))


lists("conversations.ReplyRecord", "name", "behaviour", by="follower.member_id", page=("name", "behaviour"))
