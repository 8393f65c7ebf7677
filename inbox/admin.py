"""Lists of the inbox: canned replies, who answers, service hours; the inbox on the home page and in the search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from common.clock import now
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import excerpt, state
from console.forms import BrandModelForm
from console.registry import (
    BulkColumn,
    Hit,
    Moment,
    SearchGroup,
    TimelineKind,
    Todo,
    home_cards,
    search_groups,
    timeline_kinds,
    timelines,
)
from inbox import on_screen, routing, selectors
from inbox.models import Agent, CannedReply, Conversation, Level, ServiceHours
from members.opened import Way, shows
from members.services import note_listed
from wechat_gateway import incidents
from wechat_gateway.client import CUSTOM_SEND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    from accounts.viewer import Viewer
    from console.registry import Card
    from members.models import Member
    from wechat_gateway.models import Incident

_DAYS = (
    gettext_lazy("Monday"),
    gettext_lazy("Tuesday"),
    gettext_lazy("Wednesday"),
    gettext_lazy("Thursday"),
    gettext_lazy("Friday"),
    gettext_lazy("Saturday"),
    gettext_lazy("Sunday"),
)


def _used(ids: list[int]) -> dict[int, int]:
    return dict(CannedReply.objects.filter(pk__in=ids).values_list("pk", "used"))


def _loads(ids: list[int]) -> dict[int, int]:
    people = dict(Agent.objects.filter(pk__in=ids).values_list("pk", "staff_user_id"))
    loads = selectors.loads_of(list(people.values()), at=now())
    return {pk: loads.get(staff_id, 0) for pk, staff_id in people.items()}


@admin.register(CannedReply, site=site)
class CannedReplyAdmin(ConsoleModelAdmin):
    """Texts that agents send often."""

    area = "canned"
    place = "inbox"
    tab = gettext_lazy("Canned replies")
    tab_order = 60
    add_label = gettext_lazy("New canned reply")
    empty_text = gettext_lazy("Write once what is asked every day. In a conversation, / and its shortcut find it.")
    list_display = (
        "named",
        "said",
        BulkColumn("use", gettext_lazy("used"), _used, number=True, missing=0),
    )
    list_display_links = ("named",)
    fields = ("shortcut", "title", "text")
    search_fields = ("title", "shortcut", "text")
    ordering = ("brand", "shortcut", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("named", "said")

    @admin.display(description=pgettext_lazy("canned reply", "Reply"), ordering="shortcut")
    def named(self, row: CannedReply) -> str:
        """Give the title with its shortcut."""
        return f"/{row.shortcut} {row.title}"

    @admin.display(description=gettext_lazy("text"))
    def said(self, row: CannedReply) -> Any:
        """Give the beginning of the text."""
        return excerpt(row.text)

    def save_model(self, request: HttpRequest, obj: CannedReply, form: Any, change: bool) -> None:
        """Note when it changed."""
        obj.shortcut = obj.shortcut.strip().lstrip("/").lower()
        obj.updated_at = now()
        super().save_model(request, obj, form, change)


@admin.register(Agent, site=site)
class AgentAdmin(ConsoleModelAdmin):
    """Who answers, and how much at once. People appear here when they first go on duty."""

    area = "agents"
    place = "inbox"
    tab = gettext_lazy("Who answers")
    tab_order = 70
    empty_text = gettext_lazy(
        "Whoever switches to “on duty” in the inbox stands here: guides answer for their members, shops for their "
        "store, the desk for everybody."
    )
    list_display = (
        "who",
        "answers_as",
        BulkColumn("load", gettext_lazy("conversations now"), _loads, number=True, missing=0),
        "capacity",
        "there",
    )
    list_display_links = ("who",)
    list_select_related = ("staff_user",)
    fields = ("capacity",)
    ordering = ("brand", "level", "pk")
    number_columns: ClassVar[tuple[str, ...]] = ("capacity",)
    phone_columns: ClassVar[tuple[str, ...]] = ("who", "load", "there")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Say what counts."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "capacity" and field is not None:
            field.help_text = _(
                "It counts who waits for a reply, and who was answered less than %(hours)s hours ago."
            ) % {"hours": int(routing.IN_HAND_FOR.total_seconds() // 3600)}
        return field

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody is added: people go on duty themselves."""
        return False

    @admin.display(description=pgettext_lazy("person", "Name"))
    def who(self, row: Agent) -> str:
        """Give the name."""
        return str(row.staff_user)

    @admin.display(description=gettext_lazy("answers as"), ordering="level")
    def answers_as(self, row: Agent) -> str:
        """Give the level, with the number of stores."""
        label = str(Level(row.level).label)
        if not row.store_ids:
            return label
        return _("%(level)s · %(count)s stores") % {"level": label, "count": len(row.store_ids)}

    @admin.display(description=gettext_lazy("state"))
    def there(self, row: Agent) -> Any:
        """Say whether they are there."""
        if selectors.is_present(row, at=now()):
            return state(_("on duty"), "success")
        return state(_("away")) if row.on_duty else state(_("off duty"))


