"""Purchases of an import that was undone: facts are only ever added, so each stands beside a refund that undoes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Concat

from loyalty.models import Fact, FactKind

if TYPE_CHECKING:
    from collections.abc import Iterable

UNDO: Final = "undo "  # and the number of the purchase: the number of the refund
_TIMES: Final = 9  # how often one order can be imported, undone and imported again
LONGEST: Final = 64
UNDONE_SQL: Final = f"""EXISTS (
            SELECT 1 FROM loyalty_fact r WHERE r.brand_id = f.brand_id AND r.refers_id = f.id AND r.kind = 'REFUND'
                AND r.number = '{UNDO}' || f.number)"""  # noqa: S608 - a constant of ours


def undone() -> Exists:
    """Say of a purchase that its import was undone: it counts as if it had never been."""
    number = Concat(Value(UNDO), OuterRef("number"))
    return Exists(Fact.objects.filter(refers=OuterRef("pk"), kind=FactKind.REFUND, number=number))


def numbers_of(order: str) -> list[str]:
    """Give the numbers a purchase may have by which it was reported: its own, and those after it was undone."""
    later = (f"{order} #{time}" for time in range(2, _TIMES + 1))
    return [order, *(number for number in later if len(number) + len(UNDO) <= LONGEST)]


def latest(system: str, orders: Iterable[str]) -> dict[str, Fact]:
    """Give the purchases that stand for orders today, by the order's number."""
    whose = {number: order for order in orders for number in reversed(numbers_of(order))}
    whose |= {order: order for order in set(whose.values())}
    rows = Fact.objects.filter(system=system, kind=FactKind.PURCHASE, number__in=list(whose)).order_by("pk")
    return {whose[fact.number]: fact for fact in rows}


def next_number(order: str, before: str) -> str | None:
    """Give the number under which an order comes again after the one that was undone; None when it cannot."""
    known = numbers_of(order)
    place = known.index(before) + 1
    return known[place] if place < len(known) else None
