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
        from loyalty.models import Fact, FactKind
        from loyalty.services import lapse_points, move_points
        from loyalty.services.facts import PURCHASED
        from members import facts
        from members.happenings import Happening, happenings
        from members.services.erasure import on_erase
        from members.services.identity import on_merge

        on_merge.register("loyalty.points", move_points)
        on_erase.register("loyalty.points", lapse_points)
        facts.kinds.register(PURCHASED, facts.FactKind(_("bought something")))
        happenings.register(
            PURCHASED,
            Happening(
                pgettext_lazy("has …", "bought something"),
                lambda: Fact.objects.filter(kind=FactKind.PURCHASE),
                at="happened_at",
                is_act=True,
            ),
        )
