"""What people bought, sent back and did, as it was reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import BigIntegerField, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Concat

from loyalty.models import Fact, FactKind
from loyalty.taken_back import UNDO, undone

if TYPE_CHECKING:
    from django.db.models import QuerySet


def facts_of(member_id: int) -> QuerySet[Fact]:
    """Give what was reported of a person, each with `back` and `refunds`: how much was sent back of it, and by what.

    Orders of an import that was undone are left out with the refunds that undo them: they never were.
    """
    refunds = Fact.objects.filter(refers=OuterRef("pk")).order_by().values("refers")
    return (
        Fact.objects.filter(~undone(), member_id=member_id)
        .exclude(kind=FactKind.REFUND, number=Concat(Value(UNDO), "refers__number"))
        .select_related("store", "refers")
        .annotate(
            back=Subquery(refunds.annotate(all=Sum("amount")).values("all"), output_field=BigIntegerField()),
            refunds=Subquery(refunds.annotate(all=ArrayAgg("number", order_by="pk")).values("all")),
        )
    )
