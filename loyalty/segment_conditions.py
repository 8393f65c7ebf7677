"""What segments can ask about tiers, points and purchases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import BigIntegerField, Case, Count, Exists, F, Max, OuterRef, Q, Sum, When
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from console import formats
from loyalty.models import Account, Entry, Fact, FactKind, Lot, Pocket, Tier, TierChange
from loyalty.selectors.tiers import lowest, stands_in
from members.picks import Pick, names_of, picks, unknown
from members.segments import Field, condition, crossed, days_back
from members.watched import watched

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from members.person import PersonAt

MOST_POINTS = 1_000_000_000
MOST_YUAN = 100_000_000
_AT_LEAST = (("least", gettext_lazy("at least")), ("less", gettext_lazy("less than")))
DAYS_BACK = Field("days", gettext_lazy("days back"), "number", default=365, minimum=1, maximum=3650)

for _table in ("loyalty_account", "loyalty_fact", "loyalty_lot", "loyalty_standing"):
    watched.register(_table, "member_id")
watched.register("loyalty_tier", "")

picks.register(
    "tiers",
    Pick(
        Tier,
        gettext_lazy("Search tiers"),
        gettext_lazy("There are no tiers yet."),
        gettext_lazy("This tier does not exist."),
        lambda term: Q(name__icontains=term),
    ),
)


@condition
class InTier:
    """Stands in one of some tiers. Members without a decision so far stand in the lowest."""

    key: ClassVar[str] = "tier"
    label = gettext_lazy("Tier")
    fields = (Field("tiers", gettext_lazy("is one of"), "tiers"),)

    @dataclass(frozen=True)
    class Params:
        """`tiers`: ids of tiers of the brand."""

        tiers: tuple[int, ...]

    def clean(self, params: Params) -> str | None:
        """Every tier must be the brand's."""
        return unknown("tiers", params.tiers)

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at where the person stands."""
        return stands_in(params.tiers)

    def sentence(self, params: Params) -> str:
        """Say it."""
        names = names_of("tiers", params.tiers)
        quoted = [_("“%(name)s”") % {"name": names.get(pk, "?")} for pk in params.tiers]
        return _("stands in tier %(tiers)s") % {"tiers": _(" or ").join(quoted)}

    def was(self, params: Params, person: PersonAt) -> bool | None:
        """Read the decisions up to that time; they hold the names of tiers."""
        decided = TierChange.objects.filter(member=person.member, at__lte=person.at).order_by("-at", "-pk").first()
        if decided is None:
            first = lowest()
            return first is not None and first.pk in params.tiers and person.joined_at is not None
        return decided.after in set(names_of("tiers", params.tiers).values())

    def fact(self, params: Params, person: PersonAt) -> str:
        """Name the tier and since when."""
        changes = TierChange.objects.filter(member=person.member, at__lte=person.at)
        decided = changes.order_by("-at", "-pk").first()
        if decided is None:
            return _("no tier was decided yet")
        return _("“%(name)s” since %(time)s") % {"name": decided.after, "time": formats.local_time(decided.at)}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """A tier changes by a decision, never by time alone."""
        return []


@condition
class HasPoints:
    """Has at least (or less than) so many points to spend."""

    key: ClassVar[str] = "points"
    label = gettext_lazy("Points to spend")
    fields = (
        Field("how", gettext_lazy("are"), "choice", _AT_LEAST, "least"),
        Field("points", pgettext_lazy("unit", "points"), "number", default=100, minimum=1, maximum=MOST_POINTS),
    )

    @dataclass(frozen=True)
    class Params:
        """`how`: least or less; `points`: from 1 on."""

        how: str
        points: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at the account; who has none has no points, and what is owed cannot be spent."""
        rich = Account.objects.filter(member=OuterRef("pk"), available__gte=F("owed") + params.points)
        enough = Q(Exists(rich))
        return enough if params.how == "least" else ~enough

    def was(self, params: Params, person: PersonAt) -> bool:
        """Add up the ledger to that time."""
        return (_points_at(person) >= params.points) == (params.how == "least")

    def sentence(self, params: Params) -> str:
        """Say it."""
        facts = {"points": formats.count(params.points)}
        if params.how == "least":
            return _("has at least %(points)s points") % facts
        return _("has less than %(points)s points") % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how many."""
        return _("%(points)s points") % {"points": formats.count(_points_at(person))}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Points that end are taken off by the ledger, which changes the account."""
        return []


