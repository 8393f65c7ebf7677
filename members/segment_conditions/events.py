"""The condition about what somebody did, or did not do: how often, in how many days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Count, Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from members.happenings import happenings
from members.segment_conditions.shapes import moment
from members.segments import Field, condition, crossed, days_back

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt


@condition
class Did:
    """Did (or did not do) something, at least so many times, within some days."""

    key: ClassVar[str] = "event"
    label = gettext_lazy("Event")
    exact_past: ClassVar[bool] = True

    @property
    def fields(self) -> tuple[Field, ...]:
        """Offer the events that apps have registered."""
        kinds = tuple((key, item.label) for key, item in happenings.items())
        return (
            Field(
                "how",
                gettext_lazy("the person"),
                "choice",
                (("did", gettext_lazy("has done")), ("not", gettext_lazy("has not done"))),
                "did",
            ),
            Field("event", "", "choice", kinds, kinds[0][0]),
            Field("times", gettext_lazy("times at least"), "number", default=1, minimum=1, maximum=1000),
            Field("days", gettext_lazy("days back"), "number", default=30, minimum=1, maximum=3650),
        )

    @dataclass(frozen=True)
    class Params:
        """`how`: did or not; `event`: key of a countable event; `times`: at least; `days`: how far back."""

        how: str
        event: str
        times: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Count the rows of the window that ends at the moment."""
        item = happenings.get(params.event)
        window = {f"{item.at}__gt": days_back(at, params.days), f"{item.at}__lte": at}
        rows = item.rows().filter(**window)
        if params.times == 1:
            did = Q(Exists(rows.filter(**{item.member: OuterRef("pk")})))
        else:
            often = rows.order_by().values(item.member).annotate(times=Count("pk")).filter(times__gte=params.times)
            did = Q(pk__in=often.values(item.member))
        return did if params.how == "did" else ~did

    def sentence(self, params: Params) -> str:
        """Say it."""
        label = str(happenings.get(params.event).label)
        facts = {"event": label, "days": params.days, "times": params.times}
        if params.times == 1:
            said = (
                _("has %(event)s within %(days)s days")
                if params.how == "did"
                else _("has not %(event)s within %(days)s days")
            )
        else:
            said = (
                _("has %(event)s at least %(times)s times within %(days)s days")
                if params.how == "did"
                else _("has %(event)s less than %(times)s times within %(days)s days")
            )
        return said % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how often and when last."""
        item = happenings.get(params.event)
        window = {f"{item.at}__gt": days_back(person.at, params.days), f"{item.at}__lte": person.at}
        moments = item.rows().filter(**window, **{item.member: person.member.pk}).order_by(f"-{item.at}")
        found = list(moments.values_list(item.at, flat=True)[:1001])
        if not found:
            return _("never in these days")
        said = ngettext("once, %(time)s", "%(count)s times, last %(time)s", len(found))
        return said % {"count": len(found), "time": moment(found[0])}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Those who did it just so long ago, or now."""
        item = happenings.get(params.event)
        return [
            crossed(item.rows(), item.member, item.at, since, until, days=params.days),
            crossed(item.rows(), item.member, item.at, since, until),
        ]
