"""What a coupon does: its rule as frozen data, read strictly, and what it takes off a cart. No database, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import models
from django.utils.translation import gettext_lazy as _

from common.days import OUT_OF_YEARS, in_years

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from django_stubs_ext import StrOrPromise

MOST_FEN: Final = 1_000_000_000
MOST_DAYS: Final = 3650
MOST_PIECES: Final = 99
MOST_NAMES: Final = 200


class Kind(models.TextChoices):
    """What a coupon gives."""

    AMOUNT = "AMOUNT", _("Amount off")
    PERCENT = "PERCENT", _("Percent off")
    EXCHANGE = "EXCHANGE", _("Certain goods free")
    GIFT = "GIFT", _("Gift")


class Validity(models.TextChoices):
    """How long a coupon can be used."""

    FIXED = "FIXED", _("From one day to another")
    RELATIVE = "RELATIVE", _("Some days from when it was given")


class OnRefund(models.TextChoices):
    """What becomes of a used coupon when the order is refunded in full."""

    RETURN = "RETURN", _("It comes back with the days it has left")
    EXTEND = "EXTEND", _("It comes back, longer by the time it was away")
    VOID = "VOID", _("It does not come back")


class Stacks(models.TextChoices):
    """Which other coupons an order may use beside one."""

    ALONE = "ALONE", _("None: one coupon for an order")
    OTHERS = "OTHERS", _("Other coupons that allow it, too")
    ANY = "ANY", _("Others that allow it, and more of the same")


@dataclass(frozen=True)
class Named:
    """A store or tier that a rule names: by its key, with the name it had."""

    id: int
    name: str


@dataclass(frozen=True)
class Rule:
    """What a coupon does. Amounts are fen; `percent` is what is taken off; a `cap` or `threshold` of 0 is none."""

    kind: str
    amount: int = 0
    percent: int = 0
    cap: int = 0
    pieces: int = 1
    gift: str = ""
    threshold: int = 0
    products: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    stores: tuple[Named, ...] = ()
    tiers: tuple[Named, ...] = ()
    validity: str = Validity.RELATIVE
    first_day: date | None = None
    last_day: date | None = None
    delay: int = 0
    days: int = 30
    on_refund: str = OnRefund.RETURN
    grace_days: int = 7
    stacks: str = Stacks.ALONE

    def covers(self, sku: str, category: str) -> bool:
        """Say whether goods count for this coupon."""
        if not self.products and not self.categories:
            return True
        return sku in self.products or (bool(category) and category in self.categories)


@dataclass(frozen=True)
class Line:
    """A line of a cart: `amount` is to be paid for all `quantity` pieces, in fen."""

    sku: str
    category: str
    amount: int
    quantity: int = 1


@dataclass(frozen=True)
class Cart:
    """What somebody is about to buy, and where."""

    lines: tuple[Line, ...]
    store_id: int | None = None

    @property
    def total(self) -> int:
        """Add the lines up."""
        return sum(line.amount for line in self.lines)


@dataclass(frozen=True)
class Refusal:
    """Why a coupon cannot be used: a stable code, and the figures its sentence needs."""

    code: str
    values: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a rule says about a cart: the saving in fen, or why there is none."""

    saving: int = 0
    eligible: int = 0
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Beside:
    """A coupon that the same order uses already, and what it takes off."""

    template_id: int
    name: str
    rule: Rule
    saved: int


def clash(rule: Rule, template_id: int, beside: Iterable[Beside]) -> Refusal | None:
    """Say why a coupon cannot be used together with those an order has; None when it can. Both sides must allow it."""
    for other in beside:
        named = (("other", other.name),)
        if rule.stacks == Stacks.ALONE:
            return Refusal("stands_alone", named)
        if other.rule.stacks == Stacks.ALONE:
            return Refusal("other_stands_alone", named)
        if other.template_id == template_id and rule.stacks != Stacks.ANY:
            return Refusal("one_of_a_kind", named)
    return None


def left_after(cart: Cart, beside: Iterable[Beside]) -> Cart:
    """Give what is still to be paid: each coupon's saving is spread over the goods it is for, by what they cost."""
    amounts = [line.amount for line in cart.lines]
    for other in beside:
        covered = [at for at, line in enumerate(cart.lines) if other.rule.covers(line.sku, line.category)]
        whole = sum(amounts[at] for at in covered)
        saved = min(other.saved, whole)
        before, passed = 0, 0
        for at in covered:
            passed += amounts[at]
            upto = saved * passed // whole if whole else 0
            amounts[at] -= upto - before
            before = upto
    lines = tuple(replace(line, amount=amount) for line, amount in zip(cart.lines, amounts, strict=True))
    return replace(cart, lines=lines)


