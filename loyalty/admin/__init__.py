"""Pages about points and tiers."""

from django.utils.translation import gettext_lazy

from console.registry import Place
from console.registry import places as console_places

console_places.register("rewards", Place("rewards", gettext_lazy("Rewards"), "redeem", 85, block=3))

from loyalty.admin import adjustments, birthdays, member, pareto, places, points, portrait, rfm, rules, tiers, warnings  # noqa: E402 - their tabs need the place

__all__ = [
    "adjustments",
    "birthdays",
    "member",
    "pareto",
    "places",
    "points",
    "portrait",
    "rfm",
    "rules",
    "tiers",
    "warnings",
]
