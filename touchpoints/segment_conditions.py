"""What segments can ask about channels: by which code somebody came first, last, or ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from console import formats
from members.happenings import Happening, happenings
from members.picks import Pick, names_of, picks, unknown
from members.segments import Field, condition, crossed
from members.watched import watched
from touchpoints.models import Touch, TouchCase, TouchKind, Touchpoint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt

watched.register("touchpoints_touch", "member_id")
happenings.register(
    "touchpoints.scanned",
    Happening(
        pgettext_lazy("has …", "scanned a code"),
        lambda: (
            Touch.objects.filter(touchpoint__origin="").exclude(case=TouchCase.STAFF).exclude(kind=TouchKind.CONTACT)
        ),
        is_act=True,
    ),
)
watched.register("touchpoints_touchpoint", "")

picks.register(
    "channels",
    Pick(
        Touchpoint,
        gettext_lazy("Search channels"),
        gettext_lazy("There are no channels yet."),
        pgettext_lazy("where people came from", "This channel does not exist."),
        lambda term: Q(name__icontains=term) | Q(scene=term),
    ),
)


@condition
class CameBy:
    """Came first, last or ever by one of some channels, or by what stands below them now. Staff's own scans are out."""

    key: ClassVar[str] = "channel"
    label = gettext_lazy("Channel")
    fields = (
        Field(
            "which",
            gettext_lazy("by"),
            "choice",
            (
                ("first", gettext_lazy("first touch")),
                ("last", gettext_lazy("last touch")),
                ("any", gettext_lazy("any touch")),
            ),
            "first",
        ),
        Field("channels", gettext_lazy("is one of"), "channels"),
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`which`: first, last or any; `channels`: ids of channels of the brand."""

        which: str
        channels: tuple[int, ...]

    def clean(self, params: Params) -> str | None:
        """Every channel must be the brand's."""
        return unknown("channels", params.channels)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at the touches of the channels: none of the same person lies before (or after) the one that counts."""
        rows = _touches(at).filter(touchpoint__in=_below(params.channels))
        if params.which != "any":
            order = "lt" if params.which == "first" else "gt"
            others = (
                _touches(at)
                .filter(member=OuterRef("member"))
                .filter(
                    Q(**{f"at__{order}": OuterRef("at")}) | Q(**{"at": OuterRef("at"), f"pk__{order}": OuterRef("pk")})
                )
            )
            rows = rows.filter(~Exists(others))
        return Q(pk__in=rows.values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("channels", params.channels)
        quoted = _(" or ").join(_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.channels)
        said = {
            "first": _("came first by %(channels)s"),
            "last": _("came last by %(channels)s"),
            "any": _("came by %(channels)s"),
        }
        return said[params.which] % {"channels": quoted}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the touch that counts."""
        mine = _touches(person.at).select_related("touchpoint").filter(member=person.member)
        touch = mine.order_by("at", "pk").first() if params.which == "first" else mine.order_by("-at", "-pk").first()
        if touch is None or touch.touchpoint is None:
            return _("came by no channel that is known")
        return _("“%(name)s”, %(time)s") % {"name": touch.touchpoint, "time": formats.local_time(touch.at)}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Touches dated in between. Where a branch was moved, everybody is found anew once a day."""
        return [crossed(Touch.objects.all(), "member_id", "at", since, until)]


def _touches(at: datetime) -> QuerySet[Touch]:
    return Touch.objects.filter(at__lte=at, touchpoint__isnull=False).exclude(case=TouchCase.STAFF)


def _below(ids: Iterable[int]) -> list[int]:
    """Give channels and all that stands below them."""
    found = set(ids)
    level = found
    while level:
        level = set(Touchpoint.objects.filter(parent__in=level).values_list("pk", flat=True)) - found
        found |= level
    return sorted(found)
