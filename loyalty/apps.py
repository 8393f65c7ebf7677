"""The loyalty app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class LoyaltyConfig(AppConfig):
    """Points and tiers."""

    name = "loyalty"
    verbose_name = _("Points and tiers")

    def ready(self) -> None:
        """Take part in merges and erasures; let segments and automatic tags know of purchases."""
        # They offer the eight groups, what matrix and curve keep, and what segments ask about shopping and its places.
        from loyalty import pareto, place_conditions, rfm, rfm_matrix, shopping_conditions, tier_news  # noqa: F401
        from loyalty.channel_figures import ORDERED, ORDERS_WITHIN, VISITED
        from loyalty.models import BirthdayGrant, Fact, FactKind
        from loyalty.services import lapse_points, move_grants, move_points, return_points, shown_points
        from loyalty.services.facts import PURCHASED, REFUNDED
        from loyalty.taken_back import undone
        from members import facts
        from members.happenings import Happening, happenings
        from members.merging import Asset, Joined, assets
        from members.services.erasure import on_erase
        from touchpoints.selectors import BargainSign, PersonValue, Stage, bargain_signs, funnel_stages, person_values

        assets.register("loyalty.points", Asset(_("Points and tier"), move_points, return_points, shown_points, 200))
        grants = Joined((BirthdayGrant,), move_grants)
        assets.register("loyalty.birthdays", Asset(_("Birthday benefits"), grants.move, grants.give_back, order=210))
        on_erase.register("loyalty.points", lapse_points)
        funnel_stages.register("order", Stage(_("First order"), ORDERED, 30))
        bargain_signs.register("loyalty.visit", BargainSign(_("came into a store"), VISITED))
        person_values.register("orders", PersonValue(_("Orders, less what was sent back"), ORDERS_WITHIN))
        facts.kinds.register(PURCHASED, facts.FactKind(_("bought something")))
        facts.kinds.register(REFUNDED, facts.FactKind(_("sent something back")))
        happenings.register(
            PURCHASED,
            Happening(
                pgettext_lazy("has …", "bought something"),
                lambda: Fact.objects.filter(~undone(), kind=FactKind.PURCHASE),
                at="happened_at",
                is_act=True,
            ),
        )
