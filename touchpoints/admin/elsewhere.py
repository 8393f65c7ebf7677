"""What other pages show of channels: a member's timeline, the search, the home page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext

from common.clock import now
from console import formats
from console.person import marked
from console.registry import (
    Hit,
    Moment,
    Panel,
    SearchGroup,
    Step,
    TimelineKind,
    Todo,
    home_cards,
    panels,
    person_marks,
    search_groups,
    timeline_kinds,
    timelines,
)
from touchpoints import on_screen
from touchpoints.models import StaffPerson, Touch, TouchKind, Touchpoint
from touchpoints.selectors import with_ending_prints

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.viewer import Viewer
    from members.models import Member

LOOKED_AT: Final = 2_000


def _sentence(touch: Touch) -> str:
    if touch.touchpoint is None:
        return {
            TouchKind.FOLLOW: gettext("Followed the account"),
            TouchKind.REFOLLOW: gettext("Followed the account again"),
        }.get(TouchKind(touch.kind), gettext("Scanned a code that is not in the channel tree"))
    name = {"name": touch.touchpoint.name}
    if touch.kind == TouchKind.CONTACT:
        return gettext("Became a guide's contact in WeCom (channel “%(name)s”)") % name
    if touch.touchpoint.origin:
        again = touch.kind == TouchKind.REFOLLOW
        return (
            gettext("Followed again without a code, by “%(name)s”")
            if again
            else gettext("Followed without a code, by “%(name)s”")
        ) % name
    if touch.mini_code is not None and touch.mini_code.sent_by:
        return on_screen.opened_from(touch.mini_code) % name
    return {
        TouchKind.FOLLOW: gettext("Scanned “%(name)s” and followed") % name,
        TouchKind.REFOLLOW: gettext("Scanned “%(name)s” and followed again") % name,
        TouchKind.OPEN: gettext("Opened the mini program by “%(name)s”") % name,
    }.get(TouchKind(touch.kind), gettext("Scanned “%(name)s”") % name)


def _kind(touch: Touch) -> str:
    if touch.kind == TouchKind.CONTACT:
        return gettext("Contact")
    if touch.touchpoint is None or touch.touchpoint.origin:
        return gettext("Follow")
    return gettext("Scan")


timeline_kinds.register(
    "touchpoints.touches", TimelineKind(gettext_lazy("Scans and follows"), link_area="touchpoints", order=10)
)


@timelines.add("touchpoints.touches")
def touches(member: Member, limit: int) -> list[Moment]:
    """Give a person's scans and follows."""
    rows = Touch.objects.select_related("touchpoint", "mini_code").defer("mini_code__picture").filter(member=member)
    rows = rows.order_by("-at", "-pk")[:limit]
    return [
        Moment(
            at=row.at,
            sentence=_sentence(row),
            kind=_kind(row),
            link=reverse("admin:touchpoints_touchpoint_change", args=[row.touchpoint_id]) if row.touchpoint_id else "",
        )
        for row in rows
    ]


person_marks.register("touchpoints.staff", lambda: Exists(StaffPerson.objects.filter(member=OuterRef("pk"))))


@panels.add("touchpoints.staff")
def staff_panel(member: Member, _request: HttpRequest) -> Panel | None:
    """Say on the card that channels take somebody for staff."""
    mark = StaffPerson.objects.filter(member=member).first() if marked(member, "touchpoints.staff") else None
    if mark is None:
        return None
    row = {
        "label": gettext("Staff"),
        "value": gettext("marked %(time)s") % {"time": formats.local_time(mark.since)},
        "why": gettext("Scans count in no report of channels."),
    }
    hint = gettext("Rewards and marketing go on: for those, leave the person out.")
    return Panel(gettext("Works here, say the channels"), "console/panel_facts.html", {"rows": [row], "hint": hint}, 6)


def find_channels(viewer: Viewer, term: str) -> list[Hit]:
    """Find channels by a part of their name."""
    rows = on_screen.in_reach(viewer, Touchpoint.objects.filter(name__icontains=term))
    return [
        Hit(
            row.name,
            gettext("Channel code") if row.scene else pgettext("channel tree", "Channel"),
            reverse("admin:touchpoints_touchpoint_change", args=[row.pk]),
        )
        for row in rows.order_by("name", "pk")[:8]
    ]


search_groups.register("touchpoints", SearchGroup(gettext_lazy("Channels"), "touchpoints", find_channels, 60))


@home_cards.add("touchpoints.codes")
def codes_to_look_at(viewer: Viewer) -> list[Todo | Step] | None:
    """Name codes that end soon or could not be made; the first code is a first-day step."""
    if not viewer.can("touchpoints.view"):
        return None
    link = reverse("admin:touchpoints_touchpoint_changelist")
    mine = on_screen.in_reach(viewer, Touchpoint.objects.exclude(scene=""))
    coded = list(
        with_ending_prints(mine.filter(is_active=True), now=now()).values_list("problem", "print_ends")[:LOOKED_AT]
    )
    broken = [problem for problem, _ends in coded if problem]
    cards: list[Todo | Step] = [
        Todo(
            gettext("Printed channel codes that stop working within 7 days"),
            sum(ends for _problem, ends in coded),
            f"{link}?show=print",
            gettext("See the codes"),
            gettext("Each says when. Print the new picture and put it up before that."),
            30,
        ),
        Todo(
            gettext("Channel codes that could not be made"),
            len(broken),
            f"{link}?show=ailing",
            gettext("See why"),
            broken[0] if broken else "",
            25,
        ),
    ]
    if viewer.can("touchpoints.edit"):
        cards.append(
            Step(
                gettext("Make the first channel code"),
                gettext("Print it, put it at the door: it tells where people come from."),
                bool(coded),
                reverse("admin:touchpoints_touchpoint_add"),
                gettext("New channel code"),
                30,
            ),
        )
    return cards
