"""The loyalty app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LoyaltyConfig(AppConfig):
    """Points and tiers."""

    name = "loyalty"
    verbose_name = _("Points and tiers")

    def ready(self) -> None:
        """Take part in merges and erasures."""
        from loyalty.services import lapse_points, move_points
        from members.services.erasure import on_erase
        from members.services.identity import on_merge

        on_merge.register("loyalty.points", move_points)
        on_erase.register("loyalty.points", lapse_points)
