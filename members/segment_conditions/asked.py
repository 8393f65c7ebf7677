"""Conditions about what somebody agreed to, and how they can be reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members.models import Consent, Member, Purpose
from members.reach import carriers
from members.segment_conditions.shapes import YES_NO, moment
from members.segments import Field, condition, crossed

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt


@condition
class HasConsent:
    """Agreed to a use of their data, took it back, or was never asked."""

    key: ClassVar[str] = "consent"
    label = gettext_lazy("Consent")
    fields = (
        Field("purpose", gettext_lazy("to"), "choice", tuple(Purpose.choices), Purpose.MARKETING.value),
        Field(
            "state",
            gettext_lazy("is"),
            "choice",
            (
                ("given", gettext_lazy("given")),
                ("withdrawn", gettext_lazy("taken back")),
                ("unasked", gettext_lazy("not asked")),
            ),
            "given",
        ),
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`purpose`: of `Purpose`; `state`: given, withdrawn or unasked."""

        purpose: str
        state: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Compare the newest statement up to the moment."""
        said = Consent.objects.filter(member=OuterRef("pk"), purpose=params.purpose, at__lte=at)
        if params.state == "unasked":
            return ~Q(Exists(said))
        newest = Consent.objects.filter(purpose=params.purpose, at__lte=at)
        newest = newest.order_by("member_id", "-at", "-pk").distinct("member_id")
        granted = params.state == "given"
        wanted = Consent.objects.filter(pk__in=newest.values("pk"), granted=granted)
        return Q(pk__in=wanted.values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        purpose = Purpose(params.purpose).label
        said = {
            "given": _("has agreed to “%(purpose)s”"),
            "withdrawn": _("has withdrawn “%(purpose)s”"),
            "unasked": _("was never asked about “%(purpose)s”"),
        }
        return said[params.state] % {"purpose": purpose}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say what was said last, and when."""
        rows = Consent.objects.filter(member=person.member, purpose=params.purpose, at__lte=person.at)
        newest = rows.order_by("-at", "-pk").first()
        if newest is None:
            return _("never asked")
        return f"{_('agreed') if newest.granted else _('withdrew')} {moment(newest.at)}"

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Whoever said something dated in between."""
        rows = Consent.objects.filter(purpose=params.purpose)
        return [crossed(rows, "member_id", "at", since, until)]


@condition
class Reachable:
    """Can be reached by a way of sending now."""

    key: ClassVar[str] = "reachable"
    label = gettext_lazy("Reachable")

    @property
    def fields(self) -> tuple[Field, ...]:
        """Offer the ways that the apps above have registered."""
        ways = tuple((key, way.label) for key, way in carriers.items())
        return (
            Field("way", gettext_lazy("by"), "choice", ways, ways[0][0] if ways else None),
            Field("value", gettext_lazy("is"), "choice", YES_NO, "yes"),
        )

    @dataclass(frozen=True)
    class Params:
        """`way`: key of a way of reaching; `value`: yes or no."""

        way: str
        value: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Ask the way."""
        reached = Q(pk__in=carriers.get(params.way).narrow(Member.objects.all(), at).values("pk"))
        return reached if params.value == "yes" else ~reached

    def sentence(self, params: Params) -> str:
        """Say it."""
        way = str(carriers.get(params.way).label)
        if params.value == "yes":
            return _("can be reached by “%(way)s”") % {"way": way}
        return _("cannot be reached by “%(way)s”") % {"way": way}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]] | None:
        """Whom time alone brings into the reach of the way, or out of it."""
        turns = carriers.get(params.way).turns
        return None if turns is None else turns(since, until)
