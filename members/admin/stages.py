"""Where somebody stands in groupings that are followed day by day, on their card, and every move on their timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import formats
from console.http import viewer_of
from console.person import marked, once
from console.registry import Moment, Panel, TimelineKind, panels, person_marks, timeline_kinds, timelines
from members.models import StageMember, StageMove
from members.stands import Stands, moves_of, stages_of

if TYPE_CHECKING:
    from django.http import HttpRequest

    from members.models import Member

timeline_kinds.register("members.stages", TimelineKind(gettext_lazy("Stages"), link_area="segments", order=65))
person_marks.register(
    "members.stages",
    lambda: Exists(StageMember.objects.exclude(grouping__recipe="").filter(member_id=OuterRef("pk"))),
)
person_marks.register("members.stage_moves", lambda: Exists(StageMove.objects.filter(member_id=OuterRef("pk"))))


def stages_on(member: Member) -> list[Stands]:
    """Give where somebody stands in groupings that are followed; asked once a page, and never of who is in none."""
    if not marked(member, "members.stages"):
        return []
    return once(member, "stages", lambda: stages_of(member.pk))


@panels.add("members.stages")
def stages(member: Member, request: HttpRequest) -> Panel | None:
    """Show where they stand in the life cycle and the like, and since when."""
    link = reverse("admin:groupings") if viewer_of(request).can("segments.view") else ""
    rows = [
        {
            "label": each.grouping,
            "value": each.stage or _("none of its stages"),
            "link": link,
            "why": _("since %(time)s") % {"time": formats.local_time(each.since)},
        }
        for each in stages_on(member)
    ]
    return Panel(_("Stages"), "console/panel_facts.html", {"rows": rows, "hint": ""}, 22) if rows else None


@timelines.add("members.stages")
def moves(member: Member, limit: int) -> list[Moment]:
    """Give every move between stages."""
    if not marked(member, "members.stage_moves"):
        return []
    found = []
    for each in moves_of(member.pk, limit=limit):
        words = {
            "grouping": each.grouping,
            "before": each.before or _("none of its stages"),
            "after": each.after or _("none of its stages"),
        }
        text = _("%(grouping)s: begins in “%(after)s”") if each.is_first else None
        text = text or _("%(grouping)s: from “%(before)s” to “%(after)s”")
        found.append(Moment(at=each.at, sentence=text % words, kind=_("Stages"), link=reverse("admin:groupings")))
    return found
