"""On a person's timeline: which welcome they got, by which code, and in which way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from console.person import marked
from console.registry import Moment, TimelineKind, person_marks, timeline_kinds, timelines
from conversations import reasons
from conversations.models import ReplyRecord, ReplyState, Way
from touchpoints.models import Touch
from touchpoints.selectors import touches_of

if TYPE_CHECKING:
    from members.models import Member

timeline_kinds.register(
    "conversations.welcomes",
    TimelineKind(gettext_lazy("Welcomes"), area="replies", link_area="touchpoints", order=12),
)
person_marks.register(
    "conversations.welcomes",
    lambda: Exists(Touch.objects.filter(member=OuterRef("pk"), push_id__isnull=False)),
)


@timelines.add("conversations.welcomes")
def welcomes(member: Member, limit: int) -> list[Moment]:
    """Give the welcomes a person got when they followed or scanned; records of answers are kept for 30 days."""
    if not marked(member, "conversations.welcomes"):
        return []
    touches = {row.push_id: row for row in touches_of(member.pk).filter(push_id__isnull=False)[:limit]}
    records = ReplyRecord.objects.select_related("rule").filter(push_id__in=list(touches)).order_by("-at", "-pk")
    return [_moment(record, touches[record.push_id]) for record in records]


def _moment(record: ReplyRecord, touch: Touch) -> Moment:
    if record.rule is not None:
        sentence = gettext("Got the welcome “%(name)s”") % {"name": record.rule.name}
    elif touch.touchpoint is not None:
        sentence = gettext("Got the welcome of the code “%(name)s”") % {"name": touch.touchpoint.name}
    else:
        sentence = gettext("Got a welcome")
    lost = record.state == ReplyState.FAILED and not record.sent and record.way != Way.PASSIVE
    if lost:
        sentence = gettext("%(what)s: it did not arrive") % {"what": sentence}
    link = reverse("admin:touchpoints_touchpoint_change", args=[touch.touchpoint_id]) if touch.touchpoint_id else ""
    why = reasons.why(record.problem or record.why)
    return Moment(
        at=record.at, sentence=sentence, kind=gettext("Welcome"), link=link, detail=why, tone="warning" if lost else ""
    )