def judge(rule: Rule, cart: Cart, *, tier_id: int | None, beside: Sequence[Beside] = ()) -> Verdict:
    """Say what a coupon takes off a cart, as far as its rule decides.

    Thresholds look at what the goods cost; what is taken off comes out of what other coupons of the order leave.
    """
    refusal = _who_and_where(rule, cart, tier_id)
    if refusal is not None:
        return Verdict(refusal=refusal)
    lines = [line for line in cart.lines if rule.covers(line.sku, line.category)]
    eligible = sum(line.amount for line in lines)
    if not lines and rule.kind == Kind.GIFT and not rule.threshold and not rule.products and not rule.categories:
        return Verdict()
    if not lines or (not eligible and rule.kind != Kind.GIFT):
        names = (*rule.products, *rule.categories)
        return Verdict(refusal=Refusal("wrong_goods", (("goods", names),)) if names else Refusal("cart_empty"))
    if eligible < rule.threshold:
        missing = (("threshold", rule.threshold), ("missing", rule.threshold - eligible))
        return Verdict(eligible=eligible, refusal=Refusal("below_threshold", missing))
    if beside:
        lines = [line for line in left_after(cart, beside).lines if rule.covers(line.sku, line.category)]
    saving = _saving(rule, lines, sum(line.amount for line in lines))
    if saving <= 0 and rule.kind != Kind.GIFT:
        return Verdict(eligible=eligible, refusal=Refusal("nothing_saved"))
    return Verdict(saving, eligible)


def _who_and_where(rule: Rule, cart: Cart, tier_id: int | None) -> Refusal | None:
    if rule.tiers and tier_id not in {each.id for each in rule.tiers}:
        return Refusal("wrong_tier", (("tiers", tuple(each.name for each in rule.tiers)),))
    if rule.stores and cart.store_id not in {each.id for each in rule.stores}:
        return Refusal("wrong_store", (("stores", tuple(each.name for each in rule.stores)),))
    return None


