"""Conditions behind the figures of reports: being left out of them, and having stood in a stage of a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from console import formats
from members.left_out import held, left_out
from members.models import Flag, Grouping, Snapshot, SnapshotMember
from members.picks import Pick, names_of, picks, unknown
from members.segment_conditions.shapes import YES_NO
from members.segments import Field, condition

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt

picks.register(
    "snapshots",
    Pick(
        Snapshot,
        gettext_lazy("Search snapshots by grouping"),
        gettext_lazy("There are no snapshots yet."),
        gettext_lazy("This snapshot does not exist."),
        lambda term: Q(grouping__in=Grouping.objects.filter(name__icontains=term).values("pk")),
        "at",
        formats.local_time,
        "grouping__name",
    ),
)


@condition
class Flagged:
    """Is left out of reports: staff, a test person, or blocked."""

    key: ClassVar[str] = "flagged"
    label = gettext_lazy("Staff, test person or blocked")
    fields = (Field("value", gettext_lazy("is"), "choice", YES_NO, "no"),)
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`value`: yes or no."""

        value: str

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look for a flag that has begun and not ended."""
        flagged = Q(pk__in=left_out(by=at))
        return flagged if params.value == "yes" else ~flagged

    def sentence(self, params: Params) -> str:
        """Say it."""
        if params.value == "yes":
            return _("is staff, a test person or blocked")
        return _("is neither staff nor a test person nor blocked")

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the flags."""
        flags = Flag.objects.filter(held(at=person.at), member_id=person.member.pk).order_by("kind", "pk")
        return _(", ").join(dict.fromkeys(row.get_kind_display() for row in flags)) or _("not flagged")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """A flag begins no later than it is set, and ends no later than it is cleared."""
        return []


@condition
class Stood:
    """Stood in a stage of a snapshot, in none of its stages, or anywhere in it."""

    key: ClassVar[str] = "stood"
    label = gettext_lazy("Stage in a snapshot")
    fields = (
        Field("snapshots", gettext_lazy("in the snapshot of"), "snapshots"),
        Field(
            "where",
            gettext_lazy("stood"),
            "choice",
            (
                ("in", pgettext_lazy("stood", "in one of the stages")),
                ("none", pgettext_lazy("stood", "in none of its stages")),
                ("any", pgettext_lazy("stood", "anywhere in it")),
            ),
            "in",
        ),
        Field("names", gettext_lazy("stages"), "words", default=["-"]),
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`snapshots`: ids; `where`: in, none or any; `names`: of stages, as they were called then."""

        snapshots: tuple[int, ...]
        where: str
        names: tuple[str, ...]

    def clean(self, params: Params) -> str | None:
        """Every snapshot must be the brand's, and have a stage of one of the names."""
        problem = unknown("snapshots", params.snapshots)
        if problem is None and params.where == "in" and not any(self._stages(params).values()):
            return _("None of these snapshots has such a stage.")
        return problem

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look it up: snapshots never change."""
        stood = Q(pk__in=[])
        for snapshot_id, stages in self._stages(params).items():
            rows = SnapshotMember.objects.filter(snapshot=snapshot_id)
            if params.where != "any":
                rows = rows.filter(stage__in=stages)
            stood |= Q(pk__in=rows.order_by().values("member_id"))
        return stood

    def sentence(self, params: Params) -> str:
        """Say it."""
        times = names_of("snapshots", params.snapshots)
        facts = {
            "times": _(" or ").join(times.get(pk, "?") for pk in params.snapshots),
            "stages": _(" or ").join(_("“%(name)s”") % {"name": name} for name in params.names),
        }
        if params.where == "in":
            return _("stood in %(stages)s on %(times)s") % facts
        if params.where == "none":
            return _("stood in no stage on %(times)s") % facts
        return _("was there on %(times)s") % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the stages of the snapshots."""
        rows = SnapshotMember.objects.filter(snapshot__in=params.snapshots, member_id=person.member.pk)
        places = dict(rows.order_by("snapshot_id").values_list("snapshot_id", "stage"))
        taken = Snapshot.objects.filter(pk__in=list(places)).order_by("at", "pk")
        said = [each.stages[places[each.pk]]["name"] if places[each.pk] >= 0 else _("none of them") for each in taken]
        return _(", ").join(said) or _("not known then")

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Snapshots never change."""
        return []

    def _stages(self, params: Params) -> dict[int, list[int]]:
        if params.where != "in":
            return {pk: [-1] for pk in params.snapshots}
        rows = Snapshot.objects.filter(pk__in=params.snapshots).order_by("pk").values_list("pk", "stages")
        return {
            pk: [number for number, stage in enumerate(stages) if stage["name"] in params.names] for pk, stages in rows
        }