def _points_at(person: PersonAt) -> int:
    """Give the points somebody had to spend at that time, by the ledger: what was owed is below zero there."""
    pockets = (Pocket.AVAILABLE, Pocket.OWED)
    entries = Entry.objects.filter(member=person.member, pocket__in=pockets, at__lte=person.at)
    total: int | None = entries.aggregate(all=Sum("points"))["all"]
    return max(0, total or 0)


@condition
class PointsEnd:
    """Has at least so many points that end within some days."""

    key: ClassVar[str] = "points_ending"
    label = gettext_lazy("Points that end soon")
    fields = (
        Field("points", pgettext_lazy("unit", "points"), "number", default=100, minimum=1, maximum=MOST_POINTS),
        Field("days", gettext_lazy("end within days"), "number", default=30, minimum=1, maximum=3650),
    )

    @dataclass(frozen=True)
    class Params:
        """`points`: at least; `days`: how far ahead."""

        points: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Add up what is left of the lots that end in the window."""
        ending = _ending(params, at).order_by().values("member_id").annotate(points=Sum("remaining"))
        return Q(pk__in=ending.filter(points__gte=params.points).values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        said = ngettext(
            "has at least %(points)s points that end within a day",
            "has at least %(points)s points that end within %(days)s days",
            params.days,
        )
        return said % {"points": formats.count(params.points), "days": params.days}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how many end, and the first day."""
        lots = list(_ending(params, person.at).filter(member=person.member).order_by("expires_at", "pk"))
        if not lots:
            return _("no points end in these days")
        facts = {
            "points": formats.count(sum(lot.remaining for lot in lots)),
            "time": formats.local_time(lots[0].expires_at),
        }
        return _("%(points)s points, the first end %(time)s") % facts

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Lots that come into sight, and lots that are over."""
        lots = Lot.objects.filter(remaining__gt=0)
        return [
            crossed(lots, "member_id", "expires_at", since, until, days=-params.days),
            crossed(lots, "member_id", "expires_at", since, until),
        ]


def _ending(params: PointsEnd.Params, at: datetime) -> QuerySet[Lot]:
    last = at + timedelta(days=params.days)
    return Lot.objects.filter(remaining__gt=0, expires_at__gt=at, expires_at__lte=last)


@condition
class BoughtTimes:
    """Bought at least (or less than) so many times within some days; what was returned whole does not count."""

    key: ClassVar[str] = "orders"
    label = gettext_lazy("Number of purchases")
    fields = (
        Field("how", gettext_lazy("is"), "choice", _AT_LEAST, "least"),
        Field("times", gettext_lazy("times"), "number", default=2, minimum=1, maximum=1000),
        DAYS_BACK,
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`how`: least or less; `times`; `days`: how far back."""

        how: str
        times: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Count the purchases of the window."""
        often = bought(at, params.days).order_by().values("member_id").annotate(times=Count("pk"))
        enough = Q(pk__in=often.filter(times__gte=params.times).values("member_id"))
        return enough if params.how == "least" else ~enough

    def sentence(self, params: Params) -> str:
        """Say it."""
        facts = {"times": params.times, "days": params.days}
        if params.how == "least":
            return _("bought at least %(times)s times within %(days)s days") % facts
        return _("bought less than %(times)s times within %(days)s days") % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how often and when last."""
        moments = bought(person.at, params.days).filter(member=person.member).order_by("-happened_at")
        found = list(moments.values_list("happened_at", flat=True)[:1001])
        if not found:
            return _("never in these days")
        said = ngettext("once, %(time)s", "%(count)s times, last %(time)s", len(found))
        return said % {"count": len(found), "time": formats.local_time(found[0])}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Purchases and refunds that leave the window, or come into it."""
        return facts_crossed(params.days, since, until)


@condition
class BoughtFor:
    """Bought for at least (or less than) so much within some days, less what was returned."""

    key: ClassVar[str] = "spent"
    label = gettext_lazy("Amount of purchases")
    fields = (
        Field("how", gettext_lazy("is"), "choice", _AT_LEAST, "least"),
        Field("yuan", gettext_lazy("yuan"), "number", default=1000, minimum=1, maximum=MOST_YUAN),
        DAYS_BACK,
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`how`: least or less; `yuan`: whole yuan; `days`: how far back."""

        how: str
        yuan: int
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Add up the purchases of the window, less the refunds of them."""
        spent = paid(at, params.days).order_by().values("member_id").annotate(fen=NET)
        enough = Q(pk__in=spent.filter(fen__gte=params.yuan * 100).values("member_id"))
        return enough if params.how == "least" else ~enough

    def sentence(self, params: Params) -> str:
        """Say it."""
        facts = {"yuan": formats.count(params.yuan), "days": params.days}
        if params.how == "least":
            return _("bought for at least ¥%(yuan)s within %(days)s days") % facts
        return _("bought for less than ¥%(yuan)s within %(days)s days") % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say how much."""
        fen = paid(person.at, params.days).filter(member=person.member).aggregate(fen=NET)["fen"]
        return _("%(amount)s in these days") % {"amount": formats.fen(fen or 0)}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Purchases and refunds that leave the window, or come into it."""
        return facts_crossed(params.days, since, until)


@condition
class BoughtWhat:
    """Bought something of some categories, or some goods, within some days."""

    key: ClassVar[str] = "bought"
    label = gettext_lazy("Goods bought")
    fields = (
        Field(
            "what",
            gettext_lazy("by"),
            "choice",
            (("category", gettext_lazy("category")), ("sku", gettext_lazy("article number"))),
            "category",
        ),
        Field("names", gettext_lazy("is one of"), "words"),
        DAYS_BACK,
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`what`: category or sku; `names`: as systems report them; `days`: how far back."""

        what: str
        names: tuple[str, ...]
        days: int

    def clean(self, params: Params) -> str | None:
        """Nothing more to check."""
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Search the lines of the purchases (GIN, as the reports role)."""
        return Q(pk__in=self._rows(params, at).values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it."""
        quoted = _(" or ").join(_("“%(name)s”") % {"name": name} for name in params.names)
        return _("bought %(names)s within %(days)s days") % {"names": quoted, "days": params.days}

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say when last."""
        last = self._rows(params, person.at).filter(member=person.member).order_by("-happened_at", "-pk").first()
        if last is None:
            return _("never in these days")
        return _("last %(time)s") % {"time": formats.local_time(last.happened_at)}

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Purchases that leave the window, or come into it."""
        return facts_crossed(params.days, since, until)

    def _rows(self, params: Params, at: datetime) -> QuerySet[Fact]:
        lines = Q()
        for name in params.names:
            lines |= Q(body__contains={"lines": [{params.what: name}]})
        return _window(at, params.days).filter(lines, kind=FactKind.PURCHASE)


