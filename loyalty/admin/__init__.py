"""Pages about points and tiers."""

from django.utils.translation import gettext_lazy

from console.registry import Place, places

places.register("rewards", Place("rewards", gettext_lazy("Rewards"), "redeem", 85, block=3))

from loyalty.admin import adjustments, birthdays, member, points, rfm, rules, tiers, warnings  # noqa: E402 - their tabs need the place

__all__ = ["adjustments", "birthdays", "member", "points", "rfm", "rules", "tiers", "warnings"]
