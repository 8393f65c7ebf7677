"""What segments can ask about coupons: who holds one, who used one, who was given one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from console import formats
from coupons.models import Coupon, Move, State, Template, Way
from members.picks import Pick, names_of, picks, unknown
from members.segments import Field, condition, crossed, days_back
from members.watched import watched

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt

_STATES = (
    ("unused", gettext_lazy("holds one that can be used")),
    ("used", gettext_lazy("has used one")),
    ("given", gettext_lazy("was given one by a push or by hand")),
    ("got", gettext_lazy("got one in any way")),
)
_BY_BRAND: Final = (Way.PUSH.value, Way.GUIDE.value)

watched.register("coupons_coupon", "member_id")
watched.register("coupons_move", "member_id")  # what people did with coupons
watched.register("coupons_template", "")

picks.register(
    "coupon_templates",
    Pick(
        Template,
        gettext_lazy("Search coupon templates"),
        gettext_lazy("There are no coupon templates yet."),
        gettext_lazy("This coupon template does not exist."),
        lambda term: Q(name__icontains=term),
    ),
)


@dataclass(frozen=True)
class _Stood:
    """How a coupon stood at a moment: how it had come, since when, and its state."""

    way: str
    issued_at: datetime
    state: str
    since: datetime
    valid_from: datetime
    valid_until: datetime


@condition
class HasCoupon:
    """Has a coupon of some templates, as it was given or used within some days."""

    key: ClassVar[str] = "coupon"
    label = gettext_lazy("Coupon")
    fields = (
        Field("templates", pgettext_lazy("coupon", "of"), "coupon_templates"),
        Field("state", gettext_lazy("whoever"), "choice", _STATES, "unused"),
        Field("days", gettext_lazy("days back"), "number", default=30, minimum=1, maximum=3650),
    )

    @dataclass(frozen=True)
    class Params:
        """`templates`: ids of coupon templates; `state`: unused, used, given or got; `days`: how far back."""

        templates: tuple[int, ...]
        state: str
        days: int

    def clean(self, params: Params) -> str | None:
        """Every template must be the brand's."""
        return unknown("coupon_templates", params.templates)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at the coupons as they stand; those that were taken back were never given."""
        rows = Coupon.objects.filter(template__in=params.templates)
        since = days_back(at, params.days)
        if params.state == "used":
            rows = rows.filter(state=State.USED, used_at__gt=since, used_at__lte=at)
        else:
            rows = rows.filter(issued_at__gt=since, issued_at__lte=at)
            if params.state == "unused":
                rows = rows.filter(state=State.UNUSED, valid_from__lte=at, valid_until__gt=at)
            else:
                rows = rows.exclude(state=State.VOID)
            if params.state == "given":
                rows = rows.filter(way__in=_BY_BRAND)
        return Q(pk__in=rows.values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("coupon_templates", params.templates)
        quoted = _(" or ").join(_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.templates)
        said = {
            "unused": _("got the coupon %(coupons)s within %(days)s days and can still use it"),
            "used": _("used the coupon %(coupons)s within %(days)s days"),
            "given": _("was given the coupon %(coupons)s by a push or by hand within %(days)s days"),
            "got": _("got the coupon %(coupons)s within %(days)s days"),
        }
        return said[params.state] % {"coupons": quoted, "days": params.days}

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Ask the moves up to that time, which nothing changes."""
        return any(_fits(each, params, person.at) for each in _stood(params, person))

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how the newest of these coupons stood."""
        found = _stood(params, person)
        fitting = [each for each in found if _fits(each, params, person.at)] or found
        if not fitting:
            return _("none of these coupons")
        newest = max(fitting, key=lambda each: each.issued_at)
        return _("%(way)s %(time)s: %(state)s") % {
            "way": Way(newest.way).label,
            "time": formats.local_time(newest.issued_at),
            "state": State(newest.state).label,
        }

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Coupons that leave the window or come into it, and those whose time begins or is over."""
        rows = Coupon.objects.filter(template__in=params.templates)
        if params.state == "used":
            used = rows.filter(state=State.USED)
            return [
                crossed(used, "member_id", "used_at", since, until, days=params.days),
                crossed(used, "member_id", "used_at", since, until),
            ]
        turning = [
            crossed(rows, "member_id", "issued_at", since, until, days=params.days),
            crossed(rows, "member_id", "issued_at", since, until),
        ]
        if params.state == "unused":
            unused = rows.filter(state=State.UNUSED)
            turning += [
                crossed(unused, "member_id", "valid_from", since, until),
                crossed(unused, "member_id", "valid_until", since, until),
            ]
        return turning


def _fits(stood: _Stood, params: HasCoupon.Params, at: datetime) -> bool:
    since = days_back(at, params.days)
    if params.state == "used":
        return stood.state == State.USED and stood.since > since
    if not since < stood.issued_at <= at:
        return False
    if params.state == "unused":
        return stood.state == State.UNUSED and stood.valid_from <= at < stood.valid_until
    return stood.state != State.VOID and (params.state == "got" or stood.way in _BY_BRAND)


def _stood(params: HasCoupon.Params, person: PersonAt) -> list[_Stood]:
    """Give how the coupons stood that the person had at that time."""
    moves = Move.objects.filter(coupon__template__in=params.templates, at__lte=person.at)
    touched = moves.filter(member=person.member).values("coupon_id")
    last: dict[int, Move] = {}
    used: dict[int, datetime] = {}
    for move in moves.filter(coupon__in=touched).select_related("coupon").order_by("pk"):
        last[move.coupon_id] = move
        if move.after == State.USED:
            used.setdefault(move.coupon_id, move.at)
        else:
            used.pop(move.coupon_id, None)
    return [
        _Stood(
            move.coupon.way,
            move.coupon.issued_at,
            move.after,
            _used_at(move, used.get(pk, move.at)),
            move.coupon.valid_from,
            move.valid_until,
        )
        for pk, move in last.items()
        if move.member_id == person.member.pk
    ]


def _used_at(move: Move, noted: datetime) -> datetime:
    """A counter without a network reports later than it redeems: the coupon knows when that was."""
    return (move.coupon.used_at or noted) if move.after == move.coupon.state == State.USED else noted
