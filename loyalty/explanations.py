"""Why somebody stands in their tier, for the member and for whoever answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import formats
from loyalty.models import TierChange, TierChangeKind
from loyalty.on_screen import benefit_sentence
from loyalty.selectors.tiers import benefits_of, view_of
from members.decisions import Decider, Decision, deciders
from members.explanations import BY_A_PERSON

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Member


def tier(member: Member, at: datetime) -> list[Decision]:
    """Give the tier with the value and the window it stands on, and what it gives."""
    view = view_of(member.pk, at=at)
    if view.tier is None or view.standing is None:
        return []
    why = []
    last = TierChange.objects.filter(member=member, after=view.tier.name).order_by("-id").first()
    if last is not None and last.kind == TierChangeKind.LOCK:
        why.append(_("Set by a person of the brand, not by a program: %(reason)s") % {"reason": last.reason})
    elif last is not None:
        why.append(
            _("%(what)s with a qualifying value of %(value)s, counted from %(since)s; “%(tier)s” begins at %(from)s.")
            % {
                "what": TierChangeKind(last.kind).label,
                "value": formats.count(last.value),
                "since": f"{formats.local(last.window_from):%Y-%m-%d}",
                "tier": view.tier.name,
                "from": formats.count(view.tier.threshold),
            }
        )
    if view.next_tier is not None:
        words = {"tier": view.next_tier.name, "missing": formats.count(view.missing)}
        why.append(_("“%(tier)s” needs %(missing)s more.") % words)
    why += [benefit_sentence(benefit) for benefit in benefits_of(view.tier.pk)]
    return [Decision(view.tier.name, tuple(why), view.standing.since)]


deciders.register("loyalty.tier", Decider(gettext_lazy("Tier"), BY_A_PERSON, tier, 30))
