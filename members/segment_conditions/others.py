"""Conditions that ask for other segments: being in one, and moving into or out of it as a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from members import nesting
from members.models import StageMove
from members.picks import names_of, unknown
from members.segment_conditions.shapes import YES_NO, moment
from members.segments import Field, compile_rule, condition, crossed, days_back, turning
from members.why import holds

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt


@condition
class InSegment:
    """Is in one of some other segments (or in none of them), by their rules as they are now."""

    key: ClassVar[str] = "segment"
    label = gettext_lazy("Another segment")
    fields = (
        Field("value", gettext_lazy("is in it"), "choice", YES_NO, "yes"),
        Field("segments", gettext_lazy("segments"), "segments"),
    )

    @dataclass(frozen=True)
    class Params:
        """`value`: yes or no; `segments`: ids of segments of the brand."""

        value: str
        segments: tuple[int, ...]

    def clean(self, params: Params) -> str | None:
        """Every segment must be the brand's."""
        return unknown("segments", params.segments)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Ask the rules of the others; one that leads back here raises `RuleInvalid`."""
        inside = Q(pk__in=[])
        for segment_id, rule in nesting.rules_of(params.segments):
            with nesting.entering(segment_id):
                inside |= compile_rule(rule, at=at) or Q(pk__isnull=False)  # an empty rule is everybody
        return inside if params.value == "yes" else ~inside

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("segments", params.segments)
        quoted = _(" or ").join(_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.segments)
        if params.value == "yes":
            return _("is in the segment %(segments)s") % {"segments": quoted}
        return _("is not in the segment %(segments)s") % {"segments": quoted}

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Ask the rules of the others, as they are now, about the facts of that time."""
        found: list[bool | None] = []
        for segment_id, rule in nesting.rules_of(params.segments):
            with nesting.entering(segment_id):
                found.append(holds(rule, member=person.member, then=person.at))
        inside = True if True in found else (None if None in found else False)
        return inside if params.value == "yes" or inside is None else not inside

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name those they are in now."""
        return ""

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]] | None:
        """Whoever time moves in or out of one of the others."""
        found: list[QuerySet[Any]] = []
        for segment_id, rule in nesting.rules_of(params.segments):
            with nesting.entering(segment_id):
                inside = turning(rule, since=since, until=until)
            if inside is None:
                return None
            found += inside
        return found


@condition
class MovedStage:
    """Moved into (or out of) a stage of a grouping that is followed day by day, within some days."""

    key: ClassVar[str] = "stage_moved"
    label = gettext_lazy("Move between stages")
    fields = (
        Field(
            "how",
            gettext_lazy("moved"),
            "choice",
            (("into", gettext_lazy("into")), ("out", gettext_lazy("out of"))),
            "into",
        ),
        Field("stages", gettext_lazy("the stage"), "segments"),
        Field("days", gettext_lazy("days back"), "number", default=7, minimum=1, maximum=3650),
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`how`: into or out; `stages`: ids of segments; `days`: how far back."""

        how: str
        stages: tuple[int, ...]
        days: int

    def clean(self, params: Params) -> str | None:
        """Every stage must be a segment of the brand's."""
        return unknown("segments", params.stages)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at the moves of the window."""
        return Q(Exists(self._moves(params, at).filter(member_id=OuterRef("pk"))))

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("segments", params.stages)
        quoted = _(" or ").join(_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.stages)
        facts = {"stages": quoted, "days": params.days}
        if params.how == "into":
            return _("moved into the stage %(stages)s within %(days)s days") % facts
        return _("moved out of the stage %(stages)s within %(days)s days") % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say when."""
        move = self._moves(params, person.at).filter(member_id=person.member.pk).order_by("-at", "-pk").first()
        return moment(move.at) if move else _("never in these days")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Moves that leave the window, or come into it."""
        rows = StageMove.objects.all()
        return [
            crossed(rows, "member_id", "at", since, until, days=params.days),
            crossed(rows, "member_id", "at", since, until),
        ]

    def _moves(self, params: Params, at: datetime) -> QuerySet[StageMove]:
        rows = StageMove.objects.filter(at__gt=days_back(at, params.days), at__lte=at, before_id__isnull=False)
        if params.how == "into":
            return rows.filter(after_id__in=params.stages)
        return rows.filter(before_id__in=params.stages).exclude(after_id__in=params.stages)
