"""What segments can ask about people: one class a condition; apps above have a `segment_conditions.py` of their own."""

from members.segment_conditions import about, asked, events, others, profile, reports, times

__all__ = ["about", "asked", "events", "others", "profile", "reports", "times"]
