"""By whom a person came and whom they brought, on the person's page; people without any ask nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext, pgettext

from console.http import viewer_of
from console.person import marked
from console.registry import Panel, panels, person_marks
from members.selectors import visible_members
from referrals.models import Referral, State

if TYPE_CHECKING:
    from django.http import HttpRequest

    from members.models import Member

_SHOWN = 5

person_marks.register(
    "referrals.people",
    lambda: (
        Exists(Referral.objects.filter(inviter=OuterRef("pk")))
        | Exists(Referral.objects.filter(invited=OuterRef("pk")))
    ),
)


@panels.add("referrals.people")
def invitations(member: Member, request: HttpRequest) -> Panel | None:
    """Show who brought them and whom they brought."""
    if not marked(member, "referrals.people"):
        return None
    viewer = viewer_of(request)
    rows = Referral.objects.select_related("inviter", "invited").filter(Q(inviter=member) | Q(invited=member))
    if viewer.scope != "BRAND":
        mine = visible_members(viewer).values("pk")
        rows = rows.filter(inviter__in=mine, invited__in=mine)
    found = list(rows.order_by("-pk")[: _SHOWN + 1])
    link = viewer.can("points.view")
    shown = [
        {
            "label": pgettext("invitation", "Came by") if row.invited_id == member.pk else gettext("Brought"),
            "value": str(row.inviter if row.invited_id == member.pk else row.invited),
            "link": reverse("admin:referrals_referral_change", args=[row.pk]) if link else "",
            "why": State(row.state).label,
        }
        for row in found[:_SHOWN]
    ]
    hint = gettext("There are more.") if len(found) > _SHOWN else ""
    return Panel(gettext("Invitations"), "console/panel_facts.html", {"rows": shown, "hint": hint}, 24)