class _HoursForm(BrandModelForm):
    """A span of a weekday, or of one day that differs from its week."""

    def clean(self) -> dict[str, Any]:
        """Refuse a weekday without times, and a day with one of them only."""
        given: dict[str, Any] = super().clean() or self.cleaned_data
        times = [given.get(name) for name in ("opens", "closes")]
        if given.get("day") is not None:
            given["weekday"] = given["day"].weekday()
        if not all(each is not None for each in times) and (given.get("day") is None or any(times)):
            name = "closes" if times[0] is not None else "opens"
            if name not in self.errors:
                self.add_error(name, _("Say from when to when. Only a single day can be closed."))
        rows = ServiceHours.objects.exclude(pk=self.instance.pk).filter(day=given.get("day"), opens=times[0])
        if given.get("day") is None:
            rows = rows.filter(weekday=given.get("weekday") or 0)
        if not self.errors and rows.exists():
            self.add_error("opens", _("There are such hours already."))
        others = ServiceHours.objects.exclude(pk=self.instance.pk).filter(day=given.get("day"))
        if not self.errors and given.get("day") and others.filter(opens__isnull=times[0] is not None).exists():
            self.add_error("day", _("A day is closed or has hours, not both. Delete the other line first."))
        return given


@admin.register(ServiceHours, site=site)
class ServiceHoursAdmin(ConsoleModelAdmin):
    """When the desk answers. Stores answer in their own opening hours."""

    area = "agents"
    place = "inbox"
    tab = gettext_lazy("Service hours")
    tab_order = 80
    add_label = gettext_lazy("New span")
    empty_text = gettext_lazy(
        "Without hours the desk is taken to be there always. With them, whoever writes outside hears when they get a "
        "reply, and a task stands there at that time."
    )
    list_display = ("which", "span", "reason")
    list_display_links = ("which",)
    fields = ("weekday", "day", "opens", "closes", "reason")
    ordering = ("brand", "day", "weekday", "opens", "pk")
    form = _HoursForm

    @admin.display(description=gettext_lazy("day"), ordering="day")
    def which(self, row: ServiceHours) -> str:
        """Give the weekday, or the one day it is for."""
        return date_format(row.day, "Y-m-d") if row.day else str(_DAYS[row.weekday])

    @admin.display(description=gettext_lazy("service hours"))
    def span(self, row: ServiceHours) -> str:
        """Give from when to when."""
        return f"{row.opens:%H:%M}–{row.closes:%H:%M}" if row.opens and row.closes else _("closed")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the weekdays by name."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "weekday" and field is not None:
            from django import forms
            from unfold.widgets import UnfoldAdminSelectWidget

            choices = list(enumerate(_DAYS))
            return forms.TypedChoiceField(
                label=field.label, choices=choices, coerce=int, widget=UnfoldAdminSelectWidget(choices=choices)
            )
        return field


# --- what other pages show -------------------------------------------------------------------------------------------


@home_cards.add("inbox.waiting")
def waiting(viewer: Viewer) -> Iterator[Card]:
    """Tell who waits for an answer, and who waits longest."""
    if not viewer.can("inbox.view"):
        return
    at = now()
    longest = selectors.listed(viewer, "waiting").first()
    if longest is not None and longest.waiting_since is not None:
        count = selectors.waiting_counts(viewer)["waiting"]
        note_listed(people=[longest.follower.member_id], page="inbox.longest", at=at)
        minutes = int((at - longest.waiting_since).total_seconds() // 60)
        yield Todo(
            _("Conversations waiting for a reply"),
            count,
            f"{reverse(on_screen.LIST)}?view=waiting",
            _("Reply"),
            _("longest %(minutes)s min: %(name)s") % {"minutes": minutes, "name": on_screen.name_of(longest)},
            5,
        )
    if viewer.can("inbox.edit"):
        due = selectors.tasks_for(viewer, at=at)[:100].count()
        yield Todo(_("Promises and tasks"), due, reverse(on_screen.LIST), _("Look"), "", 6)


@incidents.affected.add("inbox.held")
def held_lines(incident: Incident) -> list[incidents.Affected]:
    """Give the automatic messages of conversations that an incident at WeChat holds up."""
    everything = incident.kind in (incidents.REVOKED, incidents.TOKEN)
    if not everything and incident.subject != CUSTOM_SEND:
        return []
    label = _("automatic messages of conversations that wait")
    count = selectors.held_lines(appid=incident.appid).count() if incident.appid else 0
    return [incidents.Affected(label, count, f"{reverse(on_screen.LIST)}?view=held-{incident.appid}")]


timeline_kinds.register("inbox.conversations", TimelineKind(gettext_lazy("Conversations"), "inbox", "inbox", 30))


@timelines.add("inbox.conversations")
def talked(member: Member, limit: int) -> list[Moment]:
    """Tell on a person's timeline when they last talked with the brand."""
    rows = Conversation.objects.select_related("assignee").filter(follower__member=member).order_by("-last_at", "-pk")
    return [
        Moment(
            at=row.last_at,
            sentence=_("Conversation: %(text)s") % {"text": on_screen.snippet(row) or "--"},
            kind=_("Conversation"),
            actor=str(row.assignee) if row.assignee else "",
            link=on_screen.page_of(row.pk),
            detail=on_screen.state_of(row.state).label,
        )
        for row in rows[:limit]
    ]


def find_conversations(viewer: Viewer, term: str) -> list[Hit]:
    """Find conversations by what was said in them."""
    found = selectors.hits(viewer, term, limit=8)
    note_listed(people=[row.follower.member_id for row, _line in found], page="inbox.search", at=now())
    return [
        Hit(
            on_screen.name_of(row),
            f"{on_screen.snippet(row)[:40]} · {formats.ago(row.last_at)}",
            on_screen.page_of(row.pk, line=line),
        )
        for row, line in found
    ]


search_groups.register("inbox", SearchGroup(gettext_lazy("Conversations"), "inbox", find_conversations, 25))
shows("inbox.longest", gettext_lazy("Who waits longest, on the home page"), "name", way=Way.LIST)
shows("inbox.search", gettext_lazy("Search in conversations"), "name", "words", way=Way.SEARCH)
