"""What points are given for: each kind of rule reads one happening and says how many points, and why. No tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from common.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_stubs_ext import StrOrPromise

PERIODS: Final[dict[str, StrOrPromise]] = {
    "": _("no limit"),
    "DAY": _("a day"),
    "MONTH": _("a month"),
    "YEAR": _("a year"),
    "EVER": _("ever"),
}
MOST: Final = 10_000_000


@dataclass(frozen=True)
class Line:
    """A line of a purchase; the amount in fen is what was paid for all of it."""

    sku: str
    category: str
    amount: int


@dataclass(frozen=True)
class Happening:
    """A fact as rules see it."""

    kind: str
    amount: int = 0
    lines: tuple[Line, ...] = ()
    name: str = ""
    is_first: bool = False

    def less(self, refunded: int, by_sku: Mapping[str, int]) -> Happening:
        """Give what is left of a purchase after refunds. Refunds without lines are taken from all lines alike."""
        net = max(0, self.amount - refunded)
        named = sum(by_sku.values())
        spread = max(0, self.amount - named)
        left = []
        taken = dict(by_sku)
        for line in self.lines:
            back = min(line.amount, taken.get(line.sku, 0))
            taken[line.sku] = taken.get(line.sku, 0) - back
            kept = line.amount - back
            if refunded > named and spread:
                kept = kept * net // spread
            left.append(replace(line, amount=kept))
        return replace(self, amount=net, lines=tuple(left))


@dataclass(frozen=True)
class Param:
    """A setting of a kind of rule: how it is called, what it may be."""

    name: str
    label: StrOrPromise
    low: int = 1
    high: int = MOST
    default: int | str = 1
    is_text: bool = False
    hint: StrOrPromise = ""


class EarnKind(Protocol):
    """A kind of rule. `reads` names the kinds of facts it looks at."""

    key: ClassVar[str]
    label: ClassVar[StrOrPromise]
    reads: ClassVar[str]
    says: ClassVar[StrOrPromise]  # why there are points, with the names that `values` gives
    params: ClassVar[tuple[Param, ...]]

    def points(self, params: Mapping[str, Any], happening: Happening) -> int:
        """Give the points for a happening; 0 when the rule does not apply."""
        ...

    def values(self, params: Mapping[str, Any], happening: Happening) -> dict[str, Any]:
        """Give what `says` names; amounts in fen end in `_fen`."""
        ...


earn_kinds: Registry[EarnKind] = Registry("earn rules", purpose="what points can be given for")

_POINTS = Param("points", pgettext_lazy("loyalty", "Points"), default=10)
_RATE = (
    Param("points", pgettext_lazy("loyalty", "Points"), default=1),
    Param("per_fen", _("for every … fen"), default=100, hint=_("100 fen are one yuan. Parts of it give nothing.")),
)


class Spend:
    """Points for what was paid."""

    key: ClassVar[str] = "spend"
    label: ClassVar[StrOrPromise] = _("Spending")
    reads: ClassVar[str] = "PURCHASE"
    says: ClassVar[StrOrPromise] = _("%(points)s for every %(unit)s of %(amount)s paid")
    params: ClassVar[tuple[Param, ...]] = _RATE

    def points(self, params: Mapping[str, Any], happening: Happening) -> int:
        """Count whole units of the amount."""
        return happening.amount // int(params["per_fen"]) * int(params["points"])

    def values(self, params: Mapping[str, Any], happening: Happening) -> dict[str, Any]:
        """Name the amount and the rate."""
        return {
            "points": params["points"],
            "unit_fen": params["per_fen"],
            "amount_fen": happening.amount,
        }


class Category:
    """More points for some products or categories."""

    key: ClassVar[str] = "category"
    label: ClassVar[StrOrPromise] = _("Products or categories")
    reads: ClassVar[str] = "PURCHASE"
    says: ClassVar[StrOrPromise] = _("%(points)s more for every %(unit)s of %(amount)s paid for %(codes)s")
    params: ClassVar[tuple[Param, ...]] = (
        *_RATE,
        Param("codes", _("Product or category codes"), is_text=True, default="", hint=_("Separated by commas.")),
    )

    def _amount(self, params: Mapping[str, Any], happening: Happening) -> int:
        codes = set(codes_of(params))
        return sum(line.amount for line in happening.lines if line.sku in codes or line.category in codes)

    def points(self, params: Mapping[str, Any], happening: Happening) -> int:
        """Count whole units of what the lines in question cost."""
        return self._amount(params, happening) // int(params["per_fen"]) * int(params["points"])

    def values(self, params: Mapping[str, Any], happening: Happening) -> dict[str, Any]:
        """Name the lines."""
        return {
            "points": params["points"],
            "unit_fen": params["per_fen"],
            "amount_fen": self._amount(params, happening),
            "codes": ", ".join(codes_of(params)),
        }


class FirstPurchase:
    """Points once, for the first purchase."""

    key: ClassVar[str] = "first_purchase"
    label: ClassVar[StrOrPromise] = _("First purchase")
    reads: ClassVar[str] = "PURCHASE"
    says: ClassVar[StrOrPromise] = _("first purchase, %(amount)s")
    params: ClassVar[tuple[Param, ...]] = (_POINTS, Param("from_fen", _("from so many fen"), low=0, default=0))

    def points(self, params: Mapping[str, Any], happening: Happening) -> int:
        """Give the points when it is the first and large enough; refunded below that, it counts no more."""
        enough = happening.amount >= int(params["from_fen"]) and happening.amount > 0
        return int(params["points"]) if happening.is_first and enough else 0

    def values(self, params: Mapping[str, Any], happening: Happening) -> dict[str, Any]:
        """Say that it was the first."""
        return {"amount_fen": happening.amount}


class _Fixed:
    """So many points for every fact of a kind."""

    params: ClassVar[tuple[Param, ...]] = (_POINTS,)
    label: ClassVar[StrOrPromise]

    def points(self, params: Mapping[str, Any], happening: Happening) -> int:
        """Give the points."""
        return int(params["points"])

    def values(self, params: Mapping[str, Any], happening: Happening) -> dict[str, Any]:
        """Say what it was."""
        return {}


class Visit(_Fixed):
    """Points for coming to a store."""

    key: ClassVar[str] = "visit"
    label: ClassVar[StrOrPromise] = pgettext_lazy("earn rule", "Visit to a store")
    reads: ClassVar[str] = "VISIT"
    says: ClassVar[StrOrPromise] = _("visit to a store")


class CheckIn(_Fixed):
    """Points for the daily check-in."""

    key: ClassVar[str] = "check_in"
    label: ClassVar[StrOrPromise] = pgettext_lazy("earn rule", "Daily check-in")
    reads: ClassVar[str] = "CHECK_IN"
    says: ClassVar[StrOrPromise] = _("daily check-in")


class Profile(_Fixed):
    """Points for a complete profile."""

    key: ClassVar[str] = "profile"
    label: ClassVar[StrOrPromise] = pgettext_lazy("earn rule", "Profile completed")
    reads: ClassVar[str] = "PROFILE"
    says: ClassVar[StrOrPromise] = _("complete profile")


class Referral(_Fixed):
    """Points for bringing somebody who joined."""

    key: ClassVar[str] = "referral"
    label: ClassVar[StrOrPromise] = pgettext_lazy("earn rule", "Referral")
    reads: ClassVar[str] = "REFERRAL"
    says: ClassVar[StrOrPromise] = _("somebody was brought")


class Event(_Fixed):
    """Points for an event with a name."""

    key: ClassVar[str] = "event"
    label: ClassVar[StrOrPromise] = pgettext_lazy("earn rule", "Event")
    reads: ClassVar[str] = "EVENT"
    says: ClassVar[StrOrPromise] = _("event “%(name)s”")
    params: ClassVar[tuple[Param, ...]] = (_POINTS, Param("name", _("Name of the event"), is_text=True, default=""))

    def points(self, params: Mapping[str, Any], happening: Happening) -> int:
        """Give the points for events of that name."""
        return int(params["points"]) if happening.name == params["name"] else 0

    def values(self, params: Mapping[str, Any], happening: Happening) -> dict[str, Any]:
        """Name the event."""
        return {"name": happening.name}


for _kind in (Spend(), Category(), FirstPurchase(), Visit(), CheckIn(), Profile(), Referral(), Event()):
    earn_kinds.register(_kind.key, _kind)


def codes_of(params: Mapping[str, Any]) -> list[str]:
    """Give the codes of products or categories a rule names."""
    text = str(params.get("codes", "")).replace("，", ",")
    return [code.strip() for code in text.split(",") if code.strip()]


def faults(kind: EarnKind, params: Mapping[str, Any]) -> dict[str, StrOrPromise]:
    """Give what is wrong with the settings of a rule, by name."""
    found: dict[str, StrOrPromise] = {}
    for param in kind.params:
        value = params.get(param.name)
        if param.is_text:
            if not str(value or "").strip():
                found[param.name] = _("Something is needed here.")
        elif not isinstance(value, int) or isinstance(value, bool) or not param.low <= value <= param.high:
            found[param.name] = _("A whole number is needed here.")
    if params.get("limit_period", "") not in PERIODS:
        found["limit_period"] = _("Choose one of these.")
    limit = params.get("limit_points")
    if params.get("limit_period") and (not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST):
        found["limit_points"] = _("A whole number is needed here.")
    return found
