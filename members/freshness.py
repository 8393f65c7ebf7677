"""How old the people of a segment are, how old they may be, and what whoever uses them is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console import formats
from members.models import Freshness, Member, SegmentMember
from members.segments import matching

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from members.models import Segment

# Looked at every minute: one that is brought up to date from four minutes on is never five minutes old.
EVERY: Final = {Freshness.MINUTES.value: timedelta(minutes=4), Freshness.DAILY.value: timedelta(hours=23)}
REBUILT_EVERY: Final = timedelta(days=1)
OLDEST: Final = {Freshness.MINUTES.value: timedelta(minutes=30), Freshness.DAILY.value: timedelta(hours=36)}
LONGEST_LIMIT: Final = timedelta(days=30)


@dataclass(frozen=True)
class Age:
    """As of when the people of a segment are: now for one that is found at every use, None while none are kept yet.

    `limit` is how old they may be for sending; `is_late` says that they are older, or that there are none yet.
    """

    as_of: datetime | None
    limit: timedelta | None
    is_late: bool
    problem: str = ""


def limit_of(segment: Segment) -> timedelta | None:
    """Give how old the people of a segment may be for sending; None for one that is found at every use."""
    if segment.freshness == Freshness.LIVE:
        return None
    return timedelta(minutes=segment.limit_minutes) if segment.limit_minutes else OLDEST[segment.freshness]


def age_of(segment: Segment, *, at: datetime) -> Age:
    """Say how old the people of a segment are."""
    limit = limit_of(segment)
    if limit is None:
        return Age(at, None, is_late=False)
    as_of = segment.refreshed_at
    return Age(as_of, limit, as_of is None or at - as_of > limit, segment.problem)


def people_of(segment: Segment, *, at: datetime) -> QuerySet[Member]:
    """Give the people of a segment as whoever uses it gets them: kept ones, or those who fit now."""
    if segment.freshness == Freshness.LIVE:
        return matching(segment.rule, at=at)
    kept = SegmentMember.objects.filter(segment=segment.pk)
    return Member.objects.filter(pk__in=kept.values("member_id"), merged_into__isnull=True, erased_at__isnull=True)


def refusal(segment: Segment, *, at: datetime) -> tuple[str, str] | None:
    """Say why nothing may be sent to a segment now, and what to do; None when it may."""
    age = age_of(segment, at=at)
    if not age.is_late or age.limit is None:
        return None
    facts = {"name": segment.name, "limit": span(age.limit)}
    if age.as_of is None:
        said = _("The people of “%(name)s” have not been found yet.") % facts
    else:
        facts |= {"age": span(at - age.as_of), "time": formats.local_time(age.as_of)}
        said = (
            _("The people of “%(name)s” are as of %(time)s, %(age)s ago; for sending %(limit)s is the limit.") % facts
        )
    if age.problem:
        hint = _("The last refresh failed: %(why)s Correct the segment and save it.") % {"why": age.problem}
    else:
        hint = _("Open the segment and refresh it now, or let its people be found at every use.")
    return said, hint


def span(length: timedelta) -> str:
    """Say a length of time in its largest whole unit."""
    minutes = max(int(length.total_seconds() // 60), 1)
    if minutes < 120:
        return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}
    if minutes < 2 * 24 * 60:
        return ngettext("%(count)s hour", "%(count)s hours", minutes // 60) % {"count": minutes // 60}
    return ngettext("%(count)s day", "%(count)s days", minutes // 1440) % {"count": minutes // 1440}