NET = Sum(Case(When(kind=FactKind.REFUND, then=-F("amount")), default=F("amount"), output_field=BigIntegerField()))


def _window(at: datetime, days: int) -> QuerySet[Fact]:
    return Fact.objects.filter(happened_at__gt=days_back(at, days), happened_at__lte=at)


def bought(at: datetime, days: int, member_id: int | None = None) -> QuerySet[Fact]:
    """Give the purchases of a window (of one person, or everybody's) that were not returned whole."""
    rows = _window(at, days).filter(kind=FactKind.PURCHASE)
    refunds = _window(at, days).filter(kind=FactKind.REFUND)
    if member_id is not None:
        rows, refunds = rows.filter(member_id=member_id), refunds.filter(refers__member_id=member_id)
    back = refunds.order_by().values("refers_id")
    whole = back.annotate(back=Sum("amount"), paid=Max("refers__amount")).filter(back__gte=F("paid"))
    return rows.exclude(pk__in=whole.values("refers_id"))


def paid(at: datetime, days: int) -> QuerySet[Fact]:
    """Give the purchases of a window and the refunds of them; a refund is never dated before its purchase."""
    return _window(at, days).filter(
        Q(kind=FactKind.PURCHASE) | Q(kind=FactKind.REFUND, refers__happened_at__gt=days_back(at, days))
    )


def facts_crossed(days: int, since: datetime, until: datetime) -> list[QuerySet[Any]]:
    """Give the ids of people with a purchase or a refund that time alone takes into a window, or out of it."""
    rows = Fact.objects.filter(kind__in=[FactKind.PURCHASE, FactKind.REFUND])
    return [
        crossed(rows, "member_id", "happened_at", since, until, days=days),
        crossed(rows, "member_id", "happened_at", since, until),
    ]
