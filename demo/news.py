"""What a demo brand tells its members by itself: coupons that end, and tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from loyalty import services
from loyalty.news import kinds

if TYPE_CHECKING:
    from datetime import datetime

TOLD: Final = ("coupon", "tier_up", "tier_due")


def turn_on_news(at: datetime) -> None:
    """Say what members are told, in the words that are proposed, and note whom it concerns."""
    for about in TOLD:
        services.save_news_text(about=about, text=kinds.get(about).text, days=7, is_on=True, at=at)
        services.find_news(about=about, at=at)