def _saving(rule: Rule, lines: Iterable[Line], eligible: int) -> int:
    """Give what is taken off: never more than the goods cost; parts of a fen are the brand's."""
    if rule.kind == Kind.AMOUNT:
        return min(rule.amount, eligible)
    if rule.kind == Kind.PERCENT:
        saving = eligible * rule.percent // 100
        return min(saving, rule.cap) if rule.cap else saving
    if rule.kind == Kind.EXCHANGE:
        pieces = sorted(((line.amount // line.quantity, line.quantity) for line in lines), reverse=True)
        left, saving = rule.pieces, 0
        for price, there in pieces:
            taken = min(left, there)
            saving += price * taken
            left -= taken
        return saving
    return 0


def valid_between(rule: Rule, *, issued_at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Give from when and until when (without it) a coupon issued at a moment can be used; days are the brand's."""
    if rule.validity == Validity.FIXED and rule.first_day and rule.last_day:
        return _day(rule.first_day, zone), _day(rule.last_day + timedelta(days=1), zone)
    first = issued_at.astimezone(zone).date() + timedelta(days=rule.delay)
    start = _day(first, zone) if rule.delay else issued_at
    return start, _day(first + timedelta(days=rule.days), zone)


def last_moment(rule: Rule, zone: ZoneInfo) -> datetime | None:
    """Give when coupons that all end on one day end; None for those that end some days after they are given."""
    if rule.validity != Validity.FIXED or rule.last_day is None:
        return None
    return _day(rule.last_day + timedelta(days=1), zone)


def day_end(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Give the end of the day that lies so many days after a moment."""
    return _day(at.astimezone(zone).date() + timedelta(days=days + 1), zone)


def _day(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)


# --- reading and writing rules ---------------------------------------------------------------------------------------

_NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "amount": (0, MOST_FEN),
    "percent": (0, 99),
    "cap": (0, MOST_FEN),
    "pieces": (1, MOST_PIECES),
    "threshold": (0, MOST_FEN),
    "delay": (0, MOST_DAYS),
    "days": (1, MOST_DAYS),
    "grace_days": (0, 365),
}
_LISTS: Final = ("products", "categories")
_NAMED: Final = ("stores", "tiers")
_KNOWN: Final = frozenset(Rule.__dataclass_fields__)


def faults(data: Mapping[str, Any]) -> dict[str, StrOrPromise]:
    """Say what is wrong with a rule as it is stored or typed, by field; nothing when it can be used."""
    wrong: dict[str, StrOrPromise] = {}
    for name in sorted(set(data) - _KNOWN):
        wrong[name] = _("This setting is unknown.")
    if data.get("kind") not in Kind.values:
        wrong["kind"] = _("Choose what the coupon gives.")
    for name, (low, high) in _NUMBERS.items():
        value = data.get(name, low)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            wrong[name] = _("A whole number from %(low)s to %(high)s is needed.") % {"low": low, "high": f"{high:,}"}
    for name in _LISTS:
        rows = data.get(name, [])
        if not isinstance(rows, list) or len(rows) > MOST_NAMES or not all(_is_code(each) for each in rows):
            wrong[name] = _("Codes have 1 to 64 characters, and there are at most 200 of them.")
    for name in _NAMED:
        rows = data.get(name, [])
        if not isinstance(rows, list) or len(rows) > MOST_NAMES or not all(_is_named(each) for each in rows):
            wrong[name] = _("Choose from the list.")
    return wrong or {**_of_kind(data), **_of_time(data)}


def _of_kind(data: Mapping[str, Any]) -> dict[str, StrOrPromise]:
    wrong: dict[str, StrOrPromise] = {}
    kind = data["kind"]
    if kind == Kind.AMOUNT and not data.get("amount"):
        wrong["amount"] = _("How much is taken off?")
    if kind == Kind.AMOUNT and 0 < data.get("threshold", 0) < data.get("amount", 0):
        wrong["threshold"] = _("The threshold is below what is taken off.")
    if kind == Kind.PERCENT and not data.get("percent"):
        wrong["percent"] = _("How many percent are taken off?")
    if kind == Kind.EXCHANGE and not data.get("products") and not data.get("categories"):
        wrong["products"] = _("Which goods can be had for it?")
    gift = data.get("gift", "")
    if not isinstance(gift, str) or len(gift) > 40 or (kind == Kind.GIFT and not gift.strip()):
        wrong["gift"] = _("What is the gift? Up to 40 characters.")
    return wrong


def _of_time(data: Mapping[str, Any]) -> dict[str, StrOrPromise]:
    wrong: dict[str, StrOrPromise] = {}
    if data.get("on_refund", OnRefund.RETURN) not in OnRefund.values:
        wrong["on_refund"] = _("Choose what a refund does.")
    if data.get("stacks", Stacks.ALONE) not in Stacks.values:
        wrong["stacks"] = _("Choose which other coupons an order may use.")
    validity = data.get("validity", Validity.RELATIVE)
    if validity not in Validity.values:
        wrong["validity"] = _("Choose how long it can be used.")
    if validity == Validity.FIXED:
        first, last = _date(data.get("first_day")), _date(data.get("last_day"))
        if first is None:
            wrong["first_day"] = _("A day is needed.")
        if last is None:
            wrong["last_day"] = _("A day is needed.")
        if first and last and last < first:
            wrong["last_day"] = _("The last day is before the first.")
        for name, day in (("first_day", first), ("last_day", last)):
            if day and not in_years(day):
                wrong[name] = OUT_OF_YEARS
    return wrong


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 64 and value == value.strip()


def _is_named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], int)
        and not isinstance(value[0], bool)
        and isinstance(value[1], str)
    )


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def read(data: Mapping[str, Any]) -> Rule:
    """Read a rule that has no faults."""
    plain = {name: data[name] for name in _KNOWN & set(data) if name not in (*_LISTS, *_NAMED, "first_day", "last_day")}
    return Rule(
        **plain,
        products=tuple(data.get("products", ())),
        categories=tuple(data.get("categories", ())),
        stores=tuple(Named(*each) for each in data.get("stores", ())),
        tiers=tuple(Named(*each) for each in data.get("tiers", ())),
        first_day=_date(data.get("first_day")),
        last_day=_date(data.get("last_day")),
    )


_OWN: Final[dict[str, tuple[str, ...]]] = {
    Kind.AMOUNT: ("amount",),
    Kind.PERCENT: ("percent", "cap"),
    Kind.EXCHANGE: ("pieces",),
    Kind.GIFT: ("gift",),
}
_OF_VALIDITY: Final[dict[str, tuple[str, ...]]] = {
    Validity.FIXED: ("first_day", "last_day"),
    Validity.RELATIVE: ("delay", "days"),
}
_ALWAYS: Final = ("threshold", *_LISTS, *_NAMED, "validity", "on_refund", "grace_days", "stacks")


def trimmed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the settings that the kind and the validity of a rule know."""
    kind, validity = str(data.get("kind", "")), str(data.get("validity", Validity.RELATIVE))
    kept = {"kind", *_ALWAYS, *_OWN.get(kind, ()), *_OF_VALIDITY.get(validity, ())}
    return {name: value for name, value in data.items() if name in kept or name not in _KNOWN}
