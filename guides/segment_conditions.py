"""What segments can ask about exclusive guides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import formats
from guides.models import Assignment, Guide
from members.picks import Pick, names_of, picks, unknown
from members.segments import Field, condition, crossed
from members.watched import watched

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt

watched.register("guides_assignment", "member_id")
watched.register("guides_guide", "")
picks.register(
    "guides",
    Pick(
        Guide,
        gettext_lazy("Search guides"),
        gettext_lazy("There are no guides yet."),
        gettext_lazy("This guide does not exist."),
        lambda term: Q(name__icontains=term) | Q(staff_no__istartswith=term),
    ),
)


def _in_force(at: datetime) -> QuerySet[Assignment]:
    return Assignment.objects.filter(Q(until__isnull=True) | Q(until__gt=at), since__lte=at)


def _crossed(since: datetime, until: datetime) -> list[QuerySet[Any]]:
    rows = Assignment.objects.all()
    return [crossed(rows, "member_id", column, since, until) for column in ("since", "until")]


def _fact(person: PersonAt) -> str:
    row = _in_force(person.at).select_related("guide").filter(member=person.member).order_by("-since", "-pk").first()
    if row is None:
        return _("no exclusive guide")
    return _("%(guide)s since %(time)s") % {"guide": row.guide, "time": formats.local_time(row.since)}


@condition
class WithGuide:
    """Is looked after by one of some guides."""

    key: ClassVar[str] = "guide"
    label = gettext_lazy("Exclusive guide")
    fields = (Field("guides", gettext_lazy("is one of"), "guides"),)
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`guides`: ids of guides of the brand."""

        guides: tuple[int, ...]

    def clean(self, params: Params) -> str | None:
        """Every guide must be the brand's."""
        return unknown("guides", params.guides)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at the assignment in force."""
        return Q(Exists(_in_force(at).filter(member=OuterRef("pk"), guide__in=params.guides)))

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("guides", params.guides)
        quoted = [_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.guides]
        return _("is looked after by %(guides)s") % {"guides": _(" or ").join(quoted)}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the guide."""
        return _fact(person)

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Assignments that begin or end in between."""
        return _crossed(since, until)


@condition
class HasGuide:
    """Has an exclusive guide, or none."""

    key: ClassVar[str] = "any_guide"
    label = gettext_lazy("Has an exclusive guide")
    fields = (
        Field(
            "value",
            gettext_lazy("is"),
            "choice",
            (("yes", gettext_lazy("yes")), ("no", gettext_lazy("no"))),
            "yes",
        ),
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`value`: yes or no."""

        value: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look for an assignment in force."""
        has = Q(Exists(_in_force(at).filter(member=OuterRef("pk"))))
        return has if params.value == "yes" else ~has

    def sentence(self, params: Params) -> str:
        """Say it."""
        return _("has an exclusive guide") if params.value == "yes" else _("has no exclusive guide")

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the guide."""
        return _fact(person)

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Assignments that begin or end in between."""
        return _crossed(since, until)
