"""News of points and birthdays, as a message within the time in which a follower may be written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inbox.services.sending import send_unasked
from members.choices import keys_for
from members.models import Follower, Purpose

if TYPE_CHECKING:
    from datetime import datetime

    from loyalty.services.notices import News


def carry_notice(news: News, *, at: datetime) -> bool:
    """Write to somebody whose own acts allow it; the line is queued in the transaction that notes the notice."""
    asks = keys_for(purpose=Purpose.SERVICE)
    facts = {"notice": news.about, "tells": news.reference}
    followers = Follower.objects.select_related("member").filter(member_id=news.member_id, subscribed=True)
    for follower in followers.order_by("-last_interaction_at", "pk"):
        if send_unasked(follower=follower, text=news.text, at=at, asks=asks, facts=facts) is not None:
            return True
    return False
