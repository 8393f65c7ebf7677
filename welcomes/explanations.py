"""What was decided about somebody in their first 48 hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.decisions import Decider, Decision, deciders
from members.explanations import BY_A_PERSON
from welcomes import plan, selectors
from welcomes.models import Enrolment, StepOutcome, StepRecord

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Member


def welcome(member: Member, _at: datetime) -> list[Decision]:
    """Give each welcome a person had: how many messages, why others were left out, or that chance gave them none."""
    rows = list(Enrolment.objects.filter(follower__member=member).select_related("sequence").order_by("pk"))
    records = list(StepRecord.objects.filter(enrolment__in=rows).order_by("at", "pk"))
    withheld = selectors.withheld(records)
    found = []
    for row in rows:
        mine = [each for each in records if each.enrolment_id == row.pk]
        sent = sum(each.outcome == StepOutcome.SENT and each.message_id not in withheld for each in mine)
        if row.in_control:
            why = [_("Chosen by chance for the group without welcome messages; it shows what they bring.")]
        else:
            why = [_("%(count)s messages were sent because somebody followed for the first time.") % {"count": sent}]
            left = dict.fromkeys(filter(None, (each.reason or withheld.get(each.message_id or 0) for each in mine)))
            why += [_("Left out: %(reason)s") % {"reason": plan.reason(key)} for key in left]
        found.append(Decision(row.sequence.name, tuple(why), row.followed_at))
    return found


deciders.register("welcomes.sequence", Decider(gettext_lazy("Welcome messages"), BY_A_PERSON, welcome, 70))
