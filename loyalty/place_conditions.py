"""What segments and automatic tags can ask about where people buy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.divisions import Why, by_code, locate, said
from console import formats
from loyalty.places import bought_where, place_of, shopping_cities, stores_in
from loyalty.segment_conditions import DAYS_BACK, bought, facts_crossed
from loyalty.shopping_conditions import Those
from members.segments import Field, condition

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from common.divisions import Place
    from loyalty.models import Fact
    from members.person import PersonAt


@condition
class BoughtIn:
    """Bought in some province, city or district: sent there, or in a store there. Or mostly there."""

    key: ClassVar[str] = "bought_in"
    label = gettext_lazy("Where bought")
    fields = (
        Field(
            "how",
            gettext_lazy("counts"),
            "choice",
            (
                ("some", gettext_lazy("any purchase there")),
                ("most", gettext_lazy("where they buy most")),
            ),
            "some",
        ),
        Field("places", gettext_lazy("province, city or district is one of"), "words"),
        DAYS_BACK,
    )
    exact_past: ClassVar[bool] = True

    @dataclass(frozen=True)
    class Params:
        """`how`: some or most; `places`: names, as 上海 or 浙江省杭州市, or six-digit codes; `days`: how far back."""

        how: str
        places: tuple[str, ...]
        days: int

    def clean(self, params: Params) -> str | None:
        """Every place must be known and be one; a shopping city is no district."""
        for word in params.places:
            place, why = _read(word)
            if why == Why.AMBIGUOUS:
                return _("“%(name)s” may be in several cities: write the city before it.") % {"name": word}
            if place is None:
                return _("“%(name)s” is no province, city or district of China that is known.") % {"name": word}
            if params.how == "most" and place.district:
                return _("“%(name)s” is a district; where people buy most is known by city.") % {"name": word}
        return None

    def to_q(self, params: Params, at: datetime) -> Q:
        """Look at addresses (GIN, as the reports role) and at stores; or rank each person's cities."""
        if params.how == "most":
            text, values = shopping_cities(at, params.days)
            chosen = (
                f"SELECT x.member_id FROM ({text}) x WHERE x.place = 1 AND (x.city = ANY (%s) OR x.province = ANY (%s))"  # noqa: S608 - ours
            )
            codes = _codes(params.places)
            return Q(pk__in=Those(chosen, [*values, codes, codes]))
        return Q(pk__in=self._rows(params, at).values("member_id"))

    def sentence(self, params: Params) -> str:
        """Say it, with whole names."""
        names = [said(place.codes) if (place := _read(word)[0]) else word for word in params.places]
        facts = {"places": _(" or ").join(_("“%(name)s”") % {"name": name} for name in names), "days": params.days}
        if params.how == "most":
            return _("buys most in %(places)s, by the last %(days)s days") % facts
        return _("bought in %(places)s within %(days)s days") % facts

    def fact(self, params: Params, person: PersonAt) -> str:
        """Say where they buy, or when last there."""
        if params.how == "most":
            found = bought_where(person.member.pk, at=person.at, days=params.days)
            if found.city is None:
                return _("no purchase in these days has a place")
            facts = {"place": said(found.city.codes), "orders": found.city.orders}
            return _("%(place)s, %(orders)s purchases") % facts
        rows = self._rows(params, person.at).filter(member=person.member).select_related("store")
        last = rows.order_by("-happened_at", "-pk").first()
        if last is None:
            return _("never in these days")
        facts = {"place": said(place_of(last).codes), "time": formats.local_time(last.happened_at)}
        return _("last %(time)s, %(place)s") % facts

    def turns(self, params: Params, since: datetime, until: datetime) -> list[QuerySet[Any]]:
        """Purchases and refunds that leave the window, or come into it."""
        return facts_crossed(params.days, since, until)

    def _rows(self, params: Params, at: datetime) -> QuerySet[Fact]:
        codes = _codes(params.places)
        there = Q()
        for code in codes:
            there |= Q(body__contains={"place": [code]})
        stores = stores_in(codes)
        if stores:
            there |= Q(store_id__in=stores) & ~Q(body__has_any_keys=["place", "unplaced"])
        return bought(at, params.days).filter(there)


def _read(word: str) -> tuple[Place | None, Why]:
    known = by_code(word)
    if known is not None:
        return known, Why.FOUND
    found = locate(word)
    return found.place, found.why


def _codes(words: tuple[str, ...]) -> list[str]:
    """Give the code of the lowest level of each place."""
    return sorted({place.codes[-1] for word in words if (place := _read(word)[0]) is not None})
