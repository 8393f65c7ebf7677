"""Conditions about when: last heard of, joined, followed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from members.models import FactChange, Follower, Member
from members.person import ACT
from members.segment_conditions.shapes import DAYS, HOW_LONG, Days, moment
from members.segments import Field, condition, crossed, days_back

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt


@condition
class LastInteraction:
    """Wrote, tapped or scanned within (or not within) some days."""

    key: ClassVar[str] = "last_interaction"
    label = gettext_lazy("Last interaction")
    fields = (
        Field(
            "how",
            gettext_lazy("was"),
            "choice",
            (("within", gettext_lazy("within the last")), ("before", gettext_lazy("longer ago than"))),
            "within",
        ),
        Field("days", gettext_lazy("days"), "number", default=30, minimum=1, maximum=3650),
    )

    @dataclass(frozen=True)
    class Params:
        """`how`: within or before; `days`: 1 to 3650."""

        how: str
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the moment kept on the member; somebody who never interacted was longer ago."""
        border = days_back(at, params.days)
        if params.how == "within":
            return Q(last_interaction_at__gte=border)
        return Q(last_interaction_at__lt=border) | Q(last_interaction_at__isnull=True)

    def was_q(self, params: Params, at: datetime) -> Q:
        """Take for whoever was heard of since then when that had been before; what is not known was longer ago."""
        border = days_back(at, params.days)
        later = FactChange.objects.filter(member=OuterRef("pk"), what=ACT, at__gt=at)
        earlier = Exists(later.filter(before__lt=border.astimezone(UTC).isoformat()))
        within = Q(last_interaction_at__gte=border, last_interaction_at__lte=at) | (
            Q(last_interaction_at__gt=at) & Exists(later) & ~earlier
        )
        if params.how == "within":
            return within
        silent = Q(last_interaction_at__lt=border) | Q(last_interaction_at__isnull=True)
        return silent | (Q(last_interaction_at__gt=at) & (~Exists(later) | earlier))

    def sentence(self, params: Params) -> str:
        """Say it."""
        if params.how == "within":
            return ngettext(
                "interacted within the last day", "interacted within the last %(days)s days", params.days
            ) % {
                "days": params.days,
            }
        return ngettext("has not interacted for a day", "has not interacted for %(days)s days", params.days) % {
            "days": params.days,
        }

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Compare the last act before that time, where it is known."""
        border = days_back(person.at, params.days)
        known = person.last_act
        recent = True if known is not None and known >= border else (False if person.acts_are_complete else None)
        return recent if params.how == "within" or recent is None else not recent

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say when it was."""
        if person.last_act is None:
            return _("no interaction is known")
        return _("last interaction %(time)s") % {"time": moment(person.last_act)}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Whoever was last heard of just so long ago."""
        return [crossed(Member.objects.all(), "pk", "last_interaction_at", since, until, days=params.days)]


@condition
class JoinedWhen:
    """Joined within, or longer ago than, some days."""

    key: ClassVar[str] = "joined_when"
    label = gettext_lazy("Day of joining")
    fields = (Field("how", gettext_lazy("was"), "choice", HOW_LONG, "within"), DAYS)
    Params = Days
    exact_past: ClassVar[bool] = True

    def clean(self, params: Days) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Days, at: datetime) -> Q:
        """Compare the day of joining; who has not joined is in neither."""
        border = days_back(at, params.days)
        if params.how == "within":
            return Q(joined_at__gte=border, joined_at__lte=at)
        return Q(joined_at__lt=border)

    def sentence(self, params: Days) -> str:
        """Say it."""
        if params.how == "within":
            said = ngettext("joined within the last day", "joined within the last %(days)s days", params.days)
        else:
            said = ngettext("joined more than a day ago", "joined more than %(days)s days ago", params.days)
        return said % {"days": params.days}

    def fact(self, params: Days, person: PersonAt) -> str:
        """Say when."""
        return _("joined %(time)s") % {"time": moment(person.joined_at)} if person.joined_at else _("has not joined")

    def turns(self, params: Days, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Whoever joined just so long ago, or now."""
        people = Member.objects.all()
        return [
            crossed(people, "pk", "joined_at", since, until, days=params.days),
            crossed(people, "pk", "joined_at", since, until),
        ]


@condition
class FollowedWhen:
    """Follows, and has done so since within, or longer than, some days."""

    key: ClassVar[str] = "followed_when"
    label = gettext_lazy("Following since")
    fields = (Field("how", gettext_lazy("was"), "choice", HOW_LONG, "within"), DAYS)
    Params = Days

    def clean(self, params: Days) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Days, at: datetime) -> Q:
        """Look at the followers behind the person; only those that follow now."""
        rows = Follower.objects.filter(member=OuterRef("pk"), subscribed=True)
        border = days_back(at, params.days)
        if params.how == "within":
            return Q(Exists(rows.filter(followed_at__gte=border, followed_at__lte=at)))
        return Q(Exists(rows.filter(followed_at__lt=border)))

    def sentence(self, params: Days) -> str:
        """Say it."""
        if params.how == "within":
            said = ngettext("has followed for less than a day", "has followed for less than %(days)s days", params.days)
        else:
            said = ngettext("has followed for more than a day", "has followed for more than %(days)s days", params.days)
        return said % {"days": params.days}

    def fact(self, params: Days, person: PersonAt) -> str:
        """Say since when."""
        since = Follower.objects.filter(member=person.member, subscribed=True).order_by("-followed_at", "pk")
        days = [moment(row.followed_at) for row in since if row.followed_at]
        return _("follows since %(time)s") % {"time": _("; ").join(days)} if days else _("does not follow")

    def turns(self, params: Days, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Whoever followed just so long ago, or now."""
        rows = Follower.objects.filter(subscribed=True)
        return [
            crossed(rows, "member_id", "followed_at", since, until, days=params.days),
            crossed(rows, "member_id", "followed_at", since, until),
        ]
