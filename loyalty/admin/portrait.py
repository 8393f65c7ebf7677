"""What a person likes to buy and what they are worth to the brand, at the head of their page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from common.clock import now
from console import formats
from console.person import marked
from console.registry import BEHAVIOUR, WORTH, Portrait, Trait, portraits
from loyalty.admin.member import card_on
from loyalty.shopping_conditions import bought_in_all, liked_best

if TYPE_CHECKING:
    from collections.abc import Iterable

    from members.models import Member

_DAYS: Final = 365
_SHOWN: Final = 3


def _likes(member: Member) -> Iterable[Trait]:
    """Tell the categories they spent most on; who never bought is asked nothing."""
    if not marked(member, "loyalty.facts"):
        return
    liked = liked_best(member.pk, at=now(), days=_DAYS, top=_SHOWN)
    if liked:
        said = _(", ").join(f"{category} {formats.fen(amount)}" for category, amount in liked)
        source = _("purchases of %(days)s days, less what came back") % {"days": _DAYS}
        yield Trait(BEHAVIOUR, _("Favourite categories"), said, source, order=40)


def _worth(member: Member) -> Iterable[Trait]:
    """Tell tier and points of members, and what was bought in twelve months."""
    page = reverse("admin:members_member_points", args=[member.pk])
    card = card_on(member) if member.joined_at is not None else None
    if card is not None and card.tier is not None:
        yield Trait(WORTH, _("Tier"), card.tier, _("rules of tiers"), link=page, order=10)
    if marked(member, "loyalty.facts"):
        found = bought_in_all(member.pk, at=now(), days=_DAYS)
        if found.orders:
            orders = ngettext("%(count)s purchase", "%(count)s purchases", found.orders)
            value = f"{formats.fen(found.fen)} · {orders % {'count': formats.count(found.orders)}}"
            said = _("reported by %(systems)s, less what came back; the last purchase")
            source = said % {"systems": _(", ").join(found.systems)}
            yield Trait(WORTH, _("Bought in 12 months"), value, source, found.last_at, page, 30)
    if card is not None:
        points = formats.count(card.balance.spendable)
        yield Trait(WORTH, pgettext("loyalty", "Points"), points, _("ledger of points"), link=page, order=40)


portraits.register("loyalty.likes", Portrait(_likes))
portraits.register("loyalty.worth", Portrait(_worth, link_area="members"))
